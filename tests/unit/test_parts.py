"""A model is cut where the host takes over from the target, and the parts together answer as the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from porting.cells.parted import _joined, _of_nodes
from porting.errors import ModelError
from porting.rewrites.parts import Part, split
from porting.types import Placement

RNG = np.random.default_rng(0)


def _float(name: str, *dims: int | str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))


def _save(path: Path, nodes: list[Any], weights: dict[str, Any], outputs: list[Any], known: list[Any], **saved: Any) -> Path:
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "whole", [_float("x", "batch", 4)], outputs, initializers, value_info=known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save_model(model, path, **saved)
    return path


def _chain(path: Path, **saved: Any) -> Path:
    """x -> MatMul -> Gelu-like Erf -> Add, with a branch around it; the shape of the Reshape follows from weights alone."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Erf", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Concat", ["minus", "four"], ["shape"], axis=0),
        helper.make_node("Reshape", ["c", "shape"], ["d"]),
        helper.make_node("Erf", ["d"], ["y"]),
        helper.make_node("Relu", ["c"], ["z"]),
    ]
    weights = {
        "w": RNG.standard_normal((4, 4)).astype(np.float32),
        "minus": np.array([-1], np.int64),
        "four": np.array([4], np.int64),
    }
    outputs = [_float("y", "batch", 4), _float("z", "batch", 4)]
    return _save(path, nodes, weights, outputs, [_float("a", "batch", 4), _float("b", "batch", 4)], **saved)


def _run(path: str | Path, feeds: dict[str, Any], names: list[str]) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, feeds), strict=True))


def _run_parts(parts: list[Part], x: Any) -> dict[str, Any]:
    at_hand = {"x": x}
    for part in parts:
        feeds = {spec.name: at_hand[spec.name] for spec in part.inputs}
        at_hand |= _run(part.path, feeds, [spec.name for spec in part.outputs])
    return at_hand


def test_parts_alternate_and_answer_as_the_whole(tmp_path: Path) -> None:
    whole = _chain(tmp_path / "model.onnx")
    parts = split(whole, ["Erf"], tmp_path / "parts")
    assert [part.hosted for part in parts] == [False, True, False, True]
    assert [part.operators for part in parts] == [("MatMul",), ("Erf",), ("Add", "Reshape", "Relu"), ("Erf",)]
    for part in parts:
        onnx.checker.check_model(part.path)
    for batch in (1, 3):
        x = RNG.standard_normal((batch, 4)).astype(np.float32)
        whole_answers, answers = _run(whole, {"x": x}, ["y", "z"]), _run_parts(parts, x)
        assert all(np.array_equal(whole_answers[name], answers[name]) for name in ("y", "z"))


def test_what_a_part_takes_and_gives_has_dtype_and_shape_inferred_where_the_file_is_silent(tmp_path: Path) -> None:
    parts = split(_chain(tmp_path / "model.onnx"), ["Erf"], tmp_path / "parts")
    last = parts[-1]
    assert [(spec.name, spec.dtype) for spec in last.inputs] == [("d", "float32")]
    assert last.inputs[0].shape[1] == 4
    assert {spec.name for spec in parts[2].inputs} == {"a", "b"}, "what follows from weights alone does not cross"
    assert {spec.name for spec in parts[2].outputs} == {"d", "z"}


def test_without_the_operator_there_is_one_part(tmp_path: Path) -> None:
    (part,) = split(_chain(tmp_path / "model.onnx"), ["LSTM"], tmp_path / "parts")
    assert not part.hosted
    assert [spec.name for spec in part.inputs] == ["x"]


def test_weights_beside_the_file_are_found_from_where_the_parts_lie(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    path = _chain(tmp_path / "whole" / "model.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    parts = split(path, ["Erf"], tmp_path / "parts")
    onnx.load(parts[0].path)  # which refuses links
    x = RNG.standard_normal((2, 4)).astype(np.float32)
    assert np.array_equal(_run_parts(parts, x)["y"], _run(path, {"x": x}, ["y"])["y"])


def test_an_operator_within_a_branch_takes_the_whole_node_to_the_host(tmp_path: Path) -> None:
    then = helper.make_graph([helper.make_node("Erf", ["x"], ["t"])], "then", [], [_float("t", "batch", 4)])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "else", [], [_float("e", "batch", 4)])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "nought"], ["more"]),
        helper.make_node("If", ["more"], ["i"], then_branch=then, else_branch=other),
        helper.make_node("Relu", ["i"], ["y"]),
    ]
    path = _save(tmp_path / "model.onnx", nodes, {"nought": np.array(0, np.float32)}, [_float("y", "batch", 4)], [])
    parts = split(path, ["Erf"], tmp_path / "parts")
    assert [part.operators for part in parts] == [("ReduceSum", "Greater"), ("If",), ("Relu",)]
    assert {spec.name for spec in parts[1].inputs} == {"more", "x"}
    x = RNG.standard_normal((2, 4)).astype(np.float32)
    assert np.array_equal(_run_parts(parts, x)["y"], _run(path, {"x": x}, ["y"])["y"])


def test_a_value_of_unknown_type_is_an_error_that_names_it(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mystery", ["x"], ["a"], domain="ours"), helper.make_node("Erf", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "whole", [_float("x", 2)], [_float("y", 2)])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ours", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="cannot be cut at a"):
        split(tmp_path / "model.onnx", ["Erf"], tmp_path / "parts")


def _part(hosted: bool, *operators: str) -> Part:
    return Part("", (), (), hosted, operators)


@pytest.mark.parametrize(
    ("told", "target", "other"),
    [
        ([Placement(1, 0), Placement(2, 0)], 5, 1),
        ([Placement(1, 0), Placement(0, None)], 3, 3),  # a part in which nothing ran adds to what ran elsewhere
        ([Placement(2, 3), Placement(2, 0)], 4, 4),
        ([Placement(1, 0), Placement(None, None)], None, 1),  # one that cannot tell leaves the whole untold
        ([Placement(0, 0), Placement(0, 0)], 0, 6),
    ],
)
def test_what_ran_where_is_told_over_all_parts(told: list[Placement], target: int | None, other: int) -> None:
    parts = [_part(False, "MatMul", "Add", "Relu"), _part(True, "Erf"), _part(False, "Relu", "Add")]
    whole = _joined([_of_nodes(each, part) for each, part in zip(told, parts[::2], strict=True)], parts)
    assert (whole.target_ops, whole.other_ops) == (target, other)
    assert whole.detail == {"Erf (left to the host)": 1}
