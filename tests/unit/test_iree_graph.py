"""What IREE's adapter writes out in a graph means the same as before: both are run by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from porting.adapters.iree.graph import mend

RANDOM = np.random.default_rng(0)


def model(
    nodes: list[Any], shape: list[Any], outputs: dict[str, int], weights: dict[str, Any] | None = None, opset: int = 20
) -> Any:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def run(made: Any, x: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, {"x": x})
    return found


def gelu(**attributes: Any) -> Any:
    return model([helper.make_node("Gelu", ["x"], ["y"], **attributes)], ["n", 4], {"y": TensorProto.FLOAT})


def two_topks(axis: int, largest: int, dtype: Any = np.float32) -> Any:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v1", "i1"], axis=axis),
        helper.make_node("Neg", ["x"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["cast"], to=to),
        helper.make_node("TopK", ["cast", "k"], ["v2", "i2"], axis=axis, largest=largest),
    ]
    kinds = {"v1": TensorProto.FLOAT, "i1": TensorProto.INT64, "v2": to, "i2": TensorProto.INT64}
    return model(nodes, ["n", 6], kinds, {"k": np.array([2])})


def instance_normalization(shape: list[Any]) -> Any:
    weights = {"scale": RANDOM.standard_normal(3, np.float32), "bias": RANDOM.standard_normal(3, np.float32)}
    node = helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"], epsilon=1e-3)
    return model([node], shape, {"y": TensorProto.FLOAT}, weights)


def split(axis: int) -> Any:
    """How long the parts are is worked out from how long the whole is; the second is empty."""
    nodes = [
        helper.make_node("Shape", ["x"], ["length"], start=axis, end=axis + 1),
        helper.make_node("Sub", ["length", "first"], ["rest"]),
        helper.make_node("Concat", ["first", "none", "rest"], ["sizes"], axis=0),
        helper.make_node("Split", ["x", "sizes"], ["y1", "y2", "y3"], axis=axis),
    ]
    weights = {"first": np.array([2]), "none": np.array([0])}
    return model(nodes, ["n", "length"], dict.fromkeys(("y1", "y2", "y3"), TensorProto.FLOAT), weights)


@pytest.mark.parametrize(
    ("before", "shape", "gone"),
    [
        (gelu(approximate="tanh"), (3, 4), "Gelu"),
        (two_topks(-1, 1), (5, 6), ""),
        (two_topks(0, 0), (5, 6), ""),
        (two_topks(1, 1, np.int32), (5, 6), ""),
        (instance_normalization(["n", 3, "length"]), (2, 3, 7), "InstanceNormalization"),
        (instance_normalization(["n", 3, "height", 5]), (2, 3, 4, 5), "InstanceNormalization"),
        (split(0), (5, 6), "Split"),
        (split(1), (5, 6), "Split"),
    ],
    ids=["gelu", "topk", "topk-smallest", "topk-int32", "instance-1d", "instance-2d", "split-0", "split-1"],
)
def test_a_mended_graph_means_the_same(before: Any, shape: tuple[int, ...], gone: str) -> None:
    after = onnx.ModelProto()
    after.CopyFrom(before)
    assert mend(after)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(after))
    assert gone not in {node.op_type for node in after.graph.node}
    # Distinct numbers: which of two equal ones TopK names is nobody's promise.
    x = RANDOM.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32) / 8 - 2
    for mended, original in zip(run(after, x), run(before, x), strict=True):
        np.testing.assert_allclose(mended, original, rtol=1e-5, atol=1e-6)
        assert mended.dtype == original.dtype


def test_the_second_topk_works_on_longer_rows() -> None:
    after = two_topks(-1, 1)
    mend(after)
    first, second = (node for node in after.graph.node if node.op_type == "TopK")
    assert first.input[0] == "x"
    (pad,) = (node for node in after.graph.node if node.op_type == "Pad")
    assert second.input[0] == pad.output[0]


def test_what_may_come_in_any_order_comes_in_order() -> None:
    nodes = [helper.make_node("TopK", ["x", "k"], ["v", "i"], sorted=0)]
    graph = model(nodes, ["n", 6], {"v": TensorProto.FLOAT, "i": TensorProto.INT64}, {"k": np.array([3])})
    assert mend(graph)
    values, _ = run(graph, RANDOM.standard_normal((4, 6), np.float32))
    assert (np.diff(values) < 0).all()
    assert not mend(graph), "nothing is left to mend"


@pytest.mark.parametrize(
    "untouched",
    [
        gelu(),
        gelu(approximate="none"),
        model([helper.make_node("TopK", ["x", "k"], ["v", "i"])], ["n", 6], {"v": 1, "i": 7}, {"k": np.array([2])}),
        model([helper.make_node("Relu", ["x"], ["y"])], ["n", 6], {"y": 1}),
        model([helper.make_node("InstanceNormalization", ["x", "s", "s"], ["y"])], ["n", 3, 4], {"y": 1}, {"s": np.ones(3)}, 17),
        model([helper.make_node("Split", ["x", "s"], ["a", "b"], axis=1)], ["n", 6], {"a": 1, "b": 1}, {"s": np.array([2, 4])}),
    ],
    ids=["gelu-by-erf", "gelu-none", "one-topk", "relu", "old-opset", "split-by-constants"],
)
def test_what_is_right_stays_as_it_is(untouched: Any) -> None:
    before = untouched.SerializeToString()
    assert not mend(untouched)
    assert untouched.SerializeToString() == before
