"""litert's adapter beyond the conformance suite: who runs which operator, precision, shapes it must refuse, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from porting.adapters.litert.adapter import LiteRtAdapter, LiteRtSession, operator_counts
from porting.adapters.litert.program import prepare

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


# ---- what the interpreter has no kernel for


class Ordered(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """Sorts in every spelling, the largest of one, and positions that depend on no input."""

    def forward(self, x: Any) -> Any:
        places = (torch.arange(4)[:, None] - torch.arange(4)).clamp(min=0).to(torch.float32)
        ordered, order = x.sort(-1)
        falling = torch.sort(x, dim=0, descending=True, stable=True).values
        return x @ places, ordered, order, falling, x.argsort(1, descending=True), *x[:, :1].topk(1), *x.topk(2)


def test_sorts_and_ranges_are_written_in_operators_that_the_interpreter_has() -> None:
    x = torch.randn(3, 4)
    module = torch.export.export(Ordered(), (x,), strict=False).module(check_guards=False)
    expected = module(x)
    with torch.no_grad():
        prepare(module)
    for answer, value in zip(module(x), expected, strict=True):
        assert torch.equal(answer, value)
    operators = [str(node.target) for node in module.graph.nodes if node.op == "call_function"]
    assert not [name for name in operators if "sort" in name or "arange" in name]
    assert operators.count("aten.topk.default") == 4


class Written(torch.nn.Module):  # type: ignore[misc]
    """What is written into, or drawn, is computed when the program runs."""

    def forward(self, x: Any) -> Any:
        mask = torch.zeros(3)
        mask[1:].copy_(x)
        return mask + 1, torch.rand(2) * 0 + x


class Turned(torch.nn.Module):  # type: ignore[misc]
    """A product with a weight that is transposed first."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Any) -> Any:
        return x @ self.weight.permute(1, 0)


def test_what_is_computed_ahead_lies_as_its_shape_says() -> None:
    given = (torch.randn(2, 4),)
    module = torch.export.export(Turned(), given, strict=False).module(check_guards=False)
    expected = module(*given)
    with torch.no_grad():
        prepare(module)
    torch.testing.assert_close(module(*given), expected)
    (product,) = (node for node in module.graph.nodes if node.op == "call_function")
    assert getattr(module, product.args[1].target).is_contiguous()


def test_what_is_written_into_is_not_computed_ahead() -> None:
    x = torch.randn(2)
    module = torch.export.export(Written(), (x,), strict=False).module(check_guards=False)
    with torch.no_grad():
        prepare(module)
    assert module(x + 5)[0].tolist() == [1.0, *(x + 6).tolist()]
    assert any("rand" in str(node.target) for node in module.graph.nodes)


class Repeated(torch.nn.Module):  # type: ignore[misc]
    """Rows that are repeated and transposed, by themselves and within a product, classes of an index, rows of a mask."""

    def forward(self, x: Any, index: Any) -> Any:
        heads = x[:, None].expand(2, 3, 4, 5)
        chosen = torch.nn.functional.one_hot(index, 3)
        turned_rows = torch.empty_like(x)
        turned_rows[..., 0::2], turned_rows[..., 1::2] = x[..., 0::2] * 2, x[..., 1::2]
        added = turned_rows * 0.5 + x[:, :1].expand(2, 4, 5) + x * x[:, :, :1].expand_as(x)  # which repeat it by themselves
        rows = x.masked_scatter(x[:, :, :1] > 0, x + 1)
        turned = (x.repeat(2, 1, 2, 1) * 2).reshape(-1, 5).t()
        deep = x[:, None, None].repeat(1, 1, 3, 2, 1) ** 2
        return heads.transpose(-1, -2), x[:, None] @ heads.mT, turned, chosen, added, rows, deep


def test_what_is_repeated_and_transposed_is_written_as_rows_that_are_picked() -> None:
    """litert-converter 0.5 writes the transposition of a BROADCAST_TO as a RESHAPE, to other values or a shape it refuses."""
    given = (torch.randn(2, 4, 5), torch.tensor([[0, 2], [1, 1]]))
    module = torch.export.export(Repeated(), given, strict=False).module(check_guards=False)
    expected = module(*given)
    with torch.no_grad():
        prepare(module)
    for answer, value in zip(module(*given), expected, strict=True):
        assert answer.dtype == value.dtype
        assert torch.equal(answer, value)
    operators = [str(node.target) for node in module.graph.nodes if node.op == "call_function"]
    gone = {"aten.one_hot.default", "aten.masked_scatter.default", "aten.repeat.default", "aten.expand_as.default"}
    gone |= {"aten.pow.Tensor_Scalar", "aten.empty_like.default"}
    assert not gone & {*operators}
    assert operators.count("aten.expand.default") == 1, "of the mask"
