"""What IREE is helped with in an ONNX graph: operators that 3.13 compiles without a word to something else than they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Sequence, Tuple

if TYPE_CHECKING:
    import onnx

Step = Tuple[str, Tuple[str, ...], str]
"""Operator, inputs and output by name."""

OPSET = 18
"""From it on Pad, ReduceMean and Unsqueeze take their axes as an input."""


def mend(model: onnx.ModelProto) -> bool:
    """Rewrite nodes of the main graph in place. Returns whether there was one to rewrite."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OPSET or not {"Gelu", "TopK", "InstanceNormalization", "Split"} & {node.op_type for node in model.graph.node}:
        return False
    values = _values(model)
    nodes: List[Any] = []
    topks, changed = 0, False
    constants = {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    constants |= {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        dtype, rank = values.get(node.input[0], (None, 0)) if node.input else (None, 0)
        changed |= node.op_type == "TopK" and _put_in_order(node)
        if dtype is not None and node.op_type == "Gelu" and _attribute(node, "approximate", b"none") == b"tanh":
            nodes += _gelu(node, dtype)
        elif dtype is not None and node.op_type == "InstanceNormalization" and rank > 2:
            nodes += _instance_normalization(node, dtype, rank)
        elif dtype is not None and node.op_type == "TopK":
            nodes += _topk(node, dtype, topks)
            topks += 1
        elif node.op_type == "Split" and len(node.input) > 1 and node.input[1] not in constants:
            nodes += _split(node)
        else:
            nodes.append(node)
    changed |= len(nodes) > len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return changed


def _gelu(node: onnx.NodeProto, dtype: Any) -> Iterator[onnx.NodeProto]:
    """GELU by tanh as it is defined, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). IREE's own is off by 4.5e-5 at -1."""
    x, y = node.input[0], node.output[0]
    numbers = {"half": 0.5, "one": 1.0, "cubic": 0.044715, "scale": math.sqrt(2 / math.pi)}
    steps: Sequence[Step] = (
        ("Mul", (x, x), "square"),
        ("Mul", ("square", x), "cube"),
        ("Mul", ("cube", "cubic"), "term"),
        ("Add", (x, "term"), "sum"),
        ("Mul", ("sum", "scale"), "scaled"),
        ("Tanh", ("scaled",), "tanh"),
        ("Add", ("tanh", "one"), "factor"),
        ("Mul", (x, "half"), "halved"),
        ("Mul", ("halved", "factor"), y),
    )
    return _written_out(node, {name: (value, dtype) for name, value in numbers.items()}, steps)


def _instance_normalization(node: onnx.NodeProto, dtype: Any, rank: int) -> Iterator[onnx.NodeProto]:
    """As it is defined: mean and variance over all but the first two of `rank` axes. IREE's own is not a number."""
    import numpy as np

    (x, scale, bias), y = node.input, node.output[0]
    inner, trailing = list(range(2, rank)), list(range(1, rank - 1))
    constants = {
        "inner": (inner, np.int64),
        "trailing": (trailing, np.int64),
        "epsilon": (_attribute(node, "epsilon", 1e-5), dtype),
    }
    steps: Sequence[Step] = (
        ("ReduceMean", (x, "inner"), "mean"),
        ("Sub", (x, "mean"), "centred"),
        ("Mul", ("centred", "centred"), "square"),
        ("ReduceMean", ("square", "inner"), "variance"),
        ("Add", ("variance", "epsilon"), "sum"),
        ("Sqrt", ("sum",), "deviation"),
        ("Div", ("centred", "deviation"), "normal"),
        ("Unsqueeze", (scale, "trailing"), "factor"),
        ("Unsqueeze", (bias, "trailing"), "shift"),
        ("Mul", ("normal", "factor"), "scaled"),
        ("Add", ("scaled", "shift"), y),
    )
    return _written_out(node, constants, steps)


def _topk(node: onnx.NodeProto, dtype: Any, number: int) -> Iterator[onnx.NodeProto]:
    """The `number`th TopK over as many more elements, which never come first. Two over rows of one length share the positions of
    their elements, and the first sorts these in place: the second then returns right values with wrong indices."""
    import numpy as np
    from onnx import NodeProto

    if not number:
        yield node
        return
    limits = (-np.inf, np.inf) if np.issubdtype(dtype, np.floating) else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    constants = {
        "pads": ([0, number], np.int64),
        "axes": ([_attribute(node, "axis", -1)], np.int64),
        "last": (limits[not _attribute(node, "largest", 1)], dtype),
    }
    padded = f"{node.output[0]}/padded"
    yield from _written_out(node, constants, [("Pad", (node.input[0], "pads", "last", "axes"), padded)])
    longer = NodeProto()
    longer.CopyFrom(node)
    longer.input[0] = padded
    yield longer


def _put_in_order(node: onnx.NodeProto) -> bool:
    """Let a TopK whose answer may come in any order give it in order, the only way that IREE has. Returns whether it was such."""
    unsorted = [attribute for attribute in node.attribute if attribute.name == "sorted" and not attribute.i]
    for attribute in unsorted:
        attribute.i = 1
    return bool(unsorted)


def _split(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A Split by computed sizes, its parts gathered by position. A slice of a slice is taken to be as long as the whole."""
    from onnx import helper

    x, sizes = node.input
    constants: Dict[str, Tuple[Any, Any]] = {"start": (0, "int64"), "step": (1, "int64")}
    steps: List[Step] = []
    start = "start"
    for number, output in enumerate(node.output):
        constants[f"number {number}"] = (number, "int64")
        steps.append(("Gather", (sizes, f"number {number}"), f"size {number}"))
        steps.append(("Add", (start, f"size {number}"), f"stop {number}"))
        if output:
            steps.append(("Range", (start, f"stop {number}", "step"), f"part {number}"))
            steps.append(("Gather", (x, f"part {number}"), output))
        start = f"stop {number}"
    axis = _attribute(node, "axis", 0)
    for written in _written_out(node, constants, steps):
        if written.op_type == "Gather" and written.input[0] == x:
            written.attribute.append(helper.make_attribute("axis", axis))
        yield written


def _written_out(
    node: onnx.NodeProto, constants: Mapping[str, Tuple[Any, Any]], steps: Sequence[Step]
) -> Iterator[onnx.NodeProto]:
    """Nodes in the place of one. constants: value and dtype by name. Names that the steps introduce are made unique; what is an
    input or output of `node`, or an output of the last step, keeps its own."""
    import numpy as np
    from onnx import helper, numpy_helper

    kept = {*node.input, *node.output, steps[-1][2]}

    def unique(name: str) -> str:
        return name if name in kept else f"{node.output[0]}/{name}"

    for name, (value, dtype) in constants.items():
        tensor = numpy_helper.from_array(np.array(value, dtype), unique(name))
        yield helper.make_node("Constant", [], [unique(name)], value=tensor, name=unique(name))
    for operator, inputs, output in steps:
        yield helper.make_node(operator, list(map(unique, inputs)), [unique(output)], name=f"{unique(output)}/{operator}")


def _attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), otherwise)


def _values(model: onnx.ModelProto) -> Dict[str, Tuple[Any, int]]:
    """numpy dtype and rank by name of a value, where ONNX's own inference knows both. The model has no weights with it."""
    from onnx import helper, shape_inference

    graph = shape_inference.infer_shapes(model).graph
    known = {
        value.name: (value.type.tensor_type.elem_type, len(value.type.tensor_type.shape.dim))
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    known.update({weight.name: (weight.data_type, len(weight.dims)) for weight in graph.initializer})
    return {name: (helper.tensor_dtype_to_np_dtype(kind), rank) for name, (kind, rank) in known.items() if kind}
