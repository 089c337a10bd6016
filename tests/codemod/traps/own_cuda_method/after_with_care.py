import torch
from torch import nn
import porting_accel as accel


class Batch:
    """A batch knows how to move itself."""

    def __init__(self, image, label):
        self.image = image
        self.label = label

    def cuda(self):
        self.image = self.image.to(accel.type)
        return self


class Quantised(nn.Module):
    def cuda(self, device=None):
        self.table = None
        return super().cuda(device)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2).to(accel.type)
        self.register_buffer("mask", torch.ones(2))
        self.mask = self.mask.to(accel.type)
        if accel.is_available():
            self.to(accel.type)


batch = Batch(torch.ones(1), 2).cuda()
quantised = Quantised().cuda()
plain = Plain().to(accel.type, non_blocking=True)
