"""onnxruntime's adapter beyond the conformance suite: external data, lowering to fp16, providers, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from porting.adapters import _onnx_model, _onnx_session
from porting.adapters._onnx_session import CPU, IDENTITY, FallbackError
from porting.adapters.onnxruntime.adapter import PROVIDERS, OnnxRuntimeAdapter

from porting.adapter import ExportedForm
from porting.diagnose.blockers import blockers
from porting.types import Cause, Outcome, Precision, Result, Stage, Target, TensorSpec

FP32, FP16 = Target("onnxruntime", "cpu", Precision.FP32), Target("onnxruntime", "cpu", Precision.FP16)
FLOAT, BFLOAT16, INT64 = TensorProto.FLOAT, TensorProto.BFLOAT16, TensorProto.INT64


def model(
    nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], initializers: list[Any] | None = None, **more: Any
) -> Any:
    """A small model; inputs and outputs: name to (element type, shape)."""
    values = [[helper.make_tensor_value_info(name, *spec) for name, spec in side.items()] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "g", *values, initializers or [])
    opsets = [helper.make_opsetid("", more.pop("opset", 18)), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=more.pop("ir_version", 8))


def external(name: str, array: Any, file: str, offset: int = 0) -> Any:
    """An initialiser whose bytes lie in `file`."""
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": file, "offset": str(offset), "length": str(array.nbytes)}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def weights() -> Any:
    return np.random.default_rng(0).standard_normal((300, 200), np.float32)


@pytest.fixture
def form(tmp_path: Path, weights: Any) -> ExportedForm:
    """x @ w + b, with w inside a file called model.safetensors behind 24 other bytes."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\0" * 24 + weights.tobytes())
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    bias = numpy_helper.from_array(np.ones(200, np.float32), "b")
    made = model(
        nodes, {"x": (FLOAT, ["n", 300])}, {"y": (FLOAT, ["n", 200])}, [external("w", weights, "model.safetensors", 24), bias]
    )
    onnx.save(made, folder / "onnx-fp32-dynamic.onnx")
    specs = (TensorSpec("x", "float32", ("n", 300)),), (TensorSpec("y", "float32", ("n", 200)),)
    return ExportedForm("onnx", Precision.FP32, folder / "onnx-fp32-dynamic.onnx", *specs, 18)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifact"
    made.mkdir()
    return made


def test_external_data_is_copied_under_its_own_name_and_never_linked(form: ExportedForm, folder: Path, weights: Any) -> None:
    artifact = OnnxRuntimeAdapter().convert(form, FP32, folder)
    assert artifact.files == ("model.onnx", "model.safetensors")
    assert os.stat(folder / "model.safetensors").st_nlink == 1
    assert not (folder / "model.safetensors").is_symlink()
    x = np.ones((2, 300), np.float32)
    answer = OnnxRuntimeAdapter().load(artifact, FP32, folder).run({"x": x})["y"]
    np.testing.assert_allclose(answer, x @ weights + 1, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin"])
@pytest.mark.parametrize("target", [FP32, FP16], ids=str)
def test_external_data_outside_the_folder_is_refused(target: Target, location: str, form: ExportedForm, folder: Path) -> None:
    (folder.parent / "secret.bin").write_bytes(b"\0" * 240_000)
    made = onnx.load(form.path, load_external_data=False)
    made.graph.initializer[0].external_data[0].value = location
    form.path.write_bytes(made.SerializeToString())
    adapter = OnnxRuntimeAdapter()
    with pytest.raises(ValueError, match="outside its folder") as caught:
        adapter.convert(form, target, folder)
    assert adapter.classify(caught.value) == (Outcome.FAIL, Cause.UNTRUSTED)


def test_external_data_that_a_link_leads_outside_is_refused(form: ExportedForm, folder: Path) -> None:
    inside = form.path.parent / "model.safetensors"
    inside.rename(folder.parent / "elsewhere.bin")
    inside.symlink_to(folder.parent / "elsewhere.bin")
    with pytest.raises(_onnx_model.OutsideError):
        OnnxRuntimeAdapter().convert(form, FP32, folder)


def test_fp16_holds_half_the_bytes_and_keeps_float32_at_its_borders(form: ExportedForm, folder: Path, weights: Any) -> None:
    artifact = OnnxRuntimeAdapter().convert(form, FP16, folder)
    assert artifact.files == ("model.onnx", "model.onnx.data")
    assert (folder / "model.onnx.data").stat().st_size == weights.nbytes // 2
    lowered = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(lowered, full_check=True)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in lowered.graph.initializer}
    np.testing.assert_array_equal(stored["w"], weights.astype(np.float16))
    session = OnnxRuntimeAdapter().load(artifact, FP16, folder)
    x = np.ones((2, 300), np.float32)
    answer = session.run({"x": x})["y"]
    assert answer.dtype == np.float32
    assert 0 < np.abs(answer - (x @ weights + 1)).max() < 0.1
    assert session.effective_precision() is Precision.FP16


def test_fp16_is_what_the_runtimes_own_tool_makes_of_the_whole_model(form: ExportedForm, folder: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    artifact = OnnxRuntimeAdapter().convert(form, FP16, folder)
    whole = convert_float_to_float16(onnx.load(form.path), keep_io_types=True)
    x = np.random.default_rng(1).standard_normal((3, 300), np.float32)
    expected = onnxruntime.InferenceSession(whole.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_array_equal(OnnxRuntimeAdapter().load(artifact, FP16, folder).run({"x": x})["y"], expected)


def test_fp16_clamps_finite_weights_and_keeps_infinities() -> None:
    values = np.array([1e30, -1e30, np.inf, -np.inf, 0.1, 65504.0], np.float32)
    np.testing.assert_array_equal(_onnx_model.to_half(values), np.array([65504, -65504, np.inf, -np.inf, 0.1, 65504], np.float16))


def test_fp16_leaves_big_integer_tensors_alone(tmp_path: Path, folder: Path) -> None:
    table = np.arange(20_000, dtype=np.int64)
    (tmp_path / "table.bin").write_bytes(table.tobytes())
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    made = model([node], {"i": (INT64, ["n"])}, {"y": (INT64, ["n"])}, [external("table", table, "table.bin")])
    onnx.save(made, tmp_path / "m.onnx")
    form = ExportedForm(
        "onnx", Precision.FP32, tmp_path / "m.onnx", (TensorSpec("i", "int64", ("n",)),), (TensorSpec("y", "int64", ("n",)),)
    )
    artifact = OnnxRuntimeAdapter().convert(form, FP16, folder)
    answer = OnnxRuntimeAdapter().load(artifact, FP16, folder).run({"i": np.array([7, 19_999])})["y"]
    np.testing.assert_array_equal(answer, [7, 19_999])


def test_fp16_takes_constants_that_are_written_as_plain_floats(tmp_path: Path, folder: Path) -> None:
    nodes = [helper.make_node("Constant", [], ["c"], value_float=0.5), helper.make_node("Mul", ["x", "c"], ["y"])]
    onnx.save(model(nodes, {"x": (FLOAT, ["n"])}, {"y": (FLOAT, ["n"])}), tmp_path / "m.onnx")
    specs = (TensorSpec("x", "float32", ("n",)),), (TensorSpec("y", "float32", ("n",)),)
    artifact = OnnxRuntimeAdapter().convert(ExportedForm("onnx", Precision.FP32, tmp_path / "m.onnx", *specs), FP16, folder)
    answer = OnnxRuntimeAdapter().load(artifact, FP16, folder).run({"x": np.array([3, 4], np.float32)})["y"]
    np.testing.assert_array_equal(answer, [1.5, 2])


def test_fp16_says_so_when_external_data_ends_early(form: ExportedForm, folder: Path) -> None:
    data = form.path.parent / "model.safetensors"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="'w' ends early"):
        OnnxRuntimeAdapter().convert(form, FP16, folder)


# ---- telemetry

OPEN_A_SESSION = """
from porting.adapters._onnx_session import IDENTITY, import_runtime, start
from porting.adapters.onnxruntime.adapter import PROVIDERS, OnnxRuntimeAdapter
from porting.types import Precision
{first}
import onnxruntime
start(onnxruntime, IDENTITY, PROVIDERS["cpu"], Precision.FP32).run(None, {{"x": [1.0]}})
"""


@pytest.mark.parametrize("first", ["import_runtime('onnxruntime')", "OnnxRuntimeAdapter().probe()"])
def test_the_runtime_leaves_no_telemetry(first: str, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY" and not k.startswith("XDG_")}
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", OPEN_A_SESSION.format(first=first)],
        check=True,
        cwd=root,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert list(tmp_path.rglob("*")) == []


# ---- providers


def test_every_other_provider_is_unavailable_with_what_brings_it() -> None:
    states = OnnxRuntimeAdapter().probe().devices
    built_in = onnxruntime.get_available_providers()
    absent = [device for device, provider in PROVIDERS.items() if provider.name not in built_in]
    assert absent, "this onnxruntime has every provider there is"
    for device in absent:
        assert states[device].cause is Cause.MISSING_DEPENDENCY
        assert PROVIDERS[device].name in states[device].reason
        assert PROVIDERS[device].package in states[device].reason


def test_a_provider_that_does_not_start_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        state = OnnxRuntimeAdapter().probe().devices["cuda"]
    assert not state.available
    assert state.cause is Cause.MISSING_DEVICE
    assert "came up on CPUExecutionProvider" in state.reason


def test_a_session_that_comes_up_on_the_cpu_instead_is_an_error() -> None:
    adapter = OnnxRuntimeAdapter()
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(FallbackError) as caught:
        _onnx_session.start(onnxruntime, IDENTITY, PROVIDERS["cuda"], Precision.FP32)
    assert adapter.classify(caught.value) == (Outcome.FAIL, Cause.FALLBACK)


def test_fp32_on_nvidia_is_kept_from_tf32() -> None:
    assert PROVIDERS["cuda"].options_at(Precision.FP32) == {"use_tf32": "0"}
    assert PROVIDERS["tensorrt"].environment == {"NVIDIA_TF32_OVERRIDE": "0"}


def test_placement_counts_nodes_of_the_provider(form: ExportedForm, folder: Path) -> None:
    session = _loaded(form, folder)
    placement = session.placement()
    assert placement.target_ops == placement.detail[CPU] == 1, "MatMul and Add are fused"
    assert placement.other_ops == 0


def test_placement_names_what_is_left_to_others(form: ExportedForm, folder: Path) -> None:
    session = _loaded(form, folder)
    session._nodes = {(CPU, "MatMul"): 3, ("Other", "IsNaN"): 2, ("Other", "TopK"): 1}
    placement = session.placement()
    assert (placement.target_ops, placement.other_ops) == (3, 3)
    assert placement.detail == {CPU: 3, "Other": 3, "IsNaN (left to Other)": 2, "TopK (left to Other)": 1}
    result = Result("m", "onnxruntime:cpu:fp32", Stage.COMPARE, Outcome.DEGRADED, Cause.FALLBACK, placement=placement)
    assert {str(found.name) for found in blockers(result)} == {"IsNaN", "TopK"}


@pytest.mark.parametrize(("elsewhere", "share"), [("IsNaN", 1.0), ("TopK", 1.0), ("FusedConv", None), ("Loop", None)])
def test_operators_without_multiply_adds_may_run_elsewhere(elsewhere: str, share: float | None) -> None:
    nodes = {("Wanted", "MatMul"): 3, ("Wanted", "Add"): 5, (CPU, elsewhere): 1}
    assert _onnx_session.arithmetic_share(nodes, "Wanted") == share


def test_a_provider_that_took_none_of_the_arithmetic_did_nothing_of_it() -> None:
    assert _onnx_session.arithmetic_share({("Wanted", "Relu"): 9, (CPU, "Gemm"): 1}, "Wanted") == 0.0
    assert _onnx_session.arithmetic_share({("Wanted", "Relu"): 9}, "Wanted") is None


def test_placement_is_read_from_a_profile_where_the_runtime_cannot_say(
    form: ExportedForm, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from onnxruntime.capi.onnxruntime_inference_collection import Session

    monkeypatch.delattr(Session, _onnx_session.ASSIGNMENT, raising=False)  # releases before 1.24 have none
    monkeypatch.setattr(_onnx_session.tempfile, "tempdir", str(tmp_path))
    session = _loaded(form, folder)
    assert (session.placement().target_ops or 0) > 0
    assert session.placement().detail == session.placement().detail
    assert not list(tmp_path.glob("onnx-profile-*"))


def _loaded(form: ExportedForm, folder: Path) -> Any:
    artifact = OnnxRuntimeAdapter().convert(form, FP32, folder)
    session = OnnxRuntimeAdapter().load(artifact, FP32, folder)
    session.run({"x": np.ones((2, 300), np.float32)})
    return session


@pytest.mark.parametrize(("variable", "threads"), [("3", 3), ("", 1)])
def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    session = _onnx_session.start(onnxruntime, IDENTITY, PROVIDERS["cpu"], Precision.FP32)
    assert session.get_session_options().intra_op_num_threads == threads


# ---- what its errors mean


def _broken(made: Any, **inputs: Any) -> BaseException:
    def run() -> None:
        session = _onnx_session.start(onnxruntime, made.SerializeToString(), PROVIDERS["cpu"], Precision.FP32)
        session.run(None, inputs)

    with pytest.raises(Exception) as caught:
        run()
    return caught.value


ONE = {"x": (FLOAT, ["n"])}, {"y": (FLOAT, ["n"])}
PAIR = {"x": (FLOAT, ["n"]), "z": (FLOAT, ["m"])}, {"y": (FLOAT, ["n"])}
GEMM = {"x": (BFLOAT16, [2, 3]), "w": (BFLOAT16, [3, 2])}, {"y": (BFLOAT16, [2, 2])}


@pytest.mark.parametrize(
    ("made", "inputs", "meaning"),
    [
        (model([helper.make_node("Gemm", ["x", "w"], ["y"])], *GEMM), {}, (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE)),
        (model([helper.make_node("Foo", ["x"], ["y"], domain="my")], *ONE), {}, (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (model([helper.make_node("Relu", ["x"], ["y"])], *ONE, opset=99), {}, (Outcome.UNSUPPORTED, Cause.OPSET)),
        (model([helper.make_node("Relu", ["x"], ["y"])], *ONE, ir_version=99), {}, (Outcome.UNSUPPORTED, Cause.OPSET)),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}),
            {"x": np.zeros(3, np.float32)},
            (Outcome.FAIL, Cause.DYNAMIC_SHAPE),
        ),
        (
            model([helper.make_node("Add", ["x", "z"], ["y"])], *PAIR),
            {"x": np.zeros(3, np.float32), "z": np.zeros(2, np.float32)},
            (Outcome.FAIL, Cause.DYNAMIC_SHAPE),
        ),
        (
            model([helper.make_node("ConstantOfShape", ["s"], ["y"])], {"s": (INT64, [1])}, {"y": (FLOAT, ["n"])}),
            {"s": np.array([2**44])},
            (Outcome.FAIL, Cause.HOST_OOM),
        ),
        (
            model(
                [helper.make_node("MatMul", ["x", "z"], ["y"])],
                {"x": (FLOAT, [2, 3]), "z": (FLOAT, [4, 5])},
                {"y": (FLOAT, [2, 5])},
            ),
            {},
            (Outcome.FAIL, Cause.SHAPE_INFERENCE),
        ),
    ],
    ids=["dtype", "operator", "opset", "ir", "dims", "broadcast", "memory", "shapes"],
)
def test_its_errors_are_read(made: Any, inputs: Any, meaning: tuple[Outcome, Cause]) -> None:
    assert OnnxRuntimeAdapter().classify(_broken(made, **inputs)) == meaning


def test_an_error_it_does_not_know_is_left_to_the_general_rules() -> None:
    assert OnnxRuntimeAdapter().classify(RuntimeError("the moon is in the wrong phase")) is None
