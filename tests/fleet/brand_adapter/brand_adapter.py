"""An adapter with an accelerator of one brand on some nodes, of another on others; the arithmetic is onnxruntime's.

What it computes on is told by the node's name; which device it was given, by the variable that the maker's stack reads. A device
is broken while the folder in BRAND_BROKEN has a file of its name; a model with an input `poison` breaks the one that it runs on.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from porting.adapter import Adapter, DeviceState, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Placement, Precision, TensorSpec

NODES = {"npu": "ascend", "mlu": "cambricon", "cpu": "", "slow": "", "hungry": "", "nowhere": "never"}
"""Device to how the names of the nodes begin that have it."""
VARIABLES = {"npu": "ASCEND_RT_VISIBLE_DEVICES", "mlu": "MLU_VISIBLE_DEVICES"}


def node() -> str:
    return os.environ.get("PORTING_MACHINE", "")


class BrandAdapter(Adapter):
    name = "brand"
    vendor = "nobody"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = dict.fromkeys(NODES, (Precision.FP32,))
    evidence = dict.fromkeys(NODES, Evidence.HARDWARE) | dict.fromkeys(("cpu", "slow", "hungry"), Evidence.HOST)
    distributions = ("onnxruntime",)
    install_hint = "Plug in the card."

    def probe(self) -> Probe:
        absent = DeviceState(False, "no such card", Cause.MISSING_DEVICE)
        there = {device: DeviceState(True) if node().startswith(name) else absent for device, name in NODES.items()}
        return Probe(
            there,
            {"brand": "0.1", "sdk": os.environ.get("BRAND_SDK", "none"), "driver": node().split(" ")[0].rstrip("0123456789")},
        )

    def convert(self, form: Any, target: Any, folder: Path) -> Artifact:
        for path in form.path.parent.glob("*"):
            if path.is_file() and path.suffix in (".onnx", ".data", ".safetensors"):
                shutil.copyfile(path, folder / path.name)
        return Artifact((form.path.name,), form.inputs, tuple(TensorSpec(s.name, s.dtype, s.shape) for s in form.outputs))

    def load(self, artifact: Artifact, target: Any, folder: Path) -> BrandSession:
        return BrandSession(folder / artifact.files[0], target.device)


class BrandSession:
    def __init__(self, path: Path, device: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.device = device

    def run(self, inputs: Any) -> dict[str, Any]:
        if seconds := float(os.environ.get("BRAND_SECONDS", "2" if self.device == "slow" else "0")):
            time.sleep(seconds)  # under a faked clock it raises
        hoard = []
        while self.device == "hungry":
            hoard.append(bytearray(128 << 20))
            time.sleep(0.25)
        mark = Path(os.environ.get("BRAND_BROKEN", "/nowhere"), f"{node().split(' ')[0]}-{self._given()}")
        if "poison" in inputs and mark.parent.is_dir():
            mark.touch()
        if mark.exists():
            raise RuntimeError("the device does not answer")
        if "fails" in inputs:
            raise RuntimeError("kernel fault")
        names = [o.name for o in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))

    def placement(self) -> Placement:
        given = self._given()
        return Placement(12, 0, f"{self.device}:{given}" if given else self.device)

    def _given(self) -> str:
        return os.environ.get(VARIABLES.get(self.device, ""), "")

    def effective_precision(self) -> Precision:
        return Precision.FP32
