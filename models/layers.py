"""Blocks that several nets of this catalog share, in plain PyTorch.

A net lies in its domain's folder, in a module that says which paper it follows, what goes in and out, and what is left out. A
factory returns the net, small, with example inputs by name; the weights are random, so only operators and wiring are the paper's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Built = tuple[nn.Module, dict[str, Tensor]]
"""What a factory returns: the net and example inputs by name."""


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, last: bool = False) -> nn.Sequential:
    """Linear layers with an activation between them, and after the last one if `last`. sizes: widths, the input's first."""
    layers: list[nn.Module] = []
    for number, (inner, outer) in enumerate(itertools.pairwise(sizes), 2):
        layers.append(nn.Linear(inner, outer))
        if last or number < len(sizes):
            layers.append(activation())
    return nn.Sequential(*layers)


def conv(inner: int, outer: int, kernel: int = 3, stride: int = 1, activation: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """2-D convolution, BatchNorm and an activation; padded so that a stride of one keeps the size."""
    layers = [nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


# ---- attention ----------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762).

    x: [batch, queries, width]; memory: [batch, keys, memory], x itself when not given; bias: added to the scores, broadcast to
    [batch, heads, queries, keys].
    """

    def __init__(self, width: int, heads: int, causal: bool = False, memory: int | None = None) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory or width, width)
        self.value = nn.Linear(memory or width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        memory = x if memory is None else memory
        query, key, value = (self._split(part) for part in (self.query(x), self.key(memory), self.value(memory)))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Transformer block with the norm first: self-attention, attention over a memory if there is one, MLP. [batch, length,
    width]."""

    def __init__(self, width: int, heads: int = 4, causal: bool = False, memory: int | None = None, expand: int = 2) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.memory_norm = nn.LayerNorm(width) if memory else None
        self.memory_attention = Attention(width, heads, memory=memory) if memory else None
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp([width, expand * width, width], nn.GELU))

    def forward(self, x: Tensor, memory: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm(x), bias=bias)
        if self.memory_norm is not None and self.memory_attention is not None:
            x = x + self.memory_attention(self.memory_norm(x), memory)
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Blocks over [batch, length, width] with learned positions up to `length`, and a norm at the end."""

    def __init__(self, width: int, length: int, depth: int = 2, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.1 * torch.randn(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, causal) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class SpaceTimeBlock(nn.Module):
    """Attention within each frame, causal attention of each place over the frames, MLP. [batch, frames, places, width]."""

    def __init__(self, width: int, heads: int = 4, causal: bool = True) -> None:
        super().__init__()
        self.space_norm, self.space = nn.LayerNorm(width), Attention(width, heads)
        self.time_norm, self.time = nn.LayerNorm(width), Attention(width, heads, causal)
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width], nn.GELU))

    def forward(self, x: Tensor) -> Tensor:
        _, frames, places, _ = x.shape
        x = x + self.space(self.space_norm(x).flatten(0, 1)).unflatten(0, (-1, frames))
        over_time = self.time(self.time_norm(x).transpose(1, 2).flatten(0, 1))
        x = x + over_time.unflatten(0, (-1, places)).transpose(1, 2)
        return x + self.mlp(x)


def patches(x: Tensor, size: int) -> Tensor:
    """[..., channels, height, width] to [..., places, channels*size*size], row by row."""
    x = x.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))  # ..., channels, rows, size, columns, size
    return x.movedim((-4, -2, -5, -3, -1), (-5, -4, -3, -2, -1)).flatten(-5, -4).flatten(-3)


def unpatches(x: Tensor, size: int, rows: int) -> Tensor:
    """The way back from `patches`. rows: of patches."""
    x = x.unflatten(-2, (rows, -1)).unflatten(-1, (-1, size, size))  # ..., rows, columns, channels, size, size
    return x.movedim((-3, -5, -2, -4, -1), (-5, -4, -3, -2, -1)).flatten(-2).flatten(-3, -2)


# ---- diffusion and codes ------------------------------------------------------------------------------------------


def waves(x: Tensor, width: int, top: float = 1e4) -> Tensor:
    """Sines and cosines of a number at `width`/2 wavelengths from 1 to `top`. x: any shape; a last axis is added."""
    rates = torch.exp(-math.log(top) * torch.arange(width // 2, dtype=x.dtype, device=x.device) / (width // 2))
    angles = x.unsqueeze(-1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, beside a shortcut; a condition scales and shifts the second norm (FiLM).

    x: [batch, inner, height, width]; condition: [batch, condition].
    """

    def __init__(self, inner: int, outer: int, condition: int | None = None, groups: int = 4) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(groups, inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.norm = nn.GroupNorm(groups, outer)
        self.film = nn.Linear(condition, 2 * outer) if condition else None
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(outer, outer, 3, padding=1))
        self.shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = self.norm(self.first(x))
        if self.film is not None and condition is not None:
            scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return self.shortcut(x) + self.second(hidden)


class Quantizer(nn.Module):
    """The nearest of `codes` vectors (van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937).

    x: [..., width]. scale: of the code vectors, about that of what they stand for. Returns the code vectors and their numbers.
    The losses and the straight-through gradient are training's.
    """

    def __init__(self, codes: int, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.table = nn.Embedding(codes, width)
        nn.init.normal_(self.table.weight, std=scale)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        table = self.table.weight
        distance = x.square().sum(-1, keepdim=True) - 2 * x @ table.T + table.square().sum(-1)
        index = distance.argmin(-1)
        return self.table(index), index


def one_hot_sample(logits: Tensor, noise: Tensor) -> Tensor:
    """Sample a category by the largest of logits plus noise (Gumbel's trick with the noise given), as one-hot vectors."""
    return F.one_hot((logits + noise).argmax(-1), logits.shape[-1]).to(logits.dtype)


# ---- geometry and graphs --------------------------------------------------------------------------------------------


def rotation(quaternion: Tensor) -> Tensor:
    """Rotation matrices, [..., 3, 3], of quaternions, [..., 4], that need not have length one."""
    w, x, y, z = (quaternion / (quaternion.square().sum(-1, keepdim=True) + 1e-8).sqrt()).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def segment_sum(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum rows by segment. values: [edges, ...]; index: [edges], the segment of each row; count: of segments."""
    return values.new_zeros((count, *values.shape[1:])).index_add(0, index, values)


def segment_mean(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Mean of rows by segment; zero for an empty one."""
    ones = values.new_ones((values.shape[0],) + (1,) * (values.dim() - 1))
    return segment_sum(values, index, count) / segment_sum(ones, index, count).clamp(min=1)


def segment_max(values: Tensor, index: Tensor, count: int, least: bool = False) -> Tensor:
    """Largest (or smallest) of rows by segment, element by element; zero for an empty one."""
    rows = index.reshape((-1,) + (1,) * (values.dim() - 1)).expand_as(values)
    start = values.new_zeros((count, *values.shape[1:]))
    return start.scatter_reduce(0, rows, values, "amin" if least else "amax", include_self=False)


def segment_softmax(scores: Tensor, index: Tensor, count: int) -> Tensor:
    """Softmax over the rows of each segment. scores: [edges, ...]."""
    top = segment_max(scores, index, count)
    powers = (scores - top[index]).exp()
    return powers / segment_sum(powers, index, count)[index]
