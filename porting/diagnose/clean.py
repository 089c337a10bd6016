"""The clean runtime that targets are held against: onnxruntime's CPU provider without optimisations, as an adapter; and how much
an operator's own float32 arithmetic is off.

Runs in the base environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import Adapter, ExportedForm, Family, FormNeed
from porting.serialization import Json
from porting.types import Artifact, Evidence, Placement, Precision, Stage, Target

if TYPE_CHECKING:
    import numpy

    from porting.adapter import Arrays

    Array = numpy.ndarray[Any, Any]

TARGET = Target("clean", "cpu", Precision.FP32)


class CleanRuntime(Adapter):
    """Loads a cut where it lies, and runs it as it is."""

    name = "clean"
    vendor = "Microsoft"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("onnxruntime",)
    install_hint = "pip install onnxruntime"

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        return Artifact((str(form.path),), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> CleanSession:
        return CleanSession(Path(artifact.files[0]))


class CleanSession:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Arrays) -> Arrays:
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def placement(self) -> Placement:
        return Placement(1, 0, "cpu")

    def effective_precision(self) -> Precision:
        return Precision.FP32


# ---- an operator's own error --------------------------------------------------------------------------------------


def own_errors(job: Json, clock: Any, _adapter: object) -> Json:
    """Job `porting.diagnose.clean:own_errors`: for every model in `models` (path, inputs), by output, how far its float32 run is
    from its float64 run, and, at a lower `precision`, how far the float64 run moves when the inputs are rounded to it. Null where
    no float64 run is possible."""
    clock.enter(Stage.REFERENCE)
    return [_own(Path(model["path"]), Path(model["inputs"]), Precision(job["precision"])) for model in job["models"]]


def _own(path: Path, inputs: Path, precision: Precision) -> Json:
    import numpy as np

    from porting.bundles.onnx_reference import OnnxEngine
    from porting.bundles.tensors import read_tensors
    from porting.diagnose.measure import EPSILON, distance

    arrays = read_tensors(inputs)
    try:
        engine = OnnxEngine(path)
        truth = engine.run(arrays, None)
        if engine.truth != "float64":
            return None
        plain = engine.run(arrays, Precision.FP32)
        ratio = EPSILON[precision] / EPSILON[Precision.FP32]
        own = {name: distance(plain[name], truth[name]) * ratio for name in truth}
        if precision is not Precision.FP32:
            rounded = engine.run({name: _rounded(array, precision) for name, array in arrays.items()}, None)
            own = {name: max(own[name], distance(rounded[name], truth[name])) for name in truth}
        return {name: value if np.isfinite(value) else None for name, value in own.items()}
    except Exception:  # noqa: BLE001 -- no wide run, whatever the reason: the floor alone holds then
        return None


def _rounded(array: Array, precision: Precision) -> Array:
    """float32 values as a lower precision has them."""
    import numpy as np

    if array.dtype != np.float32:
        return array
    if precision is Precision.BF16:
        import ml_dtypes

        coarse: Array = array.astype(ml_dtypes.bfloat16).astype(np.float32)
        return coarse
    if precision is Precision.TF32:
        rounded: Array = ((array.view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)
        return rounded
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)
