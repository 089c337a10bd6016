"""PyTorch itself: the exported program's operators, one by one, on the CPU or on an accelerator. Devices are the family's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Optional

from porting.adapter import Adapter, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Evidence, Precision, Target

from .. import _aten
from .. import _torch_program as programs
from .._causes import Meaning, first_match, nothing_here
from .._files import clone_file
from .._torch import RULES, import_torch
from .._torch_device import DEVICES, DeviceSession, describe, state, versions

ATEN, RUNNER = "model.aten", "aten_program.py"
DTYPES = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.BF16: "bfloat16"}
PRECISIONS = {name: tuple(p for p, dtype in DTYPES.items() if dtype not in device.lacks) for name, device in DEVICES.items()}


class TorchAdapter(Adapter):
    """Runs the exported program, at the target's precision, on one device of PyTorch."""

    name = "torch"
    vendor = "PyTorch Foundation; plugins by the makers of the devices"
    family = Family.TORCH_DEVICE
    need = FormNeed("pt2", at_target_precision=True)
    alternatives = (FormNeed("aten", at_target_precision=True),)  # for the older versions that makers' plugins pin
    devices = PRECISIONS
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012 -- declared as ClassVar in the base class
    distributions = ("torch",)
    install_hint = "pip install torch, and the plugin of the device's maker"

    def probe(self) -> Probe:
        try:
            torch = import_torch()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        states = {name: state(torch, name) for name in self.devices}
        here = {name: describe(torch, name) for name, found in states.items() if found.available and name != "cpu"}
        return Probe(states, {**versions(torch), **{name: said for name, said in here.items() if said}})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        options = {"device": target.device}
        if form.kind == "aten":
            clone_file(form.path, folder / ATEN)
            shutil.copyfile(_aten.__file__, str(folder / RUNNER))
            return Artifact((ATEN, RUNNER), form.inputs, form.outputs, options)
        programs.copy_program(form.path, folder)
        return Artifact((programs.FILE,), form.inputs, form.outputs, options)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> DeviceSession:
        return DeviceSession(folder / artifact.files[0], artifact, target)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)
