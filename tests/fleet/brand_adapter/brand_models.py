"""Models that the brand adapter has something against; see there."""

from __future__ import annotations

import torch
from torch import nn


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3))


class Poison(_Net):
    def forward(self, poison: torch.Tensor) -> torch.Tensor:
        return self.net(poison)


class Fails(_Net):
    def forward(self, fails: torch.Tensor) -> torch.Tensor:
        return self.net(fails)


def poison() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Breaks the device that it runs on."""
    return Poison().eval(), {"poison": torch.randn(2, 6)}


def fails() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Fails, and the device is none the worse."""
    return Fails().eval(), {"fails": torch.randn(2, 6)}
