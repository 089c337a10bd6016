"""What executorch's adapter works out without the backend: meaning of errors, recorded events, sizes, arithmetic."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from porting.adapters.executorch import arithmetic, events, lowering, session
from porting.adapters.executorch.adapter import ExecuTorchAdapter
from porting.adapters.executorch.delegates import DELEGATES, PORTABLE, delegate, most_axes
from porting.adapters.executorch.quiet import quietly

from porting.adapter import ExportedForm
from porting.bundles.tensors import write_tensors
from porting.types import Cause, Outcome, Placement, Precision, Target, TensorSpec


@dataclass
class Event:
    """A ProfileEvent, as far as it is read."""

    name: str | None = None
    delegate_debug_id_str: str | None = None


def form(folder: Path, *sizes: tuple[int, int], axes: tuple[str | int, ...] = ("batch", "2*frames")) -> ExportedForm:
    """One input, with a sample of each size."""
    samples = []
    for number, size in enumerate(sizes):
        samples.append(folder / f"{number}.npz")
        write_tensors(samples[-1], {"x": np.zeros(size, np.float32)})
    return ExportedForm("pt2", Precision.FP32, folder, (TensorSpec("x", "float32", axes),), (), samples=tuple(samples))


# ---- declarations


def test_every_device_has_what_its_precisions_need() -> None:
    for target in ExecuTorchAdapter.targets():
        if target.device != PORTABLE:
            assert target.precision is not Precision.INT8 or delegate(target.device).quantizer
    assert {device.partition("-")[0] for device in ExecuTorchAdapter.devices} == {PORTABLE, *DELEGATES}


# ---- errors


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (lowering.NothingDelegated("vulkan takes none"), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (lowering.MissingKernel("no kernel for aten::unique"), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (lowering.FixedAxis("narrowed axis batch"), (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
        (ValueError("Operator torch._ops.aten.x.default is not Aten Canonical."), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (RuntimeError("Missing out variants: {'aten::linalg_svd'}"), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (RuntimeError("loading method forward failed with error 0x21"), (Outcome.FAIL, Cause.HOST_OOM)),
    ],
)
def test_what_an_error_means(error: Exception, meaning: tuple[Outcome, Cause]) -> None:
    assert ExecuTorchAdapter().classify(error) == meaning


def test_an_error_of_no_known_kind_is_left_to_the_general_rules() -> None:
    assert ExecuTorchAdapter().classify(RuntimeError("method->execute() failed with error 0x12")) is None


LOG = """[op_convolution.cpp:372] Check failed (check_convolution_args(in, weight)):
[method.cpp:1483] KernelCall failed at instruction 0:3 in operator aten::convolution.out: 0x12
[method.cpp:1493] arg 0 with type id 1
"""
RESIZED = """[tensor_impl.cpp:156] Attempted to resize a bounded tensor with a maximum capacity of 20 elements to 24 elements.
[method.cpp:1243] Error resizing tensor at input 0
"""


def test_an_error_of_the_runtime_is_given_in_words_with_what_its_log_says() -> None:
    failed = "execute() failed with error 0x12"
    where = "in operator aten::convolution.out: Check failed (check_convolution_args(in, weight))"
    assert session.explained(failed, LOG) == f"{failed} (invalid argument): {where}"
    assert session.explained(failed, "") == f"{failed} (invalid argument)"
    assert session.explained("error 0x7f", "[a.cpp:1] noise") == "error 0x7f"
    assert "resize a bounded tensor with a maximum capacity of 20 elements" in session.explained("no code", RESIZED)


def test_what_the_log_says_has_a_meaning() -> None:
    meaning = ExecuTorchAdapter().classify
    refused = RuntimeError(session.explained("execute() failed with error 0x12", LOG))
    assert meaning(refused) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)
    resized = RuntimeError(session.explained("set_inputs() failed with error 0x10", RESIZED))
    assert meaning(resized) == (Outcome.FAIL, Cause.DYNAMIC_SHAPE)


def test_what_is_overheard_is_said_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    with session.overheard() as said:
        os.write(2, b"from C++\n")
        assert said() == "from C++\n"
    assert capfd.readouterr().err == "from C++\n"


# ---- events


def test_a_run_is_counted_by_what_the_runtime_recorded() -> None:
    names = ("Method::execute", "OPERATOR_CALL", "native_call_add.out", "DELEGATE_CALL", "OPERATOR_CALL")
    inner = ("Fully Connected (NC, F32) GEMM #1", "Fully Connected (NC, F32) GEMM #2", "Transpose (ND, X32) #1")
    run = events.summary([*(Event(name) for name in names), *(Event(None, text) for text in inner), None])
    assert (run.delegates, run.kernels) == (1, 2)
    assert run.inner == {"Fully Connected (NC, F32) GEMM": 2, "Transpose (ND, X32)": 1}


@pytest.mark.parametrize(
    ("inner", "precision"),
    [
        ({"Fully Connected (NC, F16) GEMM": 2, "Softmax (NC, F32)": 5}, Precision.FP16),
        ({"Convolution (NHWC, QC8) IGEMM": 3, "Batch Matrix Multiply (NC, F32) GEMM": 2}, Precision.INT8),
        ({"Fully Connected (NC, QS8, QC8W) GEMM": 1}, Precision.INT8),
        ({"Dynamic Fully Connected (NC, PF32) GEMM": 1}, Precision.FP32),
        ({"Convert (NC, F32, QD8)": 1, "Add (ND)": 4}, None),
    ],
)
def test_the_precision_is_that_of_most_matrix_operators(inner: dict[str, int], precision: Precision | None) -> None:
    assert events.Run(inner=Counter(inner)).precision() is precision


# ---- sizes


@pytest.mark.parametrize(("follows", "largest"), [("batch+3", 13), ("2*batch", 20), ("2*frames", 16)])
def test_an_axis_may_be_twice_the_largest_sample_and_one_that_follows_what_follows(
    tmp_path: Path, follows: str, largest: int
) -> None:
    given = form(tmp_path, (2, 6), (5, 8), axes=("batch", follows))
    (dims,) = lowering.bounds(given, lowering.samples_in_order(given))
    assert (dims[0].min, dims[0].max) == (0, 10)
    assert (dims[1].min, dims[1].max) == (0, largest)


def test_a_fixed_axis_has_no_bound(tmp_path: Path) -> None:
    given = form(tmp_path, (2, 6), axes=("batch", 6))
    assert [set(dims) for dims in lowering.bounds(given, lowering.samples_in_order(given))] == [{0}]


# ---- arithmetic


def multiplied(module: torch.nn.Module, *inputs: torch.Tensor, whole: bool = False) -> Counter[str]:
    """Multiply-adds of a module, by dtype. whole: without taking operators apart."""
    counts: Counter[str] = Counter()
    with quietly():
        program = torch.export.export(module.eval(), inputs)
        program = program if whole else program.run_decompositions()
    for node in program.graph.nodes:
        arithmetic.add(counts, node)
    return counts


@pytest.mark.parametrize("whole", [False, True])
def test_matrix_products_are_counted(whole: bool) -> None:
    assert multiplied(torch.nn.Linear(6, 4), torch.zeros(3, 6), whole=whole) == {"float32": 3 * 6 * 4}


@pytest.mark.parametrize("whole", [False, True])
def test_convolutions_are_counted_by_group_and_direction(whole: bool) -> None:
    image = torch.zeros(2, 4, 8, 8)
    assert multiplied(torch.nn.Conv2d(4, 6, 3, groups=2), image, whole=whole) == {"float32": 2 * 6 * 36 * 2 * 9}
    assert multiplied(torch.nn.ConvTranspose2d(4, 6, 2), image, whole=whole) == {"float32": 2 * 4 * 64 * 6 * 4}


def test_attention_that_is_left_whole_counts_as_its_two_products() -> None:
    class Attention(torch.nn.Module):
        def forward(self, query: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(query, memory, memory)

    assert multiplied(Attention(), torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), whole=True) == {"float32": 2 * 2 * 3 * 5 * 4}


def test_what_multiplies_nothing_counts_nothing() -> None:
    assert multiplied(torch.nn.ReLU(), torch.zeros(3)) == {}
    assert arithmetic.Work().share is None
    assert arithmetic.Work().dtype == ""


def test_the_share_is_that_of_the_delegates() -> None:
    work = arithmetic.Work(Counter(int8=30), Counter(float32=10))
    assert work.share == 0.75
    assert work.dtype == "int8"


def test_without_a_delegate_everything_is_where_it_should_be() -> None:
    lowered = lowering.Lowered(None, Counter(), Counter({"aten::mm.out": 2}), arithmetic.Work(other=Counter(float32=8)))
    placement = lowered.placement(Target("executorch", PORTABLE, Precision.FP32))
    assert placement == Placement(2, 0, "portable kernels", {"aten::mm.out": 2}, 1.0)


def test_what_a_delegate_leaves_is_named_by_the_operators_that_multiply() -> None:
    target = Target("executorch", "xnnpack", Precision.FP32)
    kernels = Counter({"aten::mm.out": 1, "aten::index.Tensor_out": 2})
    work = arithmetic.Work(Counter(float32=30), Counter(float32=10), Counter({"aten::mm": 1}), operators=4)
    detail = lowering.Lowered(None, Counter(XnnpackBackend=3), kernels, work).placement(target).detail
    assert detail == {"XnnpackBackend": 3, **kernels, "aten::mm (left to ExecuTorch)": 1}
    moves = lowering.Lowered(None, Counter(XnnpackBackend=3), kernels, arithmetic.Work(operators=4)).placement(target)
    named = {"aten::mm.out (left to ExecuTorch)": 1, "aten::index.Tensor_out (left to ExecuTorch)": 2}
    assert moves.detail == {"XnnpackBackend": 3, **kernels, **named}


def test_products_of_two_computed_matrices_are_batches_of_one() -> None:
    class Products(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(4, 4))

        def forward(self, left: torch.Tensor, right: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
            return (left @ right.T).mm(left) @ self.weight + batch @ batch

    inputs = torch.randn(4, 4), torch.randn(4, 4), torch.randn(2, 4, 4)
    with quietly():
        module = torch.export.export(Products().eval(), inputs).module()
    expected = module(*inputs)
    lowering.batch_products(module)
    called = Counter(node.target for node in module.graph.nodes if node.op == "call_function")
    assert called[torch.ops.aten.bmm.default] == 2
    assert called[torch.ops.aten.matmul.default] == 2, "a weight is taken as it is, and so is a batch"
    torch.testing.assert_close(module(*inputs), expected)


def test_the_axes_of_what_a_delegate_would_take_are_counted() -> None:
    class Splits(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            one, two = x.reshape(1, 1, 2, 2, 1, 1, -1).chunk(2, dim=2)
            return (one + two).flatten()

    with quietly():
        nodes = torch.export.export(Splits(), (torch.zeros(2, 6),)).graph.nodes
    assert most_axes(nodes) == 7
    assert most_axes(node for node in nodes if node.op == "placeholder") == 2
    assert most_axes([]) == 0


def test_an_operator_that_multiplies_is_told_from_others() -> None:
    with quietly():
        program = torch.export.export(torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU()), (torch.zeros(3, 6),))
    told = {arithmetic.operator(node): arithmetic.add(Counter(), node) for node in program.graph.nodes}
    assert told["linear"]
    assert not told["relu"]


def test_a_program_without_a_delegate_call_is_no_success() -> None:
    lowered = lowering.Lowered(None, Counter(), Counter({"aten::sort.values": 1}), arithmetic.Work())
    with pytest.raises(lowering.NothingDelegated, match="sort"):
        lowering.check_delegates(lowered, Target("executorch", "vulkan", Precision.FP32))
