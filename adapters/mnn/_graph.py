"""Operators of ONNX that MNN lacks or gets wrong, written in others that mean the same."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

if TYPE_CHECKING:
    import onnx

    Nodes = List[onnx.NodeProto]


def respell(model: Path) -> None:
    """Rewrite an ONNX file in place. Its external data stays as it is."""
    import onnx

    whole = onnx.load(str(model), load_external_data=False)
    opset = max((entry.version for entry in whole.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    among = _among_others(whole, opset)
    nodes: Nodes = []
    for node in whole.graph.node:
        meant = node.op_type in WORDS and not node.domain and opset >= SINCE.get(node.op_type, 0)
        own = among(node) or (WORDS[node.op_type] if meant else None)
        nodes += own(node) if own else [node]
    del whole.graph.node[:]
    whole.graph.node.extend(nodes)
    onnx.save(whole, str(model))


Word = Callable[["onnx.NodeProto"], "Nodes"]
"""What writes a node in other words."""


def _among_others(whole: onnx.ModelProto, opset: int) -> Callable[[onnx.NodeProto], Optional[Word]]:
    """What writes a node otherwise for what it is given, rather than for what it is; None for most."""
    constants = {weight.name: weight for weight in whole.graph.initializer}
    makers = {name: node for node in whole.graph.node for name in node.output}
    answers = {value.name for value in whole.graph.output}
    flat = _flat(whole) if opset >= UNSQUEEZE else set()
    shapes = _shapes(whole)

    def word(node: onnx.NodeProto) -> Optional[Word]:
        given = [constants.get(name) for name in node.input]
        if node.op_type == "BatchNormalization" and node.input[0] in flat and len(node.output) == 1:
            return _batch_normalization
        if node.op_type == "ConstantOfShape" and given[0] is not None and 0 in given[0].dims:
            return _number
        if (
            node.op_type == "GatherND"
            and given[1] is not None
            and _counts_from_the_end(node, given[1])
            and opset >= SHAPE_OF_A_PART
        ):
            return functools.partial(_gather, constants)
        if node.op_type == "Relu" and answers & {node.input[0], node.output[0]} and node.input[0] in makers:
            return _relu if makers[node.input[0]].op_type == "Gemm" else None
        if node.op_type == "MatMul" and opset >= SHAPE_OF_A_PART:
            return _product(node, shapes)
        return _norm_times(node, constants, makers) if node.op_type == "Mul" else None

    return word


SHAPE_OF_A_PART = 15
"""The opset from which on Shape can be that of some axes."""


def _relu(node: onnx.NodeProto) -> Nodes:
    """As a limit: what MNN makes of a Gemm and a Relu together has two more axes, which an answer may not have."""
    return _chain(node, [("Max", (node.input[0], 0.0))])


def _counts_from_the_end(node: onnx.NodeProto, indices: onnx.TensorProto) -> bool:
    from onnx import numpy_helper

    whole = not any(attribute.name == "batch_dims" and attribute.i for attribute in node.attribute)
    return whole and not indices.external_data and bool((numpy_helper.to_array(indices) < 0).any())


def _gather(constants: Mapping[str, onnx.TensorProto], node: onnx.NodeProto) -> Nodes:
    """Indices that count from the end as such from the beginning: MNN reads in front of the tensor for them."""
    from onnx import helper, numpy_helper

    indices = numpy_helper.to_array(constants[node.input[1]])
    sizes, negative, more, places = (f"{node.output[0]}:{part}" for part in ("sizes", "negative", "more", "places"))
    return [
        helper.make_node("Shape", [node.input[0]], [sizes], start=0, end=indices.shape[-1]),
        helper.make_node("Constant", [], [negative], value=numpy_helper.from_array((indices < 0).astype("int64"))),
        helper.make_node("Mul", [sizes, negative], [more]),
        helper.make_node("Add", [node.input[1], more], [places]),
        helper.make_node("GatherND", [node.input[0], places], list(node.output)),
    ]


def _norm_times(node: onnx.NodeProto, constants: Mapping[str, Any], makers: Mapping[str, onnx.NodeProto]) -> Optional[Word]:
    """Where a node multiplies what is divided by a root with one number: the number goes to the root first. MNN takes it for the
    weights of a normalisation, one for each place of the last axis, and reads past it."""
    from onnx import TensorProto

    numbers = [name for name in node.input if name in constants]
    if len(numbers) != 1 or constants[numbers[0]].dims or constants[numbers[0]].data_type != TensorProto.FLOAT:
        return None
    norm = makers.get(next(name for name in node.input if name != numbers[0]))
    if norm is None or norm.op_type != "Mul":
        return None
    roots = [name for name in norm.input if name in makers and makers[name].op_type == "Reciprocal"]
    if len(roots) != 1:
        return None
    value = next(name for name in norm.input if name != roots[0])
    return lambda node: _chain(node, [("Mul", (roots[0], numbers[0])), ("Mul", (value, 0))])


UNSQUEEZE = 13
"""The opset from which on Unsqueeze takes its axes as an input."""


def _shapes(whole: onnx.ModelProto) -> Dict[str, List[object]]:
    """The shapes that follow from what a file tells: a number or a name an axis, an empty name where it is not known."""
    from onnx import shape_inference

    if not any(node.op_type == "MatMul" for node in whole.graph.node):
        return {}
    graph = shape_inference.infer_shapes(whole, data_prop=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    known = {value.name: value.type.tensor_type.shape for value in values if value.type.tensor_type.HasField("shape")}
    return {name: [axis.dim_value or axis.dim_param for axis in shape.dim] for name, shape in known.items()}


def _product(node: onnx.NodeProto, shapes: Mapping[str, List[object]]) -> Optional[Word]:
    """Where one of two batches of matrices may stand for several of the other (one head of keys for all of the queries): it is
    spread over them first. Once both are one, MNN goes on as if they were, at whatever sizes come next."""
    left, right = (shapes.get(name, []) for name in node.input)
    if len(left) != len(right) or len(left) < 3:
        return None
    pairs = [pair for pair in zip(left[:-2], right[:-2]) if pair[0] != pair[1]]  # noqa: B905 -- Python 3.9
    fewer = [place for place in (0, 1) if any(pair[place] == 1 for pair in pairs)]
    return functools.partial(_spread, fewer, len(left) - 2) if fewer else None


def _spread(places: Sequence[int], lead: int, node: onnx.NodeProto) -> Nodes:
    from onnx import helper

    nodes, given = [], list(node.input)
    for place in places:
        other, own, sizes, spread = (f"{node.output[0]}:{place}:{part}" for part in ("other", "own", "sizes", "spread"))
        nodes += [
            helper.make_node("Shape", [node.input[1 - place]], [other], start=0, end=lead),
            helper.make_node("Shape", [node.input[place]], [own], start=lead),
            helper.make_node("Concat", [other, own], [sizes], axis=0),
            helper.make_node("Expand", [node.input[place], sizes], [spread]),
        ]
        given[place] = spread
    return [*nodes, helper.make_node("MatMul", given, list(node.output))]


def _flat(whole: onnx.ModelProto) -> Set[str]:
    """Values of three dimensions that are normalised."""
    from onnx import shape_inference

    taken = {node.input[0] for node in whole.graph.node if node.op_type == "BatchNormalization"}
    if not taken:
        return taken
    graph = shape_inference.infer_shapes(whole).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.input, *graph.value_info, *graph.output)}
    ranks.update({weight.name: len(weight.dims) for weight in graph.initializer})
    return {name for name in taken if ranks.get(name) == 3}


def _batch_normalization(node: onnx.NodeProto) -> Nodes:
    """Of three dimensions, as it is defined: what reads MNN's own as a row of numbers finds them in another order."""
    from onnx import TensorProto, helper

    x, scale, bias, mean, variance = node.input
    epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
    axis = f"{node.output[0]}:axis"
    steps: List[Step] = [
        ("Add", (variance, float(epsilon))),
        ("Sqrt", (0,)),
        ("Div", (scale, 1)),
        ("Mul", (mean, 2)),
        ("Sub", (bias, 3)),
        ("Unsqueeze", (2, axis)),
        ("Unsqueeze", (4, axis)),
        ("Mul", (x, 5)),
        ("Add", (7, 6)),
    ]
    one = helper.make_node("Constant", [], [axis], value=helper.make_tensor(axis, TensorProto.INT64, [1], [1]))
    return [one, *_chain(node, steps)]


def _is_nan(node: onnx.NodeProto) -> Nodes:
    """Only what is no number is on neither side of 0. It does not differ from itself, as MNN has it."""
    x = node.input[0]
    return _chain(node, [("GreaterOrEqual", (x, 0.0)), ("LessOrEqual", (x, 0.0)), ("Or", (0, 1)), ("Not", (2,))])


def _less(node: onnx.NodeProto) -> Nodes:
    """MNN's own is wrong for about a quarter of the elements, where there are more than a few."""
    from onnx import helper

    return [helper.make_node("Greater", [node.input[1], node.input[0]], list(node.output))]


def _log_softmax(node: onnx.NodeProto) -> Nodes:
    """One that does not name its axis runs along the last; MNN's converter crashes."""
    from onnx import helper

    if not node.attribute:
        node.attribute.append(helper.make_attribute("axis", -1))
    return [node]


def _number(node: onnx.NodeProto) -> Nodes:
    """A ConstantOfShape of no axes is one number; MNN makes nothing of it, or something else."""
    from onnx import TensorProto, helper

    value = helper.make_tensor("value", TensorProto.FLOAT, [], [0.0])
    for attribute in node.attribute:
        value.CopyFrom(attribute.t)
        del value.dims[:]
    return [helper.make_node("Constant", [], list(node.output), value=value)]


def _constant_of_shape(node: onnx.NodeProto) -> Nodes:
    """One that does not name its value is of zeros; MNN leaves in it whatever was in that memory."""
    from onnx import TensorProto, helper

    if not node.attribute:
        zero = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
        node.attribute.append(helper.make_attribute("value", zero))
    return [node]


def _scatter(node: onnx.NodeProto) -> Nodes:
    """MNN reads no axis that stands behind the reduction."""
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    del node.attribute[:]
    node.attribute.extend(attributes)
    return [node]


def _of_many(node: onnx.NodeProto) -> Nodes:
    """The largest, smallest, sum or mean of one tensor is that one; MNN's converter ends with SIGSEGV."""
    from onnx import helper

    return [helper.make_node("Identity", list(node.input), list(node.output))] if len(node.input) == 1 else [node]


def _pool(node: onnx.NodeProto) -> Nodes:
    """A window that does not say how it moves goes one element at a time; MNN takes it for none, and divides by it."""
    from onnx import helper

    said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if "strides" not in said and "kernel_shape" in said:
        node.attribute.append(helper.make_attribute("strides", [1] * len(said["kernel_shape"])))
    return [node]


def _gelu(node: onnx.NodeProto) -> Nodes:
    """GELU by the error function, or by tanh where its attribute says so."""
    from onnx import helper

    x = node.input[0]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("approximate", b"none") == b"tanh":
        cube = [("Mul", (x, x)), ("Mul", (0, x)), ("Mul", (1, 0.044715)), ("Add", (2, x))]
        steps: List[Step] = [*cube, ("Mul", (3, math.sqrt(2 / math.pi))), ("Tanh", (4,))]
    else:
        steps = [("Div", (x, math.sqrt(2))), ("Erf", (0,))]
    last = len(steps) - 1
    return _chain(node, [*steps, ("Add", (last, 1.0)), ("Mul", (x, last + 1)), ("Mul", (last + 2, 0.5))])


def _conv(node: onnx.NodeProto) -> Nodes:
    """A convolution along one axis as one along two, the first of which has one element."""
    from onnx import TensorProto, helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if len(attributes.get("kernel_shape", ())) != 1:
        return [node]
    flat = {name: [1, *attributes[name]] for name in ("kernel_shape", "strides", "dilations") if name in attributes}
    start, end = attributes.get("pads", (0, 0))
    name, axis = node.output[0], f"{node.output[0]}:axis"
    ahead, behind, wide, weights = axis, f"{name}:flat", f"{name}:wide", f"{name}:weights"
    return [
        helper.make_node("Constant", [], [axis], value=helper.make_tensor(axis, TensorProto.INT64, [1], [2])),
        helper.make_node("Unsqueeze", [node.input[0], ahead], [wide]),
        helper.make_node("Unsqueeze", [node.input[1], ahead], [weights]),
        helper.make_node(
            "Conv", [wide, weights, *node.input[2:]], [behind], **{**attributes, **flat, "pads": [0, start, 0, end]}
        ),
        helper.make_node("Squeeze", [behind, axis], [name]),
    ]


def _reduce(node: onnx.NodeProto) -> Nodes:
    """A reduction as a sum with something before and behind it: of sums MNN reads the axes, of the others only the older form."""
    from onnx import helper

    before, behind = AROUND_SUM[node.op_type]
    name, nodes = node.output[0], []
    source, total = node.input[0], f"{name}:sum" if behind else name
    if before:
        taken = [source, source] if before == "Mul" else [source]
        nodes.append(helper.make_node(before, taken, [f"{name}:{before}"]))
        source = f"{name}:{before}"
    nodes.append(helper.make_node("ReduceSum", [source, *node.input[1:]], [total]))
    nodes[-1].attribute.extend(node.attribute)
    return [*nodes, helper.make_node(behind, [total], [name])] if behind else nodes


AROUND_SUM = {
    "ReduceL1": ("Abs", ""),
    "ReduceL2": ("Mul", "Sqrt"),
    "ReduceSumSquare": ("Mul", ""),
    "ReduceLogSum": ("", "Log"),
    "ReduceLogSumExp": ("Exp", "Log"),
}
"""By reduction, what is done to the elements and what to their sum."""

WORDS: Dict[str, Callable[[onnx.NodeProto], Nodes]] = {
    "IsNaN": _is_nan,
    "Gelu": _gelu,
    "Conv": _conv,
    "Less": _less,
    "LogSoftmax": _log_softmax,
    "ConstantOfShape": _constant_of_shape,
    "ScatterElements": _scatter,
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), _of_many),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(AROUND_SUM, _reduce),
}
"""By operator, what writes it in other words."""

SINCE = {"LogSoftmax": 13}
"""By operator, the opset from which on it means what is written for it."""

Step = Tuple[str, Sequence[object]]
"""An operator and what it takes: a tensor by name, the result of an earlier step by its number, a number of its own."""


def _chain(node: onnx.NodeProto, steps: Sequence[Step]) -> Nodes:
    """The nodes of some steps, the last of which makes what `node` made."""
    from onnx import TensorProto, helper

    nodes: Nodes = []
    names = [*(f"{node.output[0]}:step{number}" for number in range(len(steps) - 1)), node.output[0]]
    for name, (operator, taken) in zip(names, steps):  # noqa: B905 -- `strict` came with 3.10
        given = []
        for place, value in enumerate(taken):
            if isinstance(value, float):
                constant = helper.make_tensor(f"{name}:constant{place}", TensorProto.FLOAT, [], [value])
                nodes.append(helper.make_node("Constant", [], [constant.name], value=constant))
                value = constant.name
            given.append(names[value] if isinstance(value, int) else str(value))
        nodes.append(helper.make_node(operator, given, [name]))
    return nodes
