"""Whether a rewritten form answers as the model did: it is run on the bundle's cases, here and by a plain runtime.

A target's own verdict says the same where it runs something. For lists and compilers there is no other, and a target that is
wrong shall not be blamed for a rewrite that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from porting.bundles.aten import array_of
from porting.bundles.bundle import Bundle, FormKey, FormRecord
from porting.errors import PortingError
from porting.numerics.compare import judge
from porting.types import Cause, Outcome, TensorSpec

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]
    Run = Callable[[Arrays], Arrays]


class NotEqual(PortingError):
    """A rewritten form answers otherwise than the model."""

    verdict = (Outcome.FAIL, Cause.TOLERANCE)


class OtherSizes(NotEqual):
    """The same, at other sizes than the nominal ones alone."""

    verdict = (Outcome.FAIL, Cause.DYNAMIC_SHAPE)


def proven(record: FormRecord, bundle: Bundle, program: Any) -> FormRecord:
    """The record with its proof. program: what was captured, for a form that is one. Raises NotEqual, OtherSizes, and whatever
    the runtime raises that cannot run the form."""
    key = FormKey.parse(record.key)
    run, runtime = _onnx(record, bundle) if key.kind == "onnx" else _program(record, program)
    cases = bundle.cases_for(record)
    truth = {case.name: bundle.read(case.truth) for case in cases}
    actual: dict[str, Any] = {}
    for case in sorted(cases, key=lambda case: not case.nominal):
        try:
            actual[case.name] = run(bundle.read(case.inputs))
        except Exception as error:
            if case.nominal:
                raise
            raise OtherSizes(f"case {case.name}, where {runtime} runs what was rewritten: {error}") from error
    said = judge(actual, truth, record.outputs, bundle.noise.get(key.precision.value, {}), key.precision)
    if said.outcome is not Outcome.PASS:
        kind = NotEqual if any(case.name in said.failed_cases for case in cases if case.nominal) else OtherSizes
        raise kind(f"what was rewritten answers otherwise, run by {runtime}: {said.message}")
    return replace(record, proof=f"equal on {len(cases)} cases, run by {runtime}: {said.message}")


def _onnx(record: FormRecord, bundle: Bundle) -> tuple[Run, str]:
    import onnxruntime

    from porting.bundles.onnx_reference import session
    from porting.bundles.tensors import as_declared

    made = session(str(bundle.folder / record.path))
    names = [output.name for output in made.get_outputs()]
    wanted = {value.name for value in made.get_inputs()}

    def run(arrays: Arrays) -> Arrays:
        given = {n: a for n, a in as_declared(arrays, record.inputs).items() if n in wanted}
        return dict(zip(names, made.run(names, given), strict=True))

    return run, f"onnxruntime {onnxruntime.__version__}"


def _program(record: FormRecord, program: Any) -> tuple[Run, str]:
    import torch

    from porting.bundles.eager import as_tensor

    module = program.module(check_guards=False)

    def run(arrays: Arrays) -> Arrays:
        values = [as_tensor(arrays[spec.name], _dtype(spec)) for spec in record.inputs]
        with torch.no_grad():
            found = module(*values)
        return {spec.name: array_of(tensor) for spec, tensor in zip(record.outputs, found, strict=True)}

    return run, f"torch {torch.__version__}"


def _dtype(spec: TensorSpec) -> Any:
    import torch

    return getattr(torch, spec.dtype)
