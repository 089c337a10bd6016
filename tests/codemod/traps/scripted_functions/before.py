import torch


@torch.jit.script
def place(x: torch.Tensor) -> torch.Tensor:
    if x.is_cuda:
        torch.cuda.synchronize()
    return x.to("cuda")


traced = torch.jit.script(place)
torch.cuda.synchronize()
