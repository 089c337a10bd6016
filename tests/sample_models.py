"""Small models for tests, as a person's own code would give them: factories."""

from __future__ import annotations

import torch
from torch import nn


class TwoOutputs(nn.Module):
    """Scores and a pooled vector, over a batch of sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.mix = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32))
        self.head = nn.Linear(32, 5)

    def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.mix(self.embed(input_ids))
        return {"scores": self.head(hidden), "pooled": hidden.mean(1)}


def two_outputs() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return TwoOutputs().eval(), {"input_ids": torch.randint(0, 50, (2, 9))}


class Outlier(nn.Module):
    """One product takes a value of ten thousand times the others' size, and makes nothing of it: 8 bits leave nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 5)
        matrix = torch.randn(16, 16, generator=torch.Generator().manual_seed(0)) / 4
        matrix[0] = 0
        self.register_buffer("matrix", matrix)
        self.register_buffer("large", torch.cat([torch.tensor([1e4]), torch.ones(15)]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        return self.last(torch.tanh((hidden * self.large) @ self.matrix))


def outlier() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Outlier().eval(), {"x": torch.randn(2, 16)}


class Mapped(nn.Module):
    """A lookup written for one place at a time, mapped over all: captured with calls that are no operators."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

        with TransformGetItemToIndex():
            late = torch.vmap(lambda place: x.detach()[0][place] > 0)(torch.arange(8))
        return self.line(x) * late


def mapped() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Mapped().eval(), {"x": torch.randn(2, 8)}


def raises() -> nn.Module:
    raise ValueError("no such checkpoint")


def no_module() -> str:
    return "not a module"


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x) + torch.rand(4)


def random_output() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Random().eval(), {"x": torch.randn(2, 4)}


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x * 0)


def constant_output() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Constant().eval(), {"x": torch.randn(2, 4)}


class NotFinite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(-(self.line(x) ** 2))


def nan_output() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return NotFinite().eval(), {"x": torch.randn(2, 4)}


class Crashes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import ctypes

        ctypes.string_at(0)
        return x


def crashes() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Crashes().eval(), {"x": torch.randn(2, 4)}


class Ignores(nn.Module):
    """Has an input that moves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, unused: torch.Tensor | None = None) -> torch.Tensor:
        return self.line(x)


def ignores() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return Ignores().eval(), {"x": torch.randn(2, 4), "unused": torch.randn(2, 4)}
