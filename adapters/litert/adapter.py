"""LiteRT: the exported program as a .tflite file, run by LiteRT's interpreter with its XNNPACK delegate on this CPU.

The converter traces the program anew, so it gets the module and a sample. Static forms alone; see `quirks.toml`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .. import _torch_program as programs
from .._causes import Meaning, Rule, first_match, nothing_here
from .._core_program import folded
from .program import prepare

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

FILE = "model.tflite"
PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16}

RULES: Tuple[Rule, ...] = (
    (r"Lowering not found|failed to legalize operation", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"unresolved custom op|Didn't find op for builtin|Regular TensorFlow ops are", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"[Uu]nsupported (ScalarType|type|dtype)|[Tt]ype .* not supported", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"takes the shape|failed to reshape", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"bad_alloc|[Ff]ailed to allocate", Outcome.FAIL, Cause.HOST_OOM),
)


class LiteRtAdapter(Adapter):
    """Converts the static exported program with litert-torch and runs it in LiteRT's interpreter."""

    name = "litert"
    vendor = "Google"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2", dynamic=False)
    alternatives = (FormNeed("aten", dynamic=False),)
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("ai-edge-litert", "litert-torch", "litert-converter", "torch")
    install_hint = "porting env create litert"

    def probe(self) -> Probe:
        from importlib.metadata import version

        try:
            import ai_edge_litert.interpreter  # noqa: F401

            versions = {name: version(name) for name in self.distributions}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({"cpu": DeviceState(True)}, versions)

    @classmethod
    def warm(cls) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ai_edge_litert.interpreter  # noqa: F401
            import litert_torch  # noqa: F401
        programs.rehearse()

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        import torch

        del target  # there is one
        artifact = Artifact((FILE,), form.inputs, form.outputs)
        module = folded(form) if form.kind == "aten" else programs.load_module(form.path)
        with torch.no_grad():
            prepare(module)
        convert_module(module, programs.ordered_inputs(form.sample(), artifact), folder / FILE)
        return artifact

    def load(self, artifact: Artifact, target: Target, folder: Path) -> LiteRtSession:
        del target
        return LiteRtSession(folder / artifact.files[0], artifact)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def convert_module(module: Any, sample: Tuple[Any, ...], file: Path) -> None:
    """Trace a module with `sample` and write what the converter makes of it. Integers stay as wide as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of torch and jax
        import litert_torch

        litert_torch.convert(module, sample, enable_x64=True).export(str(file))


class LiteRtSession:
    """A file in the interpreter. The converter calls tensors args_N and output_N."""

    def __init__(self, file: Path, artifact: Artifact) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._artifact = artifact
        self._interpreter = Interpreter(str(file), num_threads=int(os.environ.get("OMP_NUM_THREADS") or 1))
        self._interpreter.allocate_tensors()
        self._runner = self._interpreter.get_signature_runner()
        self._taken = self._runner.get_input_details()

    def run(self, inputs: Arrays) -> Arrays:
        given = {}
        for number, spec in enumerate(self._artifact.inputs):
            value = inputs[spec.name]
            if value.shape != spec.shape:  # the interpreter would resize what it was converted for, rightly or not
                raise ValueError(f"{spec.name} takes the shape {spec.shape}, which the model was converted for: {value.shape}")
            if f"args_{number}" in self._taken:  # an input that nothing depends on is left out
                given[f"args_{number}"] = value.astype(spec.dtype)
        answer = self._runner(**given)
        return {_output_name(self._artifact, key): value for key, value in answer.items()}

    def placement(self) -> Placement:
        counts = operator_counts(self._interpreter)
        return Placement(counts["XNNPACK"] + counts["built-in kernels"], 0, "cpu", counts)

    def effective_precision(self) -> Precision:
        """The commonest floating dtype that operators take; the delegate computes in that unless told otherwise."""
        floats = Counter(
            dtype.__name__
            for operator in self._interpreter._get_ops_details()
            for dtype in operator["operand_types"]
            if dtype.__name__ in PRECISIONS
        )
        return PRECISIONS[floats.most_common(1)[0][0]] if floats else Precision.FP32


def _output_name(artifact: Artifact, key: str) -> str:
    """What the artifact calls output_N; its own name where the artifact declares no such output."""
    number = int(re.sub(r"^output_", "", key))
    return artifact.outputs[number].name if number < len(artifact.outputs) else key


def operator_counts(interpreter: Any) -> Dict[str, int]:
    """Operators of the main graph by who runs them, and the parts that the delegate took them in.

    The interpreter lists delegated operators and the delegate's parts side by side. An operator is the delegate's when its
    results are results of a part, or have no memory of their own since they stay within one.
    """
    operators = interpreter._get_ops_details()
    parts = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
    made_by_parts = {int(index) for part in parts for index in part["outputs"]}
    counts = {"XNNPACK": 0, "built-in kernels": 0, "delegate parts": len(parts)}
    for operator in operators:
        if operator["op_name"] != "DELEGATE":
            delegated = all(int(index) in made_by_parts or _is_unallocated(interpreter, index) for index in operator["outputs"])
            counts["XNNPACK" if delegated else "built-in kernels"] += 1
    return counts


def _is_unallocated(interpreter: Any, index: int) -> bool:
    try:
        interpreter.get_tensor(index)
    except ValueError as error:
        return "Tensor data is null" in str(error)
    return False
