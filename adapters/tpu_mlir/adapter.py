"""Sophgo TPUs: the static ONNX form, compiled by tpu-mlir to a .bmodel and run in the simulator of the chip.

The simulator takes the very file that a card would. Its programs are called one by one, each in a process of its own, and nothing
is believed of their exit codes alone. Calibration is ours: tpu-mlir's own needs PyTorch.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.serialization import from_json, to_json
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .._causes import Meaning, Rule, first_match, nothing_here
from . import mlir, tools
from .graph import Plain, rewrite, shapes_argument

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODEL = "model.bmodel"
QUANTIZE = {Precision.FP32: "F32", Precision.FP16: "F16", Precision.BF16: "BF16", Precision.INT8: "INT8"}
ELEMENTS = {"f32": Precision.FP32, "f16": Precision.FP16, "bf16": Precision.BF16}
SMALLEST_THRESHOLD = 1e-5
"""Of a tensor that is nothing but zeros; tpu-mlir divides by it."""

RULES: Tuple[Rule, ...] = (
    (r"takes the shape|--input_shapes", Outcome.UNSUPPORTED, Cause.DYNAMIC_SHAPE),
    (r"[Uu]nsupport opset", Outcome.UNSUPPORTED, Cause.OPSET),
    (
        r"Op not support|failed to satisfy constraint|[Nn]ot [Ii]mplement|unsupport(ed)? op",
        Outcome.UNSUPPORTED,
        Cause.UNSUPPORTED_OP,
    ),
    (r"[Ss]egmentation fault|Aborted|Assertion|ASSERT", Outcome.FAIL, Cause.CRASH),
    (r"bad_alloc|MemoryError", Outcome.FAIL, Cause.HOST_OOM),
)


class TpuMlirAdapter(Adapter):
    """Compiles the fp32 ONNX form for a chip, at the precision of the target."""

    name = "tpu_mlir"
    vendor = "Sophgo"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx", dynamic=False, opset=17)
    devices = {  # noqa: RUF012 -- ClassVar in the base class
        **dict.fromkeys(("bm1684x", "bm1688", "bm1690", "bm1690e", "cv186x"), tuple(QUANTIZE)),
        "bm1684x2": (Precision.FP16, Precision.BF16, Precision.INT8),
        **dict.fromkeys(("cv184x", "sgtpuv8"), (Precision.BF16, Precision.INT8)),
    }
    evidence = dict.fromkeys(devices, Evidence.SIMULATOR)
    distributions = ("tpu-mlir", "onnx", "onnxruntime", "numpy")
    install_hint = "porting env create tpu_mlir"
    minimum_target_share = 0.9

    def probe(self) -> Probe:
        from importlib.metadata import version

        try:
            versions = {name: version(name) for name in self.distributions}
            with _scratch() as folder:
                tools.run("model_runner", "--help", cwd=folder)
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe(dict.fromkeys(self.devices, DeviceState(True)), versions)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        with _scratch() as work:
            plain = rewrite(form.path, work / "model.onnx")
            shapes = shapes_argument(plain.shapes)
            files = ["--model_def", "model.onnx", "--mlir", "model.mlir"]
            tools.run("model_transform", "--model_name", "model", "--input_shapes", shapes, *files, cwd=work)
            more: List[str] = []
            if target.precision is Precision.INT8:
                _write_thresholds(form, plain, tools.must(work / "model.mlir", "model_transform"), work / "thresholds")
                more = ["--calibration_table", "thresholds"]
            quantize = QUANTIZE[target.precision]
            wanted = ["--mlir", "model.mlir", "--quantize", quantize, "--chip", target.device, "--model", MODEL]
            tools.run("model_deploy", *wanted, *more, cwd=work)
            shutil.move(str(tools.must(work / MODEL, "model_deploy")), str(folder / MODEL))
            (lowered,) = work.glob("model_*_tpu.mlir")
            found = mlir.operators(lowered.read_text(encoding="utf-8"))
        placement = mlir.placement(found, target.device)
        options = {
            "inputs": dict(plain.inputs),
            "outputs": list(plain.outputs),
            "handed": dict(plain.handed),
            "placement": to_json(placement),
            "element": mlir.element(found),
        }
        return Artifact((MODEL,), form.inputs, form.outputs, options, placement)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> TpuSession:
        del target  # the file knows its chip
        return TpuSession(artifact, folder / artifact.files[0])

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(str(error), RULES)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for the programs, which leave a dozen files where they are started."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _write_thresholds(form: ExportedForm, plain: Plain, model: Path, path: Path) -> None:
    """The largest magnitude, the smallest and the largest value of every tensor over all samples, a line each."""
    ranges: Dict[str, Tuple[float, float]] = {}
    for number in range(len(form.samples)):
        sample = form.sample(number)
        values = {name: sample[own] for own, name in plain.inputs.items()}
        for name, value in tools.evaluate(model, values, path.parent, every_tensor=True).items():
            low, high = ranges.get(name, (float("inf"), float("-inf")))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    lines = [f"{name} {max(abs(a), abs(b), SMALLEST_THRESHOLD):.7f} {a:.7f} {b:.7f}\n" for name, (a, b) in ranges.items()]
    path.write_text("".join(lines), encoding="utf-8")


class TpuSession:
    """A .bmodel, started anew for every run: the runtime keeps one chip's simulator in a process."""

    def __init__(self, artifact: Artifact, model: Path) -> None:
        self._artifact = artifact
        self._model = model
        self._options: Mapping[str, Any] = artifact.options

    def run(self, inputs: Arrays) -> Arrays:
        for spec in self._artifact.inputs:
            if inputs[spec.name].shape != spec.shape:
                shape = inputs[spec.name].shape
                raise ValueError(f"{spec.name} takes the shape {spec.shape}, which the model was compiled for: {shape}")
        given = {name: inputs[own] for own, name in self._options["inputs"].items()}
        with _scratch() as work:
            answers = list(tools.evaluate(self._model, given, work).values())
        names = self._options["outputs"]
        if len(answers) != len(names):
            raise tools.ToolError(f"the simulator answers with {len(answers)} of {len(names)} outputs")
        found = dict(zip(names, answers))  # noqa: B905 -- `strict` came with Python 3.10
        found.update({name: inputs[own] for name, own in self._options["handed"].items()})
        return {spec.name: _as_declared(found[spec.name], spec) for spec in self._artifact.outputs}

    def placement(self) -> Placement:
        return from_json(Placement, self._options["placement"])

    def effective_precision(self) -> Precision:
        element = str(self._options["element"])
        return Precision.INT8 if element.endswith("i8") else ELEMENTS.get(element, Precision.FP32)


def _as_declared(value: Array, spec: Any) -> Array:
    """A copy in the declared dtype; without axes where the declaration has none, which the runtime does not know."""
    import numpy as np

    return np.array(value.reshape(()) if spec.shape == () and value.size == 1 else value).astype(spec.dtype)
