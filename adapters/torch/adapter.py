"""PyTorch itself: the exported program's operators, one by one, on the CPU or on an accelerator. Devices are the family's."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from porting.adapter import Adapter, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Evidence, Precision, Target

from .. import _torch_program as programs
from .._causes import Meaning, first_match, nothing_here
from .._torch_device import DEVICES, RULES, DeviceSession, import_torch, state, versions

PRECISIONS = dict.fromkeys(DEVICES, (Precision.FP32, Precision.FP16, Precision.BF16))


class TorchAdapter(Adapter):
    """Runs the exported program, at the target's precision, on one device of PyTorch."""

    name = "torch"
    vendor = "PyTorch Foundation; plugins by the makers of the devices"
    family = Family.TORCH_DEVICE
    need = FormNeed("pt2", at_target_precision=True)
    devices = PRECISIONS
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012 -- declared as ClassVar in the base class
    distributions = ("torch",)
    install_hint = "pip install torch, and the plugin of the device's maker"

    def probe(self) -> Probe:
        try:
            torch = import_torch()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({name: state(torch, name) for name in self.devices}, versions(torch))

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        programs.copy_program(form.path, folder)
        return Artifact((programs.FILE,), form.inputs, form.outputs, {"device": target.device})

    def load(self, artifact: Artifact, target: Target, folder: Path) -> DeviceSession:
        return DeviceSession(folder / artifact.files[0], artifact, target)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)
