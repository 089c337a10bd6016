"""aotinductor's adapter beyond the conformance suite: what is in a package, sizes and dtypes it must refuse, errors."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from porting.adapters.aotinductor.adapter import CHECK_INPUTS, AotInductorAdapter, kernel_counts, wrapper_code

from porting.adapter import ExportedForm
from porting.types import Cause, Outcome, Precision, Target, TensorSpec

TARGET = Target("aotinductor", "cpu", Precision.FP32)
CODE = """
extern "C"  void  cpp_fused_add_0(const float* in_ptr0,
    void* cpp_fused_add_0{nullptr};
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(2, int_array_6, int_array_7, cached_torch_dtype_float32, &buf4_handle));
    cpp_fused_add_0((const float*)(arg5_1.data_ptr()), s18);
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_addmm_out(buf4, buf3, buf2, head_weight, 1L, 1L));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_proxy_executor_call_function(proxy_executor, 0, 0, nullptr, 1, handles));
    cpp_fused_relu_1((float*)(buf4.data_ptr()), s18);
"""


class Softmax(torch.nn.Module):
    """All of it is generated kernels: a library's would notice another size themselves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1) * 2


def test_calls_in_generated_code_are_counted_and_nothing_else() -> None:
    assert kernel_counts(CODE) == {"generated kernels": 2, "library calls": 2}
    assert kernel_counts("") == {"generated kernels": 0, "library calls": 0}


def test_the_calling_code_is_read_from_a_package(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        for name in ("c1.wrapper.cpp", "c2.kernel.cpp", "c1.wrapper.so"):
            archive.writestr(f"model/data/aotinductor/model/{name}", name)
    assert wrapper_code(tmp_path / "model.pt2") == "c1.wrapper.cpp"


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("input_handles[0]: unmatched dim value at 0, expected: 2, but got: 3", (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
        ("input_handles[1]: dim value is too large at 1, expected to be <= 8", (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
        ("missing lowering for aten.foo", (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        ("No working C++ compiler found", (Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY)),
    ],
)
def test_its_errors_are_read(message: str, meaning: tuple[Outcome, Cause]) -> None:
    assert AotInductorAdapter().classify(RuntimeError(message)) == meaning


@pytest.mark.slow  # compiled by a C++ compiler
def test_a_static_package_refuses_another_size_instead_of_answering_with_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CHECK_INPUTS, raising=False)
    program = torch.export.export(Softmax(), (torch.zeros(2, 3),))
    torch.export.save(program, tmp_path / "form.pt2")
    specs = (TensorSpec("x", "float32", (2, 3)),), (TensorSpec("y", "float32", (2, 3)),)
    adapter = AotInductorAdapter()
    (tmp_path / "artifact").mkdir()
    artifact = adapter.convert(ExportedForm("pt2", Precision.FP32, tmp_path / "form.pt2", *specs), TARGET, tmp_path / "artifact")
    session = adapter.load(artifact, TARGET, tmp_path / "artifact")
    assert os.environ[CHECK_INPUTS] == "1"
    assert session.run({"x": np.zeros((2, 3), np.float32)})["y"].shape == (2, 3)
    with pytest.raises(RuntimeError) as caught:
        session.run({"x": np.zeros((5, 3), np.float32)})
    assert adapter.classify(caught.value) == (Outcome.FAIL, Cause.DYNAMIC_SHAPE)
