"""TVM: the exported program as Relax, compiled without tuning to a library of native code, run by TVM's virtual machine.

The program goes first, the ONNX form second: of the smoke tier's twelve models TVM 0.27 had eight right from the first, ten as
it is helped here, and four from the second, whose importer stops at shapes that are computed (Slice, Reshape). Nothing is
tuned: kernels of a CPU are plain loops as LLVM vectorises them, and slow; those of GPUs are scheduled by DLight's rules.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Placement, Precision, Target

from .._causes import Meaning, first_match, nothing_here, one_line
from .._outputs import by_position
from .._torch_program import PRECISIONS, rehearse
from . import compiler, cubin, frontend
from .chips import CHIPS

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]


IMPORTERS = {"pt2": frontend.import_program, "aten": frontend.import_program, "onnx": frontend.import_onnx}


class TvmAdapter(Adapter):
    """Compiles the fp32 program for this CPU and runs it in TVM's virtual machine, without Python operators. For other chips it
    compiles only."""

    name = "tvm"
    vendor = "Apache Software Foundation"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2")
    alternatives = (FormNeed("onnx"), FormNeed("aten", dynamic=False))
    devices = {"cpu": (Precision.FP32,), **dict.fromkeys(CHIPS, (Precision.FP32,))}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST, **dict.fromkeys(CHIPS, Evidence.COMPILED)}  # noqa: RUF012
    distributions = ("apache-tvm", "apache-tvm-ffi", "torch", "nvidia-cuda-nvrtc")
    install_hint = "porting env create tvm"

    def probe(self) -> Probe:
        try:
            import tvm
            from tvm.relax.frontend.torch import from_exported_program  # noqa: F401 -- needs a torch that it goes with
            from tvm.target.codegen import llvm_version_major

            versions = {"tvm": str(tvm.__version__), "llvm": str(llvm_version_major())}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        states = dict.fromkeys(self.devices, DeviceState(True))
        states.update(dict.fromkeys(("cpu", "c"), _compiler_state()))
        states.update(dict.fromkeys([name for name, chip in CHIPS.items() if chip.kind == "cuda"], _nvrtc_state()))
        return Probe(states, versions)

    @classmethod
    def warm(cls) -> None:
        import tvm.relax.frontend.torch  # noqa: F401

        rehearse()

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        with compiler.readable_errors():
            module = IMPORTERS[form.kind](form)
            if target.device not in CHIPS:
                compiler.compile_here(module, folder)
                return Artifact((compiler.LIBRARY,), form.inputs, form.outputs, {"device": "cpu"})
            files, placement = compiler.compile_for(module, target.device, folder)
        chip = CHIPS[target.device]
        return Artifact(tuple(files), form.inputs, form.outputs, {"device": chip.kind if chip.host else "cpu"}, placement)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> TvmSession:
        del target
        return TvmSession(artifact, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", compiler.RULES)


def _compiler_state() -> DeviceState:
    """Whether a C++ compiler is here, which links what TVM generates."""
    from tvm.support.cc import get_cc

    if get_cc():
        return DeviceState(True)
    return DeviceState(False, "no C++ compiler is here: apt install g++, or name one in CXX", Cause.MISSING_DEPENDENCY)


def _nvrtc_state() -> DeviceState:
    """Whether NVRTC can compile here, for the GPUs of NVIDIA."""
    try:
        cubin.toolkit()
    except Exception as error:  # noqa: BLE001 -- a library that cannot be loaded raises RuntimeError
        return DeviceState(False, f"{one_line(error)}; {TvmAdapter.install_hint}", Cause.MISSING_DEPENDENCY)
    return DeviceState(True)


class TvmSession:
    """A library in the virtual machine. Values go by position, as the program takes and returns them."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        import tvm
        from tvm import relax

        self._artifact = artifact
        self._device = tvm.device(artifact.options["device"])
        self._machine = relax.VirtualMachine(tvm.runtime.load_module(str(folder / artifact.files[0])), self._device)
        self._calls: Counter[str] = Counter()
        self._floats: Counter[str] = Counter()
        self._watched = False

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np
        import tvm

        values = [
            tvm.runtime.tensor(np.array(inputs[spec.name], spec.dtype, order="C"), self._device) for spec in self._artifact.inputs
        ]
        answer = self._call(values)
        results = [answer] if isinstance(answer, tvm.runtime.Tensor) else answer  # of an ONNX model with one output
        return by_position([np.array(result.numpy()) for result in results], self._artifact.outputs)

    def _call(self, values: Any) -> Any:
        """Run, the first time with the virtual machine telling of every call that it makes, which takes time."""
        main = self._machine["main"]
        if self._watched:
            return main(*values)
        self._machine.set_instrument(self._note)
        try:
            results = main(*values)
        finally:
            self._machine.set_instrument(None)
        self._watched = True
        return results

    def _note(self, _function: Any, name: str, before: bool, _result: Any, *arguments: Any) -> None:
        if before and compiler.is_work(name):
            self._calls[name] += 1
            dtypes = (str(getattr(argument, "dtype", "")) for argument in arguments)
            self._floats.update(dtype for dtype in dtypes if dtype in PRECISIONS)

    def placement(self) -> Placement:
        """Calls of compiled functions, and of those that TVM's runtime brings, such as sorting; all run on the one device."""
        detail: Dict[str, int] = Counter()
        for name, calls in self._calls.items():
            detail["functions of the runtime" if "." in name else "kernels"] += calls
        return Placement(sum(detail.values()), 0, str(self._device), dict(detail))

    def effective_precision(self) -> Precision:
        """The commonest floating dtype among what kernels were given."""
        return PRECISIONS[self._floats.most_common(1)[0][0]] if self._floats else Precision.FP32
