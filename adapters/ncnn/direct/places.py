"""Operators that say where elements go, in ncnn's layers: axes, parts, and what an index chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ..._core_program import name_of
from .._network import UnsupportedError
from . import emitter as e
from .emitter import Emitter, Operand, Value, Way, shape_of
from .writer import floats, size

if TYPE_CHECKING:
    pass


MOST_CHOSEN = 1 << 26
"""Elements of a matrix that chooses."""


def table() -> Dict[str, Way]:
    """By the name of an operator, without its overload, how it is emitted."""
    return dict(_MOVES)


def _same(_to: Emitter, value: Value, *_: Any, **__: Any) -> Value:
    return value


def _reshape(to: Emitter, value: Value, *_: Any, **__: Any) -> Value:
    return to.reshape(value, to.shape)


def _permute(to: Emitter, value: Value, order: Sequence[int]) -> Value:
    return to.permute(value, [axis % len(value.shape) for axis in order])


def _transpose(to: Emitter, value: Value, one: int = 0, other: int = 1) -> Value:
    order = list(range(len(value.shape)))
    if order:
        order[one], order[other] = order[other], order[one]
    return to.permute(value, order)


def _expand(to: Emitter, value: Value, *_: Any, **__: Any) -> Value:
    return to.expand(value, to.shape)


def _repeat(to: Emitter, value: Value, times: Sequence[int]) -> Value:
    wide = to.reshape(value, (1,) * (len(times) - len(value.shape)) + value.shape)
    for axis, number in enumerate(times):
        if number > 1:
            shape = wide.shape
            split = to.reshape(wide, (*shape[:axis], 1, *shape[axis:]))
            more = to.expand(split, (*shape[:axis], number, *shape[axis:]))
            wide = to.reshape(more, (*shape[:axis], number * shape[axis], *shape[axis + 1 :]))
    return wide


def _cat(to: Emitter, values: Sequence[Value], axis: int = 0) -> Value:
    return to.reshape(to.concat([v for v in values if v.shape != (0,)], axis), to.shape)


def _stack(to: Emitter, values: Sequence[Value], axis: int = 0) -> Value:
    axis %= len(values[0].shape) + 1
    return to.concat([to.reshape(v, (*v.shape[:axis], 1, *v.shape[axis:])) for v in values], axis)


def _slice(to: Emitter, value: Value, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    first, last = _bounds(value.shape[axis], start, end)
    return to.slice(value, axis, first, last, step)


def _bounds(count: int, start: Any, end: Any) -> Tuple[int, int]:
    first, last, _ = slice(start, end).indices(count)
    return first, max(first, last)


def _select(to: Emitter, value: Value, axis: int, place: int) -> Value:
    place %= value.shape[axis]
    return to.reshape(to.slice(value, axis, place, place + 1), to.shape)


def _unbind(to: Emitter, value: Value, axis: int = 0) -> List[Value]:
    shape = [n for number, n in enumerate(value.shape) if number != axis % len(value.shape)]
    return [to.reshape(to.slice(value, axis, place, place + 1), shape) for place in range(value.shape[axis])]


def _split(to: Emitter, value: Value, sizes: Any, axis: int = 0) -> List[Value]:
    count = value.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, count - start) for start in range(0, count, sizes)]
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [to.slice(value, axis, end - own, end) for own, end in zip(sizes, ends)]  # noqa: B905


def _pad(to: Emitter, value: Value, widths: Sequence[int], with_: float = 0.0) -> Value:
    for number in range(len(widths) // 2):
        before, behind = widths[2 * number : 2 * number + 2]
        if before or behind:
            value = to.pad(value, -1 - number, before, behind, with_)
    return value


def _flip(to: Emitter, value: Value, axes: Sequence[int]) -> Value:
    for axis in axes:
        value = to.take_known(value, axis, list(range(value.shape[axis]))[::-1])
    return value


def _slice_scatter(
    to: Emitter, value: Value, source: Value, axis: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    count = value.shape[axis]
    first, last = _bounds(count, start, end)
    if step != 1:
        places = list(range(count))
        for number, place in enumerate(range(first, last, step)):
            places[place] = count + number
        return to.take_known(to.concat([value, source], axis), axis, places)
    parts = [to.slice(value, axis, 0, first)] if first else []
    parts += [source] if last > first else []
    parts += [to.slice(value, axis, last, count)] if last < count else []
    return to.concat(parts, axis)


def _unfold(to: Emitter, value: Value, axis: int, width: int, step: int) -> Value:
    """Windows along an axis, their places along a new last one."""
    axis %= max(len(value.shape), 1)
    starts = range(0, value.shape[axis] - width + 1, step)
    taken = to.take_known(value, axis, [start + place for start in starts for place in range(width)])
    split = to.reshape(taken, (*value.shape[:axis], len(starts), width, *value.shape[axis + 1 :]))
    order = [*range(axis + 1), *range(axis + 2, len(split.shape)), axis + 1]
    return to.permute(split, order)


def _masked_scatter(to: Emitter, value: Value, flags: Value, source: Value) -> Value:
    """Rows of the source, in order, to where flags are set: counted, chosen and put in. Rows of one number unless flags are alike
    along the last axis, as those of tokens in the place of an image are."""
    shape = value.shape
    width = shape[-1] if _alike_along_last(to.node.args[1]) else 1
    flat = to.reshape(to.expand(flags, shape), (size(shape) // width, width))
    set_there = to.slice(flat, 1, 0, 1)
    places = to.clip(to.sub(to.rows("CumulativeSum", set_there, 0, {0: 1}), 1.0), 0.0, None)
    rows = to.reshape(source, (size(source.shape) // width, width))
    if size(places.shape) * rows.shape[0] > MOST_CHOSEN:
        raise UnsupportedError("masked_scatter of so many elements")
    chosen = to.take(rows, 0, to.reshape(places, (places.shape[0],)))
    return to.reshape(to.where(set_there, chosen, to.reshape(value, flat.shape)), shape)


def _alike_along_last(node: Any) -> bool:
    """Whether what a node gives was repeated along its last axis."""
    while node.op == "call_function" and name_of(node.target) in ("clone", "alias", "_to_copy"):
        node = node.args[0]
    return node.op == "call_function" and name_of(node.target) == "expand" and shape_of(node.args[0])[-1:] == (1,)


def _copy(to: Emitter, _value: Value, source: Value, *_: Any) -> Value:
    return to.expand(source, to.shape)


def _gather(to: Emitter, value: Value, axis: int, index: Value, **_: Any) -> Value:
    """A sum over all places, of which one counts."""
    axis %= max(len(value.shape), 1)
    for other, count in enumerate(index.shape):
        if other != axis:
            value = to.slice(value, other, 0, count)
    moved, before = to.last(value, [axis])
    places, before = to.last(index, [axis])
    chosen = to.one_hot(places, value.shape[axis])
    rows = to.reshape(moved, (*before, 1, value.shape[axis]))
    taken = to.reduce(e.SUM, to.mul(chosen, rows), [-1], False)
    order = list(range(len(before)))
    order.insert(axis, len(before))
    return to.permute(taken, order)


def _scatter(adds: bool) -> Way:
    def way(to: Emitter, value: Value, axis: int, index: Value, source: Operand, **how: Any) -> Value:
        if how.get("reduce"):
            raise UnsupportedError(f"scatter with {how['reduce']}")
        axis %= len(value.shape)
        if any(i != v for n, (i, v) in enumerate(zip(index.shape, value.shape)) if n != axis):  # noqa: B905
            raise UnsupportedError("scatter to a part of the other axes")
        if not isinstance(source, Value):
            source = to.expand(to.full((1,) * len(index.shape), source), index.shape)
        for other, count in enumerate(index.shape):
            source = to.slice(source, other, 0, count)
        places, before = to.last(index, [axis])
        sources, before = to.last(source, [axis])
        chosen = to.one_hot(places, value.shape[axis])  # [..., k, n]
        spread = to.reduce(e.SUM, to.mul(chosen, to.reshape(sources, (*sources.shape, 1))), [-2], False)
        moved, before = to.last(value, [axis])
        if not adds:  # to a place that is named more than once goes the mean, which is right where all that go there are alike
            times = to.reduce(e.SUM, chosen, [-2], False)
            spread = to.binary(e.DIV, spread, to.clip(times, 1.0, None))
            moved = to.mul(moved, to.inverse(to.clip(times, 0.0, 1.0)))
        order = list(range(len(before)))
        order.insert(axis, len(before))
        return to.permute(to.add(moved, spread), order)

    return way


def _index_select(to: Emitter, value: Value, axis: int, index: Value) -> Value:
    known = to.known(to.node.args[2])
    if known is not None:
        return to.take_known(value, axis, [int(place) % value.shape[axis] for place in known.flatten()])
    return to.take(value, axis, index)


def _index(to: Emitter, value: Value, indices: Sequence[Optional[Value]]) -> Value:
    """Indexing along neighbouring axes is indexing along the one axis that they make together; others are brought together."""
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    _refuse_flags(to, axes)
    if axes != list(range(axes[0], axes[0] + len(axes))):
        order = [*axes, *(axis for axis in range(len(value.shape)) if axis not in axes)]
        value, first = to.permute(value, order), 0
    else:
        first = axes[0]
    sizes = value.shape[first : first + len(axes)]
    merged = to.reshape(value, (*value.shape[:first], size(sizes), *value.shape[first + len(axes) :]))
    known, places = _places(to, indices, axes, sizes)
    taken = to.take_known(merged, first, known) if known is not None else to.take(merged, first, places)
    return to.reshape(taken, to.shape)


def _refuse_flags(to: Emitter, axes: Sequence[int]) -> None:
    if any(_is_flags(to.node.args[1][axis]) for axis in axes):
        raise UnsupportedError("an index of flags: how many there are depends on data")


def _is_flags(node: Any) -> bool:
    return str(node.meta["val"].dtype) == "torch.bool"


def _places(
    to: Emitter, indices: Sequence[Optional[Value]], axes: Sequence[int], sizes: Sequence[int]
) -> Tuple[Optional[List[int]], Value]:
    """Which elements indices along axes of these sizes name, counted over all of them: as numbers where they are known."""
    import torch

    given = [to.node.args[1][axis] for axis in axes]
    shape = _shape_of_index(to, axes)
    known: Any = torch.zeros(shape, dtype=torch.int64)
    total: Any = None
    for number, (axis, count) in enumerate(zip(axes, sizes)):  # noqa: B905 -- `strict` came with 3.10
        index, held, step = indices[axis], to.known(given[number]), size(sizes[number + 1 :])
        known = None if known is None or held is None else known + held.remainder(count) * step
        assert index is not None
        inside = to.constant(held.remainder(count)) if held is not None else _from_the_end(to, index, count)
        part = to.mul(inside, float(step))
        total = part if total is None else to.add(total, part)
    flat = to.reshape(to.expand(total, shape), (size(shape),))
    return None if known is None else known.flatten().tolist(), flat


def _from_the_end(to: Emitter, index: Value, count: int) -> Value:
    """An index whose negative numbers count from behind, without them."""
    return to.add(index, to.mul(to.greater(0.0, index), float(count)))


def _index_put(to: Emitter, value: Value, indices: Sequence[Optional[Value]], source: Value, accumulate: bool = False) -> Value:
    """Rows are put in their places by a product with a matrix of zeros and ones; one number goes to where flags are set."""
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    first, last, rank = axes[0], axes[-1] + 1, len(value.shape)
    if len(axes) == 1 and _is_flags(to.node.args[1][first]) and size(source.shape) == 1:
        return _masked(to, value, indices[first], first, source)
    _refuse_flags(to, axes)
    if last - first != len(axes):
        raise UnsupportedError(f"{to.node.target} along axes that are no neighbours")
    shape, sizes = _shape_of_index(to, axes), value.shape[first:last]
    rest = (*value.shape[:first], *value.shape[last:])
    known, places = _places(to, indices, axes, sizes)
    if not accumulate and (known is None or len(set(known)) < len(known)):
        raise UnsupportedError(f"{to.node.target} to places that may be named twice")
    wide = to.expand(source, (*value.shape[:first], *shape, *value.shape[last:]))
    rows = to.reshape(to.permute(wide, _to_front(rank - len(axes) + len(shape), first, len(shape))), (size(shape), size(rest)))
    order = _to_front(rank, first, len(axes))
    flat = to.reshape(to.permute(value, order), (size(sizes), size(rest)))
    chosen = to.one_hot(places, size(sizes))
    if not accumulate:
        flat = to.mul(flat, to.inverse(to.reshape(to.reduce(e.LARGEST, chosen, [0], False), (size(sizes), 1))))
    put = to.reshape(to.add(flat, to.product(to.permute(chosen, [1, 0]), rows)), (*sizes, *rest))
    return to.permute(put, [order.index(axis) for axis in range(rank)])


def _to_front(rank: int, first: int, count: int) -> List[int]:
    """The order of axes in which `count` of them, from `first` on, stand before the others."""
    taken = list(range(first, first + count))
    return [*taken, *(axis for axis in range(rank) if axis not in taken)]


def _shape_of_index(to: Emitter, axes: Sequence[int]) -> Tuple[int, ...]:
    import torch

    return tuple(torch.broadcast_shapes(*(shape_of(to.node.args[1][axis]) for axis in axes)))


def _masked(to: Emitter, value: Value, flags: Optional[Value], axis: int, source: Value) -> Value:
    assert flags is not None
    behind = len(value.shape) - axis - len(flags.shape)
    wide = to.reshape(flags, (*(1,) * axis, *flags.shape, *(1,) * behind))
    return to.where(wide, to.reshape(source, (1,) * len(value.shape)), value)


def _embedding(to: Emitter, weight: Value, index: Value, *_: Any, **__: Any) -> Value:
    known = to.known(to.node.args[0])
    shape = to.shape
    if index.index is None or known is None:
        return to.reshape(to.take(weight, 0, index), shape)
    count, width = known.shape
    ints = to.writer.reshape(index.index, (size(index.shape),))
    blob = to.writer.layer(
        "Embed",
        [ints],
        (size(index.shape), width),
        {0: width, 1: count, 3: known.numel()},
        floats(known.detach().float().numpy()),
    )
    return Value(blob, shape)


_MOVES: Dict[str, Way] = {
    **dict.fromkeys(("clone", "alias", "detach", "lift_fresh_copy", "contiguous"), _same),
    **dict.fromkeys(("view", "reshape", "unsqueeze", "squeeze"), _reshape),
    "permute": _permute, "transpose": _transpose, "t": _transpose, "expand": _expand, "repeat": _repeat, "cat": _cat,
    "stack": _stack, "slice": _slice, "select": _select, "unbind": _unbind, "split": _split, "split_with_sizes": _split,
    "constant_pad_nd": _pad, "flip": _flip, "slice_scatter": _slice_scatter,
    "copy": _copy, "unfold": _unfold, "masked_scatter": _masked_scatter,
    "gather": _gather, "scatter": _scatter(False), "scatter_add": _scatter(True), "index": _index, "index_select": _index_select,
    "index_put": _index_put, "embedding": _embedding,
}  # fmt: skip
