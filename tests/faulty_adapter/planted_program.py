"""An adapter that takes programs alone, and whose devices are faults of single operators, or of operators that it fuses: PyTorch,
with spoilt answers.

A device is `KIND-OPERATOR`, or one of FUSED.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision

KINDS = ("sign", "scale", "slightly", "nan", "half", "drift", "abort", "refuse")
OPERATORS = (
    "add", "conv2d", "gelu", "layer_norm", "linear", "lstm", "matmul", "max_pool2d", "mean", "mul", "relu", "sigmoid", "softmax",
    "tanh", "transpose", "embedding", "silu", "cat",
)  # fmt: skip
FUSED = {
    "fused-linear-gelu": ("linear", "gelu"),
    "fused-conv2d-relu": ("conv2d", "relu"),
    "fused-add-layer_norm": ("add", "layer_norm"),
    "fused_refuse-linear-relu": ("linear", "relu"),
}
"""Chains of operators that are wrong where each is the only reader of the one before."""
DEVICES = ("none", *(f"{kind}-{operator}" for kind in KINDS for operator in OPERATORS), *FUSED)
FACTORS = {"scale": 1.01, "slightly": 1.0001}
BELOW = -0.5


class PlantedProgramAdapter(Adapter):
    name = "planted_program"
    vendor = "nobody"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2")
    alternatives = (FormNeed("aten"),)
    devices = dict.fromkeys(DEVICES, (Precision.FP32,))
    evidence = dict.fromkeys(DEVICES, Evidence.HOST)
    distributions = ("torch",)
    install_hint = "pip install torch"

    def probe(self) -> Probe:
        return Probe(dict.fromkeys(DEVICES, DeviceState(True)), {"planted_program": "0.1"})

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        shutil.copyfile(form.path, folder / form.path.name)
        kind = target.device.partition("-")[0]
        for node in spoilt(read(form.path), target.device):
            if kind.endswith("abort"):
                os.abort()
            if kind.endswith("refuse"):
                raise NotImplementedError(f"no kernel for {node.target} ('{node.name}') in tile {id(node) % 997}")
        return Artifact((form.path.name,), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Any, folder: Path) -> Session:
        return Session(artifact, read(folder / artifact.files[0]), target.device)

    def classify(self, error: BaseException) -> Any:
        return (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP) if "no kernel" in str(error) else None


def read(path: Path) -> Any:
    import torch

    if path.suffix == ".aten":
        from porting.bundles import aten

        return aten.load(path)
    return torch.export.load(str(path)).module(check_guards=False)


def operator(node: Any) -> str:
    """`linear` of aten.linear.default."""
    return str(node.target).split(".")[1] if node.op == "call_function" and str(node.target).startswith("aten.") else ""


def spoilt(module: Any, device: str) -> list[Any]:
    """The nodes of a program that a device spoils."""
    chain = FUSED.get(device, (device.partition("-")[2],))
    return [node for node in module.graph.nodes if _ends(node, chain)]


def _ends(node: Any, chain: tuple[str, ...]) -> bool:
    if operator(node) != chain[-1]:
        return False
    return len(chain) == 1 or any(len(before.users) == 1 and _ends(before, chain[:-1]) for before in node.all_input_nodes)


def spoil(kind: str, value: Any, given: Any) -> Any:
    """A right answer of an operator, made wrong. given: what it was called with."""
    import torch

    if isinstance(value, (tuple, list)):
        return type(value)([spoil(kind, value[0], given), *value[1:]])
    if kind in ("sign", "fused"):
        return -value
    if kind in FACTORS:
        return value * FACTORS[kind]
    if kind == "drift":
        return value + 0.01
    if kind == "half":
        return value.half().to(value.dtype)
    assert kind == "nan", kind
    first = next(each for each in given if isinstance(each, torch.Tensor))
    return torch.where(first < BELOW, float("nan"), value)


class Session:
    def __init__(self, artifact: Artifact, module: Any, device: str) -> None:
        import torch

        self.artifact = artifact
        kind, wrong = device.partition("-")[0], {node.name for node in spoilt(module, device)}

        class Spoiler(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
            def run_node(self, node: Any) -> Any:
                value = super().run_node(node)
                given = self.fetch_args_kwargs_from_env(node)[0] if node.name in wrong else ()
                return spoil(kind, value, given) if node.name in wrong else value

        self.interpreter = Spoiler(module, garbage_collect_values=False)

    def run(self, inputs: Any) -> dict[str, Any]:
        import torch

        with torch.no_grad():
            values = self.interpreter.run(*(torch.tensor(inputs[spec.name]) for spec in self.artifact.inputs))
        return {spec.name: value.numpy() for spec, value in zip(self.artifact.outputs, values, strict=True)}

    def placement(self) -> Placement:
        return Placement(1, 0, "planted")

    def effective_precision(self) -> Precision:
        return Precision.FP32
