import torch
from porting_accel import GradScaler, autocast
import porting_accel as accel

scaler = GradScaler(2.0**10)
with autocast(False):
    pass
with accel.amp.autocast(True, torch.bfloat16):
    pass
with accel.amp.autocast():
    pass


class Twice(torch.autograd.Function):
    @staticmethod
    @accel.amp.custom_fwd(cast_inputs=torch.float32)
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @accel.amp.custom_bwd
    def backward(ctx, grad):
        return grad * 2
