"""Which layers are exported for all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import onnx
from onnx import TensorProto, helper
from torch import nn

from porting.accelerators.operators import onnx_nodes
from porting.static import onnx_survey


def layers(*widths: int) -> Any:
    return nn.ModuleList([nn.Sequential(nn.Linear(width, width), nn.ReLU()) for width in widths])


def shortened(module: Any) -> dict[str, tuple[int, int]]:
    return {name: (kept, of) for name, kept, of in onnx_survey._shorten(module)}


class Net(nn.Module):  # type: ignore[misc]
    def __init__(self, layers: Any, types: list[str] | None = None) -> None:
        super().__init__()
        self.layers = layers
        self.config = SimpleNamespace(layer_types=types)


def test_of_layers_that_are_alike_the_first_are_left() -> None:
    net = Net(layers(*[8] * 12))
    assert shortened(net) == {"layers": (1, 12)}
    assert len(net.layers) == 1


def test_as_many_are_left_as_hold_each_kind() -> None:
    assert shortened(Net(layers(8, 8, 8, 4, *[8] * 9))) == {"layers": (4, 13)}
    assert shortened(Net(layers(*[8] * 12, 4))) == {}  # the last is one of its own


def test_what_the_config_says_of_a_layer_tells_it_from_one_alike() -> None:
    assert shortened(Net(layers(*[8] * 12), ["sliding"] * 5 + ["full"] * 7)) == {"layers": (6, 12)}


def test_a_setting_tells_a_layer_from_one_with_the_same_weights() -> None:
    norms = nn.ModuleList([nn.LayerNorm(8, eps=1e-5 if index != 3 else 1e-3) for index in range(12)])
    assert shortened(Net(norms)) == {"layers": (4, 12)}


def test_lists_inside_of_what_is_cut_are_not_told_of() -> None:
    net = Net(nn.ModuleList([nn.ModuleDict({"experts": layers(*[8] * 10)}) for _ in range(9)]))
    assert shortened(net) == {"layers": (1, 9), "layers.0.experts": (1, 10)}


def test_a_short_list_stays_whole() -> None:
    assert shortened(Net(layers(*[8] * onnx_survey.LONG))) == {}


def test_nodes_on_weights_alone_are_not_counted_and_those_of_inner_graphs_are() -> None:
    inner = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"])], "inner", [], [helper.make_tensor_value_info("n", TensorProto.FLOAT, [2])]
    )
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["w"], ["t"]),
            helper.make_node("MatMul", ["x", "t"], ["m"]),
            helper.make_node("Gelu", ["m"], ["g"], domain="com.microsoft"),
            helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph)
    assert isinstance(model, onnx.ModelProto)
    assert [name for name, _ in onnx_nodes(model.graph, {"w"})] == ["MatMul", "com.microsoft.Gelu", "If", "Neg", "Neg"]
