"""Which layers a precision costs most, and the fastest precision that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from porting.cells.precision import choose, searched
from porting.cli import run
from porting.rewrites.keep import PROPERTY, Unmeasured, keep, sensitivities
from porting.types import Cause, Outcome, Perf, Precision, Result, Stage, Target

HERE = Path(__file__).parent


def model(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Two layers: `rough` takes one value of a hundred thousand times the others' size and makes nothing of it; 8 bits leave
    nothing of the others then, and fp16 has no such value."""
    random = np.random.default_rng(0)
    weights = [random.standard_normal((8, 8)).astype(np.float32) for _ in range(2)]
    large = np.ones(8, np.float32)
    large[0], weights[1][0] = 1e5, 0
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"], name="fine"),
        helper.make_node("Mul", ["a", "large"], ["b"], name="scale"),
        helper.make_node("MatMul", ["b", "w1"], ["c"], name="rough"),
        helper.make_node("Tanh", ["a"], ["d"], name="curve"),
        helper.make_node("Add", ["c", "d"], ["y"], name="sum"),
    ]
    tensors = {"w0": weights[0], "w1": weights[1], "large": large}
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 8]) for name in "xy"]
    graph = helper.make_graph(
        nodes, "g", value[:1], value[1:], [numpy_helper.from_array(np.asarray(a), n) for n, a in tensors.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx")
    return folder / "model.onnx", [{"x": random.standard_normal((4, 8)).astype(np.float32)} for _ in range(2)]


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP16])
def test_the_layer_that_a_precision_costs_most_comes_first(tmp_path: Path, precision: Precision) -> None:
    path, samples = model(tmp_path)
    groups = sensitivities(path, samples, precision)
    assert groups[0].names[0] in ("rough", "scale")  # fp16 cannot hold what scales, either
    assert groups[0].error > 5 * next(group.error for group in groups if group.names == ("fine",))


def test_what_is_kept_is_named_in_the_file_and_its_operators_have_names(tmp_path: Path) -> None:
    path, samples = model(tmp_path)
    memory = tmp_path / "memory.json"
    assert keep(path, samples, Precision.INT8, 50, memory) == (1, 2)
    (entry,) = onnx.load(path).metadata_props
    assert (entry.key, entry.value) == (PROPERTY, "rough")
    assert keep(path, [], Precision.INT8, 100, memory) == (2, 2)  # nothing is run: it is known
    assert onnx.load(path).metadata_props[0].value.split() == ["rough", "fine"]


def test_a_model_without_such_layers_is_not_measured(tmp_path: Path) -> None:
    path, samples = model(tmp_path)
    made = onnx.load(path)
    kept = [node for node in made.graph.node if node.name == "fine"]
    del made.graph.node[:]
    made.graph.node.append(helper.make_node("Tanh", ["x"], ["y"], name=kept[0].name))
    onnx.save(made, path)
    with pytest.raises(Unmeasured, match="no layer"):
        sensitivities(path, samples, Precision.INT8)


# ---- the choice ---------------------------------------------------------------------------------------------------


def result(precision: str, seconds: float, outcome: Outcome = Outcome.PASS, cause: Cause | None = None, *words: str) -> Result:
    perf = Perf("nominal", 10, seconds, seconds)
    return Result("m", f"a:cpu:{precision}", Stage.COMPARE, outcome, cause, perf=perf, passes_with=words)


def test_the_fastest_that_is_right_is_chosen() -> None:
    wrong = result("int8", 0.1, Outcome.MISMATCH, Cause.TOLERANCE)
    (choice,) = choose([result("fp32", 1.0), result("fp16", 0.5), wrong])
    assert (choice.fastest, choice.gain) == ("fp16", 2.0)
    assert [each.precision for each in choice.candidates] == ["fp16", "fp32", "int8"]
    assert choice.candidates[-1].seconds is None


def test_layers_in_fp32_are_within_the_budget_and_a_silent_other_precision_is_not() -> None:
    mixed = result("int8", 0.1, Outcome.DEGRADED, Cause.PRECISION, "keep=int8_10")
    assert choose([result("fp32", 1.0), mixed])[0].fastest == "int8"
    other = result("int8", 0.1, Outcome.DEGRADED, Cause.PRECISION)
    assert choose([result("fp32", 1.0), other])[0].fastest == "fp32"
    assert choose([result("fp16", 1.0, Outcome.FAIL)])[0].fastest is None


def test_every_precision_of_a_device_is_searched_fp32_first() -> None:
    found = [str(target) for target in searched([Target.parse("onnxruntime:cpu:fp16"), Target.parse("onnxruntime:cpu:fp32")])]
    assert found == ["onnxruntime:cpu:fp32", "onnxruntime:cpu:fp16", "onnxruntime:cpu:int8"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTING_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PORTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("home")
def test_a_layer_that_int8_cannot_hold_stays_in_fp32_and_the_result_says_so() -> None:
    from porting.api import check

    (found,) = check("sample_models:outlier", targets=["onnxruntime:cpu:int8"])
    assert (found.outcome, found.cause) == (Outcome.DEGRADED, Cause.PRECISION)
    assert found.passes_with in (("keep=int8_5",), ("keep=int8_10",), ("keep=int8_25",), ("keep=int8_50",))
    assert "int8 with 1 of 3 groups of layers kept in fp32" in found.message
    assert found.attempts[0].startswith("onnx-fp32-dynamic: mismatch (tolerance) at compare")


@pytest.mark.usefixtures("home")
def test_a_check_tells_the_fastest(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["check", "sample_models:two_outputs", "--on", "onnxruntime:cpu:fp32", "--precision", "auto"]
    assert run([*words, "--bench", "0.05", "--format", "json"]) == 0
    (choice,) = json.loads(capfd.readouterr().out)
    assert choice["device"] == "onnxruntime:cpu"
    assert {each["precision"] for each in choice["candidates"]} == {"fp32", "fp16", "int8"}
    by = {each["precision"]: each["seconds"] for each in choice["candidates"]}
    assert choice["fastest"] == min((p for p in by if by[p] is not None), key=lambda p: by[p])
    assert run([*words, "--html", "report"]) == 2
