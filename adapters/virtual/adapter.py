"""Devices that are not here, stood in for: programs run on the CPU by operators that the maker's list has, and no others.

The device itself is porting.accelerators.standin; programs as such are the family's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional

from porting.accelerators import standin
from porting.accelerators.ledger import Ledger
from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Placement, Precision, Target

from .. import _lists as lists
from .. import _torch_program as programs
from .._causes import Meaning, first_match, nothing_here, one_line
from .._torch import RULES as TORCH_RULES
from .._torch import import_torch

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]


class VirtualAdapter(Adapter):
    """Runs the exported program on a stand-in for the device, as the maker's plugin would: what is not in its list falls back to
    the CPU or is refused."""

    name = "virtual"
    vendor = "this toolkit, after lists of Huawei, Cambricon and Moore Threads"
    family = Family.TORCH_DEVICE
    need = FormNeed("pt2", at_target_precision=True)
    devices = lists.devices()
    evidence = dict.fromkeys(devices, Evidence.VIRTUAL)
    distributions = ("torch",)
    install_hint = "pip install torch"

    def probe(self) -> Probe:
        try:
            torch = import_torch()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        try:
            from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

            del _setup_privateuseone_for_python_backend
            state = DeviceState(True)
        except ImportError as error:
            state = DeviceState(False, f"torch {torch.__version__} is too old: {one_line(error)}", Cause.VERSION_CONFLICT)
        return Probe(dict.fromkeys(self.devices, state), {"torch": torch.__version__, **lists.versions()})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        profile, _ = lists.profile_of(target.device)
        assert profile.torch
        programs.copy_program(form.path, folder)
        options = {"device": profile.torch.device, "plugin": profile.torch.plugin}
        return Artifact((programs.FILE,), form.inputs, form.outputs, options)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> VirtualSession:
        return VirtualSession(folder / artifact.files[0], artifact, target)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", lists.RULES + TORCH_RULES)


class VirtualSession:
    """A program on a stand-in."""

    def __init__(self, path: Path, artifact: Artifact, target: Target) -> None:
        import_torch()
        self._artifact = artifact
        self._target = target
        self._profile, self._fallback = lists.profile_of(target.device)
        self._device = standin.install(self._profile)
        self._module = lists.load_on(self._device, path)
        self._first: Optional[Ledger] = None
        self._trace: Optional[programs.Trace] = None

    def run(self, inputs: Arrays) -> Arrays:
        import torch

        standin.install(self._profile)  # since it was loaded, another session of this process may have it compute nothing
        ledger = self._device.become(self._profile, self._fallback)
        values = programs.ordered_inputs(inputs, self._artifact, self._device.name)
        with torch.no_grad():
            if self._first is None:
                ledger = self._device.become(self._profile, self._fallback)  # without what brought the inputs there
                result, self._trace = programs.traced(self._work(values), self._device.name)
                self._first = ledger
            else:
                result = self._work(values)()
        return programs.named_outputs(result, self._artifact.outputs)

    def _work(self, values: Any) -> Any:
        return lambda: lists.run_by_node(self._device, self._module, values)

    def placement(self) -> Placement:
        if self._first is None:
            raise RuntimeError("nothing has run yet: what ran where is known after the first run")
        return lists.placement(self._first, f"stand-in for {self._profile.vendor}")

    def effective_precision(self) -> Precision:
        return (self._trace.precision() if self._trace else None) or self._target.precision
