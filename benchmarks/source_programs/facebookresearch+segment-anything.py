"""Encodes an image with a small image encoder of Segment Anything, and steps back through it."""

import torch

from porting.sources._torchvision import make_importable

make_importable()
from segment_anything.modeling import ImageEncoderViT
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
device = torch.device(accelerator.type if accelerator else "cpu")
model = ImageEncoderViT(
    32, 8, embed_dim=16, depth=2, num_heads=2, out_chans=8, use_rel_pos=True, window_size=2, global_attn_indexes=(1,)
)
model = model.to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
found = model(torch.randn(1, 3, 32, 32, device=device))
found.square().mean().backward()
optimizer.step()
print(batched_mask_to_box(found[0] > 0).tolist(), calculate_stability_score(found[0], 0.0, 0.1).tolist())
