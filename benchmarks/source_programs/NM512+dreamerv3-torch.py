"""Trains dreamerv3's recurrent state-space model for two steps, with its own optimizer and loss scaler."""

import torch
from stand_empty import device, leave_empty

leave_empty("torch.utils.tensorboard")
import tools
from networks import RSSM
from torch import distributions

distributions.Distribution.set_default_validate_args(False)
here = device()
model = RSSM(stoch=4, deter=16, hidden=16, discrete=4, num_actions=2, embed=8, device=here).to(here)
optimizer = tools.Optimizer("model", model.parameters(), 1e-3, clip=100, wd=0.0)
drawn = torch.rand
for _ in range(2):
    embed, action = torch.randn(2, 3, 8).to(here), torch.randn(2, 3, 2).to(here)
    first = torch.tensor([[1.0, 0.0, 0.0]] * 2).to(here)
    post, prior = model.observe(embed, action, first)
    loss, value, dynamics, representation = model.kl_loss(post, prior, 1.0, 0.5, 0.1)
    told = optimizer(loss.mean() + post["deter"].square().mean(), model.parameters())
    print({name: f"{float(value):.5f}" for name, value in told.items()})
