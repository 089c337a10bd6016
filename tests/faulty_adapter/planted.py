"""An adapter whose devices are faults of single kernels, or of operators that it fuses: onnxruntime on a spoilt copy.

A device is `KIND-OPERATOR`, or one of FUSED.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision

KINDS = ("sign", "scale", "slightly", "axis", "eps", "half", "nan", "tanh", "abort", "refuse", "hang", "shape", "drift", "ulps")
OPERATORS = (
    "Add", "Conv", "Gelu", "Gemm", "LSTM", "LayerNormalization", "MatMul", "MaxPool", "Mul", "Relu", "Reshape", "Sigmoid",
    "Softmax", "Transpose", "AveragePool", "Gather", "ReduceMean", "Concat", "Div", "Tanh",
)  # fmt: skip
FUSED = {
    "fused-MatMul-Add": ("MatMul", "Add"),
    "fused-Conv-Relu": ("Conv", "Relu"),
    "fused-Mul-Add": ("Mul", "Add"),
    "fused-Add-LayerNormalization": ("Add", "LayerNormalization"),
    "fused-Gemm-Relu": ("Gemm", "Relu"),
    "fused-Sigmoid-Mul": ("Sigmoid", "Mul"),
    "fused-MatMul-Add-Gelu": ("MatMul", "Add", "Gelu"),
    "fused-Conv-Add-Relu": ("Conv", "Add", "Relu"),
    "fused_abort-MatMul-Add": ("MatMul", "Add"),
    "fused_refuse-Conv-Relu": ("Conv", "Relu"),
    "fused_free-Conv-Relu": ("Conv", "Relu"),
}
"""Chains of operators that are wrong where each is the only reader of the one before; `fused_free` where an axis may
also have any size."""
DEVICES = ("none", "unsteady", *(f"{kind}-{operator}" for kind in KINDS for operator in OPERATORS), *FUSED)
FACTORS = {"scale": 1.01, "slightly": 1.0001, "ulps": 1 + 8e-7}
BELOW = -0.5
"""NaN comes out where a number below this goes in."""


class PlantedAdapter(Adapter):
    name = "planted"
    vendor = "nobody"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = dict.fromkeys(DEVICES, (Precision.FP32,))
    evidence = dict.fromkeys(DEVICES, Evidence.HOST)
    distributions = ("onnxruntime",)
    install_hint = "pip install onnxruntime"

    def probe(self) -> Probe:
        return Probe(dict.fromkeys(DEVICES, DeviceState(True)), {"planted": "0.1"})

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        import onnx

        model = onnx.load(form.path)
        spoil(model, target.device)
        onnx.save(model, folder / "model.onnx")
        return Artifact(("model.onnx",), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Any, folder: Path) -> PlantedSession:
        return PlantedSession(folder / "model.onnx", target.device == "unsteady")

    def classify(self, error: BaseException) -> Any:
        return (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP) if "no kernel" in str(error) else None


class PlantedSession:
    runs = 0

    def __init__(self, path: Path, unsteady: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.unsteady = unsteady

    def run(self, inputs: Any) -> dict[str, Any]:
        names = [o.name for o in self.session.get_outputs()]
        self.runs += 1
        values = self.session.run(names, dict(inputs))
        return {name: v * v.dtype.type(self.runs) if self.unsteady else v for name, v in zip(names, values, strict=True)}

    def placement(self) -> Placement:
        return Placement(1, 0, "planted")

    def effective_precision(self) -> Precision:
        return Precision.FP32


def spoil(model: Any, device: str) -> None:
    """Plant the fault of a device."""
    kind, _, operator = device.partition("-")
    free = any(dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim)
    if device in FUSED and (free or kind != "fused_free"):
        _spoil_chains(model.graph, FUSED[device], kind)
        return
    new = []
    for node in model.graph.node:
        new += _spoilt(model.graph, node, kind) if node.op_type == operator else [node]
    del model.graph.node[:]
    model.graph.node.extend(new)


def _spoil_chains(graph: Any, chain: tuple[str, ...], kind: str) -> None:
    made = {name: node for node in graph.node for name in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    outputs = {value.name for value in graph.output}

    def ends_chain(node: Any, operators: tuple[str, ...]) -> bool:
        if node.op_type != operators[-1]:
            return False
        if len(operators) == 1:
            return True
        before = [made[name] for name in node.input if name in made and readers[name] == 1 and name not in outputs]
        return any(ends_chain(other, operators[:-1]) for other in before)

    new = []
    for node in graph.node:
        fault = {"fused": "sign", "fused_free": "sign", "fused_abort": "abort", "fused_refuse": "refuse"}[kind]
        new += _spoilt(graph, node, fault) if ends_chain(node, chain) else [node]
    del graph.node[:]
    graph.node.extend(new)


def _spoilt(graph: Any, node: Any, kind: str) -> list[Any]:
    """The nodes that stand for a spoilt one."""
    if kind == "abort":
        os.abort()
    if kind == "refuse":
        raise NotImplementedError(f"no kernel for {node.op_type} ('{node.name}') in tile {id(node) % 997}")
    if kind == "hang":
        time.sleep(600)
    if kind in ("axis", "eps", "tanh"):
        return [_other_attributes(node, kind)]
    return _in_half(node) if kind == "half" else [node, *_after(graph, node, kind)]


def _other_attributes(node: Any, kind: str) -> Any:
    from onnx import helper

    for attribute in node.attribute:
        if kind == "axis" and attribute.name == "axis":
            attribute.i -= 1
        if kind == "eps" and attribute.name == "epsilon":
            attribute.f = 1e-3
    if kind == "tanh":
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("approximate", "tanh"))
    return node


def _in_half(node: Any) -> list[Any]:
    from onnx import TensorProto, helper

    out, inside = node.output[0], f"{node.output[0]}__half"
    casts = [helper.make_node("Cast", [name], [f"{out}__h{n}"], to=TensorProto.FLOAT16) for n, name in enumerate(node.input)]
    node.input[:] = [cast.output[0] for cast in casts]
    node.output[0] = inside
    return [*casts, node, helper.make_node("Cast", [inside], [out], to=TensorProto.FLOAT)]


def _after(graph: Any, node: Any, kind: str) -> list[Any]:
    """What spoils a right output."""
    import numpy as np
    from onnx import helper, numpy_helper

    out, right = node.output[0], f"{node.output[0]}__right"
    node.output[0] = right

    def constant(value: Any, dtype: Any = np.float32) -> str:
        name = f"{out}__c{len(graph.initializer)}"
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    if kind == "sign":
        return [helper.make_node("Neg", [right], [out])]
    if kind in FACTORS:
        return [helper.make_node("Mul", [right, constant(FACTORS[kind])], [out])]
    if kind == "drift":
        return [helper.make_node("Add", [right, constant(0.01)], [out])]
    if kind == "shape":
        return [helper.make_node("Unsqueeze", [right, constant([0], np.int64)], [out])]
    assert kind == "nan", kind
    less = helper.make_node("Less", [node.input[0], constant(BELOW)], [f"{out}__less"])
    return [less, helper.make_node("Where", [less.output[0], constant(float("nan")), right], [out])]
