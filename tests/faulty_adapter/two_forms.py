"""An adapter that takes two forms, and whose devices say what is wrong with each: `first_wrong`, `second_refused` ...

Answers are onnxruntime's along the first form, PyTorch's along the second.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision

DEVICES = (
    "right", "first_refused", "first_mended", "first_wrong", "first_crashes", "refused_then_wrong", "wrong_then_refused",
    "both_refused", "wrong_at_other_sizes", "wrong_then_refuses_sizes",
)  # fmt: skip


class TwoFormsAdapter(Adapter):
    name = "two_forms"
    vendor = "nobody"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx")
    alternatives = (FormNeed("pt2", dynamic=False),)
    devices = dict.fromkeys(DEVICES, (Precision.FP32,))
    evidence = dict.fromkeys(DEVICES, Evidence.HOST)
    distributions = ("onnxruntime", "torch")
    install_hint = "pip install onnxruntime torch"

    def probe(self) -> Probe:
        return Probe(dict.fromkeys(DEVICES, DeviceState(True)), {"two_forms": "0.1"})

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        first, device = form.kind == "onnx", target.device
        if device == "both_refused" or device == ("first_refused" if first else "wrong_then_refused"):
            raise NotImplementedError(f"no kernel for {form.kind}")
        if device == "refused_then_wrong" and first:
            raise NotImplementedError("no kernel for onnx")
        if device == "first_mended" and first and "Gelu" in operators(form.path):
            raise NotImplementedError("no kernel: two_forms has no layer for Gelu")
        if device == "wrong_then_refuses_sizes" and (not first or (traced(form.path) and varies(form))):
            raise NotImplementedError("no kernel for pt2" if not first else "sizes vary")
        if device == "first_crashes" and first:
            import os

            os.abort()
        for path in form.path.parent.iterdir():
            if path.is_file() and path.suffix in (".onnx", ".pt2", ".data", ".safetensors"):
                shutil.copyfile(path, folder / path.name)
        wrong = device in (("first_wrong", "wrong_then_refused") if first else ("refused_then_wrong",))
        elsewhere = first and (
            device == "wrong_at_other_sizes" or (device == "wrong_then_refuses_sizes" and not traced(form.path))
        )
        return Artifact((form.path.name,), form.inputs, form.outputs, {"wrong": wrong, "wrong elsewhere": elsewhere})

    def load(self, artifact: Artifact, target: Any, folder: Path) -> Session:
        return Session(artifact, folder / artifact.files[0])

    def classify(self, error: BaseException) -> Any:
        if "sizes vary" in str(error):
            return Outcome.FAIL, Cause.DYNAMIC_SHAPE
        return (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP) if "no kernel" in str(error) else None


def operators(path: Path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}


def traced(path: Path) -> bool:
    """Whether a file was made along `capture=torchscript`: the other exporter writes where each node is from."""
    import onnx

    return not any(node.metadata_props for node in onnx.load(path, load_external_data=False).graph.node)


def varies(form: Any) -> bool:
    return any(isinstance(axis, str) for spec in form.inputs for axis in spec.shape)


class Session:
    def __init__(self, artifact: Artifact, path: Path) -> None:
        self.artifact, self.path = artifact, path
        self.first: list[Any] = []
        """Shapes of the first answer."""

    def run(self, inputs: Any) -> dict[str, Any]:
        names = [spec.name for spec in self.artifact.outputs]
        values = self._onnx(inputs) if self.path.suffix == ".onnx" else self._pt2(inputs)
        shapes = [value.shape for value in values]
        self.first = self.first or shapes
        wrong = self.artifact.options["wrong elsewhere"] and shapes != self.first
        factor = 1.5 if self.artifact.options["wrong"] or wrong else 1
        return {name: value * value.dtype.type(factor) for name, value in zip(names, values, strict=True)}

    def _onnx(self, inputs: Any) -> Any:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(self.path), providers=["CPUExecutionProvider"])
        return session.run([spec.name for spec in self.artifact.outputs], dict(inputs))

    def _pt2(self, inputs: Any) -> Any:
        import torch

        program = torch.export.load(str(self.path)).module()
        return [value.detach().numpy() for value in program(*(torch.tensor(inputs[s.name]) for s in self.artifact.inputs))]

    def placement(self) -> Placement:
        return Placement(1, 0, "here")

    def effective_precision(self) -> Precision:
        return Precision.FP32
