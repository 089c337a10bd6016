"""Models of which one part, somewhere inside, is refused by PyTorch's exporters."""

from __future__ import annotations

import torch
from torch import nn


class Gate(nn.Module):
    """Branches by a value."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, *, floor: torch.Tensor) -> torch.Tensor:
        if (x.mean() > floor).item():
            return self.scale(x)
        return x


class Bessel(nn.Module):
    """An operator that no ONNX exporter has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Block(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(6, 6), inner, nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.inner(x, floor=torch.tensor(0.5)) if isinstance(self.inner, Gate) else self.inner(x)
        return self.last(x)


class Tower(nn.Module):
    """Blocks in a list, the second of which is refused."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(nn.GELU()), Block(inner), Block(nn.Tanh())])
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def branching() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Tower(Gate()).eval(), {"x": torch.randn(4, 6)}


def bessel() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Tower(Bessel()).eval(), {"x": torch.randn(4, 6)}
