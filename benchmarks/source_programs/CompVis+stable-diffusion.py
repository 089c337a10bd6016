"""Trains a small UNet of latent diffusion's for two steps, by its own schedule of noise."""

import numpy as np
import torch
from stand_empty import device, leave_empty

leave_empty("einops", "omegaconf", "pytorch_lightning", "torchvision")
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.diffusionmodules.util import extract_into_tensor, make_beta_schedule
from ldm.modules.ema import LitEma

here = device()
kept = np.cumprod(1 - make_beta_schedule("linear", 20))
kept = torch.tensor(kept, dtype=torch.float32).to(here)
model = UNetModel(8, 3, 32, 3, 1, (2,), channel_mult=(1, 1), num_heads=2).to(here)
torch.nn.init.normal_(model.out[2].weight, std=0.1)
mean = LitEma(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(2):
    picture, noise, when = torch.randn(2, 3, 8, 8).to(here), torch.randn(2, 3, 8, 8).to(here), torch.randint(0, 20, (2,)).to(here)
    share = extract_into_tensor(kept, when, picture.shape)
    loss = (model(share.sqrt() * picture + (1 - share).sqrt() * noise, when) - noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    mean(model)
    print(f"{loss.item():.6f}")
