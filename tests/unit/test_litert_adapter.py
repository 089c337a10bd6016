"""litert's adapter beyond the conformance suite: who runs which operator, precision, shapes it must refuse, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from porting.adapters.litert.adapter import LiteRtAdapter, LiteRtSession, operator_counts

from porting.types import Artifact, Cause, Outcome, Precision, TensorSpec


class Interpreter:
    """LiteRT's interpreter of a graph whose tensors 7 and 11 stay within the delegate: ABS-SUM and RESHAPE-MUL are delegated."""

    OPERATORS = (("ABS", [0], [7]), ("SUM", [7], [8]), ("CAST", [1], [9]), ("RESHAPE", [0], [11]), ("MUL", [11], [13]))
    DELEGATED = (("DELEGATE", [0], [8, 13]),)

    def __init__(self, dtype: type = np.float32) -> None:
        self.dtype = dtype

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return [
            {"op_name": name, "inputs": given, "outputs": np.array(made, np.int32), "operand_types": [self.dtype, np.int64]}
            for name, given, made in (*self.OPERATORS, *self.DELEGATED)
        ]

    def get_tensor(self, index: int) -> Any:
        if index in (7, 11):
            raise ValueError("Tensor data is null. Run allocate_tensors() first")
        return np.zeros(1)


def session(interpreter: Any, *inputs: TensorSpec) -> LiteRtSession:
    """A session that is loaded already."""
    made = LiteRtSession.__new__(LiteRtSession)
    made._artifact = Artifact(("model.tflite",), inputs, (TensorSpec("y", "float32", (2,)),))
    made._interpreter = interpreter
    made._taken = {"args_1": {}}
    made._runner = lambda **given: {"output_0": given["args_1"], "output_1": np.zeros(1)}
    return made


def test_an_operator_whose_results_stay_within_the_delegate_is_the_delegates() -> None:
    assert operator_counts(Interpreter()) == {"XNNPACK": 4, "built-in kernels": 1, "delegate parts": 1}


def test_the_precision_is_that_of_what_operators_take() -> None:
    assert session(Interpreter()).effective_precision() is Precision.FP32
    assert session(Interpreter(np.float16)).effective_precision() is Precision.FP16
    assert session(Interpreter(np.int32)).effective_precision() is Precision.FP32, "no floats at all: nothing was rounded"


def test_inputs_that_nothing_depends_on_are_left_out_and_undeclared_outputs_are_not() -> None:
    answers = session(Interpreter(), TensorSpec("unused", "int64", ()), TensorSpec("x", "float32", (2,))).run(
        {"unused": np.array(3), "x": np.ones(2, np.float32)}
    )
    assert set(answers) == {"y", "output_1"}
    np.testing.assert_array_equal(answers["y"], [1, 1])


def test_another_size_than_it_was_converted_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x takes the shape \(2,\)") as caught:
        session(Interpreter(), TensorSpec("x", "float32", (2,))).run({"x": np.ones(3, np.float32)})
    assert LiteRtAdapter().classify(caught.value) == (Outcome.FAIL, Cause.DYNAMIC_SHAPE)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("Lowering not found: aten._linalg_svd.default", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("Encountered unresolved custom op: Foo.", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("Didn't find op for builtin opcode 'STABLEHLO_SORT' version '1'.", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("unsupported ScalarType BFloat16", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE)),
    ],
)
def test_its_errors_are_read(message: str, meaning: tuple[Outcome, Cause]) -> None:
    assert LiteRtAdapter().classify(RuntimeError(message)) == meaning
