"""MNN's adapter beyond the conformance suite: its converter's process, operators in other words, fallback, errors."""

from __future__ import annotations

import ast
import json
import os
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from porting.adapters.mnn import adapter as mnn
from porting.adapters.mnn._graph import respell

from porting.types import Artifact, Cause, Outcome, Precision, Target, TensorSpec

FOLDER = Path(__file__).resolve().parents[2] / "adapters" / "mnn"


def write_model(folder: Path, operator: str, kind: int = TensorProto.FLOAT, **attributes: Any) -> Path:
    """One operator from x to y."""
    sides = [[helper.make_tensor_value_info(name, dtype, [None])] for name, dtype in (("x", TensorProto.FLOAT), ("y", kind))]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], **attributes)], "g", *sides)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


# ---- the converter's process


def fake_tools(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    """A `_tools` of our own, which the converter's process finds first."""
    (folder / "_tools.py").write_text(f"import json, os, sys\ndef mnnconvert(arguments):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


NOTE = "json.dump({'path': os.environ['PATH'], 'index': os.environ['PIP_NO_INDEX'], 'arguments': arguments, "
NOTE += "'mnn': [name for name in sys.modules if name.split('.')[0] == 'MNN']}, open('note.json', 'w'))"


def test_the_converter_finds_no_program_and_no_index_and_loads_nothing_else_of_mnn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_tools(monkeypatch, tmp_path, f"{NOTE}; open(arguments[arguments.index('--MNNModel') + 1], 'w').close()")
    mnn.run_converter(tmp_path / "m.onnx", tmp_path / "model.mnn")
    note = json.loads((tmp_path / "note.json").read_text())
    assert note["path"] == os.devnull
    assert note["index"] == "1"
    assert note["mnn"] == [], "MNN.tools installs a logger and reports over the network"
    assert note["arguments"][:2] == ["mnnconvert", "-f"]


def test_nothing_names_the_tools_that_report() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
            assert not [name for name in names if name.startswith("MNN.tools")], path.name


@pytest.mark.parametrize(
    ("body", "message", "meaning"),
    [
        ("print('[14:01:40] :220: These Op Not Support: ONNX::Foo ')", "These Op Not Support: ONNX::Foo", Cause.UNSUPPORTED_OP),
        ("print('[ERROR] Invalid ONNX Model:g.onnx')", r"\[ERROR\] Invalid ONNX Model", None),
        ("pass", "ended with 0 and without a model", None),
        ("sys.exit(4)", "ended with 4 and without a model", None),
        ("os.kill(os.getpid(), 11)", "ended with signal SIGSEGV", Cause.CRASH),
    ],
    ids=["operator", "no model", "nothing", "status", "crash"],
)
def test_the_converter_is_believed_by_what_it_wrote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, message: str, meaning: Cause | None
) -> None:
    fake_tools(monkeypatch, tmp_path, body)
    with pytest.raises(mnn.ConverterError, match=message) as caught:
        mnn.run_converter(tmp_path / "m.onnx", tmp_path / "model.mnn")
    said = mnn.MnnAdapter().classify(caught.value)
    assert (said and said[1]) == meaning


def test_success_with_an_error_line_is_none() -> None:
    assert not mnn.complaint("Start to Convert Other Model Format To MNN Model...\nConverted Success!\n")
    assert mnn.complaint("[14:01:42] :293: Model File Does Not Exist! ==> m.onnx\n") == "Model File Does Not Exist! ==> m.onnx"


# ---- operators in other words


@pytest.mark.parametrize("attributes", [{}, {"approximate": "none"}, {"approximate": "tanh"}], ids=str)
def test_gelu_is_spelt_out(tmp_path: Path, attributes: dict[str, str]) -> None:
    path = write_model(tmp_path, "Gelu", **attributes)
    values = {"x": np.linspace(-6, 6, 101, dtype=np.float32)}
    (expected,) = ReferenceEvaluator(str(path)).run(None, values)
    respell(path)
    onnx.checker.check_model(str(path))
    assert "Gelu" not in {node.op_type for node in onnx.load(str(path)).graph.node}
    np.testing.assert_allclose(ReferenceEvaluator(str(path)).run(None, values)[0], expected, rtol=1e-5, atol=1e-6)


def test_is_nan_is_what_is_on_neither_side_of_zero(tmp_path: Path) -> None:
    path = write_model(tmp_path, "IsNaN", TensorProto.BOOL)
    respell(path)
    onnx.checker.check_model(str(path))
    assert "IsNaN" not in {node.op_type for node in onnx.load(str(path)).graph.node}
    (found,) = ReferenceEvaluator(str(path)).run(None, {"x": np.array([1, np.nan, np.inf, -np.inf, 0, -2], np.float32)})
    assert found.tolist() == [False, True, False, False, False, False]


def constant_of_shape(folder: Path, **attributes: Any) -> Path:
    sides = (
        [helper.make_tensor_value_info("x", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
    )
    graph = helper.make_graph([helper.make_node("ConstantOfShape", ["x"], ["y"], **attributes)], "g", *sides)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


def test_a_constant_of_a_shape_names_its_value(tmp_path: Path) -> None:
    path = constant_of_shape(tmp_path)
    respell(path)
    onnx.checker.check_model(str(path))
    (node,) = onnx.load(str(path)).graph.node
    assert [attribute.name for attribute in node.attribute] == ["value"]
    (found,) = ReferenceEvaluator(str(path)).run(None, {"x": np.array([2, 3])})
    assert (found.dtype, found.tolist()) == (np.float32, [[0, 0, 0]] * 2)
    path = constant_of_shape(tmp_path, value=helper.make_tensor("value", TensorProto.FLOAT, [1], [7.0]))
    respell(path)
    assert (ReferenceEvaluator(str(path)).run(None, {"x": np.array([2, 3])})[0] == 7).all(), "one that has a value keeps it"


def respelt(
    folder: Path, text: str, constants: dict[str, Any], values: dict[str, Any], answer: str = "y"
) -> tuple[list[onnx.NodeProto], onnx.ModelProto]:
    """A graph in ONNX's own text, respelt: the nodes there are then, and that it answers what it did."""
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "m.onnx"
    onnx.save(model, path)
    (expected,) = ReferenceEvaluator(str(path)).run([answer], values)
    respell(path)
    onnx.checker.check_model(str(path))
    (found,) = ReferenceEvaluator(str(path)).run([answer], values)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    return list(onnx.load(str(path)).graph.node), onnx.load(str(path))


@pytest.mark.parametrize("operator", ["Max", "Mean", "Min", "Sum"])
def test_the_largest_of_one_tensor_is_that_tensor(tmp_path: Path, operator: str) -> None:
    one, two = (f"m (float[n] x) => (float[n] y) {{ y = {operator} ({given}) }}" for given in ("x", "x, x"))
    x = {"x": np.array([1.0, -2.0], np.float32)}
    assert [node.op_type for node in respelt(tmp_path, one, {}, x)[0]] == ["Identity"]
    assert [node.op_type for node in respelt(tmp_path, two, {}, x)[0]] == [operator]


def test_indices_that_count_from_the_end_count_from_the_beginning(tmp_path: Path) -> None:
    text = "g (float[a, b, 2] x) => (float[c, 2] y) { y = GatherND (x, at) }"
    values = {"x": np.arange(24, dtype=np.float32).reshape(3, 4, 2)}
    nodes, model = respelt(tmp_path, text, {"at": np.array([[-1, 2], [0, -4], [1, 1]])}, values)
    places = nodes[-1].input[1]
    model.graph.output.append(helper.make_tensor_value_info(places, TensorProto.INT64, [3, 2]))
    (found,) = ReferenceEvaluator(model).run([places], values)
    assert found.tolist() == [[2, 2], [0, 0], [1, 1]]
    nodes, _ = respelt(tmp_path, text, {"at": np.array([[0, 2], [1, 1]])}, values)
    assert [node.op_type for node in nodes] == ["GatherND"]


@pytest.mark.parametrize(
    ("left", "right", "spread"),
    [
        ("b, 4, s, 8", "b, 1, 8, s", [1]),
        ("b, 1, s, 8", "b, 4, 8, s", [0]),
        ("1, 4, s, 8", "b, 1, 8, s", [0, 1]),
        ("b, 4, s, 8", "b, 4, 8, s", []),
        ("b, 4, s, 8", "8, 3", []),
    ],
)
def test_one_matrix_for_several_is_spread_over_them(tmp_path: Path, left: str, right: str, spread: list[int]) -> None:
    random, sizes = np.random.default_rng(1), {"b": 2, "s": 5}
    values = {
        name: random.normal(size=[sizes.get(axis) or int(axis) for axis in shape.split(", ")]).astype(np.float32)
        for name, shape in (("l", left), ("r", right))
    }
    rank = ", ".join("abcd"[: len(left.split(","))])
    # The shape of what is multiplied follows from the model, which does not tell it.
    text = f"g (float[{left}] l, float[{right}] r) => (float[{rank}] y) {{ t = Neg (r) u = Neg (t) y = MatMul (l, u) }}"
    nodes, _ = respelt(tmp_path, text, {}, values)
    (product,) = (node for node in nodes if node.op_type == "MatMul")
    made = {node.output[0]: node.op_type for node in nodes}
    assert [place for place in (0, 1) if made.get(product.input[place]) == "Expand"] == spread


NORM = """g (float[a, 4] x) => (float[a, 4] y) {
  square = Mul (x, x)
  mean = ReduceMean <keepdims = 1> (square, axes)
  root = Sqrt (mean)
  part = Reciprocal (root)
  norm = Mul (x, part)
  y = Mul (norm, weight)
}"""


def test_a_norm_is_multiplied_with_one_number_at_its_root(tmp_path: Path) -> None:
    values = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    axes = np.array([-1])
    nodes, _ = respelt(tmp_path, NORM, {"axes": axes, "weight": np.float32(0.8)}, values)
    (times,) = [node for node in nodes if "weight" in node.input]
    assert list(times.input) == ["part", "weight"]
    nodes, _ = respelt(tmp_path, NORM, {"axes": axes, "weight": np.full(4, 0.8, np.float32)}, values)
    (times,) = [node for node in nodes if "weight" in node.input]
    assert "norm" in times.input, "weights, one for each place, are what MNN takes them for"


def test_a_scatter_names_its_axis_first(tmp_path: Path) -> None:
    sides = "float[2, 3] x, int64[2, 1] at, float[2, 1] u"
    text = f'g ({sides}) => (float[2, 3] y) {{ y = ScatterElements <reduction = "none", axis = 1> (x, at, u) }}'
    values = {"x": np.zeros((2, 3), np.float32), "at": np.array([[2], [0]]), "u": np.ones((2, 1), np.float32)}
    (node,), _ = respelt(tmp_path, text, {}, values)
    assert [attribute.name for attribute in node.attribute] == ["axis", "reduction"]


def test_a_relu_of_a_gemm_is_a_limit(tmp_path: Path) -> None:
    text = "g (float[a, 4] x) => (float[a, 3] y) { z = Gemm (x, w)\n y = Relu (z) }"
    constants = {"w": np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)}
    nodes, _ = respelt(tmp_path, text, constants, {"x": np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)})
    assert [node.op_type for node in nodes] == ["Gemm", "Constant", "Max"]
    nodes, _ = respelt(tmp_path, text.replace("Gemm", "MatMul"), constants, {"x": np.ones((5, 4), np.float32)})
    assert nodes[-1].op_type == "Relu"
    within = text.replace("y = Relu (z)", "r = Relu (z)\n y = Neg (r)")
    nodes, _ = respelt(tmp_path, within, constants, {"x": np.ones((5, 4), np.float32)})
    assert [node.op_type for node in nodes] == ["Gemm", "Relu", "Neg"], "within a model the two are better together"


@pytest.mark.parametrize("value", [None, np.array([True]), np.array([2.5], np.float32)], ids=str)
def test_a_constant_of_no_axes_is_a_number(tmp_path: Path, value: Any) -> None:
    said = {} if value is None else {"value": onnx.numpy_helper.from_array(value, "value")}
    shape = onnx.numpy_helper.from_array(np.array([], np.int64), "x")
    sides = [], [helper.make_tensor_value_info("y", TensorProto.BOOL if value is not None and value.dtype == bool else 1, [])]
    graph = helper.make_graph([helper.make_node("ConstantOfShape", ["x"], ["y"], **said)], "g", *sides, [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    respell(tmp_path / "m.onnx")
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    assert [node.op_type for node in onnx.load(str(tmp_path / "m.onnx")).graph.node] == ["Constant"]
    (found,) = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {})
    assert (found.shape, found.item()) == ((), 0 if value is None else value.item())


@pytest.mark.parametrize("operator", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_are_sums(tmp_path: Path, operator: str, keep: int) -> None:
    ranks = {"x": 3, "y": 2 + keep}
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)] for name, rank in ranks.items()]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph([helper.make_node(operator, ["x", "axes"], ["y"], keepdims=keep)], "g", *sides, [axes])
    path, values = tmp_path / "m.onnx", {"x": np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)}
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    (expected,) = ReferenceEvaluator(str(path)).run(None, values)
    respell(path)
    onnx.checker.check_model(str(path))
    np.testing.assert_allclose(ReferenceEvaluator(str(path)).run(None, values)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("attributes", [{}, {"pads": [2, 1], "strides": [2], "dilations": [2]}], ids=["plain", "padded"])
def test_a_convolution_along_one_axis_is_one_along_two(tmp_path: Path, attributes: dict[str, list[int]]) -> None:
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None, None])] for name in "xy"]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 2, 3], np.linspace(-1, 1, 24))
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3], group=2, **attributes)
    path, values = tmp_path / "m.onnx", {"x": np.arange(40, dtype=np.float32).reshape(1, 4, 10)}
    model = helper.make_model(helper.make_graph([node], "g", *sides, [weights]), opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, path)
    (expected,) = ReferenceEvaluator(str(path)).run(None, values)
    respell(path)
    onnx.checker.check_model(str(path))
    np.testing.assert_allclose(ReferenceEvaluator(str(path)).run(None, values)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_a_batch_normalization_of_three_dimensions_is_written_out_and_no_other(tmp_path: Path, rank: int) -> None:
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)] for name in "xy"]
    values = {"s": [1.0, 2.0], "b": [0.5, -1.0], "m": [0.25, 3.0], "v": [4.0, 0.5]}
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [2], numbers) for name, numbers in values.items()]
    node = helper.make_node("BatchNormalization", ["x", *values], ["y"], epsilon=1e-3)
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", *sides, weights), opset_imports=[helper.make_opsetid("", 20)]), path
    )
    x = np.linspace(-3, 3, 5 * 2 * 4 ** (rank - 2), dtype=np.float32).reshape(5, 2, *[4] * (rank - 2))
    (expected,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    respell(path)
    onnx.checker.check_model(str(path))
    assert ("BatchNormalization" in {node.op_type for node in onnx.load(str(path)).graph.node}) == (rank != 3)
    np.testing.assert_allclose(ReferenceEvaluator(str(path)).run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-6)


def test_less_is_greater_the_other_way_round(tmp_path: Path) -> None:
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    found = [helper.make_tensor_value_info("z", TensorProto.BOOL, [None])]
    graph = helper.make_graph([helper.make_node("Less", ["x", "y"], ["z"])], "g", sides, found)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    respell(path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Greater"]
    x, y = np.random.default_rng(0).integers(0, 3, (2, 64)).astype(np.float32)
    (z,) = ReferenceEvaluator(str(path)).run(None, {"x": x, "y": y})
    assert np.array_equal(z, x < y)


@pytest.mark.parametrize("operator", ["AveragePool", "LpPool", "MaxPool"])
@pytest.mark.parametrize("given", [{}, {"strides": [2, 3]}])
def test_a_pool_says_how_it_moves(tmp_path: Path, operator: str, given: dict[str, list[int]]) -> None:
    path = write_model(tmp_path, operator, kernel_shape=[2, 2], **given)
    respell(path)
    (node,) = onnx.load(path).graph.node
    (strides,) = (list(attribute.ints) for attribute in node.attribute if attribute.name == "strides")
    assert strides == given.get("strides", [1, 1])


@pytest.mark.parametrize(("opset", "axis"), [(20, [-1]), (12, [])])
def test_a_log_softmax_names_its_axis_where_that_is_the_last(tmp_path: Path, opset: int, axis: list[int]) -> None:
    path = write_model(tmp_path, "LogSoftmax")
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    respell(path)
    assert [attribute.i for attribute in onnx.load(path).graph.node[0].attribute] == axis


def test_other_operators_stay(tmp_path: Path) -> None:
    path = write_model(tmp_path, "Relu")
    before = onnx.load(str(path))
    respell(path)
    assert onnx.load(str(path)) == before


# ---- shapes, dtypes, errors


def test_axes_are_sized_by_name_and_nameless_ones_are_not() -> None:
    specs = (TensorSpec("x", "float32", ("batch", "?", 3)),)
    assert mnn.axis_sizes(specs, {"x": np.zeros((2, 5, 3))}) == {"batch": 2}


def test_limits_are_told_from_failures() -> None:
    classify = mnn.MnnAdapter().classify
    assert classify(mnn.FallbackError("x")) == (Outcome.FAIL, Cause.FALLBACK)
    assert classify(mnn.DtypeError("x")) == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE)
    assert classify(RuntimeError("MNN answers with 0 of 1 outputs")) == (Outcome.FAIL, Cause.OUTPUT_STRUCTURE)
    assert classify(RuntimeError("something else")) is None


with_mnn = pytest.mark.skipif(util.find_spec("MNN") is None, reason="MNN is not in this environment")


@with_mnn
def test_a_gpu_that_the_build_lacks_is_no_silent_cpu(tmp_path: Path) -> None:
    adapter = mnn.MnnAdapter()
    states = adapter.probe().devices
    for device in states.keys() - {"cpu"}:
        if not states[device].available:
            assert states[device].cause is Cause.MISSING_DEVICE
            assert "runs on cpu instead" in states[device].reason
            with pytest.raises(mnn.FallbackError, match="MNN runs on cpu"):
                adapter.load(Artifact((mnn.MODEL,), (), ()), Target("mnn", device, Precision.FP32), tmp_path)


@with_mnn
def test_a_size_that_does_not_go_is_an_error(tmp_path: Path) -> None:
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4])] for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [1.0] * 16)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", *sides, [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    mnn.run_converter(tmp_path / "m.onnx", tmp_path / mnn.MODEL)
    x, y = (TensorSpec(name, "float32", ("n", 4)) for name in "xy")
    adapter, target = mnn.MnnAdapter(), Target("mnn", "cpu", Precision.FP32)
    session = adapter.load(Artifact((mnn.MODEL,), (x,), (y,)), target, tmp_path)
    assert session.run({"x": np.ones((3, 4), np.float32)})["y"].shape == (3, 4)
    with pytest.raises(RuntimeError, match=r"answers with|gave no answer"):
        session.run({"x": np.ones((3, 5), np.float32)})


@with_mnn
def test_integers_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    sides = [[helper.make_tensor_value_info(name, TensorProto.INT64, ["n"])] for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", *sides)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    mnn.run_converter(tmp_path / "m.onnx", tmp_path / mnn.MODEL)
    x, y = (TensorSpec(name, "int64", ("n",)) for name in "xy")
    session = mnn.MnnAdapter().load(Artifact((mnn.MODEL,), (x,), (y,)), Target("mnn", "cpu", Precision.FP32), tmp_path)
    assert session.run({"x": np.array([1, -2])})["y"].tolist() == [2, -4]
    with pytest.raises(mnn.DtypeError, match="holds larger ones"):
        session.run({"x": np.array([2**40])})
