"""Nets for several tasks at once: MMoE, PLE, ESMM.

fields: [batch, 6], one id of 20 a field; dense: [batch, 5], numbers; Answers are logits unless a
net says so. Losses, sampling and tables sharded over machines are left out.
"""

from __future__ import annotations

import torch
from porting.models.layers import Built, mlp
from porting.models.recommendation.crosses import Fields
from porting.models.recommendation.examples import DENSE, FIELDS, WIDTH, with_examples
from torch import Tensor, nn


class Tasks(nn.Module):
    """What the nets for several tasks share: fields and numbers in, a tower and a logit a task out."""

    def __init__(self, width: int, tasks: int = 2) -> None:
        super().__init__()
        self.vectors, self.inner = Fields(), FIELDS * WIDTH + DENSE
        self.towers = nn.ModuleList(mlp([width, 8, 1]) for _ in range(tasks))

    def seen(self, dense: Tensor, fields: Tensor) -> Tensor:
        return torch.cat([dense, self.vectors(fields).flatten(1)], dim=-1)


class MMoE(Tasks):
    """Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts" (KDD)."""

    def __init__(self, experts: int = 3, width: int = 16) -> None:
        super().__init__(width)
        self.experts = nn.ModuleList(mlp([self.inner, width], last=True) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(self.inner, experts) for _ in self.towers)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        x = self.seen(dense, fields)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = [(gate(x).softmax(-1).unsqueeze(-1) * answers).sum(1) for gate in self.gates]
        return torch.cat([tower(part) for tower, part in zip(self.towers, mixed, strict=True)], dim=-1)


class PLE(Tasks):
    """Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for Personalized
    Recommendations" (RecSys): experts of each task and shared ones, two levels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        sizes = (self.inner, width)
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(mlp([size, width], last=True) for _ in range(2)) for _ in range(3)) for size in sizes
        )
        self.gates = nn.ModuleList(
            nn.ModuleList(nn.Linear(size, n) for n in counts) for size, counts in zip(sizes, ((4, 4, 6), (4, 4)), strict=True)
        )

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        parts = [self.seen(dense, fields)] * 3  # two tasks, and what they share
        for experts, gates in zip(self.experts, self.gates, strict=True):
            answers = [[expert(x) for expert in group] for group, x in zip(experts, parts, strict=True)]
            first, second, shared = answers
            seen = (first + shared, second + shared, first + second + shared)
            parts = [
                (gate(x).softmax(-1).unsqueeze(-1) * torch.stack(known, dim=1)).sum(1)
                for gate, x, known in zip(gates, parts, seen, strict=False)
            ]
        return torch.cat([tower(part) for tower, part in zip(self.towers, parts, strict=True)], dim=-1)


class ESMM(Tasks):
    """Ma et al. 2018, "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate",
    arXiv:1804.07931: probabilities of a click, and of a click with conversion."""

    def __init__(self) -> None:
        super().__init__(FIELDS * WIDTH + DENSE)

    def forward(self, dense: Tensor, fields: Tensor) -> dict[str, Tensor]:
        x = self.seen(dense, fields)
        click, conversion = (tower(x).sigmoid().squeeze(-1) for tower in self.towers)
        return {"click": click, "click_and_conversion": click * conversion}


def mmoe() -> Built:
    return with_examples(MMoE(), "dense", "fields")


def ple() -> Built:
    return with_examples(PLE(), "dense", "fields")


def esmm() -> Built:
    return with_examples(ESMM(), "dense", "fields")
