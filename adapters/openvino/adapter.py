"""OpenVINO: the ONNX form as IR, compiled for a device, its arithmetic forced to what the target says.

Which precision it then really computes in is asked of the compiled model: a device without fp16 runs bf16 or fp32 instead,
without a word.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .. import _onnx_quantize
from .._causes import Meaning, first_match, nothing_here, one_line
from .._openvino import RULES, reason
from .._outputs import by_position

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

FILES = ("model.xml", "model.bin")
NAMES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
HINTS = {Precision.FP32: "f32", Precision.FP16: "f16", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Of int8, for what is not quantised."""
NOT_OPERATORS = ("Const", "Input", "Output")
ARITHMETIC = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")


class OpenVinoAdapter(Adapter):
    """Converts the fp32 ONNX form to OpenVINO IR and runs it on an Intel device or any x86 or Arm CPU."""

    name = "openvino"
    vendor = "Intel"
    family = Family.OFFLINE_COMPILER
    keeps_layers = (Precision.INT8,)
    need = FormNeed("onnx")
    devices = {  # noqa: RUF012 -- ClassVar in the base class
        "cpu": (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8),
        "gpu": (Precision.FP32, Precision.FP16),
        "npu": (Precision.FP16,),
    }
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("openvino",)
    install_hint = "pip install openvino"

    def probe(self) -> Probe:
        try:
            openvino = import_openvino()
            core = openvino.Core()
            here = core.available_devices
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        versions = {"openvino": openvino.get_version()}
        return Probe({device: _state(core, here, NAMES[device]) for device in self.devices}, versions)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        openvino = import_openvino()
        model = openvino.Core().read_model(str(_source(form, target)))
        openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)
        options = {"device": NAMES[target.device], "INFERENCE_PRECISION_HINT": HINTS[target.precision]}
        return Artifact(FILES, form.inputs, form.outputs, options)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> OpenVinoSession:
        core = import_openvino().Core()
        model = core.read_model(str(folder / artifact.files[0]))
        return OpenVinoSession(core.compile_model(model, NAMES[target.device], _settings(target)), artifact)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        if isinstance(error, _onnx_quantize.NothingToQuantize):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE
        return first_match(str(error), RULES)


def _source(form: ExportedForm, target: Target) -> Path:
    """The file to read: the form itself, or its quantised copy."""
    if target.precision is not Precision.INT8:
        return form.path
    folder = Path(tempfile.mkdtemp(prefix="quantized-"))
    return folder / _onnx_quantize.quantize(form, folder)[0]


def import_openvino() -> Any:
    """Import openvino with its telemetry package hidden: 2026.4 reports every import over the network otherwise."""
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes the import fail, which openvino allows for
    import openvino

    return openvino


def _state(core: Any, here: Any, name: str) -> DeviceState:
    if any(device.split(".")[0] == name for device in here):
        return DeviceState(True)
    try:
        core.get_property(name, "AVAILABLE_DEVICES")
    except Exception as error:  # noqa: BLE001 -- the plugin's own reason, whatever it raises
        return DeviceState(False, reason(str(error)) or one_line(error), Cause.MISSING_DEVICE)
    return DeviceState(False, f"OpenVINO's {name} plugin sees no device", Cause.MISSING_DEVICE)


def _settings(target: Target) -> Dict[str, Any]:
    settings: Dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINTS[target.precision]}
    if target.device == "cpu":
        settings.update(INFERENCE_NUM_THREADS=int(os.environ.get("OMP_NUM_THREADS") or 1), NUM_STREAMS=1)
    return settings


class OpenVinoSession:
    """A compiled model that answers by name; its own names may be gone, so values go by position.

    Inputs that no operator uses are gone, too (2026.4, `like` of CastLike), but those that are left then have their names.
    """

    def __init__(self, compiled: Any, artifact: Artifact) -> None:
        self._compiled = compiled
        self._artifact = artifact

    def run(self, inputs: Arrays) -> Arrays:
        results = self._compiled([_tensor(inputs[name]) for name in self._fed()], share_inputs=False)
        values = [_array(results[number], port) for number, port in enumerate(self._compiled.outputs)]
        return by_position(values, self._artifact.outputs)

    def _fed(self) -> List[str]:
        """Names of the inputs that the compiled model takes, in its order."""
        names = [spec.name for spec in self._artifact.inputs]
        ports = self._compiled.inputs
        if len(ports) == len(names):
            return names
        return [next(name for name in names if name in port.get_names()) for port in ports]

    def placement(self) -> Placement:
        """Operators of the graph as it was compiled, by the precision each was given."""
        counts = Counter(precision for _, precision in self._layers())
        devices = ", ".join(self._compiled.get_property("EXECUTION_DEVICES"))
        return Placement(sum(counts.values()), 0, devices, dict(counts))

    def effective_precision(self) -> Precision:
        if any(layer in ARITHMETIC and precision in ("i8", "u8") for layer, precision in self._layers()):
            return Precision.INT8
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return {name: precision for precision, name in HINTS.items() if precision is not Precision.INT8}[hint]

    def _layers(self) -> Iterator[Tuple[str, str]]:
        """Kind and precision of every layer as it was compiled."""
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            kind = info["layerType"].astype(str)
            if kind not in NOT_OPERATORS:
                yield kind, info["runtimePrecision"].astype(str)


def _tensor(array: Array) -> Any:
    """An array as it is fed; bfloat16 under its own name: OpenVINO takes every two-byte float for float16 (2026.4)."""
    import numpy as np

    if str(array.dtype) != "bfloat16":
        return array
    openvino = import_openvino()
    return openvino.Tensor(np.array(array, order="C").view(np.uint16), array.shape, openvino.Type.bf16)


def _array(value: Array, port: Any) -> Array:
    """A copy that outlives the next run; bfloat16, which OpenVINO hands out labelled float16, under its own name."""
    import numpy as np

    if port.element_type.to_string() != "bf16":
        return np.array(value)
    import ml_dtypes

    return np.array(value).view(ml_dtypes.bfloat16)
