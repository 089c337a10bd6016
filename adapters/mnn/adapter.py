"""MNN: the ONNX form, translated by MNN's converter and run through its Module API, which takes other sizes as they come.

The converter is called by its C entry, in a process of its own that finds no program and no package index. The console script
of the same name would import MNN.tools, which installs a logger with the first pip on PATH, asks a server for credentials and
sends it a machine's id. Nothing here imports that.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target, TensorSpec

from .._causes import Meaning, Rule, first_match, nothing_here
from .._onnx_model import copy_model
from ._graph import respell

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODEL = "model.mnn"
CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"
"""What the converter's process runs. `_tools` is the C module; MNN's Python is not loaded there at all."""
FLAGS = ("--bizCode", "porting", "--optimizeLevel", "1", "--useGeluApproximation", "0")

BACKENDS = {"cpu": "CPU", "cuda": "CUDA", "opencl": "OPENCL", "vulkan": "VULKAN", "metal": "METAL"}
"""MNN's name of a backend, by device."""
CODES = {0: "cpu", 13: "cpu", 1: "metal", 2: "cuda", 3: "opencl", 7: "vulkan"}
"""Device by what a session says it runs on; 13 is the CPU with the instructions of x86."""
SESSION_BACKEND = 2
"""The question which backend a session runs on, as `getSessionInfo` numbers it."""
WINOGRAD_CANDIDATES = 3
"""The hint how many sizes of Winograd's convolution are tried, as `set_hint` numbers it."""
NAMELESS = "?"
"""An axis that a model declares without a name: nothing says which others are as long."""
NOT_OPERATORS = frozenset(("Const", "Input", "TrainableParam"))

RULES: Tuple[Rule, ...] = (
    (r"Not Support: |[Uu]nsupported [Oo]p", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"ended with signal", Outcome.FAIL, Cause.CRASH),
    (r"answers? with|gave no answer", Outcome.FAIL, Cause.OUTPUT_STRUCTURE),
    (r"bad_alloc|[Aa]lloc.* (failed|error)", Outcome.FAIL, Cause.HOST_OOM),
)


class ConverterError(RuntimeError):
    """The converter ended without a model."""


class DtypeError(RuntimeError):
    """MNN has no numbers of the kind, or none as large."""


class FallbackError(RuntimeError):
    """MNN runs on another device than the one asked for."""


class MnnAdapter(Adapter):
    """Translates the fp32 ONNX form and runs it at MNN's high precision, which lowers nothing."""

    name = "mnn"
    vendor = "Alibaba"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx")
    devices = dict.fromkeys(BACKENDS, (Precision.FP32,))
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012 -- ClassVar in the base class
    distributions = ("MNN",)
    install_hint = "porting env create mnn"

    def probe(self) -> Probe:
        try:
            import MNN

            version = str(MNN.version())
            return Probe({device: _state(device) for device in self.devices}, {"mnn": version})
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        del target  # the file is the same for all
        for spec in (*form.inputs, *form.outputs):
            _kind(spec)
        work = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
        try:
            source = work / copy_model(form.path, work)[0]
            respell(source)
            run_converter(source, folder / MODEL)
        finally:
            shutil.rmtree(work)
        return Artifact((MODEL,), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> MnnSession:
        device = runs_on(target.device)
        if device != target.device:
            raise FallbackError(f"asked for {target.device}, MNN runs on {device}")
        return MnnSession(artifact, target.device, folder / MODEL)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        if isinstance(error, FallbackError):
            return Outcome.FAIL, Cause.FALLBACK
        if isinstance(error, DtypeError):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE
        return first_match(str(error), RULES)


# ---- devices ------------------------------------------------------------------------------------------------------


def _state(device: str) -> DeviceState:
    found = runs_on(device)
    if found == device:
        return DeviceState(True)
    return DeviceState(False, f"this build of MNN has no {BACKENDS[device]}: it runs on {found} instead", Cause.MISSING_DEVICE)


def runs_on(device: str) -> str:
    """The device that a session which is asked for `device` says it runs on."""
    import MNN

    expr = MNN.expr
    value = expr.placeholder([1], expr.NCHW, expr.float)
    value.name = "x"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / MODEL)
        expr.save([expr.relu(value)], path)
        interpreter = MNN.Interpreter(path)
    session = interpreter.createSession({"backend": BACKENDS[device], "numThread": 1})
    code = interpreter.getSessionInfo(session, SESSION_BACKEND)
    return CODES.get(code, f"its backend {code}")


# ---- conversion ---------------------------------------------------------------------------------------------------


def run_converter(source: Path, model: Path) -> None:
    """Translate an ONNX file. Raises ConverterError with what the converter printed."""
    command = [sys.executable, "-c", CONVERT, "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(model), *FLAGS]
    # A folder that holds nothing: neither pip nor anything else is found, whatever is asked for.
    environment = {**os.environ, "PATH": os.devnull, "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        command, env=environment, cwd=model.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    print(done.stdout, file=sys.stderr)  # whole, for the log
    if done.returncode < 0:
        raise ConverterError(f"MNN's converter ended with signal {signal.Signals(-done.returncode).name}")
    if done.returncode or complaint(done.stdout) or not model.is_file():
        raise ConverterError(complaint(done.stdout) or f"MNN's converter ended with {done.returncode} and without a model")


def complaint(printed: str) -> str:
    """The first line in which the converter says what is wrong, without the place in its sources; empty where there is none."""
    found = re.search(r"^(?:\[[\d:]+\] :\d+: )?(.*(?:Not Support|\[ERROR\]|Not Exist|[Ff]ailed|Error).*)$", printed, re.MULTILINE)
    return found[1].strip() if found else ""


# ---- running ------------------------------------------------------------------------------------------------------


def _kind(spec: TensorSpec) -> str:
    """`float32` or `int32`, as which MNN holds a tensor. Raises DtypeError for complex numbers and the like."""
    if spec.dtype.startswith(("float", "bfloat")):
        return "float32"
    if spec.dtype == "bool" or spec.dtype.startswith(("int", "uint")):
        return "int32"
    raise DtypeError(f"MNN has no {spec.dtype}, the dtype of {spec.name!r}")


class MnnSession:
    """A loaded model. Its module prints what goes wrong and answers less; everything that comes back is looked at."""

    def __init__(self, artifact: Artifact, device: str, model: Path) -> None:
        import MNN

        self._expr = MNN.expr
        self._artifact = artifact
        self._device = device
        self._model = model
        threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
        runtime = MNN.nn.create_runtime_manager(({"backend": BACKENDS[device], "precision": "high", "numThread": threads},))
        runtime.set_hint(WINOGRAD_CANDIDATES, 0)
        names = [[spec.name for spec in specs] for specs in (artifact.inputs, artifact.outputs)]
        self._module = MNN.nn.load_module_from_file(str(model), *names, runtime_manager=runtime)

    def run(self, inputs: Arrays) -> Arrays:
        specs = self._artifact.outputs
        answers = self._module.forward([self._variable(spec, inputs[spec.name]) for spec in self._artifact.inputs])
        if len(answers) != len(specs):
            raise RuntimeError(f"MNN answers with {len(answers)} of {len(specs)} outputs; what it printed is in the log")
        sizes = axis_sizes(self._artifact.inputs, inputs)
        return {spec.name: self._array(spec, answer, sizes) for spec, answer in zip(specs, answers)}  # noqa: B905 -- since 3.10

    def _variable(self, spec: TensorSpec, value: Array) -> Any:
        import numpy as np

        kind = _kind(spec)
        if kind == "int32" and value.size and not -(2**31) <= int(value.min()) <= int(value.max()) < 2**31:
            raise DtypeError(f"MNN's integers have 32 bits, and {spec.name!r} holds larger ones")
        dtype = self._expr.float if kind == "float32" else self._expr.int
        variable = self._expr.placeholder(list(value.shape), self._expr.NCHW, dtype)
        variable.write(np.array(value, kind, order="C"))
        return variable

    def _array(self, spec: TensorSpec, answer: Any, sizes: Mapping[str, int]) -> Array:
        """A copy that outlives the next run. Raises RuntimeError where it is empty or of another shape than declared."""
        import numpy as np

        value = self._expr.convert(answer, self._expr.NCHW).read()
        if value is None:
            raise RuntimeError(f"MNN gave no answer for {spec.name!r}; what it printed is in the log")
        expected = [sizes.get(size, NAMELESS) if isinstance(size, str) else size for size in spec.shape]
        if len(expected) != value.ndim or any(size not in (NAMELESS, real) for size, real in zip(expected, value.shape)):  # noqa: B905
            raise RuntimeError(f"MNN answers with the shape {list(value.shape)} for {spec.name!r}, which has {expected}")
        return np.array(value).astype(spec.dtype)

    def placement(self) -> Placement:
        """Operators of the translated model. On the CPU all run there; a GPU does not tell which it left to the CPU."""
        kinds = (value.op_type for value in self._expr.load_as_dict(str(self._model)).values())
        counts = Counter(kind for kind in kinds if kind not in NOT_OPERATORS)
        on_cpu = self._device == "cpu"
        return Placement(sum(counts.values()) if on_cpu else None, 0 if on_cpu else None, BACKENDS[self._device], dict(counts))

    def effective_precision(self) -> Precision:
        return Precision.FP32  # MNN lowers at the precisions Normal, Low and Low_BF16 only; the module was loaded with High


def axis_sizes(specs: Sequence[TensorSpec], inputs: Arrays) -> Dict[str, int]:
    """The size of each named axis in these inputs."""
    return {
        name: size
        for spec in specs
        for name, size in zip(spec.shape, inputs[spec.name].shape)  # noqa: B905 -- `strict` came with 3.10
        if isinstance(name, str) and name != NAMELESS
    }
