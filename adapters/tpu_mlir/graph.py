"""ONNX files in the form that tpu-mlir reads: names of its liking, weights inside, nothing handed through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

IR_VERSION = 8
"""The newest that onnx 1.14 knows for opset 17."""


@dataclass(frozen=True)
class Plain:
    """What a rewritten file says."""

    inputs: Mapping[str, str]
    """Name in the file by the model's own name, of the inputs that something depends on."""
    outputs: Tuple[str, ...]
    """The model's own names, in the order of the file."""
    handed: Mapping[str, str]
    """Outputs that are nothing but an input, by name: not in the file."""
    shapes: Tuple[Tuple[int, ...], ...]
    """Of the file's inputs."""


def rewrite(source: Path, path: Path) -> Plain:
    """Write the model at `source` to `path`. Raises ValueError when none of its outputs is computed."""
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    origin = _origins(graph)
    entries = [value.name for value in graph.input]
    handed = {value.name: origin[value.name] for value in graph.output if origin.get(value.name, value.name) in entries}
    kept = [value for value in graph.output if value.name not in handed]
    if not kept:
        raise ValueError("every output is an input handed through: there is nothing to compile")
    _write_out_isnan(graph)
    used = {name for node in _nodes(graph) for name in node.input}
    taken = [value for value in graph.input if value.name in used]
    names = {value.name: f"in{number}" for number, value in enumerate(taken)}
    names.update({value.name: f"out{number}" for number, value in enumerate(kept)})
    plain = Plain(
        {value.name: names[value.name] for value in taken},
        tuple(value.name for value in kept),
        handed,
        tuple(tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in taken),
    )
    for values, wanted in ((graph.input, taken), (graph.output, kept)):
        replaced = [_copy(value, names[value.name]) for value in wanted]
        del values[:]
        values.extend(replaced)
    for node in _nodes(graph):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    model.ir_version = min(model.ir_version, IR_VERSION)
    onnx.save(model, str(path))
    return plain


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and those of graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _write_out_isnan(graph: Any) -> None:
    """Attention asks after rows that are masked as a whole: nothing but what is not a number differs from itself."""
    from onnx import helper

    nodes: List[Any] = []
    for node in graph.node:
        if node.op_type == "IsNaN":
            (name,), (made,) = node.input, node.output
            nodes.append(helper.make_node("Equal", [name, name], [f"{made}/same"]))
            nodes.append(helper.make_node("Not", [f"{made}/same"], [made]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _origins(graph: Any) -> Dict[str, str]:
    """For what only Identity stands between, the name that it comes from."""
    origins: Dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "Identity":
            origins[node.output[0]] = origins.get(node.input[0], node.input[0])
    return origins


def _copy(value: Any, name: str) -> Any:
    import onnx

    made = onnx.ValueInfoProto()
    made.CopyFrom(value)
    made.name = name
    return made


def shapes_argument(shapes: Tuple[Tuple[int, ...], ...]) -> str:
    """Shapes as `model_transform` takes them: [[1,3],[2]]; an input without axes has one of size 1."""
    written: List[str] = ["[" + ",".join(map(str, shape or (1,))) + "]" for shape in shapes]
    return "[" + ",".join(written) + "]"
