"""openvino's adapter beyond the conformance suite: telemetry, missing devices, effective precision, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from porting.adapters.openvino.adapter import OpenVinoAdapter, import_openvino

from porting.adapter import ExportedForm
from porting.types import Cause, Outcome, Precision, Target, TensorSpec

CPU = {precision: Target("openvino", "cpu", precision) for precision in (Precision.FP32, Precision.FP16, Precision.BF16)}


def form(folder: Path, operator: str = "Relu", domain: str = "", dims: tuple[Any, ...] = ("n",)) -> ExportedForm:
    """One operator from x to y."""
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))] for name in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", *values)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "m.onnx")
    specs = ((TensorSpec(name, "float32", dims),) for name in "xy")
    return ExportedForm("onnx", Precision.FP32, folder / "m.onnx", *specs, 18)


def product(folder: Path) -> ExportedForm:
    """Rows of 64 times a matrix: what a lower precision is for. A lone Relu is run in fp32 whatever is asked."""
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
    weight = helper.make_tensor("w", TensorProto.FLOAT, [64, 64], np.linspace(-1, 1, 64 * 64).tolist())
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [given], [made], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "m.onnx")
    specs = ((TensorSpec(name, "float32", ("n", 64)),) for name in "xy")
    return ExportedForm("onnx", Precision.FP32, folder / "m.onnx", *specs, 18)


def test_importing_it_loads_no_telemetry() -> None:
    code = (
        "import sys; from porting.adapters.openvino.adapter import import_openvino; import_openvino();"
        "print(sys.modules.get('openvino_telemetry'), [m for m in sys.modules if m.startswith('openvino_telemetry.')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "None []"


def test_a_device_that_is_not_here_is_unavailable_in_the_plugins_own_words() -> None:
    here = import_openvino().Core().available_devices
    states = OpenVinoAdapter().probe().devices
    for device in ("gpu", "npu"):
        if device.upper() not in here:
            assert not states[device].available
            assert states[device].cause is Cause.MISSING_DEVICE
            assert device.upper() in states[device].reason or "libopenvino" in states[device].reason


@pytest.mark.parametrize("precision", list(CPU), ids=lambda p: p.value)
def test_the_effective_precision_is_the_compiled_models_own_and_never_finer_than_asked(
    tmp_path: Path, precision: Precision
) -> None:
    adapter, target = OpenVinoAdapter(), CPU[precision]
    session = adapter.load(adapter.convert(product(tmp_path), target, tmp_path), target, tmp_path)
    session.run({"x": np.ones((3, 64), np.float32)})
    able = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    effective = session.effective_precision()
    if precision is Precision.FP32:
        assert effective is Precision.FP32, "without the hint a CPU with bf16 would run that"
    elif precision.value.upper() in able:
        assert effective is precision
    else:  # a CPU may run what OpenVINO does not list for it: the kernels tell
        ran = {name for _, name in session._layers()}
        assert (effective is precision) == ({Precision.FP16: "f16", Precision.BF16: "bf16"}[precision] in ran)


def test_placement_tells_operators_by_the_precision_they_run_in(tmp_path: Path) -> None:
    adapter, target = OpenVinoAdapter(), CPU[Precision.FP32]
    session = adapter.load(adapter.convert(form(tmp_path), target, tmp_path), target, tmp_path)
    session.run({"x": np.ones(3, np.float32)})
    placement = session.placement()
    assert placement.device == "CPU"
    assert placement.detail["f32"] >= 1
    assert placement.target_ops == sum(placement.detail.values())


def test_an_operator_it_does_not_know_is_unsupported(tmp_path: Path) -> None:
    adapter = OpenVinoAdapter()
    with pytest.raises(RuntimeError) as caught:
        adapter.convert(form(tmp_path, "Foo", "my"), CPU[Precision.FP32], tmp_path)
    assert adapter.classify(caught.value) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)


def test_another_size_than_a_fixed_one_is_a_matter_of_shapes(tmp_path: Path) -> None:
    adapter, target = OpenVinoAdapter(), CPU[Precision.FP32]
    session = adapter.load(adapter.convert(form(tmp_path, dims=(2,)), target, tmp_path), target, tmp_path)
    with pytest.raises(RuntimeError) as caught:
        session.run({"x": np.ones(3, np.float32)})
    assert adapter.classify(caught.value) == (Outcome.FAIL, Cause.DYNAMIC_SHAPE)


def test_a_device_that_is_not_registered_is_unavailable() -> None:
    with pytest.raises(RuntimeError) as caught:
        import_openvino().Core().get_property("FOO", "FULL_DEVICE_NAME")
    assert OpenVinoAdapter().classify(caught.value) == (Outcome.UNAVAILABLE, Cause.MISSING_DEVICE)
