import torch


class Mine:
    def __init__(self):
        self.count = 1


def where(x, model):
    if x.is_cuda and next(model.parameters()).is_cuda:
        return (x + 1).is_cuda
    return not x.is_cuda


@torch.jit.script
def scripted(x: torch.Tensor) -> bool:
    return x.is_cuda
