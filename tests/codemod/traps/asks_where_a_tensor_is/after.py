import torch
import porting_accel as accel


class Mine:
    def __init__(self):
        self.count = 1


def where(x, model):
    if accel.is_on(x) and accel.is_on(next(model.parameters())):
        return (x + 1).is_cuda
    return not accel.is_on(x)


@torch.jit.script
def scripted(x: torch.Tensor) -> bool:
    return x.is_cuda
