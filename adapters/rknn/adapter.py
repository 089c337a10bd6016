"""Rockchip NPUs: the static ONNX form, compiled by rknn-toolkit2 and run in its simulator.

The simulator runs what was just built, never a .rknn file: loading builds the network again from the ONNX file that lies beside
the .rknn one, with the same calibration, and sees to it that the compiler says the same of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .._causes import Meaning, Rule, first_match, nothing_here
from .._onnx_model import copy_model
from .._outputs import by_position
from . import table, toolkit
from .graph import give_scalars_an_axis

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODEL = "model.rknn"
CALIBRATION = "calibration"
"""Folder in the artifact: an .npy file for each sample and input."""
BOTH, INT8 = (Precision.FP16, Precision.INT8), (Precision.INT8,)
PRECISIONS = {"FLOAT16": Precision.FP16, "INT8": Precision.INT8, "FLOAT": Precision.FP32, "BFLOAT16": Precision.BF16}

RULES: Tuple[Rule, ...] = (
    (r"takes the shape|The input shape .* is not support", Outcome.UNSUPPORTED, Cause.DYNAMIC_SHAPE),
    (r"[Uu]nsupport onnx opset", Outcome.UNSUPPORTED, Cause.OPSET),
    (
        r"need to be constant|[Uu]nsupport(ed)? (op|layer|node)|not support(ed)? (op|layer)",
        Outcome.UNSUPPORTED,
        Cause.UNSUPPORTED_OP,
    ),
    (r"cause the graph to be a dynamic graph", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
    (r"shape of .* is abnormal", Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE),
    (r"Invalid target_platform|not support do_quantization", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"bad_alloc|[Mm]emory(Error| alloc)", Outcome.FAIL, Cause.HOST_OOM),
)


class RknnAdapter(Adapter):
    """Compiles the fp32 ONNX form for a chip, in fp16 or calibrated to int8."""

    name = "rknn"
    vendor = "Rockchip"
    family = Family.OFFLINE_COMPILER
    need = FormNeed("onnx", dynamic=False, opset=19)
    devices = {  # noqa: RUF012 -- ClassVar in the base class
        "rk3588": BOTH,
        "rk3576": BOTH,
        "rk3568": BOTH,
        "rk3566": BOTH,
        "rk3562": BOTH,
        "rv1126b": BOTH,
        "rv1106": INT8,
        "rv1106b": INT8,
        "rv1103": INT8,
        "rv1103b": INT8,
    }
    evidence = dict.fromkeys(devices, Evidence.SIMULATOR)
    distributions = ("rknn-toolkit2", "onnx", "onnxruntime", "torch", "numpy")
    install_hint = "porting env create rknn"
    minimum_target_share = 0.9  # of the arithmetic: look-ups and what changes shapes are left to the CPU by design

    def probe(self) -> Probe:
        from importlib.metadata import version

        try:
            with toolkit.printed():
                toolkit.import_toolkit()
            versions = {name: version(name) for name in self.distributions}
            return Probe({device: _state(device) for device in self.devices}, versions)
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)

    @classmethod
    def warm(cls) -> None:
        with toolkit.printed():
            toolkit.import_toolkit()

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        files = copy_model(form.path, folder)
        give_scalars_an_axis(folder / files[0])
        if target.precision is Precision.INT8:
            _write_calibration(form, folder / CALIBRATION)
        rknn, said = _built(folder, files[0], target)
        toolkit.export(rknn, folder / MODEL)
        rows = table.layers(said)
        kept = sorted(path.relative_to(folder).as_posix() for path in folder.glob(f"{CALIBRATION}/*.npy"))
        options = {"network": _digest(rows)}
        return Artifact((MODEL, *files, *kept), form.inputs, form.outputs, options, table.placement(rows, target.device))

    def load(self, artifact: Artifact, target: Target, folder: Path) -> RknnSession:
        rknn, said = _built(folder, artifact.files[1], target)
        rows = table.layers(said)
        if _digest(rows) != artifact.options["network"]:
            raise RuntimeError("built again for the simulator, the network is not the one in the .rknn file")
        toolkit.start_simulator(rknn)
        return RknnSession(rknn, artifact, rows, target.device)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(str(error), RULES)


def _state(chip: str) -> DeviceState:
    reason = toolkit.knows(chip)
    return DeviceState(not reason, reason, Cause.VERSION_CONFLICT if reason else None)


def _write_calibration(form: ExportedForm, folder: Path) -> None:
    """An .npy file for each sample and input."""
    import numpy as np

    folder.mkdir()
    for number in range(len(form.samples)):
        sample = form.sample(number)
        for place, spec in enumerate(form.inputs):
            np.save(folder / f"{number:03d}.{place:03d}.npy", np.array(sample[spec.name], ndmin=1))


def _built(folder: Path, model: str, target: Target) -> Tuple[Any, str]:
    """Build what lies in an artifact's folder, and say what the compiler printed."""
    samples: dict[str, List[Path]] = {}
    for path in sorted(folder.glob(f"{CALIBRATION}/*.npy")):
        samples.setdefault(path.name.split(".")[0], []).append(path.resolve())
    scratch = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
    try:
        return toolkit.build((folder / model).resolve(), target.device, list(samples.values()), scratch)
    finally:
        shutil.rmtree(scratch)


def _digest(rows: Sequence[table.Layer]) -> str:
    """Of the operators, where each runs, in what, for how long."""
    return hashlib.sha256("\n".join(map(repr, rows)).encode()).hexdigest()[:16]


class RknnSession:
    """A network in the simulator."""

    def __init__(self, rknn: Any, artifact: Artifact, rows: Sequence[table.Layer], chip: str) -> None:
        self._rknn = rknn
        self._artifact = artifact
        self._rows = rows
        self._chip = chip

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np

        values = []
        for spec in self._artifact.inputs:
            value = inputs[spec.name]
            if value.shape != spec.shape:
                raise ValueError(f"{spec.name} takes the shape {spec.shape}, which the model was built for: {value.shape}")
            values.append(np.array(value, spec.dtype, ndmin=1))
        answers = by_position(toolkit.infer(self._rknn, values), self._artifact.outputs)
        return {name: np.array(value) for name, value in answers.items()}

    def placement(self) -> Placement:
        return table.placement(self._rows, self._chip)

    def effective_precision(self) -> Precision:
        return PRECISIONS.get(table.dtype(self._rows) or "", Precision.FP16)
