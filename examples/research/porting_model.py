"""What porting checks: the net as it is trained, and inputs of the sizes that it is used at."""

import torch
from denoise import Denoiser


def build():
    torch.manual_seed(0)
    return Denoiser().eval(), {"noisy": torch.rand(2, 3, 33, 47), "sigma": torch.rand(2, 1)}
