"""ExecuTorch: the exported program lowered to a .pte file, its operators handed to a delegate as far as that takes them.

`xnnpack` and `portable` run in ExecuTorch's own runtime, on this machine's CPU; of the other devices there is a file to deploy.
What ran where is what the runtime records of a run.

What was seen of it is in quirks.toml.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Optional, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Precision, Target

from .._causes import Meaning, Rule, first_match, nothing_here, one_line
from .._torch_program import rehearse
from . import lowering
from .delegates import PORTABLE, delegate
from .quiet import quietly, runtime
from .session import ExecuTorchSession

FILE = "model.pte"

ETHOS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u85-256")
"""Arm's NPUs, by Vela's names for them."""

RULES: Tuple[Rule, ...] = (
    (r"^(NothingDelegated|MissingKernel)\b", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Missing out variants|is not Aten Canonical", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"^(FixedAxis|EmptyTensor)\b|ConstraintViolation|Constraints violated", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"resize a (bounded|static) tensor|Error resizing tensor", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"in operator [\w:.]+.*Check failed", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),  # a kernel refuses its arguments
    (r"error 0x(21|25)\b", Outcome.FAIL, Cause.HOST_OOM),
    (r"GuardOnDataDependentSymNode|Data-dependent", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
)


class ExecuTorchAdapter(Adapter):
    """Lowers the exported program to ExecuTorch, and runs it there where the wheel's runtime can."""

    name = "executorch"
    vendor = "PyTorch Foundation"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2", at_target_precision=True)
    alternatives = (FormNeed("aten", dynamic=False, at_target_precision=True),)
    devices = {  # noqa: RUF012 -- ClassVar in the base class
        "xnnpack": (Precision.FP32, Precision.FP16, Precision.INT8),
        PORTABLE: (Precision.FP32,),
        "vulkan": (Precision.FP32,),
        "coreml": (Precision.FP32,),
        "tosa": (Precision.FP32, Precision.INT8),
        **dict.fromkeys(ETHOS, (Precision.INT8,)),
    }
    evidence = {  # noqa: RUF012
        **dict.fromkeys(("xnnpack", PORTABLE), Evidence.HOST),
        **dict.fromkeys(("vulkan", "coreml", "tosa", *ETHOS), Evidence.COMPILED),
    }
    distributions = ("executorch", "torch", "torchao")
    install_hint = "porting env create executorch"
    minimum_target_share = 0.9  # of the arithmetic: what moves data is left to ExecuTorch's own kernels by design

    @classmethod
    def warm(cls) -> None:
        with quietly():
            import executorch.devtools.etdump.serialize
            import executorch.runtime  # noqa: F401
            from executorch.exir import to_edge_transform_and_lower  # noqa: F401

            rehearse()

    def probe(self) -> Probe:
        try:
            runtimes = runtime().backend_registry.registered_backend_names
            versions = {name: version(name) for name in self.distributions}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        states = {device: _state(Target(self.name, device, self.devices[device][0])) for device in self.devices}
        if "XnnpackBackend" not in runtimes:
            states["xnnpack"] = DeviceState(False, "this build of ExecuTorch's runtime has no XNNPACK", Cause.MISSING_DEVICE)
        return Probe(states, versions)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        with quietly():
            if target.device != PORTABLE and not delegate(target.device).sizes_vary:
                form = lowering.at_one_size(form)
            lowered = lowering.lower(form, target)
        lowering.write(lowered, folder / FILE)
        return Artifact((FILE,), form.inputs, form.outputs, {"dtype": lowered.work.dtype}, lowered.placement(target))

    def load(self, artifact: Artifact, target: Target, folder: Path) -> ExecuTorchSession:
        return ExecuTorchSession(artifact, target, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def _state(target: Target) -> DeviceState:
    """Whether what lowers for a device can be made."""
    if target.device == PORTABLE:
        return DeviceState(True)
    try:
        with quietly():
            delegate(target.device).partitioner(target)
    except Exception as error:  # noqa: BLE001 -- whatever is not installed, or broken, in a delegate's compiler
        return DeviceState(False, f"{one_line(error)}; {ExecuTorchAdapter.install_hint}", Cause.MISSING_DEPENDENCY)
    return DeviceState(True)
