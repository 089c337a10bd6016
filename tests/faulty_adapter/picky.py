"""An adapter that runs onnxruntime and takes not everything: its devices say what is wrong with them.

no_gelu refuses an operator, no_shape another, no_gelu_no_erf also the one that it is made of, nameless says not which,
wrong_from_19 answers wrongly where a file has a newer opset than 18, silent_no_gelu says not that anything ran, right is right.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision

DEVICES = ("right", "no_shape", "no_gelu", "no_gelu_no_erf", "nameless", "silent_no_gelu", "wrong_from_19")
REFUSED = {
    "no_shape": ["Shape"],
    "no_gelu": ["Gelu"],
    "no_gelu_no_erf": ["Gelu", "Erf"],
    "nameless": ["Gelu", "Erf"],
    "silent_no_gelu": ["Gelu", "Erf"],
}


class PickyAdapter(Adapter):
    name = "picky"
    vendor = "nobody"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = dict.fromkeys(DEVICES, (Precision.FP32,))
    evidence = dict.fromkeys(DEVICES, Evidence.HOST)
    distributions = ("onnxruntime",)
    install_hint = "pip install onnxruntime"

    def probe(self) -> Probe:
        return Probe(dict.fromkeys(DEVICES, DeviceState(True)), {"picky": "0.1"})

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        import onnx

        there = {node.op_type for node in onnx.load(form.path, load_external_data=False).graph.node}
        lacking = sorted(there & set(REFUSED.get(target.device, [])))
        if lacking:
            said = "something of it" if target.device == "nameless" else ", ".join(lacking)
            raise NotImplementedError(f"picky has no layer for {said}")
        for path in form.path.parent.iterdir():
            if path.suffix in (".onnx", ".data", ".safetensors"):
                shutil.copyfile(path, folder / path.name)
        wrong = target.device == "wrong_from_19" and form.opset > 18
        told = not target.device.startswith("silent")
        return Artifact((form.path.name,), form.inputs, form.outputs, {"wrong": wrong, "told": told})

    def load(self, artifact: Artifact, target: Any, folder: Path) -> Session:
        return Session(artifact, folder / artifact.files[0])

    def classify(self, error: BaseException) -> Any:
        return (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP) if "no layer for" in str(error) else None


class Session:
    def __init__(self, artifact: Artifact, path: Path) -> None:
        import onnxruntime

        self.artifact = artifact
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(self, inputs: Any) -> dict[str, Any]:
        names = [spec.name for spec in self.artifact.outputs]
        factor = 1.5 if self.artifact.options["wrong"] else 1
        values = self.session.run(names, dict(inputs))
        return {name: value * value.dtype.type(factor) for name, value in zip(names, values, strict=True)}

    def placement(self) -> Placement:
        return Placement(1, 0, "here") if self.artifact.options["told"] else Placement(None, None, "here")

    def effective_precision(self) -> Precision:
        return Precision.FP32
