"""PyTorch operators on a device of PyTorch or of a plugin: which devices there are, whether one is here, a session on it.

Programs as such are `_torch_program`'s.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from porting.accelerators.profile import Recognise, load
from porting.adapter import DeviceState
from porting.types import Artifact, Cause, Placement, Precision, Target

from . import _torch_program as programs
from ._aten import Program
from ._causes import one_line
from ._torch import AUTOLOAD, import_torch

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]


@dataclass(frozen=True)
class Device:
    """A device type of PyTorch."""

    vendor: str
    plugin: str = ""
    """Import name of the package that brings it; empty where PyTorch itself does."""
    rounding: Tuple[str, ...] = ()
    """Switches under `torch` that let fp32 be computed in fewer bits; all are switched off for fp32."""
    lacks: Tuple[str, ...] = ()
    """Dtypes that the maker is published to lack."""


def _devices() -> Dict[str, Device]:
    """Every device that a profile names, the CPU first, native names before cuda: makers' shims answer to cuda's name as well."""
    found = {"cpu": Device("the host")}
    pairs = [(profile, profile.torch) for profile in load().values() if profile.torch]
    for profile, torch in sorted(pairs, key=lambda pair: (not pair[1].plugin, pair[1].device == "cuda")):
        known = found.get(torch.device)
        vendor = f"{known.vendor}, {profile.vendor}" if known else profile.vendor
        rounding = dict.fromkeys([*(known.rounding if known else ()), *torch.rounding])
        lacks = profile.dtypes.lacks if profile.dtypes and not known else ()  # one of several makers may have it
        found[torch.device] = Device(vendor, torch.plugin, tuple(rounding), lacks)
    return found


DEVICES: Mapping[str, Device] = _devices()


def maker_of_cuda(torch: Any) -> str:
    """Whose build of torch answers to cuda's name: NVIDIA's, or that of a maker who took the name over. Empty where none of the
    marks that are known is there."""
    profiles = [profile for profile in load().values() if profile.torch and profile.torch.device == "cuda"]
    marked = [(profile.vendor, profile.recognise) for profile in profiles if profile.recognise]
    # A maker's own marks before those that others' builds carry as well: Hygon's sets version.hip, as AMD's does.
    for vendor, mark in sorted(marked, key=lambda pair: pair[1].attribute.startswith("version.")):
        if recognised(torch, mark):
            return vendor
    return ""


def recognised(torch: Any, mark: Recognise) -> bool:
    """Whether a build of torch has a mark, any one of those given."""
    if mark.version_tag and re.search(mark.version_tag, torch.__version__):
        return True
    if mark.attribute and _attribute(torch, mark.attribute) is not None:
        return True
    if mark.module and importlib.util.find_spec(mark.module) is not None:
        return True
    return bool(mark.environment and os.environ.get(mark.environment))


def _attribute(holder: Any, path: str) -> Any:
    for part in path.split("."):
        holder = getattr(holder, part, None)
    return holder


def state(torch: Any, name: str) -> DeviceState:
    """Say whether device `name` is here, importing its plugin."""
    if name == "cpu":
        return DeviceState(True)
    device = DEVICES[name]
    missing = _plugin_missing(device.plugin)
    if missing is not None:
        return missing
    try:
        if _is_available(torch, name):
            torch.empty(1, device=name)  # shims answer for devices that they have not, and allocators assert
            return DeviceState(True)
        whose = device.plugin or f"torch {torch.__version__}"
        return DeviceState(False, f"{whose} sees no {name} device ({device.vendor})", Cause.MISSING_DEVICE)
    except Exception as error:  # noqa: BLE001 -- plugins raise anything when a driver is missing
        return DeviceState(False, one_line(error), Cause.MISSING_DEVICE)


def _plugin_missing(plugin: str) -> Optional[DeviceState]:
    """Import a plugin; the reason when it is not there, may not be loaded or fails."""
    if not plugin:
        return None
    try:
        if importlib.util.find_spec(plugin) is None:
            return DeviceState(False, f"{plugin} is not installed", Cause.MISSING_DEPENDENCY)
    except ModuleNotFoundError:  # the parent package of a dotted name is not there
        return DeviceState(False, f"{plugin} is not installed", Cause.MISSING_DEPENDENCY)
    if os.environ.get(AUTOLOAD) == "0":
        return DeviceState(False, f"{plugin} is installed but not loaded, since {AUTOLOAD}=0", Cause.MISSING_DEPENDENCY)
    try:
        importlib.import_module(plugin)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a plugin without its SDK raises anything
        return DeviceState(False, f"{plugin} cannot be imported: {one_line(error)}", Cause.MISSING_SDK)
    return None


def _is_available(torch: Any, name: str) -> bool:
    module = getattr(torch.backends if name == "mps" else torch, name, None)
    return module is not None and bool(module.is_available())


def versions(torch: Any) -> Dict[str, str]:
    """Of torch and of what its build carries, whose build it is, and what each device that is here says of itself."""
    known = {"torch": torch.__version__, "cuda": torch.version.cuda, "hip": getattr(torch.version, "hip", None)}
    known["maker of cuda"] = maker_of_cuda(torch)
    for device in DEVICES.values():
        module = importlib.import_module(device.plugin) if _imported(device.plugin) else None
        known[device.plugin] = getattr(module, "__version__", None)
    return {name: str(version) for name, version in known.items() if version}


def describe(torch: Any, name: str) -> str:
    """Name and memory of the first device of a type, as far as its module tells."""
    module: Any = getattr(torch, name, None)
    words: List[str] = []
    for question in (_name, _memory):
        try:
            words.append(question(module))
        except Exception:  # noqa: BLE001 -- plugins lack one or the other, and allocators assert
            continue
    return ", ".join(word for word in words if word)


def _name(module: Any) -> str:
    return str(module.get_device_name(0))


def _memory(module: Any) -> str:
    total = getattr(module.get_device_properties(0), "total_memory", 0) or module.mem_get_info(0)[1]
    return f"{total / (1 << 30):.1f} GiB"


def _imported(module: str) -> bool:
    import sys

    return module in sys.modules


def exact_rounding(torch: Any, name: str) -> None:
    """Switch off what computes fp32 in fewer bits (TF32, HF32); a switch that this build lacks is not there to be wrong."""
    for switch in DEVICES[name].rounding:
        *path, last = switch.split(".")
        holder: Any = torch
        for part in path:
            holder = getattr(holder, part, None)
        if hasattr(holder, last):
            setattr(holder, last, False)


class DeviceSession:
    """A program on one device."""

    def __init__(self, path: Path, artifact: Artifact, target: Target) -> None:
        torch = import_torch()
        if target.device != "cpu":
            _plugin_missing(DEVICES[target.device].plugin)
        if target.precision is Precision.FP32:
            exact_rounding(torch, target.device)
        self._torch = torch
        self._artifact = artifact
        self._target = target
        self._module = Program(path, target.device) if path.suffix == ".aten" else programs.load_module(path, target.device)
        self._trace: Optional[programs.Trace] = None

    def run(self, inputs: Arrays) -> Arrays:
        values = programs.ordered_inputs(inputs, self._artifact, self._target.device)
        with self._torch.no_grad():
            if self._trace is None:
                result, self._trace = programs.traced(lambda: self._module(*values), self._target.device)
            else:
                result = self._module(*values)
        return programs.named_outputs(result, self._artifact.outputs)

    def placement(self) -> Placement:
        trace = self._ran()
        on_target = trace.on(self._target.device)
        detail = {**trace.devices, **{f"{name} (fell back)": trace.names[name] for name in trace.fell_back}}
        return Placement(on_target, sum(trace.devices.values()) - on_target, self._target.device, detail)

    def effective_precision(self) -> Precision:
        return self._ran().precision() or self._target.precision

    def _ran(self) -> programs.Trace:
        if self._trace is None:
            raise RuntimeError("nothing has run yet: what ran where is known after the first run")
        return self._trace
