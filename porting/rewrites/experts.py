"""Experts that are looped over as data wants it, run all on all tokens: what an expert was not asked for counts nothing.

Which experts are hit, and by how many tokens, are sizes that depend on data; few stacks take them. With every expert on every
token nothing depends on data any more, at the price of computing what is thrown away.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


class _Number(list[int]):
    """An expert's number, as a row of what nonzero answers: `row`, `row[0]` and `row.item()` choose it."""

    def item(self) -> int:
        return self[0]


class _Asked:
    """What was answered in the place of data: rows of all experts, and places of all tokens with whether each was asked for.
    spare: how many of the last rows stand for no expert; some models count one more, which nothing is sent to."""

    def __init__(self, spare: int) -> None:
        self.spare = spare
        self.rows: list[Any] = []
        self.places: list[tuple[Any, Any]] = []
        self.zeroed = 0

    def numbers(self, rows: Any) -> list[_Number] | None:
        """The rows one by one, where they are those of all experts."""
        count = rows.shape[0] - self.spare
        return [_Number([n]) for n in range(count)] if any(rows is known for known in self.rows) else None

    def mask(self, places: Any) -> Any:
        return next((mask for known, mask in self.places if known is places), None)


@contextlib.contextmanager
def experts_all(module: nn.Module, example: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    """The module with every expert on every token; None where it has no such loop. example: what it is run on once, in eager."""
    with _unsorted(module) as sorting:
        if sorting:
            yield module
            return
        try:
            spare, found = 0, _zeroed(module, example, 0)
        except IndexError:
            spare, found = 1, _zeroed(module, example, 1)
        yield _running(module, spare).eval() if found else None


@contextlib.contextmanager
def _unsorted(module: nn.Module) -> Iterator[int]:
    """Gives how many parts sort the tokens by expert in a method `moe_infer`, as DeepSeek-MoE's own code does and others after
    it; each has one that does not, while this is open."""
    parts = [part for part in module.modules() if getattr(type(part), "moe_infer", None) and _takes_flat(type(part).moe_infer)]
    for part in parts:
        part.moe_infer = functools.partial(_weighed, part)
    try:
        yield len(parts)
    finally:
        for part in parts:
            del part.moe_infer


def _takes_flat(method: Any) -> bool:
    wanted = ["self", "x", "flat_expert_indices", "flat_expert_weights"]
    return list(inspect.signature(method).parameters) == wanted


def _weighed(part: Any, x: Any, indices: Any, weights: Any) -> Any:
    """x: (tokens, width); indices, weights: an expert and its weight, for each token as many times as experts were chosen."""
    import torch

    chosen, weight = (flat.reshape(x.shape[0], -1) for flat in (indices, weights))
    asked = (torch.where(chosen == number, weight, 0).sum(-1, keepdim=True) for number in range(len(part.experts)))
    return functools.reduce(operator.add, (expert(x) * share for expert, share in zip(part.experts, asked, strict=True)))


def _zeroed(module: nn.Module, example: Sequence[torch.Tensor], spare: int) -> int:
    """How many sums of experts a run has."""
    import torch

    asked = _Asked(spare)
    with torch.no_grad(), _dense(asked):
        module(*example)
    return asked.zeroed


def _running(module: nn.Module, spare: int) -> nn.Module:
    from torch import nn

    class AllExperts(nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            with _dense(_Asked(spare)):
                return self.inner(*tensors)

    return AllExperts()


def _dense(asked: _Asked) -> contextlib.AbstractContextManager[Any]:
    """Answers three calls of such a loop: which experts were hit (all), by which tokens (all), and the sum of what they gave
    (without what was not asked for)."""
    import torch
    from torch.overrides import TorchFunctionMode

    tensor = torch.Tensor

    class Dense(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if func in (tensor.nonzero, torch.nonzero) and _few(args[0]) and not kwargs.get("as_tuple"):
                asked.rows.append(torch.arange(args[0].shape[0])[:, None])
                return asked.rows[-1]
            if func in (tensor.unbind, torch.unbind) and (numbers := asked.numbers(args[0])) is not None:
                return numbers
            if func is torch.where and len(args) == 1 and args[0].dim() == 2:
                return self._everywhere(args[0])
            if func in (tensor.index_add_, tensor.index_add, torch.index_add):
                args = self._zeroed(*args)
            return func(*args, **kwargs)

        def _everywhere(self, mask: Any) -> tuple[Any, Any]:
            rows, columns = (torch.arange(size) for size in mask.shape)
            rows, columns = (part.reshape(-1) for part in torch.broadcast_tensors(rows[:, None], columns[None, :]))
            asked.places.append((columns, mask.reshape(-1) != 0))
            return rows, columns

        def _zeroed(self, total: Any, dim: int, places: Any, values: Any) -> tuple[Any, ...]:
            mask = asked.mask(places)
            if mask is None or dim != 0:
                return total, dim, places, values
            asked.zeroed += 1
            return total, dim, places, torch.where(mask.reshape(-1, *[1] * (values.dim() - 1)), values, 0.0)

    return Dense()


def _few(mask: Any) -> bool:
    """Whether this says of a fixed number of things which are there."""
    return mask.dim() == 1 and isinstance(mask.shape[0], int)
