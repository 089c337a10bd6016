"""The net: a residual convolutional stack with squeeze-and-excitation, told how strong the noise is."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.strength = nn.Linear(1, width)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Sigmoid())

    def forward(self, x, sigma):
        y = self.first(nn.functional.silu(self.norm(x)))
        y = y + self.strength(sigma)[:, :, None, None]
        y = self.second(nn.functional.silu(y))
        return x + y * self.gate(y)


class Denoiser(nn.Module):
    def __init__(self, channels: int = 3, width: int = 16, depth: int = 3):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """noisy: pictures, (batch, channels, height, width). sigma: deviation of the noise, (batch, 1). Returns clean ones."""
        x = self.first(noisy)
        for block in self.blocks:
            x = block(x, sigma)
        return noisy - self.last(x)
