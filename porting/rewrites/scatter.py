"""What is put or added up at places that an index names, as products with a matrix of zeros and ones. Several stacks read a
scatter's reduction as if it said none, and answer with what came last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FAR = 1e30
"""How far below 0 what does not count is put."""


def ways() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator that scatters floating numbers."""
    import torch

    aten = torch.ops.aten
    return {
        aten.index_add.default: _index_add,
        aten.index_add_.default: _index_add,
        aten.scatter_add.default: _scatter_add,
        aten.scatter_add_.default: _scatter_add,
        aten.scatter_reduce.two: _scatter_reduce,
    }


def _index_add(tensor: Any, axis: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """index: [m]; source: as tensor, with m places along the axis."""
    if not tensor.is_floating_point() or not tensor.ndim:
        return NotImplemented
    added = _summed(source, axis, index, tensor.shape[axis])
    return tensor + (added if alpha == 1 else alpha * added)


def _scatter_add(tensor: Any, axis: int, index: Any, source: Any) -> Any:
    if (rows := _as_rows(tensor, axis, index, source)) is not None:
        return tensor + _summed(source, axis, rows, tensor.shape[axis])
    if (rows := _as_rows_of_each(tensor, axis, index, source)) is not None:
        return tensor + _matrix(rows, tensor.shape[axis], tensor.dtype) @ source
    return NotImplemented


def _scatter_reduce(tensor: Any, axis: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """The largest or smallest among those that come to a place, of all and of none at a time; sums and means by products."""
    import torch

    rows = _as_rows(tensor, axis, index, source)
    if rows is None or reduce not in ("sum", "mean", "amax", "amin"):
        return NotImplemented
    count = tensor.shape[axis]
    come = _matrix(rows, count, tensor.dtype).sum(1)
    come = come.reshape([-1 if place == axis % tensor.ndim else 1 for place in range(tensor.ndim)])
    if reduce in ("sum", "mean"):
        kept = tensor if include_self else torch.where(come > 0, torch.zeros_like(tensor), tensor)
        total = kept + _summed(source, axis, rows, count)
        return total if reduce == "sum" else total / (come + int(include_self)).clamp(min=1)
    far = min(FAR, torch.finfo(tensor.dtype).max / 2)
    value = source if reduce == "amax" else -source
    chosen = _matrix(rows, count, tensor.dtype).reshape([count, -1] + [1] * (tensor.ndim - 1))
    best = (value.movedim(axis, 0).unsqueeze(0) * chosen + (chosen - 1) * far).amax(1).movedim(0, axis)
    best = best if reduce == "amax" else -best
    if include_self:
        best = torch.maximum(best, tensor) if reduce == "amax" else torch.minimum(best, tensor)
    return torch.where(come > 0, best, tensor)


def _as_rows(tensor: Any, axis: int, index: Any, source: Any) -> Any:
    """An index that was repeated to the source's shape, as it was before: [m]. None of another one, and where the answer is not
    as wide as what comes to it."""
    axis %= max(tensor.ndim, 1)
    others = [place for place in range(tensor.ndim) if place != axis]
    if not tensor.is_floating_point() or not tensor.ndim or index.shape != source.shape:
        return None
    if any(index.stride()[place] or tensor.shape[place] != source.shape[place] for place in others if source.shape[place] != 1):
        return None
    for place in reversed(others):
        index = index.select(place, 0)
    return index


def _as_rows_of_each(tensor: Any, axis: int, index: Any, source: Any) -> Any:
    """An index that was repeated along the last of three axes, as it was before: [batch, m], of rows that go to others in each of
    the batch. None of another one."""
    if not tensor.is_floating_point() or tensor.ndim != 3 or axis % 3 != 1 or index.shape != source.shape:
        return None
    alike = all(tensor.shape[place] == source.shape[place] for place in (0, 2))
    return index[..., 0] if alike and (source.shape[2] == 1 or not index.stride()[2]) else None


def _matrix(rows: Any, count: Any, dtype: Any) -> Any:
    """[..., count, m] of rows, [..., m]: 1 where a row goes, else 0."""
    import torch

    return (torch.arange(count)[:, None] == rows[..., None, :]).to(dtype)


def _summed(source: Any, axis: int, rows: Any, count: Any) -> Any:
    """Rows along an axis, added up at `count` places."""
    moved = source.movedim(axis, 0)
    total = _matrix(rows, count, source.dtype) @ moved.reshape(moved.shape[0], -1)
    return total.reshape([count, *moved.shape[1:]]).movedim(0, axis)


def bags() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator that adds up bags of embeddings."""
    import torch

    aten = torch.ops.aten
    return {
        aten.embedding_bag.default: lambda *args: (_bags(*args), None, None, None),
        aten.embedding_bag.padding_idx: lambda *args: (_bags(*args), None, None, None),
        aten._embedding_bag.default: lambda *args: (_bags(*args), None, None, None),
    }


def _bags(
    weight: Any, indices: Any, offsets: Any, _: bool = False, mode: int = 0, __: bool = False,
    factors: Any = None, last: bool = False, padding: int | None = None,
) -> Any:  # fmt: skip
    """weight: [n, width]; indices: [m]; offsets: [bags], where each bag starts, and with `last` where the last one ends. The sum,
    mean or largest (mode 0, 1, 2) of each bag's rows, those of `padding` aside: [bags, width]. An empty bag's is 0."""
    import torch

    starts = offsets[:-1] if last else offsets
    place, bag = torch.arange(indices.shape[0]), torch.arange(starts.shape[0])
    own = ((starts <= place[:, None]).to(torch.int64).sum(1) - 1) == bag[:, None]  # [bags, m]
    if padding is not None and padding != -1:
        own = own & (indices != padding % weight.shape[0])
    rows = weight[indices]
    if mode == 2:
        most = torch.where(own[..., None], rows, -FAR).amax(1)
        return torch.where(own.any(1)[:, None], most, 0.0)
    within = own.to(rows.dtype)
    sums = within @ (rows if factors is None else rows * factors[:, None])
    return sums / within.sum(1).clamp(min=1)[:, None] if mode == 1 else sums
