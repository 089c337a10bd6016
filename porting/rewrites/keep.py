"""Which layers a lower precision costs most, measured; a form names them, and an adapter keeps them in fp32.

One group of neighbouring operators after the other is computed as the lower precision would, all others in fp32, and what that
does to the outputs is its sensitivity. The names lie in the metadata of the ONNX file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.errors import ModelError
from porting.types import Precision
from porting.workspace import atomic_write

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

PROPERTY = "porting_keep"
"""Of an ONNX file: names of operators to be kept in fp32, a line each."""
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What int8 quantises."""
GROUPS = 48
"""Groups that are measured at most."""
LARGEST = 1 << 30
"""Bytes of a model up to which it is measured: it is held in memory several times."""


class Unmeasured(ModelError):
    """The sensitivity of this model's layers cannot be measured."""


@dataclass(frozen=True)
class Group:
    """Neighbouring operators, and how far the outputs move when they alone are computed in the lower precision."""

    names: tuple[str, ...]
    error: float
    """Relative L2 error of the output that moves most; infinite where it is not finite any more."""


def keep(path: Path, samples: Sequence[Arrays], precision: Precision, percent: int, memory: Path) -> tuple[int, int]:
    """Name the most sensitive of a file's layers in it. Returns how many groups are kept, of how many. Raises Unmeasured.

    memory: file of what was measured for the same model with another percentage, or will be.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    _name(model.graph)
    groups = _recalled(memory, {node.name for node in model.graph.node})
    if groups is None:
        groups = sensitivities(path, samples, precision)
        atomic_write(memory, json.dumps([[group.names, repr(group.error)] for group in groups]).encode())
    count = max(1, round(len(groups) * percent / 100))
    chosen = [name for group in groups[:count] for name in group.names]
    onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, PROPERTY: "\n".join(chosen)})
    onnx.save(model, path)
    return count, len(groups)


def _recalled(memory: Path, there: set[str]) -> list[Group] | None:
    """What was measured before, unless it speaks of operators that are not there."""
    if not memory.is_file():
        return None
    groups = [Group(tuple(names), float(error)) for names, error in json.loads(memory.read_bytes())]
    return groups if {name for group in groups for name in group.names} <= there else None


def sensitivities(path: Path, samples: Sequence[Arrays], precision: Precision) -> list[Group]:
    """Every group of layers, the most sensitive first. Raises Unmeasured where there is none, or the model is too large."""
    import onnx

    from porting.bundles.onnx_reference import session

    model = onnx.load(path)
    if model.ByteSize() > LARGEST:
        raise Unmeasured(f"the model has more than {LARGEST >> 20} MiB: its layers are not measured.")
    _name(model.graph)
    nodes = [node for node in model.graph.node if _counts(node, precision)]
    if not nodes:
        raise Unmeasured(f"the model has no layer that {precision.value} would change.")
    emulate = _Emulation(model, samples, precision)
    names = [output.name for output in model.graph.output]
    truth = _run(session(model.SerializeToString()), names, samples)
    found = []
    for part in _groups(nodes):
        changed = session(emulate.of({node.name for node in part}).SerializeToString())
        found.append(Group(tuple(node.name for node in part), _apart(_run(changed, names, samples), truth)))
    return sorted(found, key=lambda group: -group.error)


def _name(graph: Any) -> None:
    """Give every operator a name of its own, the same each time."""
    seen: set[str] = set()
    for number, node in enumerate(graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}.{number}"
        seen.add(node.name)


def _counts(node: Any, precision: Precision) -> bool:
    if precision is Precision.INT8:
        return node.op_type in LAYERS
    inner = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    return not inner and node.op_type not in ("Constant", "Shape", "Cast", "Identity")


def _groups(nodes: Sequence[Any]) -> Iterator[Sequence[Any]]:
    size = math.ceil(len(nodes) / GROUPS)
    for start in range(0, len(nodes), size):
        yield nodes[start : start + size]


def _run(loaded: Any, names: Sequence[str], samples: Sequence[Arrays]) -> list[list[Any]]:
    wanted = {value.name for value in loaded.get_inputs()}
    return [loaded.run(names, {name: a for name, a in sample.items() if name in wanted}) for sample in samples]


def _apart(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]]) -> float:
    import numpy as np

    worst = 0.0
    for got, wanted in zip(found, truth, strict=True):
        for one, other in zip(got, wanted, strict=True):
            if other.dtype.kind != "f" or not other.size:
                continue
            finite = np.isfinite(other)
            difference = (one.astype(np.float64) - other)[finite]
            size = float(np.linalg.norm(other[finite].astype(np.float64)))
            error = float(np.linalg.norm(difference)) / size if size else 0.0
            worst = max(worst, error if math.isfinite(error) else math.inf)
    return worst


class _Emulation:
    """Makes models in which some operators take their inputs as a lower precision holds them."""

    def __init__(self, model: Any, samples: Sequence[Arrays], precision: Precision) -> None:
        import onnx

        self.model, self.precision = model, precision
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        typed = onnx.shape_inference.infer_shapes(model)
        values = (*typed.graph.value_info, *typed.graph.input, *typed.graph.output)
        self.floats = {v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
        self.floats |= {name for name, tensor in self.constants.items() if tensor.data_type == onnx.TensorProto.FLOAT}
        self.ranges = self._ranges(samples) if precision is Precision.INT8 else {}

    def of(self, names: set[str]) -> Any:
        """The model with these operators emulated."""
        import onnx

        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        nodes = list(made.graph.node)
        del made.graph.node[:]
        for node in nodes:
            if node.name in names:
                last = 2 if self.precision is Precision.INT8 else len(node.input)
                for place, name in enumerate(node.input[:last]):
                    if name in self.floats:
                        lowered = f"{node.name}.{place}.lowered"
                        self._lower(made.graph, name, lowered, node)
                        node.input[place] = lowered
            made.graph.node.append(node)
        return made

    def _lower(self, graph: Any, name: str, lowered: str, node: Any) -> None:
        from onnx import TensorProto, helper, numpy_helper

        if self.precision is not Precision.INT8:
            graph.node.append(helper.make_node("Cast", [name], [f"{lowered}.half"], to=TensorProto.FLOAT16))
            graph.node.append(helper.make_node("Cast", [f"{lowered}.half"], [lowered], to=TensorProto.FLOAT))
        elif name in self.constants:
            array = numpy_helper.to_array(self.constants[name])
            graph.initializer.append(numpy_helper.from_array(_by_channel(array, node), lowered))
        else:
            low, high = self.ranges[name]
            scale = max(high - low, 1e-12) / 255
            scales = (("scale", scale, TensorProto.FLOAT), ("zero", round(-low / scale), TensorProto.UINT8))
            graph.initializer.extend(helper.make_tensor(f"{lowered}.{what}", kind, [], [v]) for what, v, kind in scales)
            by = [f"{lowered}.scale", f"{lowered}.zero"]
            graph.node.append(helper.make_node("QuantizeLinear", [name, *by], [f"{lowered}.q"]))
            graph.node.append(helper.make_node("DequantizeLinear", [f"{lowered}.q", *by], [lowered]))

    def _ranges(self, samples: Sequence[Arrays]) -> dict[str, tuple[float, float]]:
        """Smallest and largest value, zero among them, of what the layers take."""
        import onnx
        from onnx import TensorProto, helper

        from porting.bundles.onnx_reference import session

        wanted = {n for node in self.model.graph.node if node.op_type in LAYERS for n in node.input[:2]}
        names = sorted((wanted & self.floats) - self.constants.keys())
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        outputs = []
        for number, name in enumerate(names):
            for operator in ("ReduceMin", "ReduceMax"):
                outputs.append(f"{operator}.{number}")
                made.graph.node.append(helper.make_node(operator, [name], [outputs[-1]], keepdims=0))
                made.graph.output.append(helper.make_tensor_value_info(outputs[-1], TensorProto.FLOAT, []))
        runs = _run(session(made.SerializeToString()), outputs, samples)
        lows = [min(0.0, *(float(run[2 * number]) for run in runs)) for number in range(len(names))]
        highs = [max(0.0, *(float(run[2 * number + 1]) for run in runs)) for number in range(len(names))]
        return dict(zip(names, zip(lows, highs, strict=True), strict=True))


def _by_channel(array: Any, node: Any) -> Any:
    """Weights as 8 bits hold them, a scale a channel."""
    import numpy as np

    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0 if transposed else 1}.get(node.op_type, array.ndim - 1)
    others = tuple(a for a in range(array.ndim) if a != axis)
    low = np.minimum(array.min(others, keepdims=True), 0)
    scale = np.maximum(np.maximum(array.max(others, keepdims=True), 0) - low, 1e-12) / 255
    zero = np.round(-low / scale)
    return ((np.clip(np.round(array / scale) + zero, 0, 255) - zero) * scale).astype(array.dtype)
