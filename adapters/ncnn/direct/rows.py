"""Operators over rows, in ncnn's layers: reductions, order, norms and matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from .._network import UnsupportedError
from . import emitter as e
from .arithmetic import EXP, LOG, SQRT
from .emitter import Emitter, Value, Way
from .writer import floats, size

if TYPE_CHECKING:
    import torch

MOST_SORTED = 64
"""Places that are put in order, one product and some sums each."""


def table() -> Dict[str, Way]:
    """By the name of an operator, without its overload, how it is emitted."""
    return dict(_ROWS)


def _reduction(operation: int) -> Way:
    def way(to: Emitter, value: Value, axes: Any = (), *_: Any, **__: Any) -> Value:
        return to.reshape(to.reduce(operation, value, _listed(axes), True), to.shape)

    return way


def _any(to: Emitter, value: Value, axes: Any = (), *_: Any) -> Value:
    flags = value if str(to.given) == "torch.bool" else to.unequal(value, 0.0)
    return to.reshape(to.reduce(e.LARGEST, flags, _listed(axes), True), to.shape)


def _listed(axes: Any) -> List[int]:
    return [axes] if isinstance(axes, int) else list(axes or ())


def _var(to: Emitter, value: Value, axes: Any = None, correction: Any = None, **_: Any) -> Value:
    axes = _listed(axes) or list(range(len(value.shape)))
    count = size([value.shape[axis] for axis in axes])
    off = to.sub(value, to.reduce(e.MEAN, value, axes, True))
    total = to.reduce(e.SUM, to.mul(off, off), axes, True)
    return to.reshape(to.mul(total, 1 / max(count - (1 if correction is None else correction), 0)), to.shape)


def _norm(to: Emitter, value: Value, order: float = 2, axes: Any = None, *_: Any, **__: Any) -> Value:
    axes = _listed(axes)
    if order == 2:
        total = to.unary(SQRT, to.reduce(e.SUM, to.mul(value, value), axes, True))
    elif order == 1:
        total = to.reduce(e.SUM, to.unary(e.ABS, value), axes, True)
    elif order == math.inf:
        total = to.reduce(e.LARGEST, to.unary(e.ABS, value), axes, True)
    else:
        raise UnsupportedError(f"a norm of order {order}")
    return to.reshape(total, to.shape)


def _argmax(largest: bool) -> Way:
    def way(to: Emitter, value: Value, axis: Any = None, *_: Any) -> Value:
        if axis is None:
            value, axis = to.reshape(value, (size(value.shape),)), 0
        axis %= max(len(value.shape), 1)
        best = to.reduce(e.LARGEST if largest else e.SMALLEST, value, [axis], True)
        return to.reshape(to.first_of(to.equal(value, best), axis), to.shape)

    return way


def _extreme(largest: bool) -> Way:
    def way(to: Emitter, value: Value, axis: int = 0, *_: Any) -> List[Value]:
        axis %= len(value.shape)
        shape = tuple(to.node.meta["val"][0].shape)
        best = to.reduce(e.LARGEST if largest else e.SMALLEST, value, [axis], True)
        return [to.reshape(best, shape), to.reshape(to.first_of(to.equal(value, best), axis), shape)]

    return way


def _topk(to: Emitter, value: Value, k: int, axis: int = -1, largest: bool = True, *_: Any) -> List[Value]:
    """The largest, then the largest of what is left, and so on."""
    if k > MOST_SORTED:
        raise UnsupportedError(f"the {k} largest of {value.shape[axis]}: ncnn has no sort")
    left, before = to.last(value if largest else to.unary(e.NEG, value), [axis])
    count = value.shape[axis]
    values: List[Value] = []
    places: List[Value] = []
    for number in range(k):
        best = to.reduce(e.LARGEST, left, [-1], True)
        place = to.reshape(to.first_of(to.equal(left, best), len(before)), (*before, 1))
        values.append(best if largest else to.unary(e.NEG, best))
        places.append(place)
        if number < k - 1:
            taken = to.reshape(to.one_hot(to.reshape(place, before), count), (*before, count))
            left = to.where(taken, -e.LOWEST, left)
    order = list(range(len(before)))
    order.insert(axis % len(value.shape), len(before))
    return [to.permute(to.concat(parts, len(before)), order) for parts in (values, places)]


def _sort(to: Emitter, value: Value, axis: int = -1, descending: bool = False, **named: Any) -> List[Value]:
    axis, descending = named.get("dim", axis), named.get("descending", descending)
    return _topk(to, value, value.shape[axis], axis, descending)


def _cumsum(to: Emitter, value: Value, axis: int, **_: Any) -> Value:
    return to.rows("CumulativeSum", value, axis, {0: 1})


def _softmax(to: Emitter, value: Value, axis: int, *_: Any) -> Value:
    return to.rows("Softmax", value, axis, {0: 1, 1: 1})


def _log_softmax(to: Emitter, value: Value, axis: int, *_: Any) -> Value:
    off = to.sub(value, to.reduce(e.LARGEST, value, [axis], True))
    return to.sub(off, to.unary(LOG, to.reduce(e.SUM, to.unary(EXP, off), [axis], True)))


def _mm(to: Emitter, left: Value, right: Value) -> Value:
    known = to.known(to.node.args[1])
    return to.product(left, right) if known is None else to.linear(left, known, None)


def _bmm(to: Emitter, left: Value, right: Value) -> Value:
    return to.product(left, right)


def _addmm(to: Emitter, bias: Value, left: Value, right: Value, beta: float = 1, alpha: float = 1) -> Value:
    known, held = to.known(to.node.args[2]), to.known(to.node.args[0])
    if known is not None and held is not None and held.dim() == 1 and held.shape[0] == known.shape[1] and beta == alpha == 1:
        return to.linear(left, known, held)
    product = to.product(left, right) if known is None else to.linear(left, known, None)
    product = to.mul(product, float(alpha)) if alpha != 1 else product
    return to.add(product, to.mul(bias, float(beta)) if beta != 1 else bias)


def _layer_norm(to: Emitter, value: Value, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> List[Value]:
    rows, width = to.reshape(value, (size(value.shape) // size(shape), size(shape))), size(shape)
    held = [to.known(part) for part in to.node.args[2:4]]
    if any(part is None for part in held):
        made = to.rows("LayerNorm", rows, -1, {0: width, 1: float(eps), 2: 0})
        return [_affine(to, to.reshape(made, value.shape), weight, bias)]
    weights = [part for tensor in held for part in floats(tensor.detach().float().numpy(), tagged=False)]
    made = to.rows("LayerNorm", rows, -1, {0: width, 1: float(eps), 2: 1}, weights)
    return [to.reshape(made, value.shape)]


def _group_norm(
    to: Emitter, value: Value, weight: Any, bias: Any, n: int, c: int, hxw: int, groups: int, eps: float
) -> List[Value]:
    rows = to.reshape(value, (n * groups, c // groups * hxw))
    made = to.reshape(to.rows("LayerNorm", rows, -1, {0: rows.shape[1], 1: float(eps), 2: 0}), (n, c, hxw))
    shaped = [None if part is None else to.reshape(part, (c, 1)) for part in (weight, bias)]
    return [to.reshape(_affine(to, made, *shaped), value.shape)]


def _affine(to: Emitter, value: Value, weight: Any, bias: Any) -> Value:
    value = value if weight is None else to.mul(value, weight)
    return value if bias is None else to.add(value, bias)


def _batch_norm(to: Emitter, value: Value, *_: Any) -> List[Value]:
    """A product and a sum, unless the weights of the convolution before have taken them in."""
    if to.node in to.absorbed:
        return [value]
    known = norm_of(to, to.node)
    if known is None:
        raise UnsupportedError("a BatchNorm without its statistics")
    shape = (-1, *(1,) * (len(value.shape) - 2))
    scale, shift = (to.constant(part.float().reshape(shape)) for part in known)
    return [to.add(to.mul(value, scale), shift)]


def norm_of(to: Emitter, node: Any) -> Optional[Tuple[torch.Tensor, torch.Tensor]]:
    """What a BatchNorm multiplies channels by, and adds, in float64; None of one of training, and of what is none. Its arguments
    are the value, weight, bias, mean, variance, whether it is of training in one of two spellings, momentum and epsilon."""
    import torch

    if "batch_norm" not in str(node.target) or node.args[5] is True:
        return None
    weight, bias, mean, variance = (to.known(part) for part in node.args[1:5])
    if mean is None or variance is None:
        return None
    scale = torch.rsqrt(variance.double() + node.args[-1]) * (1.0 if weight is None else weight.double())
    return scale, (0.0 if bias is None else bias.double()) - mean.double() * scale


_ROWS: Dict[str, Way] = {
    "sum": _reduction(e.SUM), "mean": _reduction(e.MEAN), "amax": _reduction(e.LARGEST), "amin": _reduction(e.SMALLEST),
    "prod": _reduction(e.PRODUCT), "any": _any, "var": _var,
    "linalg_vector_norm": _norm, "argmax": _argmax(True),
    "argmin": _argmax(False), "max": _extreme(True), "min": _extreme(False), "topk": _topk, "sort": _sort, "cumsum": _cumsum,
    "_softmax": _softmax, "_log_softmax": _log_softmax, "mm": _mm, "bmm": _bmm,
    "addmm": _addmm, "native_layer_norm": _layer_norm, "native_group_norm": _group_norm,
    "_native_batch_norm_legit_no_training": _batch_norm, "native_batch_norm": _batch_norm,
}  # fmt: skip
