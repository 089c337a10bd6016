"""An ONNX model as numbered nodes: who makes and reads which value, which nodes are one kernel, which source line each is from.

Weights stay on disk: an initializer is mapped where the file says it lies. Nothing is run or judged here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from porting.errors import ModelError, UntrustedError
from porting.operators.suite import RANDOM

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

FRAME = re.compile(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)')
STACK, SCOPES, FX_NODE = (f"pkg.torch.onnx.{name}" for name in ("stack_trace", "name_scopes", "fx_node"))
"""Metadata that PyTorch's exporter writes into every node."""
KEPT = 3
"""Parts of a path that are named, of a file that lies elsewhere."""
ASSUMED_DIM = 16
"""Of an axis whose size nobody knows before the model has run."""


class Values(Protocol):
    """Reference tensors by value name."""

    def __getitem__(self, name: str) -> Array: ...


@dataclass(frozen=True)
class Source:
    """Where in the model's own code a node comes from."""

    place: str = ""
    """`package/module.py:LINE`; empty where the exporter wrote nothing."""
    text: str = ""
    """The source line."""
    scope: str = ""
    """The module within the model, `layers.3.attention`."""


class Graph:
    """The graph of a model file. Constant nodes count as weights."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is no model, UntrustedError for weights outside its folder."""
        import onnx

        self.path = path
        try:
            self.model = onnx.load(path, load_external_data=False)
        except Exception as error:
            raise ModelError(f"{path} is no readable ONNX model: {error}") from error
        graph = self.model.graph
        self.weights: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes: list[Any] = []
        for node in graph.node:
            constant = _constant(node)
            if constant is None:
                self.nodes.append(node)
            else:
                self.weights[constant.name] = constant
        self.inputs = [value.name for value in graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in graph.output]
        self.reads = [list(dict.fromkeys([*filter(None, node.input), *captured(node)])) for node in self.nodes]
        self.maker = {name: number for number, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = {}
        for number, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, []).append(number)
        self.constants = self._constants()
        """Values that follow from weights alone."""
        self.names = self._names()
        self.declared = self._declared()
        """Shapes by value, with a name for an axis of any size; nothing for values that the file does not describe."""

    def _declared(self) -> dict[str, tuple[int | str, ...]]:
        graph = self.model.graph
        found = {}
        for info in (*graph.value_info, *graph.input, *graph.output):
            dims = info.type.tensor_type.shape.dim
            named = [d.dim_value if d.HasField("dim_value") else d.dim_param or f"{info.name}_{n}" for n, d in enumerate(dims)]
            found[info.name] = tuple(named)
        return found

    def _constants(self) -> frozenset[str]:
        found = set(self.weights)
        for number, node in enumerate(self.nodes):
            if self.reads[number] and all(name in found for name in self.reads[number]):
                found.update(filter(None, node.output))
        return frozenset(found)

    def _names(self) -> frozenset[str]:
        """Whatever a message may call a part of this graph by."""
        nodes = {node.name for node in self.nodes if node.name}
        return frozenset(nodes | set(self.inputs) | set(self.weights) | set(self.maker))

    def __len__(self) -> int:
        return len(self.nodes)

    def used(self, number: int) -> list[str]:
        """The outputs of a node that somebody reads, or the model returns."""
        return [name for name in self.nodes[number].output if name and (name in self.readers or name in self.outputs)]

    def weight(self, name: str) -> Array:
        """A weight, mapped from its file where it lies outside the model. Raises UntrustedError."""
        return weight_of(self.weights[name], self.path.parent)

    def value(self, name: str, values: Values) -> Array:
        """A weight or a reference tensor."""
        return self.weight(name) if name in self.weights else values[name]

    def size(self, number: int, values: Values) -> int:
        """Bytes of what a node reads and makes."""
        names = {*self.reads[number], *self.used(number)}
        return sum(_bytes(self.weights[n]) if n in self.weights else values[n].nbytes for n in names)

    def kernel(self, number: int, values: Values) -> tuple[Any, ...]:
        """What makes two nodes one kernel to a backend: operator, attributes, shapes, dtypes, which inputs are constant."""
        node = self.nodes[number]

        def of(name: str) -> Any:
            if not name:
                return None
            array = self.value(name, values)
            return array.shape, str(array.dtype), name in self.constants

        attributes = tuple(sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute))
        made = tuple(bool(name) for name in node.output)
        return node.op_type, node.domain, attributes, tuple(of(name) for name in (*node.input, *captured(node))), made

    def estimates(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Bytes of values before anything has run, by the shapes in the file. sizes: of symbolic axes."""
        import onnx

        found = {}
        for info in (*self.model.graph.value_info, *self.model.graph.output):
            tensor = info.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else _size(d.dim_param, sizes) for d in tensor.shape.dim]
            width = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize if tensor.elem_type else 4
            found[info.name] = math.prod(dims) * width
        return found

    def source(self, number: int) -> Source:
        """The source line that a node is from: the innermost frame outside PyTorch's own modules."""
        said = {entry.key: entry.value for entry in self.nodes[number].metadata_props}
        scopes = re.findall(r"'([^']*)'", said.get(SCOPES, ""))
        return source_of(said.get(STACK, ""), next((scope for scope in reversed(scopes[:-1]) if scope), ""))

    def is_random(self, number: int) -> bool:
        return self.nodes[number].op_type in RANDOM


def source_of(stack: str, module: str) -> Source:
    """The innermost frame of a stack trace outside PyTorch's own modules. module: the one within the model."""
    frames = FRAME.findall(stack)
    own = [frame for frame in frames if "/torch/" not in frame[0]] or frames
    if not own:
        return Source(scope=module)
    file, line, text = own[-1]
    return Source(f"{_short(file)}:{line}", text.strip(), module)


def _short(file: str) -> str:
    """A source file without the place of its installation, or of a person's folders."""
    if "-packages/" in file:
        return re.split(r"(?:site|dist)-packages/", file)[-1]
    path = Path(file)
    near = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd())) if near else "/".join(path.parts[-KEPT:])


def captured(node: Any) -> list[str]:
    """Outer values that the bodies of If, Loop and Scan read."""
    found = []
    for graph in _bodies(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        wanted = [name for inner in graph.node for name in (*inner.input, *captured(inner))]
        wanted += [value.name for value in graph.output]
        found += [name for name in wanted if name and name not in own]
    return list(dict.fromkeys(found))


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _constant(node: Any) -> Any:
    """What a Constant node holds, as a tensor of its output's name; None for other nodes and other kinds of constant."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    name, value = node.attribute[0].name, helper.get_attribute_value(node.attribute[0])
    if name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(value)
    elif name in ("value_int", "value_ints"):
        tensor = numpy_helper.from_array(np.asarray(value, np.int64))
    elif name in ("value_float", "value_floats"):
        tensor = numpy_helper.from_array(np.asarray(value, np.float32))
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def _size(axis: str, sizes: Mapping[str, int]) -> int:
    from porting.bundles import shapes

    try:
        return shapes.evaluate(axis, sizes)
    except shapes.ShapeError:
        return ASSUMED_DIM


def _bytes(tensor: Any) -> int:
    from onnx import helper

    return int(math.prod(tensor.dims)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def weight_of(tensor: Any, folder: Path) -> Array:
    """The values of a tensor of a model in `folder`, mapped and not read where they lie in a file."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    array: Array
    if tensor.data_location != TensorProto.EXTERNAL:
        array = numpy_helper.to_array(tensor)
        return array
    where = {entry.key: entry.value for entry in tensor.external_data}
    path = (folder / where["location"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UntrustedError(f"{tensor.name}: its data lies outside the model's folder.")
    dtype, shape = helper.tensor_dtype_to_np_dtype(tensor.data_type), tuple(tensor.dims)
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    array = np.memmap(path, dtype, "r", int(where.get("offset", 0)), shape or (1,))
    return array.reshape(shape)
