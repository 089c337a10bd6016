"""Small factories for the tests of the command line, beside tests/sample_models.py."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn


def _net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, 3)).eval()


def narrow() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _net(8), {"input": torch.randn(2, 6)}


def wide() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _net(24), {"input": torch.randn(2, 6)}


def deep() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return nn.Sequential(_net(8), nn.Tanh(), nn.Linear(3, 5)).eval(), {"input": torch.randn(2, 6)}


def heavy() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Two megabytes of weights."""
    return _net(50_000), {"input": torch.randn(2, 6)}


class Ids(nn.Module):
    """Takes integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids).sum(1)


def ids() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Ids().eval(), {"input_ids": torch.randint(0, 20, (2, 7))}


def needs_a_file() -> nn.Module:
    raise FileNotFoundError("weights.bin is not there")


def several_lines() -> nn.Module:
    raise RuntimeError("first line\nsecond line\nthird line")


def leaves() -> nn.Module:
    raise SystemExit(0)


def no_inputs() -> nn.Module:
    return _net(8)


def wrong_example() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return _net(8), {"input": torch.randn(2, 7)}


class Fragile(nn.Module):
    """Takes the process with it until a file called `mended` is there: when it is exported, or run at bf16."""

    def __init__(self, at_bf16: bool) -> None:
        super().__init__()
        self.net = _net(8)
        self.at_bf16 = at_bf16

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        breaks = input.dtype is torch.bfloat16 if self.at_bf16 else torch.compiler.is_exporting()
        if breaks and not Path("mended").exists():
            os.abort()
        out: torch.Tensor = self.net(input)
        return out


def fragile() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Fragile(at_bf16=False).eval(), {"input": torch.randn(2, 6)}


def fragile_at_bf16() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Fragile(at_bf16=True).eval(), {"input": torch.randn(2, 6)}


value = 3


class Sizes(nn.Module):
    """Sizes that vary wherever an operator takes a number: in pads, repeats, parts, ranges, products, windows, places."""

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = hidden_states
        batch, length, width = rows.shape
        padded = nn.functional.pad(rows, (0, 0, 0, -length % 4)).reshape(batch, -1, 2 * width)
        repeated = rows[:1].repeat(batch, 2, 1) / length
        first, rest = torch.split(rows, [length // 2, length - length // 2], dim=-2)
        joined = torch.cat([rest[:, -1:], first * (2.0 / length)], dim=1)
        counted = torch.cumsum(rows[..., 0] > 0, dim=-1)
        steps = torch.arange(0.5, length, dtype=torch.float32).clamp(1.0, length / 2)
        picked = rows[:, torch.arange(length)[:, None] - length, torch.tensor([0, -1])]
        shown = nn.functional.interpolate(rows[:, None], scale_factor=2.0, mode="nearest")
        largest = torch.topk(rows, 2, dim=-1, sorted=False).values.sum(-1)
        windows = rows.unfold(1, 3, 2).flatten(2) * (rows > 1.5).any()
        return padded, repeated, joined, counted, steps, picked, shown, largest, windows, rows[:, 1:] + rows[:, :-1]


def sizes() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Sizes(), {"hidden_states": torch.randn(2, 6, 4)}
