"""jax's adapter beyond the conformance suite: what is read from a compiled module, errors."""

from __future__ import annotations

import pytest
import torch
from porting.adapters._torch_program import view_as_reshape
from porting.adapters.jax.adapter import JaxAdapter, helped, operation_counts, product_precision, states_in_order

from porting.types import Cause, Outcome, Precision

HLO = """
HloModule jit_call, is_scheduled=true

%fused_computation (param_0.1: f32[10,6], param_1.1: f32[6,4]) -> f32[10,4] {
  %param_0.1 = f32[10,6]{1,0} parameter(0)
  %param_1.1 = f32[6,4]{1,0} parameter(1)
  ROOT %dot.1 = f32[10,4]{1,0} dot(%param_0.1, %param_1.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main.3 (args_0_.1: f32[10,6], args_1_.1: s64[]) -> (f32[10,4], s64[], s64[2]) {
  %args_0_.1 = f32[10,6]{1,0} parameter(0), metadata={op_name="args[0]"}
  %args_1_.1 = s64[] parameter(1)
  %constant.2 = f32[6,4]{1,0} constant({...})
  %ynn_fusion = f32[10,4]{1,0} fusion(%args_0_.1, %constant.2), kind=kCustom, calls=%fused_computation
  %best = (f32[2]{0}, s64[2]{0}) fusion(%ynn_fusion), kind=kLoop, calls=%other
  %index = s64[2]{0} get-tuple-element(%best), index=1
  %copy = s64[] copy(%args_1_.1)
  %custom-call.4 = f32[10,4]{1,0} custom-call(%ynn_fusion), custom_call_target="__onednn$matmul"
  ROOT %tuple.2 = (f32[10,4]{1,0}, s64[], s64[2]{0}) tuple(%custom-call.4, %copy, %index)
}
"""


def test_operations_of_the_entry_are_counted_and_what_is_no_work_is_not() -> None:
    assert operation_counts(HLO) == {"fusion": 2, "copy": 1, "custom-call": 1}
    assert operation_counts("") == {}


def test_the_precision_is_that_of_products_wherever_they_are() -> None:
    assert product_precision(HLO) is Precision.FP32
    assert product_precision(HLO.replace("f32[10,4]{1,0} dot", "bf16[10,4]{1,0} dot")) is Precision.BF16
    assert product_precision("%add = f32[2]{0} add(%a, %b)") is None


def test_views_become_reshapes_which_need_no_strides() -> None:
    class View(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(6) + 1

    program = torch.export.export(View(), (torch.ones(2, 3),))
    view_as_reshape(program)
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.reshape.default", "aten.add.Tensor"]


class Held(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """Holds a parameter, two buffers and a constant, all of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(3, 3)
        self.register_buffer("kept", torch.full((3,), 2.0))
        self.register_buffer("table", torch.ones(4, 3), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x * torch.tensor(3.0)) + self.table.sum(0) * self.kept


@pytest.mark.filterwarnings("ignore")
def test_what_a_program_holds_is_handed_over_as_it_takes_it() -> None:
    module, x = Held().eval(), torch.ones(2, 3)
    program = torch.export.export(module, (x,), strict=False)
    specs = program.graph_signature.input_specs
    specs.insert(0, specs.pop(-2))  # the constant, in front of all
    nodes = {node.name: node for node in program.graph.nodes}
    nodes[specs[1].arg.name].prepend(nodes[specs[0].arg.name])
    names, states = states_in_order(program)
    assert [type(name) for name in names] == [str] * len(states)
    with torch.no_grad():
        (answer,) = torch.fx.Interpreter(program.graph_module).run(*states, x)
    assert torch.allclose(answer, module(x))


def test_operators_may_change_their_lists() -> None:
    def doubled(x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        sizes *= 2
        return x.reshape(sizes)

    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_function(doubled, (x, [2])))
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    with pytest.raises(TypeError, match="immutable_list"):
        torch.fx.Interpreter(module).run(torch.ones(4))
    assert helped(torch.fx.Interpreter)(module).run(torch.ones(4)).shape == (2, 2)


def test_a_check_of_values_is_passed_over() -> None:
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.call_function(torch.ops.aten._assert_async.msg, (x, "never"))
    graph.output(x)
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    with pytest.raises(RuntimeError, match="never"):
        torch.fx.Interpreter(module).run(torch.tensor(False))
    assert not helped(torch.fx.Interpreter)(module).run(torch.tensor(False))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (AssertionError("aten._linalg_svd.default\n\nWhile executing"), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (AssertionError("torchvision::nms\n\nWhile executing"), (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP)),
        (TypeError("Argument types differ from the types for which this was compiled"), (Outcome.FAIL, Cause.DYNAMIC_SHAPE)),
    ],
)
def test_its_errors_are_read(error: Exception, meaning: tuple[Outcome, Cause]) -> None:
    assert JaxAdapter().classify(error) == meaning


def test_an_assertion_about_something_else_is_left_to_the_general_rules() -> None:
    assert JaxAdapter().classify(AssertionError("what")) is None
