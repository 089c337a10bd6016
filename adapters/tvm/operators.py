"""Operators that TVM's importer of exported programs is helped with: where sizes vary, and where it misreads what torch means."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from . import sizes

SLICE_DEFAULTS: Tuple[Any, ...] = (0, 0, None, 1)
"""dim, start, end and step of aten.slice.Tensor where a node does not name them."""


def reshape(node: Any, importer: Any) -> Any:
    """Import a reshape. TVM 0.27 asks first whether it changes anything, which has no answer where an expression meets a number;
    and it cannot work out a -1 where it knows no shape of the data."""
    data, wanted = importer.retrieve_args(node)[:2]
    if not sizes.known_dims(data) and (told := sizes.of_node(node, importer)):
        wanted = [told[at] if isinstance(size, int) and size == -1 else size for at, size in enumerate(wanted)]
    return importer._emit_torch_reshape(data, wanted)


def split(node: Any, importer: Any) -> Any:
    """Import a split into parts of sizes that vary as a slice for each; TVM 0.27 takes numbers alone."""
    data, parts = importer.retrieve_args(node)[:2]
    shapes = [sizes.of_tensor(part, importer) for part in node.meta["val"]]
    if sizes.are_fixed(parts) or not all(shapes):
        return importer._split(node)
    axis = (*node.args[2:], 0)[0] % data.ty.ndim
    starts = [0, *itertools.accumulate(parts)]
    return [_cut(data, shape, axis, start, 1, importer) for shape, start in zip(shapes, starts)]  # noqa: B905 -- Python 3.9


def cat(node: Any, importer: Any) -> Any:
    """Import a concatenation along an axis of sizes that vary as what TVM lowers it to. TVM 0.27 calls it 1 + s long, and what it
    lowers it to s + 1; a kernel that is fused with it then has two shapes for one tensor, and FuseTIR stops."""
    from tvm import topi

    tensors, axis = importer.retrieve_args(node)[0], (*node.args[1:], 0)[0]
    known = [sizes.known_dims(tensor) for tensor in tensors]
    if not all(known) or sizes.are_fixed([dims[axis] for dims in known]) or len({str(t.ty.dtype) for t in tensors}) > 1:
        return importer._cat(node)
    return importer.block_builder.emit_te(topi.concatenate, list(tensors), axis % len(known[0]))


def repeat(node: Any, importer: Any) -> Any:
    """Import a repeat of a number of times that varies; TVM 0.27 takes numbers alone."""
    from tvm import te

    data, times = importer.retrieve_args(node)[:2]
    if sizes.are_fixed(times):
        return importer._repeat(node)

    def repeated(tensor: Any, *times: Any) -> Any:
        more = len(times) - len(tensor.shape)
        shape = [count if axis < more else count * tensor.shape[axis - more] for axis, count in enumerate(times)]

        def at(*place: Any) -> Any:
            return tensor(*(i % size for i, size in zip(place[more:], tensor.shape)))  # noqa: B905 -- Python 3.9

        return te.compute(shape, at, name="repeat")

    return importer.block_builder.emit_te(repeated, data, *times)


def pad(node: Any, importer: Any) -> Any:
    """Import a padding with a constant by a number of rows that varies; TVM 0.27 takes numbers alone."""
    from tvm import tirx, topi

    data, given = importer.retrieve_args(node)[:2]
    if sizes.are_fixed(given):
        return importer._constant_pad_nd(node)
    value = node.args[2] if len(node.args) > 2 else 0
    none = [0] * (data.ty.ndim - len(given) // 2)
    before, after = none + list(given[0::2])[::-1], none + list(given[1::2])[::-1]

    def padded(tensor: Any, before: Sequence[Any], after: Sequence[Any]) -> Any:
        return topi.nn.pad(tensor, before, after, tirx.const(value, str(tensor.dtype)))

    return importer.block_builder.emit_te(padded, data, before, after)


def resize(node: Any, importer: Any) -> Any:
    """Import an interpolation to sizes that vary; TVM 0.27 takes numbers alone."""
    from tvm import relax

    data, corners = importer.env[node.args[0]], node.args[2] if len(node.args) > 3 else False
    wanted, name = sizes.of_node(node, importer)[2:], node.target.__name__
    if sizes.are_fixed(wanted):
        return getattr(importer, f"_{name.partition('.')[0]}")(node)
    how = {"method": _INTERPOLATIONS[name], "coordinate_transformation_mode": "align_corners" if corners else "half_pixel"}
    if how["method"] == "nearest_neighbor":
        how.update(coordinate_transformation_mode="asymmetric", rounding_method="floor")
    return importer.block_builder.emit(relax.op.image.resize2d(data, relax.ShapeExpr(wanted), layout="NCHW", **how))


_INTERPOLATIONS = {
    "upsample_nearest2d.vec": "nearest_neighbor", "upsample_bilinear2d.vec": "linear", "upsample_bicubic2d.vec": "cubic",
}  # fmt: skip


def empty(node: Any, importer: Any) -> Any:
    """Import a tensor of no set values as zeros, of sizes that vary too; TVM 0.27 takes numbers alone."""
    from tvm import relax

    return importer.block_builder.emit(relax.op.zeros(relax.ShapeExpr(importer.retrieve_args(node)[0]), _dtype(node)))


def arange(node: Any, importer: Any) -> Any:
    """Import a range of numbers that are no whole ones as long as torch knows it to be; TVM 0.27 counts its rows by rounding."""
    from tvm import te, tirx

    start, step = node.args[0], node.args[2] if len(node.args) > 2 else 1
    shape = sizes.of_node(node, importer)
    if sizes.are_fixed(shape) or not (isinstance(start, float) and isinstance(step, (int, float))):
        return importer._arange(node)
    dtype = _dtype(node)
    return importer.block_builder.emit_te(
        lambda: te.compute(
            shape, lambda i: tirx.Cast(dtype, i) * tirx.const(step, dtype) + tirx.const(start, dtype), name="arange"
        )
    )


def cumsum(node: Any, importer: Any) -> Any:
    """Import a running sum; TVM 0.27 counts booleans in booleans, which its compiler then stops at."""
    from tvm import relax

    data, axis = importer.env[node.args[0]], node.args[1]
    dtype = _dtype(node)
    return importer.block_builder.emit(relax.op.cumsum(importer.block_builder.emit(relax.op.astype(data, dtype)), axis, dtype))


def clamp(node: Any, importer: Any) -> Any:
    """Import limits of whole numbers of which one is not set; TVM 0.27 sets it to infinity, which no whole number is."""
    import torch

    dtype = node.meta["val"].dtype
    if not dtype.is_floating_point:
        low, high = (*node.args[1:], None, None)[:2]
        info = torch.iinfo(dtype)
        node.args = (node.args[0], info.min if low is None else low, info.max if high is None else high)
    return with_numbers(_plain(importer._clamp))(node, importer)


def largest(node: Any, importer: Any) -> Any:
    """Import the largest or smallest along axes, which TVM 0.27 knows by another name alone."""
    from tvm import relax

    data, axes = importer.env[node.args[0]], (*node.args[1:], ())[0]
    ways = {"amax.default": relax.op.max, "amin.default": relax.op.min}
    keep = bool((*node.args[2:], False)[0])
    return importer.block_builder.emit(ways[node.target.__name__](data, list(axes) or None, keep))


def whether_any(node: Any, importer: Any) -> Any:
    """Import whether any of all is not zero as the largest of zeros and ones; TVM 0.27 has no word for it."""
    from tvm import relax

    emit, data = importer.block_builder.emit, importer.env[node.args[0]]
    flags = emit(relax.op.astype(emit(relax.op.astype(data, "bool")), "int8"))
    return emit(relax.op.astype(emit(relax.op.max(flags)), "bool"))


def unfold(node: Any, importer: Any) -> Any:
    """Import the windows that slide along an axis, each a new last axis; TVM 0.27 has no word for it."""
    from tvm import te

    data, shape = importer.env[node.args[0]], sizes.of_node(node, importer)
    axis, step = node.args[1] % max(data.ty.ndim, 1), node.args[3]
    if not shape or not data.ty.ndim:
        raise ValueError("Unsupported function types ['unfold.default'] of a size that TIR has no expression for")

    def windows(tensor: Any, shape: Sequence[Any]) -> Any:
        return te.compute(
            shape, lambda *at: tensor(*at[:axis], at[axis] * step + at[-1], *at[axis + 1 : -1]), name="unfold"
        )  # fmt: skip

    return importer.block_builder.emit_te(windows, data, shape)


def topk(node: Any, importer: Any) -> Any:
    """Import a choice of the largest that need not be sorted as one that is, which is one of its answers; TVM 0.27 refuses it."""
    node.args = node.args[:4]
    return importer._topk(node)


def rows(node: Any, importer: Any) -> Any:
    """Import a slice of a size that varies, as long as torch knows it to be.

    TVM 0.27 calls x[:s] of 256 rows min(s, 256) long, and x[:-1] something with a minimum and a maximum; of a sum with it it then
    knows only the rank, and cannot lower it. Told in a cast, FuseTIR ends the process (SIGSEGV).
    """
    given = list(importer.retrieve_args(node))
    data, axis, start, _, step = given + list(SLICE_DEFAULTS[len(given) - 1 :])
    axis, start = axis % data.ty.ndim, 0 if start is None else start
    shape = sizes.of_node(node, importer)
    if not sizes.known_dims(data) or sizes.are_fixed(shape):
        return importer._slice(node)
    if str(node.meta["val"].shape) == str(node.args[0].meta["val"].shape):  # what == would answer is of the traced sizes
        return data
    return _cut(data, shape, axis, start, step, importer)


def _cut(data: Any, shape: Sequence[Any], axis: int, start: Any, step: int, importer: Any) -> Any:
    """Rows of a tensor from `start` on along an axis, as many as `shape` says; counted from the end where that is negative."""
    from tvm import te, tirx

    def cut(tensor: Any, shape: Sequence[Any], start: Any) -> Any:
        start = tirx.const(start, "int64") if isinstance(start, int) else start
        begin = tirx.max(tirx.if_then_else(start < 0, tensor.shape[axis] + start, start), 0)
        return te.compute(shape, lambda *at: tensor(*at[:axis], begin + at[axis] * step, *at[axis + 1 :]), name="slice")

    return importer.block_builder.emit_te(cut, data, shape, start)


def pick(node: Any, importer: Any) -> Any:
    """Import x[i, j] with indices that are tensors beside one another, negative ones counted from the end as PyTorch does.

    TVM 0.27 takes along one axis after the other, which is not the same where indices go together, reads in front of the tensor
    for a negative one, and of what it gets knows not even the rank where sizes vary.
    """
    from tvm import te, tirx

    data, indices = importer.retrieve_args(node)[:2]
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    shape, first = sizes.of_node(node, importer), axes[0]
    together = len(axes) > 1 and axes[-1] - first < len(axes)
    if not shape or not together or "bool" in {str(indices[axis].ty.dtype) for axis in axes}:
        return importer._index_tensor(node)
    rank = len(shape) - data.ty.ndim + len(axes)

    def picked(tensor: Any, shape: Sequence[Any], *indices: Any) -> Any:
        def at(*place: Any) -> Any:
            shared = place[first : first + rank]
            found = [index(*_beside(shared, index.shape)) for index in indices]
            found = [tirx.if_then_else(i < 0, i + n, i) for i, n in zip(found, tensor.shape[first:])]  # noqa: B905 -- Python 3.9
            return tensor(*place[:first], *found, *place[first + rank :])

        return te.compute(shape, at, name="index")

    return importer.block_builder.emit_te(picked, data, shape, *(indices[axis] for axis in axes))


def _beside(place: Sequence[Any], shape: Sequence[Any]) -> Sequence[Any]:
    """Where a tensor that is broadcast is read for a place of what it is broadcast to."""
    own = place[len(place) - len(shape) :]
    return [0 if sizes.are_fixed([size]) and int(size) == 1 else at for at, size in zip(own, shape)]  # noqa: B905 -- Python 3.9


def with_numbers(plain: sizes.Convert) -> sizes.Convert:
    """The conversion of an operator of tensors where one of them is a number made of sizes: TVM 0.27 is given a tensor of it."""

    def convert(node: Any, importer: Any) -> Any:
        kept = {part: importer.env[part] for part in filter(sizes.is_size, node.args) if sizes.is_expression(importer.env[part])}
        importer.env.update((part, sizes.as_tensor(value, _dtype_beside(part, node), importer)) for part, value in kept.items())
        try:
            return plain(node, importer)
        finally:
            importer.env.update(kept)

    return convert


def _dtype_beside(number: Any, node: Any) -> str:
    """The dtype in which torch takes a number beside a tensor."""
    import torch

    tensor = next(part.meta["val"] for part in node.all_input_nodes if isinstance(part.meta["val"], torch.Tensor))
    return _named(torch.result_type(tensor, 1.0 if isinstance(number.meta["val"], torch.SymFloat) else 1))


def _dtype(node: Any) -> str:
    """The dtype that torch has a node's tensor in, in TVM's words."""
    return _named(node.meta["val"].dtype)


def _named(dtype: Any) -> str:
    return str(dtype).replace("torch.", "")


CONVERSIONS: Mapping[str, sizes.Convert] = {
    "reshape.default": reshape, "view.default": reshape, "repeat.default": repeat, "constant_pad_nd.default": pad,
    "empty.memory_format": empty, "empty_permuted.default": empty, "arange.start_step": arange, "cat.default": cat,
    "cumsum.default": cumsum, "topk.default": topk, "split_with_sizes.default": split, "slice.Tensor": rows, "index.Tensor": pick,
    "clamp.default": clamp, "amax.default": largest, "amin.default": largest,
    "any.default": whether_any, "unfold.default": unfold,
    **dict.fromkeys(_INTERPOLATIONS, resize),
}  # fmt: skip
"""By the names of functions of ATen."""
NUMBERED = frozenset(("add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le", "gt", "ge", "clamp"))
"""Those of tensors of which some may be numbers."""


def conversions(program: Any, importer: Any) -> Mapping[str, sizes.Convert]:
    """Everything that the importer of a program is helped with, by the names of functions."""
    found: Dict[str, sizes.Convert] = {}
    for node in program.graph.nodes:
        name = node.target.__name__ if node.op == "call_function" else ""
        if sizes.is_size(node):
            found[name] = sizes.convert
        elif name.partition(".")[0] in NUMBERED and any(map(sizes.is_size, node.all_input_nodes)):
            found[name] = with_numbers(_plain(importer.convert_map[name]))
    return {**found, **CONVERSIONS}


def _plain(convert: Callable[[Any], Any]) -> sizes.Convert:
    return lambda node, _importer: convert(node)
