"""IREE: the ONNX form as MLIR, compiled ahead of time to native code for this CPU, run by IREE's own runtime.

The compiler is a program that the package starts; its importer of ONNX runs in this process. Weights become a parameter
archive beside the module, so that the module stays small and weights are mapped, not parsed.

Seen with 3.13, each where ONNX Runtime is right on the same file, none reduced to a file of its own yet:
- transformers/qwen2_moe, 2e-3 off: the second TopK has the right values and wrong indices, at every optimisation level.
- transformers/gpt2, 1.3 off: a Transpose loses the dynamic axis, which becomes 1.
- transformers/hubert and wav2vec2: InstanceNormalization gives NaN.
- A module that is mapped from its file, not copied, ends the process badly.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .._causes import Meaning, Rule, first_match, one_line

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODULE = "model.vmfb"
WEIGHTS = "model.irpa"
SCOPE = "model"
"""What IREE's importer calls the weights."""

RULES: Tuple[Rule, ...] = (
    (r"error code: -(6|7|8|11)\b|PLEASE submit a bug report", Outcome.FAIL, Cause.CRASH),
    (r"failed to legalize operation '(torch\.operator|torch\.onnx|onnx)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"failed to legalize operation|failed to legalize unresolved", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"[Uu]nsupported (ScalarType|element type|data type)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"opset|unsupported version", Outcome.UNSUPPORTED, Cause.OPSET),
    (r"ShapeInferenceError|\[ShapeInference\]", Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE),
    (r"shape dim\[\d+\] mismatch|does not match the expected|INVALID_ARGUMENT", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"RESOURCE_EXHAUSTED|bad_alloc", Outcome.FAIL, Cause.HOST_OOM),
)


class CompileError(RuntimeError):
    """IREE's compiler ended without a module. Its message begins with the exit status."""


class IreeAdapter(Adapter):
    """Compiles the fp32 ONNX form to a module of native code and runs that in IREE's runtime, without Python operators."""

    name = "iree"
    vendor = "IREE (LF AI & Data)"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx")
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("iree-base-compiler", "iree-base-runtime")
    install_hint = "porting env create iree"

    def probe(self) -> Probe:
        try:
            import iree.runtime as runtime
            from iree.compiler.version import VERSION

            here = "local-task" in runtime.query_available_drivers()
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            reason = f"{one_line(error)}; {self.install_hint}"
            return Probe({"cpu": DeviceState(False, reason, Cause.MISSING_DEPENDENCY)})
        state = DeviceState(here, "" if here else "this build of IREE has no CPU driver", None if here else Cause.MISSING_DEVICE)
        return Probe({"cpu": state}, {"iree": VERSION})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        del target  # there is one
        work = Path(os.environ.get("TMPDIR") or folder)
        source, statistics = work / "model.mlir", work / "statistics.json"
        import_onnx(form.path, source, folder / WEIGHTS)
        compile_module(source, folder / MODULE, statistics)
        counts = dispatches(statistics.read_text())
        source.unlink()
        statistics.unlink()
        files = [file for file in (MODULE, WEIGHTS) if (folder / file).is_file()]
        return Artifact(tuple(files), form.inputs, form.outputs, {"counts": counts}, counts["dispatches"])

    def load(self, artifact: Artifact, target: Target, folder: Path) -> IreeSession:
        del target
        return IreeSession(artifact, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def import_onnx(model: Path, source: Path, weights: Path) -> None:
    """ONNX to MLIR, its weights to a parameter archive. Raises what the importer raises, RuntimeError when it says no more."""
    from iree.compiler.tools.import_onnx import __main__ as importer

    archive = ["--externalize-params", "--save-params-to", str(weights), "--params-scope", SCOPE]
    status = importer.main(importer.parse_arguments([str(model), "-o", str(source), *archive]))
    if status or not source.is_file():
        raise RuntimeError(f"IREE's importer of ONNX ended with {status} and without a result")


def compile_module(source: Path, module: Path, statistics: Path) -> None:
    """MLIR to native code for this CPU. Raises CompileError."""
    from iree.compiler.tools import CompilerToolError, compile_file

    flags = [
        "--iree-hal-target-device=local",
        "--iree-hal-local-target-device-backends=llvm-cpu",
        "--iree-llvmcpu-target-cpu=host",
        "--iree-scheduling-dump-statistics-format=json",
        f"--iree-scheduling-dump-statistics-file={statistics}",
    ]
    try:
        compile_file(str(source), output_file=str(module), input_type="onnx", extra_args=flags)
    except CompilerToolError as error:
        print(error, file=sys.stderr)  # whole, for the log
        raise CompileError(diagnosis(str(error))) from None  # or the pages would be what a person reads
    if not module.is_file():  # an exit status of 0 proves nothing
        raise CompileError("it ended well and left no module")


def diagnosis(printed: str) -> str:
    """The first error in what the compiler's wrapper says of its end; that may be pages of MLIR. Its exit status without one."""
    status = re.search(r"Error code: (-?\d+)", printed)
    found = re.search(r"^.*?\berror: (.*)$", printed, re.MULTILINE)
    operator = re.search(r'name = "([\w.]+)"', found[1]) if found else None
    said = f"{found[1][:200]}{f' ({operator[1]})' if operator else ''}" if found else printed.strip()[-200:]
    return f"error code: {status[1] if status else '?'}: {said}"


def dispatches(statistics: str) -> Dict[str, int]:
    """What the compiled program does, as the compiler counts it."""
    whole = json.loads(statistics)["stream-aggregate"]
    execution = whole["execution"]
    names = {"dispatches": "dispatch-count", "copies": "copy-count", "fills": "fill-count", "calls": "call-count"}
    return {**{name: execution[key] for name, key in names.items()}, "kernels": whole["executable"]["executable-count"]}


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
            modules.append(runtime.create_io_parameters_module(instance, index.create_provider(SCOPE)))
        modules.append(runtime.create_hal_module(instance, self._config.device))
        # Not mapped from the file: with 3.13 the process then dies at its end.
        program = runtime.VmModule.copy_buffer(instance, (folder / MODULE).read_bytes())
        loaded = runtime.load_vm_modules(*modules, program, config=self._config)[-1]
        self._function = loaded[_entry(program.function_names)]

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np

        specs = self._artifact.outputs
        answer = self._function(*[np.asarray(inputs[spec.name], order="C") for spec in self._artifact.inputs])
        results: Sequence[Any] = answer if isinstance(answer, (tuple, list)) else [answer]
        names = [spec.name for spec in specs] + [f"output_{number}" for number in range(len(specs), len(results))]
        return {name: _array(result) for name, result in zip(names, results)}  # noqa: B905 -- `strict` came with 3.10

    def placement(self) -> Placement:
        """What the compiler put into the program; all of it runs on the one device it was compiled for."""
        counts = {name: int(count) for name, count in self._artifact.options["counts"].items()}
        did = counts["dispatches"] + counts["copies"] + counts["fills"]
        return Placement(did, counts["calls"], str(self._config.device), counts)

    def effective_precision(self) -> Precision:
        return Precision.FP32  # the compiler lowers a precision only by flags that `compile_module` does not give


def _entry(names: List[str]) -> str:
    """The function of the graph among those of a module: each has an asynchronous twin, and the module an initialiser."""
    (name,) = [name for name in names if not re.search(r"^__|\$async$", name)]
    return name


def _array(value: Any) -> Array:
    """A copy in host memory that outlives the next run."""
    import numpy as np

    return np.array(value.to_host() if hasattr(value, "to_host") else value)
