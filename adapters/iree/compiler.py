"""IREE's importer of ONNX and its compiler: flags for every target, and what they say when they stop."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import List, Mapping, Tuple

from porting.adapter import ExportedForm
from porting.types import Cause, Outcome, Placement, Precision, Target

from .._causes import Rule
from . import graph

SCOPE = "model"
"""What IREE's importer calls the weights."""

KINDS: Mapping[str, Tuple[str, str]] = {
    "cpu": ("local", ""),
    "rocm": ("hip", "--iree-rocm-target"),
    "cuda": ("cuda", "--iree-cuda-target"),
    "vulkan": ("vulkan", "--iree-vulkan-target"),
    "metal": ("metal", ""),
}
"""IREE's name of a kind of device, of the compiler's flag and of the runtime's driver, and the flag that takes the chip."""

CPU = ("--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host")

FLOAT64 = "--iree-input-demote-f64-to-f32=false"
"""For models that take or return float64, which otherwise becomes float32, and an output half as long as declared. Not for
others: the CPU's code is linked without cos, sin and the like of float64."""

RULES: Tuple[Rule, ...] = (
    (r"error code: -(6|7|8|11)\b|PLEASE submit a bug report", Outcome.FAIL, Cause.CRASH),
    (r"failed to legalize operation '(torch\.operator|torch\.onnx|onnx)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"failed to legalize operation|failed to legalize unresolved", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"unimplemented", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"[Uu]nsupported (ScalarType|element type|data type)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE),
    (r"opset|unsupported version", Outcome.UNSUPPORTED, Cause.OPSET),
    (r"ShapeInferenceError|\[ShapeInference\]", Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE),
    (r"shape dim\[\d+\] mismatch|does not match the expected|INVALID_ARGUMENT", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"RESOURCE_EXHAUSTED|bad_alloc", Outcome.FAIL, Cause.HOST_OOM),
)


class CompileError(RuntimeError):
    """IREE's compiler ended without a module. Its message begins with the exit status."""


def import_onnx(form: ExportedForm, source: Path, weights: Path) -> None:
    """ONNX to MLIR, its weights to a parameter archive. Raises what the importer raises, RuntimeError when it says no more.

    Below fp32 they stay in the module: with 3.13 the importer reads what it writes there as numbers of another size.
    """
    import onnx
    from iree.compiler.tools.import_onnx import __main__ as importer

    path, model = form.path, onnx.load(str(form.path), load_external_data=False)
    if graph.mend(model):
        path = source.with_suffix(".onnx")
        onnx.save(model, str(path))
    archive = ["--externalize-params", "--save-params-to", str(weights), "--params-scope", SCOPE]
    apart = archive if form.precision is Precision.FP32 else []
    beside = ["--data-dir", str(form.path.parent)]
    status = importer.main(importer.parse_arguments([str(path), "-o", str(source), *beside, *apart]))
    if status or not source.is_file():
        raise RuntimeError(f"IREE's importer of ONNX ended with {status} and without a result")


INPUT = {"onnx": "onnx", "pt2": "torch", "aten": "torch"}
"""What the compiler calls the dialect that a kind of form was imported as."""


def compile_module(form: ExportedForm, source: Path, module: Path, target: Target, statistics: Path) -> None:
    """MLIR of a form to native code for a target. Raises CompileError."""
    from iree.compiler.tools import CompilerToolError, compile_file

    counting = ["--iree-scheduling-dump-statistics-format=json", f"--iree-scheduling-dump-statistics-file={statistics}"]
    wide = [FLOAT64] if any(spec.dtype == "float64" for spec in (*form.inputs, *form.outputs)) else []
    arguments = [*flags(target.device), *wide, *counting]
    try:
        compile_file(str(source), output_file=str(module), input_type=INPUT[form.kind], extra_args=arguments)
    except CompilerToolError as error:
        print(error, file=sys.stderr)  # whole, for the log
        raise CompileError(diagnosis(str(error))) from None  # or the pages would be what a person reads
    if not module.is_file():  # an exit status of 0 proves nothing
        raise CompileError("it ended well and left no module")


def flags(device: str) -> List[str]:
    """What the compiler is told for a device, `cpu` or `rocm-gfx942`."""
    kind, _, chip = device.partition("-")
    driver, flag = KINDS[kind]
    return [f"--iree-hal-target-device={driver}", *([f"{flag}={chip}"] if chip else CPU if kind == "cpu" else [])]


def diagnosis(printed: str) -> str:
    """The first error in what the compiler's wrapper says of its end; that may be pages of MLIR. Its exit status without one."""
    status = re.search(r"Error code: (-?\d+)", printed)
    found = re.search(r"^.*?\b(?:error|LLVM ERROR): (.*)$", printed, re.MULTILINE)
    operator = re.search(r'name = "([\w.]+)"', found[1]) if found else None
    said = f"{found[1][:200]}{f' ({operator[1]})' if operator else ''}" if found else printed.strip()[-200:]
    return f"error code: {status[1] if status else '?'}: {said}"


def placement(statistics: str, device: str) -> Placement:
    """What the compiled program does, as the compiler counts it: what it calls runs on the host, all else on its one device."""
    whole = json.loads(statistics)["stream-aggregate"]
    execution = whole["execution"]
    names = {"dispatches": "dispatch-count", "copies": "copy-count", "fills": "fill-count", "calls": "call-count"}
    counts = {name: int(execution[key]) for name, key in names.items()}
    counts["kernels"] = int(whole["executable"]["executable-count"])
    return Placement(counts["dispatches"] + counts["copies"] + counts["fills"], counts["calls"], device, counts)
