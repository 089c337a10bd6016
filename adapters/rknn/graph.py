"""ONNX files in the form that RKNN's compiler reads."""

from __future__ import annotations

from pathlib import Path


def give_scalars_an_axis(path: Path) -> None:
    """Rewrite an ONNX file in place so that no input is without axes, which the compiler cannot load: one of size 1 is put before
    it, and taken off in the graph. External data stays where it is."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    scalars = [value for value in graph.input if not value.type.tensor_type.shape.dim]
    if not scalars:
        return
    taken = {value.name: f"{value.name}/scalar" for value in scalars}
    for node in graph.node:
        node.input[:] = [taken.get(name, name) for name in node.input]
    front = [helper.make_node("Constant", [], ["scalar/axes"], value=helper.make_tensor("axes", TensorProto.INT64, [1], [0]))]
    for value in scalars:
        value.type.tensor_type.shape.dim.add().dim_value = 1
        front.append(helper.make_node("Squeeze", [value.name, "scalar/axes"], [taken[value.name]]))
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))
