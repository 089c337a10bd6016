"""tpu-mlir's adapter beyond the conformance suite: graphs in its words, what its MLIR tells, what its programs print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from porting.adapters.tpu_mlir import graph, mlir, tools
from porting.adapters.tpu_mlir.adapter import TpuMlirAdapter

from porting.types import Cause, Outcome

# ---- graphs


def write_model(path: Path, nodes: list[Any], inputs: dict[str, list[int]], outputs: list[str]) -> Path:
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    ]
    made = helper.make_model(helper.make_graph(nodes, "g", *sides), opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(made, path)
    return path


def test_names_are_of_its_liking_and_nothing_is_handed_through(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["pixel/values:0", "scale"], ["sum.of"]),
        helper.make_node("Identity", ["scale"], ["same"]),
        helper.make_node("Identity", ["unused"], ["lambda"]),
    ]
    inputs = {"pixel/values:0": [2, 3], "scale": [], "unused": [4], "lost": [1]}
    source = write_model(tmp_path / "m.onnx", nodes, inputs, ["same", "sum.of", "lambda"])
    plain = graph.rewrite(source, tmp_path / "plain.onnx")
    assert plain.inputs == {"pixel/values:0": "in0", "scale": "in1", "unused": "in2"}
    assert plain.outputs == ("sum.of",)
    assert plain.handed == {"same": "scale", "lambda": "unused"}
    assert graph.shapes_argument(plain.shapes) == "[[2,3],[1],[4]]"
    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    given = {"in0": np.ones((2, 3), np.float32), "in1": np.array(2, np.float32), "in2": np.zeros(4, np.float32)}
    (answer,) = session.run(["out0"], given)
    assert answer.tolist() == [[3, 3, 3], [3, 3, 3]]


def test_names_are_changed_in_graphs_within_too(tmp_path: Path) -> None:
    branches = {
        name: helper.make_graph([helper.make_node(kind, ["x"], [name])], name, [], [helper.make_tensor_value_info(name, 1, None)])
        for name, kind in (("then", "Neg"), ("other", "Abs"))
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "sum"], ["never"]),
        helper.make_node("If", ["never"], ["y"], then_branch=branches["then"], else_branch=branches["other"]),
    ]
    graph.rewrite(write_model(tmp_path / "m.onnx", nodes, {"x": [2]}, ["y"]), tmp_path / "plain.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    assert session.run(None, {"in0": np.float32([-1, 2])})[0].tolist() == [1, 2]


def test_what_is_not_a_number_is_found_in_other_words(tmp_path: Path) -> None:
    nodes = [helper.make_node("IsNaN", ["x"], ["is"]), helper.make_node("Where", ["is", "zero", "x"], ["y"])]
    graph.rewrite(write_model(tmp_path / "m.onnx", nodes, {"x": [3], "zero": []}, ["y"]), tmp_path / "plain.onnx")
    assert "IsNaN" not in {node.op_type for node in onnx.load(tmp_path / "plain.onnx").graph.node}
    given = {"in0": np.float32([1, np.nan, np.inf]), "in1": np.array(0, np.float32)}
    assert onnxruntime.InferenceSession(tmp_path / "plain.onnx").run(None, given)[0].tolist() == [1, 0, np.inf]


def test_a_model_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"x": [1]}, ["y"])
    with pytest.raises(ValueError, match="nothing to compile"):
        graph.rewrite(source, tmp_path / "plain.onnx")


# ---- what its MLIR tells

LOWERED = """\
    %0 = "top.None"() : () -> none loc(#loc)
    %2 = "tpu.Cast"(%1) {with_scale = true} : (tensor<2x3x16x16xf32>) -> tensor<2x3x16x16xf16> loc(#loc2)
    %8 = "tpu.Conv2D"(%2, %7, %6) {kernel_shape = [3, 3]} : (tensor<2x3x16x16xf16>, tensor<8x3x3x3xf16>, tensor<8xf32>) -> tensor<2x8x16x16xf16> loc(#loc8)
    %13 = "tpu.Gather"(%12, %3, %0) {axis = 0 : si32} : (tensor<11x8xf16>, tensor<2x5xsi32>, none) -> tensor<2x5x8xf16> loc(#loc13)
    %18 = "tpu.MatMul"(%15, %16, %17, %0, %0) {left_reuse = 1 : i64} : (tensor<2x8xf16>, tensor<8x5xf16>, tensor<5xf16>, none, none) -> tensor<2x5xf16> loc(#loc18)
    %19:2 = "tpu.GenericCpu"(%18) {cpu_op_name = "topk"} : (tensor<2x5xf16>) -> (tensor<2x1xf32>, tensor<2x1xsi32>) loc(#loc19)
    %i, %v = "tpu.Arg"(%20) {axis = 1 : i64} : (tensor<2x5xf32>) -> (tensor<2xi32>, none) loc(#loc21)
"""  # noqa: E501 -- as printed


def test_operators_are_read_with_what_they_take_and_who_runs_them() -> None:
    found = mlir.operators(LOWERED)
    assert [(operator.kind, operator.work) for operator in found if operator.work] == [
        ("Conv2D", 2 * 8 * 16 * 16 * 27),
        ("MatMul", 2 * 5 * 8),
    ]
    placement = mlir.placement(found, "bm1684x")
    assert (placement.target_ops, placement.other_ops, placement.arithmetic) == (5, 1, 1.0)
    assert placement.detail == {"TPU": 5, "host": 1}
    assert mlir.element(found) == "f16"
    assert mlir.element(mlir.operators(LOWERED.replace("xf16", "xui8"))) == "ui8"
    assert mlir.element([]) is None


# ---- programs


@pytest.mark.parametrize(
    ("printed", "said", "meaning"),
    [
        (
            "x\nRuntimeError: Op not support:{'Det'}\nRuntimeError: [!Error]: tpuc-opt a\n",
            "RuntimeError: Op not support:{'Det'}",
            (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
        ),
        (
            "a.mlir:3: error: 'top.Einsum' op attribute 'mode' failed to satisfy constraint: x\nRuntimeError: [!Error]: b",
            "'top.Einsum' op attribute 'mode' failed to satisfy constraint: x",
            (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
        ),
        ("Segmentation fault (core dumped)\n", "Segmentation fault (core dumped)", (Outcome.FAIL, Cause.CRASH)),
        ("RuntimeError: [!Error]: tpuc-opt a\n", "RuntimeError: [!Error]: tpuc-opt a", None),
        ("all is well\n", "", None),
    ],
)
def test_the_reason_is_found_in_what_is_printed(printed: str, said: str, meaning: tuple[Outcome, Cause] | None) -> None:
    assert tools.complaint(printed) == said
    assert TpuMlirAdapter().classify(tools.ToolError(f"model_transform: {said}")) == meaning


def program(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program beside an interpreter of our own."""
    (folder / name).write_text(f"import sys\n{body}\n")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    (folder / "python").unlink(missing_ok=True)
    (folder / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")


def test_a_program_that_ends_well_and_leaves_nothing_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "answer.npz"
    stale.write_bytes(b"of an earlier run")
    program(tmp_path, "model_runner", "print('Result saved to:answer.npz')", monkeypatch)
    with pytest.raises(tools.ToolError, match=r"model_runner ended well and left no answer\.npz"):
        tools.evaluate(tmp_path / "m.bmodel", {"in0": np.zeros(1)}, tmp_path)
    program(tmp_path, "model_runner", "sys.exit(3)", monkeypatch)
    with pytest.raises(tools.ToolError, match="model_runner: ended with status 3"):
        tools.evaluate(tmp_path / "m.bmodel", {"in0": np.zeros(1)}, tmp_path)
