"""Looks over an ONNX file without the onnx package and without reading its weights: is it whole, and does it stay in its folder?

Walks the protobuf wire format; only what decides about trust and size is looked at. What the graph means is onnx_file's matter.
Field numbers: onnx.proto of ONNX 1.18.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from porting.errors import ModelError, UntrustedError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]

# Message -> field -> message inside. A cell left out is skipped unread.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}

# TensorProto.DataType -> bits of an element in raw_data and in external data
_BITS = {
    **dict.fromkeys((1, 6, 12), 32), **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8), **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64), 15: 128, **dict.fromkeys((21, 22, 23), 4), **dict.fromkeys((25, 26), 2),
}  # fmt: skip


class _Broken(Exception):
    """The bytes are no protobuf message, or end too early."""


@dataclass
class _Tensor:
    name: str = ""
    type: int = 0
    dims: list[int] = field(default_factory=list)
    raw: int | None = None
    """Bytes of raw_data."""
    external: dict[str, str] = field(default_factory=dict)

    def size(self) -> int:
        return (math.prod(self.dims) * _BITS.get(self.type, 8) + 7) // 8


def looks_like_onnx(head: bytes) -> bool:
    """Whether a file that begins so may be a serialised ModelProto: its first field is ir_version, a small number."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x40


def check(path: Path, trust: bool = False) -> None:
    """Look over an ONNX file. Raises ModelError when it is truncated, no ONNX or holds tensors whose bytes do not fit their
    shape, UntrustedError when external data lies outside its folder and trust is false."""
    with _open(path) as data:
        found = {number for number, _, _ in _fields(data, (0, len(data)))}
        if 1 not in found or 7 not in found:
            raise ModelError(f"{path} is no ONNX model: it has no graph.", "Give a file that torch.onnx.export wrote.")
        for tensor in _tensors(data, (0, len(data)), "model"):
            _check_tensor(path, tensor, trust)


def external_files(path: Path) -> list[Path]:
    """The files that hold tensors of a model beside the model file. Raises ModelError when it cannot be read."""
    with _open(path) as data:
        tensors = list(_tensors(data, (0, len(data)), "model"))
    names = {tensor.external["location"] for tensor in tensors if "location" in tensor.external}
    return [path.parent / name for name in sorted(names)]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[mmap.mmap]:
    try:
        if not path.stat().st_size:
            raise ModelError(f"{path} is empty.", "Export or copy it again.")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except _Broken as error:
        raise ModelError(f"{path} is truncated or no ONNX model: {error}.", "Export or copy it again.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error


def _tensors(data: mmap.mmap, span: Span, message: str) -> Iterator[_Tensor]:
    """Every tensor in a message, subgraphs and functions included."""
    stack = [(span, message)]
    while stack:
        inside, kind = stack.pop()
        if kind == "tensor":
            yield _tensor(data, inside)
            continue
        for number, wire, value in _fields(data, inside):
            if number in _INSIDE[kind] and wire == _BYTES:
                assert isinstance(value, tuple)
                stack.append((value, _INSIDE[kind][number]))


def _tensor(data: mmap.mmap, span: Span) -> _Tensor:
    tensor = _Tensor()
    for number, wire, value in _fields(data, span):
        if isinstance(value, int):
            if number == 1:
                tensor.dims.append(value)
            elif number == 2:
                tensor.type = value
        elif number == 1 and wire == _BYTES:
            tensor.dims += _packed(data, value)
        elif number == 8:
            tensor.name = data[slice(*value)].decode("utf-8", "replace")
        elif number == 9:
            tensor.raw = value[1] - value[0]
        elif number == 13:
            entry = {n: data[slice(*v)].decode("utf-8", "replace") for n, _, v in _fields(data, value) if isinstance(v, tuple)}
            tensor.external[entry.get(1, "")] = entry.get(2, "")
    return tensor


def _check_tensor(path: Path, tensor: _Tensor, trust: bool) -> None:
    if tensor.external:
        _check_external(path, tensor, trust)
    elif tensor.raw is not None and tensor.raw != tensor.size():
        shape = f"{tensor.dims} takes {tensor.size()} bytes, but {tensor.raw} are there"
        raise ModelError(f"{path} is damaged: tensor {tensor.name!r} of shape {shape}.", "Export or copy it again.")


def _check_external(path: Path, tensor: _Tensor, trust: bool) -> None:
    location = tensor.external.get("location", "")
    folder = path.resolve().parent
    target = (folder / location).resolve()
    if not target.is_relative_to(folder) and not trust:
        where = f"tensor {tensor.name!r} has its data at {location!r}, outside the folder of the model"
        raise UntrustedError(f"{path}: {where}.", "Move the data beside the model, or allow it with --trust.")
    if not location or not target.is_file():
        where = f"the data of tensor {tensor.name!r} should be at {location!r}, where no file is"
        raise ModelError(f"{path} is not complete: {where}.", "Copy the data files together with the model.")
    _check_range(path, tensor, location, target.stat().st_size)


def _check_range(path: Path, tensor: _Tensor, location: str, there: int) -> None:
    try:
        offset = int(tensor.external.get("offset") or 0)
        length = int(tensor.external.get("length") or tensor.size())
    except ValueError as error:
        raise ModelError(f"{path} is damaged: tensor {tensor.name!r} has no readable offset: {error}.") from error
    if length != tensor.size() or offset < 0 or offset + length > there:
        shape = f"{tensor.dims} takes {tensor.size()} bytes; {length} at {offset} of {location!r} ({there} bytes) are named"
        raise ModelError(f"{path} is damaged: tensor {tensor.name!r} of shape {shape}.", "Export or copy it again.")


# ---- wire format --------------------------------------------------------------------------------------------------


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int, int | Span]]:
    """Number, wire type, and the number itself or the span of the bytes, of every field of a message."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            yield number, wire, value
        elif wire == _BYTES:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise _Broken(f"it ends {at + length - end} bytes too early")
            yield number, wire, (at, at + length)
            at += length
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
            if at > end:
                raise _Broken("it ends too early")
        else:
            raise _Broken(f"byte {at} opens no known field")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Broken("it ends inside a number" if at >= end else f"byte {at} belongs to no number")


def _packed(data: mmap.mmap, span: Span) -> list[int]:
    at, end = span
    values = []
    while at < end:
        value, at = _varint(data, at, end)
        values.append(value)
    return values
