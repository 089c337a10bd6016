"""The torch and inductor adapters beyond the conformance suite: plugins, rounding, tracing, errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from porting.adapters import _torch_device, _torch_program
from porting.adapters.inductor.adapter import InductorAdapter, add_to_cache
from porting.adapters.torch.adapter import TorchAdapter

from porting.types import Cause, Outcome, Precision

Plugin = Path


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a torch_npu that can be imported; empty, so that there is no device."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(_torch_device.AUTOLOAD, raising=False)
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)
    monkeypatch.delattr(torch, "npu", raising=False)  # of a stand-in that another test of this process has left
    file = tmp_path / "torch_npu.py"
    file.write_text("__version__ = '9.9'\n")
    yield file
    sys.modules.pop("torch_npu", None)  # or libraries that look for it find it in every test that follows


def test_only_the_cpu_is_here_and_every_other_device_says_why_not() -> None:
    probe = TorchAdapter().probe()
    assert probe.devices["cpu"].available
    for name, state in probe.devices.items():
        if not state.available:
            assert name in state.reason or _torch_device.DEVICES[name].plugin in state.reason


def test_native_names_are_probed_before_cuda() -> None:
    order = list(TorchAdapter.devices)
    assert order.index("npu") < order.index("cuda")
    assert order.index("musa") < order.index("cuda")


def test_a_plugin_without_its_sdk_is_a_reason_and_not_an_error(plugin: Plugin) -> None:
    plugin.write_text("raise ImportError('libhccl.so: cannot open shared object file')\n")
    state = TorchAdapter().probe().devices["npu"]
    assert state.cause is Cause.MISSING_SDK
    assert "libhccl.so" in state.reason


def test_a_plugin_without_a_device_is_told_from_one_that_is_not_installed(plugin: Plugin) -> None:
    probe = TorchAdapter().probe()
    assert probe.devices["npu"].cause is Cause.MISSING_DEVICE
    assert probe.devices["mlu"].cause is Cause.MISSING_DEPENDENCY
    assert probe.versions["torch_npu"] == "9.9"


def test_a_person_can_keep_plugins_from_being_loaded(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_torch_device.AUTOLOAD, "0")
    state = TorchAdapter().probe().devices["npu"]
    assert _torch_device.AUTOLOAD in state.reason
    assert "torch_npu" not in sys.modules


def test_fp32_switches_off_coarser_arithmetic_where_there_is_such_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    _torch_device.exact_rounding(torch, "cuda")
    assert torch.backends.cudnn.allow_tf32 is False
    _torch_device.exact_rounding(torch, "mlu")  # this build has none of its switches: nothing to do, nothing raised


# ---- tracing


def test_a_trace_counts_operators_and_finds_the_dtype_of_matrix_products() -> None:
    def run() -> torch.Tensor:
        wide = torch.ones(4, 4)
        return (wide.bfloat16() @ wide.bfloat16()).float() + wide + wide

    _, trace = _torch_program.traced(run, "cpu")
    assert trace.precision() is Precision.BF16
    assert trace.names["aten::add"] == 2
    assert trace.on("cpu") == sum(trace.devices.values()) > 4


def test_without_matrix_products_the_commonest_floating_dtype_counts() -> None:
    half = torch.ones(4, dtype=torch.float16)
    _, trace = _torch_program.traced(lambda: half + half * half, "cpu")
    assert trace.precision() is Precision.FP16


def test_an_operator_that_the_plugin_ran_on_the_cpu_is_not_on_the_target() -> None:
    import warnings

    def run() -> torch.Tensor:
        warnings.warn(
            "CAUTION: The operator 'aten::add.Tensor' is not currently supported on the NPU backend and will fall back to run on "
            "the CPU.",
            stacklevel=1,
        )
        return torch.ones(2) + torch.ones(2) * 3

    _, trace = _torch_program.traced(run, "cpu")
    assert trace.fell_back == {"aten::add"}
    assert trace.on("cpu") == sum(trace.devices.values()) - 1


def test_other_warnings_reach_the_caller() -> None:
    import warnings

    with pytest.warns(UserWarning, match="something else"):
        _torch_program.traced(lambda: warnings.warn("something else", stacklevel=1), "cpu")


# ---- errors


def _raised(run: object) -> BaseException:
    with pytest.raises(Exception) as caught:
        run()  # type: ignore[operator]
    return caught.value


def test_its_errors_are_read() -> None:
    adapter = TorchAdapter()
    static = torch.export.export(torch.nn.Linear(3, 3), (torch.zeros(2, 3),)).module()
    meaning = {
        (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE): lambda: torch.linalg.svd(torch.zeros(3, 3, dtype=torch.half)),
        (Outcome.FAIL, Cause.HOST_OOM): lambda: torch.zeros(2**44),
        (Outcome.FAIL, Cause.DYNAMIC_SHAPE): lambda: static(torch.zeros(4, 3)),
    }
    assert {adapter.classify(_raised(run)) for run in meaning.values()} == set(meaning)
    foreign = NotImplementedError("Could not run 'aten::bar' with arguments from the 'NPU' backend.")
    assert adapter.classify(foreign) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)
    assert adapter.classify(ValueError("what")) is None


# ---- inductor


def test_inductor_without_a_compiler_is_unavailable_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    def none() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    state = InductorAdapter().probe().devices["cpu"]
    assert not state.available
    assert state.cause is Cause.MISSING_DEPENDENCY
    assert "g++" in state.reason


def test_a_cache_entry_that_may_be_in_use_is_not_written_over(tmp_path: Path) -> None:
    for name, text in {"old/a.so": "new bytes", "old/b.so": "b"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a.so").write_text("mapped")
    add_to_cache(tmp_path / "old", tmp_path / "cache")
    assert (tmp_path / "cache" / "a.so").read_text() == "mapped"
    assert (tmp_path / "cache" / "b.so").read_text() == "b"


def test_data_dependent_branching_is_unsupported_control_flow() -> None:
    class Branch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.sum() > 0 else x

    error = _raised(lambda: torch.compile(Branch(), fullgraph=True, backend="eager")(torch.ones(3)))
    assert InductorAdapter().classify(error) == (Outcome.UNSUPPORTED, Cause.CONTROL_FLOW)
