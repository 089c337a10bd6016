import torch
from torch.cuda.amp import GradScaler, autocast

scaler = GradScaler(2.0**10)
with autocast(False):
    pass
with torch.cuda.amp.autocast(True, torch.bfloat16):
    pass
with torch.cuda.amp.autocast():
    pass


class Twice(torch.autograd.Function):
    @staticmethod
    @torch.cuda.amp.custom_fwd(cast_inputs=torch.float32)
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.cuda.amp.custom_bwd
    def backward(ctx, grad):
        return grad * 2
