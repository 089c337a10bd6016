"""Sizes that the recommenders share, and examples of what they are fed."""

from __future__ import annotations

import torch
from porting.models.layers import Built
from torch import Tensor, nn

FIELDS, IDS, DENSE, ITEMS, HISTORY, WIDTH = 6, 20, 5, 30, 7, 8

_EXAMPLES = {
    "dense": lambda: torch.randn(3, DENSE),
    "fields": lambda: _ids(IDS, FIELDS),
    "crosses": lambda: _ids(IDS, 3),
    "user": lambda: _ids(25),
    "target": lambda: _ids(ITEMS),
    "history": lambda: _ids(ITEMS, HISTORY),
    "attention_mask": lambda: torch.ones(3, HISTORY, dtype=torch.int64),
    "clicks": lambda: torch.rand(3, ITEMS),
    "noise": lambda: torch.randn(3, 8),
}


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of three, the largest among them: the range is read off the example."""
    ids = torch.randint(0, high, (3, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def with_examples(net: nn.Module, *names: str) -> Built:
    """A net and an example of each input that it takes, by name."""
    return net, {name: _EXAMPLES[name]() for name in names}
