"""IREE: the ONNX form as MLIR, compiled ahead of time to native code for this CPU, run by IREE's own runtime; where that does not
lead to right numbers, the exported program through iree-turbine.

The compiler is a program that the package starts; its importer of ONNX runs in this process. Its weights become a parameter
archive beside the module, so that the module stays small and weights are mapped, not parsed.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Placement, Precision, Target

from .._causes import Meaning, first_match, nothing_here
from .._outputs import by_position
from . import compiler, program

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODULE = "model.vmfb"
WEIGHTS = "model.irpa"

COMPILED = {
    "rocm": ("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1201"),
    "cuda": ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120"),
    "vulkan": ("ampere", "ada", "rdna2", "rdna3", "rdna4", "valhall4", "mali-g715", "adreno"),
}
"""Chips that 3.13 was seen to compile for. It refuses gfx906 and sm_90, and crashes on a chip of Vulkan that it does not know."""


class IreeAdapter(Adapter):
    """Compiles the ONNX form, at the target's precision, to a module of native code, and runs that for this CPU in IREE's
    runtime, without Python operators. For accelerators it compiles only."""

    name = "iree"
    vendor = "IREE (LF AI & Data)"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx", at_target_precision=True)
    alternatives = (
        FormNeed("pt2", at_target_precision=True), FormNeed("aten", dynamic=False, at_target_precision=True),
    )  # fmt: skip
    devices = {  # noqa: RUF012 -- ClassVar in the base class
        "cpu": (Precision.FP32,),
        **{f"{kind}-{chip}": (Precision.FP32, Precision.FP16) for kind, chips in COMPILED.items() for chip in chips},
        "cuda-sm_75": (Precision.FP32,),  # at fp16 the compiler stops, see quirks.toml
        "metal": (Precision.FP32,),
    }
    evidence = {device: Evidence.HOST if device == "cpu" else Evidence.COMPILED for device in devices}  # noqa: RUF012
    distributions = ("iree-base-compiler", "iree-base-runtime", "iree-turbine", "torch")
    install_hint = "porting env create iree"

    def probe(self) -> Probe:
        try:
            import iree.runtime as runtime
            from iree.compiler.version import VERSION

            here = "local-task" in runtime.query_available_drivers()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        cpu = DeviceState(here, "" if here else "this build of IREE has no CPU driver", None if here else Cause.MISSING_DEVICE)
        return Probe({**dict.fromkeys(self.devices, DeviceState(True)), "cpu": cpu}, {"iree": VERSION})

    @classmethod
    def warm(cls) -> None:
        import iree.compiler.tools.import_onnx.__main__
        import iree.runtime  # noqa: F401

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        work = Path(os.environ.get("TMPDIR") or folder)
        source, statistics = work / "model.mlir", work / "statistics.json"
        if form.kind == "onnx":
            compiler.import_onnx(form, source, folder / WEIGHTS)
        else:
            program.import_program(form, source)
        compiler.compile_module(form, source, folder / MODULE, target, statistics)
        placement = compiler.placement(statistics.read_text(), target.device)
        source.unlink()
        statistics.unlink()
        files = [file for file in (MODULE, WEIGHTS) if (folder / file).is_file()]
        driver = compiler.KINDS[target.device.partition("-")[0]][0]
        return Artifact(tuple(files), form.inputs, form.outputs, {"driver": driver, "precision": form.precision.value}, placement)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> IreeSession:
        del target
        return IreeSession(artifact, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", compiler.RULES)


class IreeSession:
    """A loaded module. Values go by position, as the module's function takes and returns them."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        import iree.runtime as runtime

        self._artifact = artifact
        # One thread: run in ours. A pool would otherwise take a thread a core, whatever the job was given.
        threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
        if threads > 1:
            runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
        self._config = runtime.Config("local-task" if threads > 1 else "local-sync")
        instance, modules = self._config.vm_instance, []
        if WEIGHTS in artifact.files:
            index = runtime.ParameterIndex()
            index.load(str(folder / WEIGHTS))
            modules.append(runtime.create_io_parameters_module(instance, index.create_provider(compiler.SCOPE)))
        modules.append(runtime.create_hal_module(instance, self._config.device))
        # Not mapped from the file: with 3.13 the process then dies at its end.
        program = runtime.VmModule.copy_buffer(instance, (folder / MODULE).read_bytes())
        loaded = runtime.load_vm_modules(*modules, program, config=self._config)[-1]
        self._function = loaded[_entry(program.function_names)]

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np

        dtypes = {spec.name: spec.dtype for spec in self._artifact.outputs}
        answer = self._function(*[np.asarray(inputs[spec.name], order="C") for spec in self._artifact.inputs])
        results: Sequence[Any] = answer if isinstance(answer, (tuple, list)) else [answer]
        named = by_position(results, self._artifact.outputs)
        return {name: _array(result, dtypes.get(name, "")) for name, result in named.items()}

    def placement(self) -> Placement:
        """What the compiler put into the program."""
        assert self._artifact.placement is not None
        return replace(self._artifact.placement, device=str(self._config.device))

    def effective_precision(self) -> Precision:
        # That of the graph: the compiler keeps its types, and lowers them by flags alone that it is not given.
        return Precision(self._artifact.options["precision"])


def _entry(names: List[str]) -> str:
    """The function of the graph among those of a module: each has an asynchronous twin, and the module an initialiser."""
    (name,) = [name for name in names if not re.search(r"^__|\$async$", name)]
    return name


def _array(value: Any, declared: str = "") -> Array:
    """A copy in host memory that outlives the next run. A module's integers have no sign: they come back signed (3.13), and
    are given the one that was declared."""
    import numpy as np

    array = np.array(value.to_host() if hasattr(value, "to_host") else value)
    return array.view(declared) if declared == f"u{array.dtype}" else array
