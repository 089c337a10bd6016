"""Small models of six kinds for planted faults: each has the operators of its kind, and real weights all over."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A transformer encoder block, written out."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        q, k, v = (layer(x).reshape(split).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-1, -2) / split[-1] ** 0.5, -1)
        x = self.first(x + self.o((weights @ v).transpose(1, 2).reshape(batch, length, width)))
        return self.second(x + self.down(F.gelu(self.up(x))))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.table(ids)).mean(1))


class Residual(nn.Module):
    """A convolutional net with a residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.stem(image)), 2)
        x = F.relu(x + self.two(F.relu(self.one(x))))
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.head(self.lstm(x)[0]))


class Gated(nn.Module):
    """A gated MLP with RMS norm, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(12, 24), nn.Linear(12, 24), nn.Linear(24, 12)
        self.scale = nn.Parameter(1 + 0.1 * torch.randn(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(x), -1)


class Unet(nn.Module):
    """Down, up and a skip that is concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.out = nn.Conv2d(12, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skip = torch.sigmoid(self.down(image))
        low = F.relu(self.inner(F.avg_pool2d(skip, 2)))
        return self.out(torch.cat([skip, F.interpolate(low, scale_factor=2.0, mode="nearest")], 1))


class Chaotic(nn.Module):
    """Doubles an error at every step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(11):
            x = 3.9 * x * (1 - x)
        return x


def chaotic() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Chaotic().eval(), {"x": torch.rand(4, 6)}


def encoder() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Encoder().eval(), {"ids": torch.randint(0, 30, (2, 7))}


def residual() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Residual().eval(), {"image": torch.randn(2, 3, 8, 8)}


def recurrent() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Recurrent().eval(), {"x": torch.randn(2, 5, 6)}


def gated() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Gated().eval(), {"x": torch.randn(2, 4, 12)}


def perceptron() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Perceptron().eval(), {"x": torch.randn(3, 10)}


def unet() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Unet().eval(), {"image": torch.randn(2, 2, 8, 8)}
