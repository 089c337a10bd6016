"""Runs on cuda. device='cuda' in a docstring is text."""
import os

import torch

# torch.cuda.is_available() in a comment
path = os.path.join("csrc", "cuda")
weights = torch.load('/ckpt/cuda_best.pth', map_location='cpu')
use_cuda = os.path.exists("cuda/kernels")
kernels = {"impl": "cuda"}
print("cuda")
names = ["cuda", "opencl"]
message = f"cuda:{use_cuda} and more"
