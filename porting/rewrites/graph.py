"""Changes to an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir


def rewrite(path: Path, words: Sequence[str], save: Callable[[Any, Path], None]) -> tuple[str, ...]:
    """Change an ONNX file, and return the words of what found something to change. Weights that lie elsewhere stay there.

    save: writes a model to a file.
    """
    import onnx_ir

    done: list[str] = []
    model = onnx_ir.load(path)
    done += [word for word in words if word in GRAPH and GRAPH[word](model)]
    if done:
        save(model, path)
    operators = [word.partition("=")[2] for word in words if word.startswith("expand=")]
    return (*done, *(f"expand={operator}" for operator in _expand(path, operators)))


def _expand(path: Path, operators: Sequence[str]) -> Sequence[str]:
    """Let a file write operators by others, as the standard defines them. Returns those that were found."""
    if not operators:
        return ()
    import onnx
    from onnx import inliner

    model = onnx.load(path, load_external_data=False)
    there = {node.op_type for node in _protos(model.graph)}
    found = [operator for operator in operators if operator in there]
    # Definitions of operators have CastLike in them, which few stacks know: it becomes Cast.
    for names in (found, ["CastLike"]) if found else ():
        typed = onnx.shape_inference.infer_shapes(model)
        model = inliner.inline_selected_functions(typed, [("", name) for name in names], inline_schema_functions=True)
    if found:
        onnx.save(model, path)
    return found


def _protos(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _protos(inner)


def _graphs(model: onnx_ir.Model) -> Iterator[Any]:
    """The graph, and those inside its nodes."""
    waiting: list[Any] = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type.name == "GRAPH":
                    waiting.append(attribute.value)
                elif attribute.type.name == "GRAPHS":
                    waiting += attribute.value


def _nodes(model: onnx_ir.Model, operator: str) -> list[tuple[Any, Any]]:
    """Every node of an operator of the standard, with its graph."""
    return [(g, n) for g in _graphs(model) for n in list(g) if n.op_type == operator and n.domain in ("", "ai.onnx")]


class _Maker:
    """Makes nodes in front of another."""

    def __init__(self, graph: Any, before: Any) -> None:
        self.graph, self.before = graph, before
        self._made = 0

    def node(self, operator: str, *inputs: Any, like: Any = None, dtype: Any = None, **attributes: Any) -> Any:
        """Add a node and return its output. like: a value of the same shape."""
        import onnx_ir

        value = onnx_ir.Value(name=None)
        if like is not None:
            value.shape, value.type = like.shape, like.type
        if dtype is not None:
            value.type = onnx_ir.TensorType(dtype)
        made = onnx_ir.node(operator, list(inputs), attributes=attributes, outputs=[value])
        made.metadata_props.update(self.before.metadata_props)
        self.graph.insert_before(self.before, made)
        return value

    def constant(self, array: Any) -> Any:
        import onnx_ir

        self._made += 1
        name = f"{self.before.outputs[0].name}.constant{self._made}"
        tensor = onnx_ir.tensor(array, name=name)
        shape, kind = onnx_ir.Shape(array.shape), onnx_ir.TensorType(tensor.dtype)
        value = onnx_ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def replace(self, value: Any) -> None:
        """Let the node's output be this value instead."""
        import onnx_ir

        old, name = self.before.outputs[0], self.before.outputs[0].name
        value.shape, value.type = value.shape or old.shape, value.type or old.type
        onnx_ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
        self.graph.remove(self.before, safe=True)
        value.name = name


def _isnan(model: onnx_ir.Model) -> int:
    import onnx_ir

    found = _nodes(model, "IsNaN")
    for graph, node in found:
        make, (x,) = _Maker(graph, node), node.inputs
        equal = make.node("Equal", x, x, dtype=onnx_ir.DataType.BOOL)
        make.replace(make.node("Not", equal, like=node.outputs[0]))
    return len(found)


def _mod(model: onnx_ir.Model) -> int:
    """Of whole numbers, with the sign of the divisor: what a division leaves, made to be of that sign by one more of them."""
    whole = [(graph, node) for graph, node in _nodes(model, "Mod") if _is_whole_mod(node)]
    for graph, node in whole:
        make, (x, y) = _Maker(graph, node), node.inputs

        def left(value: Any, make: _Maker = make, y: Any = y, like: Any = node.outputs[0]) -> Any:
            times = make.node("Div", value, y, like=like)
            return make.node("Sub", value, make.node("Mul", times, y, like=like), like=like)

        make.replace(left(make.node("Add", left(x), y, like=node.outputs[0])))
    return len(whole)


def _is_whole_mod(node: Any) -> bool:
    import onnx_ir

    dtypes = {value.dtype for value in (*node.inputs, *node.outputs)}
    fmod = node.attributes.get("fmod")
    return bool(dtypes & {onnx_ir.DataType.INT64, onnx_ir.DataType.INT32}) and not (fmod and fmod.value)


def _cumsum(model: onnx_ir.Model) -> int:
    import onnx_ir
    from onnx_ir.passes.common import ShapeInferencePass

    kinds = onnx_ir.DataType
    if any(node.inputs[0].dtype is None for _, node in _nodes(model, "CumSum")):
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
    found = [(graph, node) for graph, node in _nodes(model, "CumSum") if node.inputs[0].dtype is kinds.BOOL]
    for graph, node in found:
        make, (x, axis) = _Maker(graph, node), node.inputs
        counted = make.node("Cast", x, like=x, dtype=kinds.INT64, to=kinds.INT64.value)
        kept = {name: attribute.value for name, attribute in node.attributes.items()}
        make.replace(make.node("CumSum", counted, axis, like=node.outputs[0], dtype=kinds.INT64, **kept))
    return len(found)


def _where(model: onnx_ir.Model) -> int:
    import onnx_ir

    kinds = onnx_ir.DataType
    found = [pair for pair in _nodes(model, "Where") if _dtype(pair[1]) in (kinds.BOOL, kinds.BFLOAT16, kinds.FLOAT16)]
    for graph, node in found:
        make, (condition, one, other) = _Maker(graph, node), node.inputs
        if _dtype(node) is kinds.BOOL:
            taken = make.node("And", condition, one, dtype=kinds.BOOL)
            negated = make.node("Not", condition, like=condition, dtype=kinds.BOOL)
            left = make.node("And", negated, other, dtype=kinds.BOOL)
            make.replace(make.node("Or", taken, left, like=node.outputs[0]))
        else:
            wide = [make.node("Cast", value, like=value, dtype=kinds.FLOAT, to=kinds.FLOAT.value) for value in (one, other)]
            chosen = make.node("Where", condition, *wide, dtype=kinds.FLOAT)
            make.replace(make.node("Cast", chosen, like=node.outputs[0], to=_dtype(node).value))
    return len(found)


def _dtype(node: Any) -> Any:
    """Of what a node gives, or takes last where that is not said."""
    return next((value.dtype for value in (node.outputs[0], *node.inputs[::-1]) if value is not None and value.dtype), None)


def _batch_norm(model: onnx_ir.Model) -> int:
    """Every normalisation by constants becomes a product and a sum, or goes into the convolution before it."""
    import numpy as np

    found = 0
    for graph, node in _nodes(model, "BatchNormalization"):
        constants = [_array(value) for value in node.inputs[1:5]]
        if any(array is None for array in constants) or len(node.outputs) != 1:
            continue
        scale, bias, mean, variance = constants
        epsilon = node.attributes["epsilon"].value if "epsilon" in node.attributes else 1e-5
        factor = (scale / np.sqrt(variance.astype(np.float64) + epsilon)).astype(scale.dtype)
        offset = (bias - mean.astype(np.float64) * factor).astype(scale.dtype)
        make, x = _Maker(graph, node), node.inputs[0]
        if not _into_convolution(make, x, factor, offset):
            shape = (-1, *[1] * (len(x.shape) - 2)) if x.shape is not None else None
            if shape is None:
                continue
            product = make.node("Mul", x, make.constant(factor.reshape(shape)), like=node.outputs[0])
            make.replace(make.node("Add", product, make.constant(offset.reshape(shape)), like=node.outputs[0]))
        found += 1
    return found


def _array(value: Any) -> Any:
    """The array of a constant, else None."""
    return value.const_value.numpy() if value is not None and value.const_value is not None else None


def _into_convolution(make: _Maker, x: Any, factor: Any, offset: Any) -> bool:
    """Scale the weights of the convolution that gives `x`, where nothing else reads it."""
    import numpy as np

    before = x.producer()
    if before is None or before.op_type != "Conv" or len(x.uses()) != 1 or x.is_graph_output():
        return False
    weight = _array(before.inputs[1])
    old = _array(before.inputs[2]) if len(before.inputs) > 2 and before.inputs[2] is not None else np.zeros_like(offset)
    if weight is None or old is None:
        return False
    inputs = [
        before.inputs[0],
        make.constant(weight * factor.reshape(-1, *[1] * (weight.ndim - 1))),
        make.constant(old * factor + offset),
    ]
    attributes = {name: attribute.value for name, attribute in before.attributes.items()}
    make.replace(make.node("Conv", *inputs, like=make.before.outputs[0], **attributes))
    before.graph.remove(before, safe=True)
    return True


def _simplify(model: onnx_ir.Model) -> int:
    """Fold what follows from constants and from declared shapes, and drop what nothing reads. No patterns are matched: those of
    the exporter's optimiser take nearly equal constants for equal."""
    from onnx_ir.passes import common
    from onnxscript import optimizer

    before = [node.op_type for graph in _graphs(model) for node in graph]
    for _ in range(ROUNDS):  # a shape that became known makes others known
        folded = optimizer.fold_constants(
            model, onnx_shape_inference=True, input_size_limit=FOLDED_BYTES, output_size_limit=FOLDED_BYTES
        )
        if not folded.modified:
            break
    common.IdentityEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    return int(before != [node.op_type for graph in _graphs(model) for node in graph])


ROUNDS = 4
FOLDED_BYTES = 1 << 20
"""What is larger is computed by the stack: a folded constant is stored."""

GRAPH: dict[str, Callable[[Any], int]] = {
    "where=selected": _where,
    "cumsum=integers": _cumsum,
    "isnan=compared": _isnan,
    "mod=divided": _mod,
    "batch_norm=folded": _batch_norm,
    "simplify=folded": _simplify,
}
