"""onnxruntime_openvino's adapter beyond the conformance suite: precision always given, threads, no way round to the CPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from porting.adapters import _onnx_session
from porting.adapters._onnx_session import CPU, IDENTITY
from porting.adapters.onnxruntime.adapter import OnnxRuntimeAdapter
from porting.adapters.onnxruntime_openvino.adapter import PROVIDERS, OnnxRuntimeOpenVinoAdapter, OpenVinoError

from porting.types import Artifact, Cause, Outcome, Precision

OPENVINO = "OpenVINOExecutionProvider"
Opened = SimpleNamespace


class Options:
    """onnxruntime's SessionOptions, as far as a session here sets them."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


def opened(device: str, precision: Precision) -> Opened:
    """What a session on a device is opened with: `options` and `providers`."""
    seen: list[Opened] = []

    def session(model: Any, options: Options, providers: list[Any], enable_fallback: int) -> Any:
        seen.append(SimpleNamespace(options=options, providers=providers))
        return SimpleNamespace(get_providers=lambda: [OPENVINO])

    runtime = SimpleNamespace(SessionOptions=Options, InferenceSession=session)
    _onnx_session.start(runtime, IDENTITY, PROVIDERS[device], precision)
    return seen[0]


@pytest.mark.parametrize("target", OnnxRuntimeOpenVinoAdapter.targets(), ids=str)
def test_the_precision_is_never_left_to_the_plugin(target: Any) -> None:
    (name, options), *_ = opened(target.device, target.precision).providers
    assert name == OPENVINO
    assert options["precision"] == target.precision.value.upper()
    assert options["device_type"] == target.device.upper()


def test_the_providers_own_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (_, options), *_ = opened("cpu", Precision.FP32).providers
    assert options["num_of_threads"] == "3"


def test_what_the_cpu_plugin_leaves_goes_to_onnxruntimes_cpu_where_placement_counts_it() -> None:
    assert opened("cpu", Precision.FP32).providers[1:] == [CPU]


def test_nothing_of_the_npus_goes_to_the_cpu_unseen() -> None:
    npu = opened("npu", Precision.FP16)
    assert [name for name, _ in npu.providers] == [OPENVINO]
    assert npu.options.entries["session.disable_cpu_ep_fallback"] == "1"


def test_a_model_that_the_npu_does_not_take_whole_is_unsupported() -> None:
    message = (
        "graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
    )
    meaning = OnnxRuntimeOpenVinoAdapter().classify(RuntimeError(message))
    assert meaning == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)


SAID = """[ONNXRuntimeError] : 1 : FAIL : Exception: /onnxruntime/basic_backend.cc:136 auto f(Func&&) [OpenVINO-EP]
Exception from src/inference/src/dev/plugin.cpp:53:
Check '!shape.rank().is_dynamic()' failed at src/plugins/intel_cpu/src/node.cpp:106:
Unexpected: CPU plug-in doesn't support Parameter operation with dynamic rank. Operation name: If_0
"""


def test_a_person_reads_what_openvino_says_and_not_where(monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(SAID)

    monkeypatch.setattr(_onnx_session, "start", fail)
    adapter, target = OnnxRuntimeOpenVinoAdapter(), OnnxRuntimeOpenVinoAdapter.targets()[0]
    with pytest.raises(OpenVinoError, match=r"^Unexpected: CPU plug-in doesn't support Parameter operation with") as caught:
        adapter.load(Artifact(("model.onnx",), (), ()), target, tmp_path)
    assert adapter.classify(caught.value) == (Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE)
    assert "basic_backend.cc" in capfd.readouterr().err, "the log has all of it"


def test_the_plain_distribution_does_not_count_as_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    state = OnnxRuntimeOpenVinoAdapter().probe().devices["cpu"]
    assert state.cause is Cause.MISSING_DEPENDENCY
    assert "onnxruntime-openvino" in state.reason


def test_one_adapter_offers_openvinos_devices() -> None:
    assert not [device for device in OnnxRuntimeAdapter.devices if "openvino" in device]
