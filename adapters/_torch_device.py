"""PyTorch operators on a device of PyTorch or of a plugin: which devices there are, whether one is here, a session on it.

Programs as such are `_torch_program`'s.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from porting.adapter import DeviceState
from porting.types import Artifact, Cause, Outcome, Placement, Precision, Target

from . import _torch_program as programs
from ._causes import Rule, one_line

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"


@dataclass(frozen=True)
class Device:
    """A device type of PyTorch."""

    vendor: str
    plugin: str = ""
    """Import name of the package that brings it; empty where PyTorch itself does."""
    rounding: Tuple[str, ...] = ()
    """Switches under `torch` that let fp32 be computed in fewer bits; all are switched off for fp32."""


# Native names before cuda: vendors' shims answer to cuda's name as well. AMD's, Hygon's, MetaX's, Iluvatar's and Kunlunxin's
# builds of torch have no other name; the version tag tells them apart.
DEVICES: Mapping[str, Device] = {
    "cpu": Device("the host"),
    "npu": Device("Huawei Ascend", "torch_npu", ("npu.matmul.allow_hf32", "npu.conv.allow_hf32")),
    "mlu": Device("Cambricon", "torch_mlu", ("backends.mlu.matmul.allow_tf32", "backends.cnnl.allow_tf32")),
    "musa": Device("Moore Threads", "torch_musa", ("backends.mudnn.allow_tf32",)),
    "gcu": Device("Enflame", "torch_gcu"),
    "hpu": Device("Intel Gaudi", "habana_frameworks.torch"),
    "sdaa": Device("Tecorigin", "torch_sdaa"),
    "txda": Device("TsingMicro", "torch_txda"),
    "ptpu": Device("Sunrise", "torch_ptpu"),
    "xpu": Device("Intel", "", ("backends.mkldnn.allow_tf32",)),
    "mps": Device("Apple"),
    "cuda": Device(
        "NVIDIA, or a maker whose build of torch uses this name",
        "",
        ("backends.cuda.matmul.allow_tf32", "backends.cudnn.allow_tf32"),
    ),
}


def import_torch() -> Any:
    """Import torch, its plugins left out: one that is broken would end the import. Each is imported by `state` instead."""
    before = os.environ.get(AUTOLOAD)
    os.environ[AUTOLOAD] = "0"
    try:
        return importlib.import_module("torch")
    finally:
        if before is None:
            del os.environ[AUTOLOAD]
        else:
            os.environ[AUTOLOAD] = before


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
    except Exception as error:  # noqa: BLE001 -- a plugin without its SDK raises anything
        return DeviceState(False, f"{plugin} cannot be imported: {one_line(error)}", Cause.MISSING_SDK)
    return None


def _is_available(torch: Any, name: str) -> bool:
    module = getattr(torch.backends if name == "mps" else torch, name, None)
    return module is not None and bool(module.is_available())


def versions(torch: Any) -> Dict[str, str]:
    """Of torch and of what its build carries; the wheel's tag tells vendors that use cuda's name apart."""
    known = {"torch": torch.__version__, "cuda": torch.version.cuda, "hip": getattr(torch.version, "hip", None)}
    for device in DEVICES.values():
        module = importlib.import_module(device.plugin) if _imported(device.plugin) else None
        known[device.plugin] = getattr(module, "__version__", None)
    return {name: str(version) for name, version in known.items() if version}


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
        self._module = programs.load_module(path, target.device)
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


RULES: Tuple[Rule, ...] = (
    (r"Could not run '[\w:.]+' with arguments from the", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"operator '?[\w:.]+'? is not (currently )?(implemented|supported)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (
        r"not implemented for '\w+'|dtype .* is not supported|doesn't support .* dtype",
        Outcome.UNSUPPORTED,
        Cause.UNSUPPORTED_DTYPE,
    ),
    (r"Guard failed|ConstraintViolation|GuardOnDataDependent", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"DefaultCPUAllocator: (can't|not enough)", Outcome.FAIL, Cause.HOST_OOM),
    (r"[Oo]ut of memory|OUT_OF_MEMORY", Outcome.FAIL, Cause.DEVICE_OOM),
)
