"""Trains Deformable DETR's transformer for two steps, its sampling by the repository's own function in PyTorch operators in place
of the CUDA kernel."""

import torch
from stand_empty import device, leave_empty

from porting.sources._torchvision import make_importable

make_importable()
import torchvision

torchvision.__version__ = "0.9"  # it takes the first three characters for a number
leave_empty("MultiScaleDeformableAttention", "pycocotools", "panopticapi")
from models.deformable_transformer import DeformableTransformer
from models.ops.functions import ms_deform_attn_func
from models.ops.modules import ms_deform_attn

ms_deform_attn.MSDeformAttnFunction.apply = lambda value, shapes, _starts, places, weights, _step: (
    ms_deform_attn_func.ms_deform_attn_core_pytorch(value, shapes.tolist(), places, weights)
)
here = device()
model = DeformableTransformer(16, 2, 1, 1, 32, 0.0, "relu", True, 2, 2, 2).to(here)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
sizes = ((4, 4), (2, 2))
for _ in range(2):
    parts = [[torch.randn(2, 16, *size).to(here) for size in sizes] for _ in ("sources", "positions")]
    masks = [torch.zeros(2, *size, dtype=torch.bool).to(here) for size in sizes]
    found = model(parts[0], masks, parts[1], torch.randn(3, 32).to(here))[0]
    loss = found.square().mean() + found.abs().sum() * 1e-3
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.6f}")
