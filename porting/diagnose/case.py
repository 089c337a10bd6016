"""A small model with its data, as a reduction changes it: every change makes a new one. Nothing is run or judged here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from porting.diagnose.cut import SHAPE_LIKE, Dims, Piece
from porting.diagnose.graph import captured
from porting.types import Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

SIZES = (1, 2, 4, 8, 16, 64)
"""Tried for an axis, the smallest first."""


@dataclass(frozen=True)
class Case:
    """Nodes, what they are fed with, and what comes out."""

    nodes: tuple[Any, ...]
    feeds: Mapping[str, Array]
    weights: Mapping[str, Array]
    outputs: tuple[str, ...]
    like: Any
    """The model it came from, for opsets and functions."""
    free: Mapping[str, Dims] = field(default_factory=dict)
    """Shapes of feeds with axes of any size, by name; others are declared as they are."""
    leaving: Mapping[str, Dims] = field(default_factory=dict)
    """The same of outputs: that an output has the size of an input can be what a compiler gets wrong."""

    clean_words: ClassVar[str] = "onnxruntime's CPU provider gives without optimisations"
    """Whose answer is the right one, for a person."""

    @classmethod
    def of(cls, piece: Piece) -> Case:
        """A cut with short names. Its arrays are read, not mapped."""
        import numpy as np

        names = _short_names(piece)
        nodes = tuple(_renamed(node, names) for node in piece.nodes)
        feeds = {names.get(name, name): np.array(array) for name, array in piece.feeds.items()}
        weights = {names.get(name, name): np.array(array) for name, array in piece.weights.items()}
        free = {names.get(name, name): dims for name, dims in piece.axes.items()}
        leaving = {names.get(name, name): dims for name, (_, dims) in piece.dtypes.items()} if free else {}
        return cls(nodes, feeds, weights, tuple(names.get(name, name) for name in piece.outputs), piece.like, free, leaving)

    def piece(self, right: Mapping[str, Array] | None = None) -> Piece:
        """As something to be run. right: outputs, where they are known."""
        axes = {name: self.dims(name) for name in self.free}
        outputs = {name: name for name in self.outputs}
        known = right or {}
        dtypes = {name: (str(array.dtype), self._of_output(name, array)) for name, array in known.items()}
        return Piece(self.nodes, self.feeds, self.weights, outputs, self.like, dtypes=dtypes, axes=axes)

    @property
    def kind(self) -> str:
        """Of the form."""
        return "onnx"

    @property
    def opset(self) -> int | None:
        return next((o.version for o in self.like.opset_import if o.domain in ("", "ai.onnx")), None)

    @property
    def precision(self) -> Precision:
        """Of the form."""
        return Precision.FP32

    def save(self, path: Path, expected: Mapping[str, Array]) -> None:
        """Write the model with its weights inside."""
        path.write_bytes(self.piece(expected).alone().SerializeToString())

    def dims(self, feed: str) -> Dims:
        """The shape that a feed is declared with."""
        return _declared(self.free.get(feed, ()), self.feeds[feed].shape)

    def _of_output(self, name: str, array: Array) -> Dims:
        unknown = tuple(f"{name}_{axis}" for axis in range(array.ndim)) if self.free else ()
        return _declared(self.leaving.get(name, unknown), array.shape)

    @property
    def digest(self) -> str:
        digest = hashlib.sha256(b"".join(node.SerializeToString(deterministic=True) for node in self.nodes))
        for kind in (self.feeds, self.weights):
            for name, array in sorted(kind.items()):
                digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        digest.update(repr((self.outputs, sorted(self.free.items()), sorted(self.leaving.items()))).encode())
        return digest.hexdigest()[:32]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in (*self.feeds.values(), *self.weights.values()))

    # ---- smaller ones

    def sizes(self) -> list[int]:
        """Sizes of axes that could be smaller, the largest first."""
        sizes = {size for array in (*self.feeds.values(), *self.weights.values()) for size in array.shape if size > 1}
        return sorted(sizes, reverse=True)

    def at_size(self, size: int, to: int) -> Case:
        """Every axis of one size at another, also where integers speak of it."""
        return self._with_sizes({size: to})

    def _with_sizes(self, sizes: Mapping[int, int]) -> Case:
        return replace(self, feeds=resized(self.feeds, sizes), weights=resized(self.weights, sizes))

    def scaled(self, size: int, to: int) -> Case:
        """The same for axes, integers and attributes that are a multiple of a size, such as the gates of an LSTM."""
        largest = max((s for array in (*self.feeds.values(), *self.weights.values()) for s in array.shape), default=0)
        scaled = self._with_sizes({times * size: times * to for times in range(1, largest // size + 1)})
        return replace(scaled, nodes=tuple(_attributes_at(node, size, to) for node in self.nodes))

    def axes(self) -> Iterator[tuple[str, int, int]]:
        """Axes that could be smaller: array, axis, size."""
        for name, array in (*self.feeds.items(), *self.weights.items()):
            yield from ((name, axis, size) for axis, size in enumerate(array.shape) if size > 1)

    def at_axis(self, name: str, axis: int, to: int) -> Case:
        """One axis of one array shorter."""
        array = self.feeds.get(name) if name in self.feeds else self.weights[name]
        assert array is not None
        return self.with_array(name, array.take(range(to), axis))

    def with_array(self, name: str, array: Array) -> Case:
        if name in self.feeds:
            return replace(self, feeds={**self.feeds, name: array})
        return replace(self, weights={**self.weights, name: array})

    def plainer(self, name: str) -> Iterator[Case]:
        """The same with plainer values in one array, the plainest first."""
        import numpy as np

        array = self.feeds.get(name) if name in self.feeds else self.weights[name]
        assert array is not None
        ramp = (np.arange(array.size).reshape(array.shape) % 7 - 3).astype(array.dtype) if array.dtype.kind != "b" else array
        kinds = [np.ones_like(array), ramp, np.round(array, 1)] if array.dtype.kind == "f" else [np.zeros_like(array)]
        yield from (self.with_array(name, plain) for plain in kinds if not np.array_equal(plain, array))

    def less_said(self) -> Iterator[Case]:
        """The same with one attribute of one node left out, or with padding, strides and dilations that do nothing."""
        from onnx import helper

        for place, node in enumerate(self.nodes):
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    continue
                yield self._with_attribute(place, attribute.name, None)
                neutral = [0 if "pads" in attribute.name else 1] * len(attribute.ints)
                if neutral != list(attribute.ints):
                    yield self._with_attribute(place, attribute.name, helper.make_attribute(attribute.name, neutral))

    def _with_attribute(self, place: int, name: str, value: Any) -> Case:
        from onnx import NodeProto

        node = NodeProto()
        node.CopyFrom(self.nodes[place])
        kept = [attribute for attribute in self.nodes[place].attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, value] if value is not None else kept)
        return replace(self, nodes=(*self.nodes[:place], node, *self.nodes[place + 1 :]))


def _declared(dims: Dims, shape: tuple[int, ...]) -> Dims:
    """A shape with the names that it is declared with."""
    if len(dims) != len(shape):
        return shape
    return tuple(dim if isinstance(dim, str) else size for dim, size in zip(dims, shape, strict=True))


def resized(arrays: Mapping[str, Array], sizes: Mapping[int, int]) -> dict[str, Array]:
    """Arrays with their axes shortened, and small integers that are such a size changed with them. sizes: new by old."""
    import numpy as np

    found = {}
    for name, array in arrays.items():
        if array.dtype.kind in "iu" and array.ndim <= 1 and array.size <= SHAPE_LIKE:
            array = np.array([sizes.get(int(value), int(value)) for value in array.ravel()], array.dtype).reshape(array.shape)
        shape = [sizes.get(size, size) for size in array.shape]
        found[name] = np.array(array[tuple(slice(size) for size in shape)]).reshape(shape)
    return found


def _attributes_at(node: Any, size: int, to: int) -> Any:
    from onnx import NodeProto

    new = NodeProto()
    new.CopyFrom(node)
    for attribute in new.attribute:
        if attribute.i == size:
            attribute.i = to
    return new


def _short_names(piece: Piece) -> dict[str, str]:
    """x0, w0, y0 and so on; none where a body of If, Loop or Scan reads values by name."""
    if any(captured(node) or any(attribute.HasField("g") for attribute in node.attribute) for node in piece.nodes):
        return {}
    names: dict[str, str] = {}
    inner = [name for node in piece.nodes for name in node.output if name and name not in piece.outputs]
    groups: Sequence[tuple[str, Sequence[str]]] = (
        ("x", list(piece.feeds)), ("w", list(piece.weights)), ("v", inner), ("y", list(piece.outputs)),
    )  # fmt: skip
    for letter, group in groups:
        names.update((name, f"{letter}{number}") for number, name in enumerate(group))
    return names


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    from onnx import NodeProto

    new = NodeProto()
    new.CopyFrom(node)
    if names:
        new.name = ""
        new.input[:] = [names.get(name, name) for name in node.input]
        new.output[:] = [names.get(name, name) for name in node.output]
    return new
