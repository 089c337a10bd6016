"""What a bare ONNX graph says about its inputs: names for its axes, a kind for each input, the table that ids index.

Guesses are made from names, types and the operators behind an input; whether the model runs so is onnx_file's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from porting.bundles import shapes
from porting.errors import ModelError
from porting.sources._inputs import SIZES, Meaning, meaning
from porting.types import InputSpec

Graph = Any  # onnx.GraphProto

# onnx.TensorProto.DataType -> numpy name
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip

# What a number given beside the data usually is, by name: first match.
SCALARS: tuple[tuple[str, float], ...] = (
    (r"^sr$|sample_?rate|sampling_?rate", 16000),
    (r"use_cache", 0),
    (r"iou|conf|thresh", 0.5),
    (r"noise_scale|scales?$", 0.667),
    (r"temperature|speed|length_scale|penalty|top_p", 1),
    (r"num_beams|num_return|min_", 1),
    (r"max_", 20),
    (r"width|height|size", 64),
)

_STATE = re.compile(r"state|hidden|cache|past|memory|^[hc](_?\d+|_?in|n)?$")
_SOUND = re.compile(r"audio|wav|speech|signal|pcm|sound|samples?$")
_LENGTH = re.compile(r"(^|_)(len|lens|length|lengths)$")


@dataclass
class Findings:
    """The inputs of a graph as they are guessed."""

    inputs: list[InputSpec] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    """Axis name -> the word of _inputs.SIZES whose size suits it; the axis' own name where nothing is known."""
    notes: list[str] = field(default_factory=list)


def read(graph: Graph) -> Findings:
    """Guess the inputs of a graph. Raises ModelError for strings, sequences and other inputs that are no tensors of numbers."""
    constants = {t.name: tuple(t.dims) for t in graph.initializer}
    values = [value for value in graph.input if value.name not in constants]
    tables = table_sizes(graph, {v.name for v in values}, constants)
    sound = any(re.search(SCALARS[0][0], value.name) for value in values)
    found = Findings()
    sums = _total_axes(values)
    # lengths speak of an axis of another input, so they come last
    for value in sorted(values, key=lambda value: bool(_LENGTH.search(value.name.lower()))):
        dtype, dims = _tensor(value)
        means = _meaning(value.name, dtype, dims, tables, sound)
        shape = tuple(_axis(found, value.name, i, dim, means, sums) for i, dim in enumerate(dims))
        found.inputs.append(_spec(found, value.name, dtype, shape, means, tables))
    order = [value.name for value in values]
    found.inputs.sort(key=lambda own: order.index(own.name))
    return found


def _tensor(value: Any) -> tuple[str, list[int | str | None]]:
    """dtype and axes: a size, a name, or None where the graph says nothing."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type" or value.type.tensor_type.elem_type not in DTYPES:
        what = "strings" if kind == "tensor_type" else f"a {str(kind).removesuffix('_type')}"
        raise ModelError(f"input {value.name!r} takes {what}; only tensors of numbers can be drawn.", "Cut the model after it.")
    dtype = DTYPES[value.type.tensor_type.elem_type]
    return dtype, [_dim(dim) for dim in value.type.tensor_type.shape.dim]


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    name = dim.dim_param.replace(" ", "")
    if not name or name.startswith(("unk__", "?")):
        return None
    try:
        return name if shapes.names(name) else None
    except shapes.ShapeError:  # an expression of a kind we do not read: the axis gets a name of its own
        return None


# ---- kinds --------------------------------------------------------------------------------------------------------


def _meaning(name: str, dtype: str, dims: list[int | str | None], tables: Mapping[str, int], sound: bool) -> Meaning:
    own = name.lower().split("/")[-1].split(":")[0]
    known = meaning(own, len(dims), dtype)
    integers = dtype.startswith(("int", "uint")) and dtype != "uint8"
    scalar = all(dim == 1 for dim in dims)
    if scalar and _scalar(own) is not None:
        return Meaning("constant", ("",) * len(dims))
    if integers and _LENGTH.search(own):
        return Meaning("constant", ("batch",) if len(dims) == 1 else ("",) * len(dims))
    if integers and known.kind == "ids" and "segment" not in own and name not in tables and not known.high:
        return Meaning("ids", known.axes, 0, 2)
    if integers or dtype == "bool" or known.kind not in ("normal", "image", "audio"):
        return known
    return _float_meaning(own, dims, known, sound)


def _float_meaning(name: str, dims: list[int | str | None], known: Meaning, sound: bool) -> Meaning:
    if _STATE.search(name) and known.kind == "normal":
        return Meaning("normal", ("",) * len(dims) if any(isinstance(dim, str) for dim in dims) else _state_axes(dims))
    if known.kind == "audio" or _SOUND.search(name) or (sound and len(dims) in (2, 3) and not isinstance(dims[-1], int)):
        return Meaning("audio", ("batch", "samples") if len(dims) == 2 else ("batch", *[""] * (len(dims) - 2), "samples"))
    if len(dims) == 4 and dims[1] in (1, 3, 4):
        return Meaning("image", ("batch", "", "height", "width"))
    if len(dims) == 4 and dims[3] in (1, 3, 4):
        return Meaning("image", ("batch", "height", "width", ""))
    return known


def _state_axes(dims: list[int | str | None]) -> tuple[str, ...]:
    """Recurrent state is (layers, batch, features), or (batch, features)."""
    free = [i for i, dim in enumerate(dims) if dim is None]
    return tuple("batch" if free and i == free[0] else "" for i in range(len(dims)))


def _scalar(name: str) -> float | None:
    return next((value for pattern, value in SCALARS if re.search(pattern, name)), None)


def _spec(
    found: Findings, name: str, dtype: str, shape: tuple[int | str, ...], means: Meaning, tables: Mapping[str, int]
) -> InputSpec:
    low, high = means.low, means.high or 2
    if name in tables and means.kind in ("ids", "positions", "mask"):
        high = tables[name]
        kind = "ids" if means.kind == "mask" else means.kind
        found.notes.append(f"{name}: drawn from 0 to {high - 1}, inside the table that it indexes")
        return InputSpec(name, dtype, shape, kind, 0, high)
    if means.kind == "constant":
        return _constant(found, name, dtype, shape)
    if means.kind == "ids" and not means.high:
        found.notes.append(f"{name}: drawn from 0 and 1, since nothing in the graph says its range")
    return InputSpec(name, dtype, shape, means.kind, low, high)


def _constant(found: Findings, name: str, dtype: str, shape: tuple[int | str, ...]) -> InputSpec:
    value = _scalar(name.lower())
    lengths = [dim for own in found.inputs for dim in own.shape[1:] if isinstance(dim, str)]
    if _LENGTH.search(name.lower()) and lengths:
        found.notes.append(f"{name}: the size of {lengths[0]}")
        return InputSpec(name, dtype, shape, "constant", start=lengths[0])
    found.notes.append(f"{name}: {value or 1:g}, by its name")
    return InputSpec(name, dtype, shape, "constant", value=1 if value is None else value)


# ---- axes ---------------------------------------------------------------------------------------------------------


def _axis(found: Findings, name: str, position: int, dim: int | str | None, means: Meaning, sums: Mapping[str, str]) -> int | str:
    if isinstance(dim, int):
        return dim
    word = means.axes[position] if position < len(means.axes) else ""
    if dim is None:
        dim = word or re.sub(r"\W", "_", f"{name}_{position}")
    elif _is_batch(dim, position):
        dim = "batch"
    dim = sums.get(dim, dim)
    for each in shapes.names(dim):
        found.roles.setdefault(each, _role(each, word if each == dim else ""))
    return dim


def _is_batch(name: str, position: int) -> bool:
    return bool(re.fullmatch(r"(?i)batch(_?size)?|n|b|bs", name)) or (position == 0 and "batch" in name.lower())


# What the name of an axis says of its size: first match.
_ROLES = (
    (r"batch", "batch"),
    (r"past", "past_sequence"),
    (r"decoder|target|tgt", "decoder_sequence"),
    (r"encoder|src", "encoder_sequence"),
    (r"seq|token|text|len", "sequence"),
    (r"height|^h$", "height"),
    (r"width|^w$", "width"),
    (r"sample|audio", "samples"),
    (r"frame|time|^t$", "frames"),
)


def _role(axis: str, word: str) -> str:
    """The word of SIZES that suits an axis, by what the input's kind says and else by the axis' own name."""
    if word in SIZES:
        return word
    return next((role for pattern, role in _ROLES if re.search(pattern, axis.lower())), axis)


def _total_axes(values: Iterable[Any]) -> dict[str, str]:
    """`total_sequence_length` is what is cached plus what is new, where the graph names both."""
    names = {dim for value in values for dim in _tensor(value)[1] if isinstance(dim, str)}
    past = next((n for n in sorted(names) if "past" in n and "total" not in n and shapes.is_name(n)), None)
    new = next((n for n in sorted(names) if re.fullmatch(r"(sequence|seq)(_?len(gth)?)?", n)), None)
    if not past or not new:
        return {}
    return {name: f"{new}+{past}" for name in names if "total" in name and shapes.is_name(name)}


# ---- tables -------------------------------------------------------------------------------------------------------

_SAME_IDS = frozenset(
    ("Cast", "Reshape", "Identity", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Slice", "Expand", "Tile", "Concat", "Clip")
)
_SAME_TABLE = frozenset(("Cast", "DequantizeLinear", "Identity"))
_EMBED_LAYER = ((0, 2), (1, 4))  # com.microsoft EmbedLayerNormalization: ids and segments, each with its table


def table_sizes(graph: Graph, inputs: Iterable[str], constants: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the rows of the smallest constant table that each input indexes, through operators that leave ids as they are."""
    makers = {output: node for node in graph.node for output in node.output}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: dict[str, int] = {}
    for name in inputs:
        rows = [size for user, value in _reached(users, name) for size in _lookups(user, value, makers, constants)]
        if rows:
            found[name] = min(rows)
    return found


def _reached(users: Mapping[str, list[Any]], start: str) -> Iterator[tuple[Any, str]]:
    """Every node that takes the ids of an input, and under which name."""
    waiting, seen = [start], {start}
    while waiting:
        value = waiting.pop()
        for node in users.get(value, ()):
            yield node, value
            if node.op_type in _SAME_IDS and node.input[0] == value:
                fresh = [output for output in node.output if output not in seen]
                seen.update(fresh)
                waiting += fresh


def _lookups(node: Any, value: str, makers: Mapping[str, Any], constants: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    pairs = _EMBED_LAYER if node.op_type == "EmbedLayerNormalization" else ((1, 0),) if node.op_type == "Gather" else ()
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0) if node.op_type == "Gather" else 0
    for ids, table in pairs:
        if len(node.input) > max(ids, table) and node.input[ids] == value:
            dims = _constant_dims(node.input[table], makers, constants)
            if dims:
                yield int(dims[axis])


def _constant_dims(name: str, makers: Mapping[str, Any], constants: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of a constant, looking through what leaves its shape; () when it is computed."""
    while name not in constants:
        node = makers.get(name)
        if node is None:
            return ()
        if node.op_type == "Constant":
            return next((tuple(a.t.dims) for a in node.attribute if a.name == "value"), ())
        if node.op_type not in _SAME_TABLE:
            return ()
        name = node.input[0]
    return constants[name]
