"""Trains vid2vid's generator against its discriminator for a step."""

import types

import torch
from stand_empty import device, leave_empty

leave_empty("torchvision")
from models import networks

here = device()
options = types.SimpleNamespace(n_blocks=1)
drawing = networks.define_G(3, 3, 0, 4, "global", 1, "batch", 0, [], options).to(here)
judging = networks.define_D(3, 4, 2, "batch", 2, True, []).to(here)
for network in (judging, drawing):
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    picture = drawing(torch.randn(2, 3, 32, 32).to(here))
    scores = judging(picture)
    loss = sum(part[-1].sub(float(network is drawing)).square().mean() for part in scores)
    loss.backward()
    optimizer.step()
    print(len(scores), f"{loss.item():.6f}")
