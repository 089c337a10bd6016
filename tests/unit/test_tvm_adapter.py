"""tvm's adapter beyond the conformance suite: what its errors mean, what it was told of chips, how kernels are counted."""

from __future__ import annotations

import re
import shutil

import pytest
from porting.adapters.tvm import compiler, cubin
from porting.adapters.tvm.adapter import TvmAdapter
from porting.adapters.tvm.chips import CHIPS, hidden

from porting.types import Cause, Evidence, Outcome

STATISTICS = """Relax VM executable statistics:
  Constant pool (# 2): [float32, "global"]
  Globals (#7): [main, vm.builtin.alloc_shape_heap, shape_func, fused_conv2d_add_relu, mean, tvm.contrib.sort.argsort, topk]
"""


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("AssertionError: Unsupported function types ['masked_scatter.default']", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("CodeGenVM cannot emit this Relax operator directly (R.topk)", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("The buffer b allocated in the function has dtype T.int64.", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE)),
        ("emit_te now only supports Tensor that has ShapeExpr shape", (Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE)),
        ("AttributeError: 'Add' object has no attribute 'value'", (Outcome.UNSUPPORTED, Cause.DYNAMIC_SHAPE)),
        ("match_cast error,  shape[2] mismatch to specified constant.", (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
        ("expect Tensor with ndim 4 but get 3", (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
        ("std::bad_alloc", (Outcome.FAIL, Cause.HOST_OOM)),
        ("something else", None),
    ],
)
def test_its_errors_have_a_meaning(message: str, meaning: object) -> None:
    assert TvmAdapter().classify(compiler.CompileError(message)) == meaning


def test_a_person_reads_the_error_without_the_code_it_is_about() -> None:
    error = RuntimeError("CodeGenVM cannot emit this.\nOffending call:\nR.topk(x, k=2)\n" + 1000 * "code\n")
    assert compiler.diagnosis(error) == "RuntimeError: CodeGenVM cannot emit this. (R.topk)"
    assert compiler.diagnosis(ValueError("dtype T.int64. The function is # from tvm")) == "ValueError: dtype T.int64."


def test_an_error_of_this_machine_is_none_of_the_compiler() -> None:
    with pytest.raises(OSError, match="disk"), compiler.readable_errors():
        raise OSError("disk")
    with pytest.raises(compiler.CompileError, match="AssertionError: no"), compiler.readable_errors():
        raise AssertionError("no")


def test_only_functions_that_compute_values_count() -> None:
    assert compiler.functions(STATISTICS) == ["fused_conv2d_add_relu", "mean", "tvm.contrib.sort.argsort", "topk"]
    assert compiler.functions("nothing that was expected") == []


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("cuda", 'extern "C" __global__ void __launch_bounds__(256) mean_kernel(float* x);'),
        ("cuda", 'extern "C" __global__ void mean_kernel(float* x) {'),
        ("opencl", "// Function: mean_kernel\n__kernel void mean_kernel(__global float* restrict x) {"),
    ],
)
def test_kernels_are_found_in_the_source_of_a_gpu(kind: str, source: str) -> None:
    assert re.findall(compiler.KERNEL[kind], source, re.MULTILINE) == ["mean_kernel"]


def test_a_kernel_without_machine_code_is_missed() -> None:
    assert cubin.missing(["mean", "me"], b"\0.text.mean\0.nv.info.me\0") == ["me"]


def test_chips_are_compiled_for_only_and_every_gpu_has_a_host() -> None:
    assert TvmAdapter.evidence_of("cpu") is Evidence.HOST
    assert {TvmAdapter.evidence_of(chip) for chip in CHIPS} == {Evidence.COMPILED}
    assert {chip.kind for chip in CHIPS.values() if chip.host} == set(compiler.KERNEL)
    assert set(TvmAdapter.chips("cuda-sm_70")) == {name for name in CHIPS if name.startswith("cuda-")}


def test_what_a_virtual_machine_hides_of_its_cpu_is_not_compiled_for() -> None:
    implied = ["64bit", "avx2", "avx512bf16", "avx512vnni", "fast-imm16", "fma", "sse4.1"]
    assert hidden(implied, "model : 17\nflags\t\t: fpu fma sse4_1 avx2\n") == ["avx512bf16", "avx512vnni"]
    assert hidden(implied, "flags : fma avx2 avx512_bf16 avx512_vnni\n") == []
    assert hidden(implied, "Features : fp asimd\n") == hidden(implied, "") == []


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler is here")
def test_c_that_is_none_is_an_error() -> None:
    tvm = pytest.importorskip("tvm", reason="TVM is in an environment of its own")
    assert tvm
    compiler.check_c("int good(void) { return 0; }\n")
    with pytest.raises(compiler.CompileError, match="error"):
        compiler.check_c("int bad(void) { return (int) int x; }\n")
