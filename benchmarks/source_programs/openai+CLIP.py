"""Trains a small CLIP for two steps on made-up pictures and texts."""

import torch
from stand_empty import device, leave_empty

leave_empty("ftfy", "regex", "torchvision")
from clip.model import CLIP

here = device()
model = CLIP(16, 32, 2, 64, 8, 12, 64, 32, 2, 2).to(here)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(2):
    pictures, texts = torch.randn(4, 3, 32, 32).to(here), torch.randint(1, 64, (4, 12)).to(here)
    by_picture, by_text = model(pictures, texts)
    wanted = torch.arange(4).to(here)
    loss = torch.nn.functional.cross_entropy(by_picture, wanted) + torch.nn.functional.cross_entropy(by_text, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.6f}")
