"""The adapter: the ONNX form, run by onnx.reference.ReferenceEvaluator. Slow, and by definition what ONNX means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

FILE = "model.onnx"


class OnnxReferenceAdapter(Adapter):
    """Runs a model operator by operator in NumPy, on the CPU, at fp32."""

    name = "onnx_reference"
    vendor = "ONNX"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("onnx",)
    install_hint = "pip install onnx"

    def probe(self) -> Probe:
        try:
            import onnx
        except ImportError as error:
            return Probe({"cpu": DeviceState(False, f"{error}; {self.install_hint}", Cause.MISSING_DEPENDENCY)})
        return Probe({"cpu": DeviceState(True)}, {"onnx": onnx.__version__})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        import onnx

        onnx.save(onnx.load(str(form.path)), str(folder / FILE))
        return Artifact((FILE,), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> ReferenceSession:
        from onnx.reference import ReferenceEvaluator

        return ReferenceSession(ReferenceEvaluator(str(folder / artifact.files[0])))

    def classify(self, error: BaseException) -> tuple[Outcome, Cause] | None:
        if isinstance(error, NotImplementedError) or "No registered implementation" in str(error):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP
        return None


class ReferenceSession:
    """A model in the evaluator."""

    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np

        values = self._evaluator.run(None, {name: np.array(inputs[name]) for name in self._evaluator.input_names})
        return {name: np.array(value) for name, value in zip(self._evaluator.output_names, values)}  # noqa: B905

    def placement(self) -> Placement:
        return Placement(target_ops=len(self._evaluator.rt_nodes_), other_ops=0, device="numpy")

    def effective_precision(self) -> Precision:
        return Precision.FP32
