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
