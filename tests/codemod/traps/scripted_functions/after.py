import torch
import porting_accel as accel


@torch.jit.script
def place(x: torch.Tensor) -> torch.Tensor:
    if x.is_cuda:
        torch.cuda.synchronize()
    return x.to("cuda")


traced = torch.jit.script(place)
accel.synchronize()
