"""Any set of nodes as a model of its own, fed with reference tensors. Nothing is run or judged here."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from porting.adapter import ExportedForm
from porting.bundles.tensors import write_tensors
from porting.diagnose.graph import Graph, Values
from porting.types import Precision, TensorSpec

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Dims = tuple[int | str, ...]
"""A number where an axis is fixed, a name where it may have any size."""
MODEL, WEIGHTS, INPUTS = "model.onnx", "weights.bin", "inputs.npz"
ALONE = "__alone"
"""Ends the name of an output of a node that stands by itself: the value of that name may be fed to another."""
SHAPE_LIKE = 16
"""Integers of one dimension, this many at most, are shapes, axes and the like: backends ask for them as constants."""
OUTSIDE = 1 << 16
"""Weights of at least so many bytes lie beside the model file."""


@dataclass(frozen=True)
class Piece:
    """A model that can be written."""

    nodes: Sequence[Any]
    feeds: Mapping[str, Array]
    weights: Mapping[str, Array]
    outputs: Mapping[str, str]
    """Output to the value that it is of."""
    like: Any
    """The model it was cut from, for opsets and functions."""
    numbers: tuple[int, ...] = ()
    """Its nodes' numbers in the graph."""
    key: str = ""
    """Names it in a journal."""
    dtypes: Mapping[str, tuple[str, Dims]] = field(default_factory=dict)
    """Dtype and shape of outputs, where they are known."""
    axes: Mapping[str, Dims] = field(default_factory=dict)
    """Shapes of feeds that are not declared as they are, but with axes of any size."""

    own_errors: ClassVar[str] = "porting.diagnose.clean:own_errors"
    """The job that tells how far its own arithmetic is off."""

    def write(self, folder: Path, precision: Precision) -> ExportedForm:
        """Write model, weights and inputs into a new folder. Returns it as a form for an adapter."""
        import onnx

        folder.mkdir(parents=True)
        model = self._proto(folder)
        (folder / MODEL).write_bytes(model.SerializeToString())
        write_tensors(folder / INPUTS, self.feeds)
        inputs = tuple(TensorSpec(name, str(array.dtype), self._dims(name)) for name, array in self.feeds.items())
        outputs = tuple(
            TensorSpec(name, *self.dtypes[name]) if name in self.dtypes else TensorSpec(name, "float32", ())
            for name in self.outputs
        )
        opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), onnx.defs.onnx_opset_version())
        return ExportedForm("onnx", precision, folder / MODEL, inputs, outputs, opset, (folder / INPUTS,))

    def _dims(self, feed: str) -> Dims:
        return self.axes.get(feed, self.feeds[feed].shape)

    def alone(self) -> Any:
        """The model with its weights inside."""
        return self._proto(None)

    def _proto(self, folder: Path | None) -> Any:
        """folder: where large weights go; None keeps them all inside."""
        from onnx import ValueInfoProto, helper

        file = open(folder / WEIGHTS, "wb") if folder else None  # noqa: SIM115 -- closed below
        try:
            initializers = [_tensor(name, array, file) for name, array in self.weights.items()]
        finally:
            if file:
                file.close()
        made = [_info(name, *self.dtypes[name]) if name in self.dtypes else ValueInfoProto(name=name) for name in self.outputs]
        given = [_info(name, str(array.dtype), self._dims(name)) for name, array in self.feeds.items()]
        graph = helper.make_graph(list(self.nodes), "cut", given, made, initializers)
        return helper.make_model(
            graph,
            opset_imports=list(self.like.opset_import),
            ir_version=self.like.ir_version,
            functions=list(self.like.functions),
            producer_name="",
        )


def _info(name: str, dtype: str, shape: Dims) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(_dtype(dtype)), list(shape))


def _dtype(name: str) -> Any:
    import numpy as np

    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _tensor(name: str, array: Array, file: Any) -> Any:
    """An initializer; a large one goes to the file, straight from where it is mapped."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    array = np.ascontiguousarray(array).reshape(array.shape)  # the former makes one dimension out of none
    if file is None or array.nbytes < OUTSIDE:
        return numpy_helper.from_array(array, name)
    tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    tensor.data_location = TensorProto.EXTERNAL
    file.write(b"\0" * (-file.tell() % 4096))
    for key, value in (("location", WEIGHTS), ("offset", file.tell()), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    array.tofile(file)
    return tensor


class Cutter:
    """Cuts pieces out of a graph. values: its reference tensors. free: axes are declared as the file has them, of any size where
    it says so, and shapes that the model works out are no constants."""

    can_be_free: ClassVar[bool] = True

    def __init__(self, graph: Graph, values: Values, free: bool = False) -> None:
        self.graph, self.values, self.free = graph, values, free

    def again(self, values: Values | None = None, free: bool = False) -> Cutter:
        """The same with other tensors, or with axes of any size."""
        return Cutter(self.graph, self.values if values is None else values, free)

    def alone(self, nodes: Collection[int]) -> Piece:
        """Nodes side by side, none fed by another."""
        return self._cut(nodes, (), True)

    def together(self, nodes: Collection[int], marks: Collection[str] = ()) -> Piece:
        """Nodes as they hang together; what leaves the set is an output. marks: values within that are outputs besides."""
        return self._cut(nodes, marks, False)

    def _cut(self, nodes: Collection[int], marks: Collection[str], alone: bool) -> Piece:
        from onnx import NodeProto

        graph, numbers = self.graph, tuple(sorted(nodes))
        within = set() if alone else {name for number in numbers for name in graph.nodes[number].output}
        new, outputs = [], {}
        for number in numbers:
            node = NodeProto()
            node.CopyFrom(graph.nodes[number])
            del node.metadata_props[:]
            node.doc_string = ""
            for place, name in enumerate(graph.nodes[number].output):
                if name and alone:
                    node.output[place] = name + ALONE
            for name in graph.used(number):
                if alone:
                    outputs[name + ALONE] = name
                elif name in graph.outputs or name in marks or set(graph.readers.get(name, ())) - set(numbers):
                    outputs[name] = name
            new.append(node)
        wanted = dict.fromkeys(name for number in numbers for name in graph.reads[number] if name not in within)
        weights = {name: graph.value(name, self.values) for name in wanted if self._fixed(name)}
        feeds = {name: self.values[name] for name in wanted if name not in weights}
        if not feeds:  # all of it would be folded away: what can be fed is fed
            feeds = {name: array for name, array in weights.items() if name not in graph.constants}
            weights = {name: array for name, array in weights.items() if name not in feeds}
        known = {name: self.values[of] for name, of in outputs.items()}
        dtypes = {name: (str(array.dtype), self._axes(outputs[name]) or array.shape) for name, array in known.items()}
        axes = {name: dims for name in feeds if (dims := self._axes(name))}
        words = f"{'alone' if alone else 'together'} {'free' if self.free else ''} {numbers} {sorted(marks)}"
        key = hashlib.sha256(words.encode()).hexdigest()[:24]
        return Piece(new, feeds, weights, outputs, graph.model, numbers, key, dtypes, axes)

    def _axes(self, name: str) -> Dims | None:
        """The shape of a value as the file declares it, where that counts."""
        if not self.free:
            return None
        shape = self.values[name].shape
        declared = self.graph.declared.get(name, ())
        return declared if len(declared) == len(shape) else tuple(f"{name}_{axis}" for axis in range(len(shape)))

    def _fixed(self, name: str) -> bool:
        """Whether a value enters as a constant."""
        if name in self.graph.constants:
            return True
        if self.free:
            return False
        array = self.values[name]
        return array.dtype.kind in "iu" and array.ndim <= 1 and array.size <= SHAPE_LIKE and name not in self.graph.inputs
