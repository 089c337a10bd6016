"""A plain program decomposed to core ATen at fixed sizes answers what it was captured from, and has less in it."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from porting.adapters._core_program import captured, core, folded, name_of
from porting.adapters.executorch.lowering import join_linear

from porting import registry
from porting.adapter import ExportedForm
from porting.bundles import aten
from porting.bundles.tensors import write_tensors
from porting.types import Precision, TensorSpec


class Module(torch.nn.Module):
    def __init__(self, function: Callable[..., Any], **held: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, tensor in held.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def form_of(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path) -> ExportedForm:
    """A module as the form that adapters are given."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aten.save(torch.export.export(module.eval(), inputs, strict=False), folder / "program.aten")
    specs = tuple(
        TensorSpec(f"x{n}", str(value.dtype).removeprefix("torch."), tuple(value.shape)) for n, value in enumerate(inputs)
    )
    write_tensors(folder / "inputs.npz", {spec.name: value.numpy() for spec, value in zip(specs, inputs, strict=True)})
    return ExportedForm("aten", Precision.FP32, folder / "program.aten", specs, (), samples=(folder / "inputs.npz",))


def scattered(_: Any, data: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return data.masked_scatter(mask, source)


def moved(_: Any, data: torch.Tensor) -> torch.Tensor:
    return torch.cat([part.permute(1, 0).reshape(-1, 2) for part in data.split(2)], 1)[:, 1:].unbind(0)[0]


def asserted(_: Any, index: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(index, 4).float()


def ranged(self: Any, data: torch.Tensor) -> torch.Tensor:
    return data * torch.arange(6).pow(2).mul(self.factor) + data.new_zeros(6)


def written(_: Any, data: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(4, 6)
    out[:, 1:3] = data[:, :2]
    out += 1
    return out


PROGRAMS: dict[str, tuple[Any, tuple[torch.Tensor, ...]]] = {
    "masked_scatter": (Module(scattered), (torch.randn(3, 4), torch.rand(3, 1) > 0.3, torch.randn(12))),
    "views": (Module(moved), (torch.randn(4, 6),)),
    "checks": (Module(asserted), (torch.tensor([0, 3, 1]),)),
    "constants": (Module(ranged, factor=torch.tensor(0.5)), (torch.randn(2, 6),)),
    "writes": (Module(written), (torch.randn(4, 6),)),
    "recurrent": (torch.nn.GRU(6, 5, batch_first=True), (torch.randn(2, 3, 6),)),
    "attention": (torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (torch.randn(2, 3, 8),)),
}


@pytest.fixture(params=PROGRAMS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ExportedForm, tuple[torch.Tensor, ...], list[torch.Tensor]]:
    module, inputs = PROGRAMS[request.param]
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(module.eval()(*inputs))
    return form_of(module, inputs, tmp_path), inputs, expected


def test_it_answers_what_the_module_answers(case: Any) -> None:
    form, inputs, expected = case
    for answers in (folded(form)(*inputs), captured(form).module()(*inputs)):
        for answer, value in zip(answers, expected, strict=True):
            torch.testing.assert_close(answer, value, rtol=1e-5, atol=1e-6)


def test_what_is_left_copies_nothing_writes_nothing_and_checks_nothing(case: Any) -> None:
    form, _, _ = case
    called = [node for node in folded(form).graph.nodes if node.op == "call_function" and node.target is not operator.getitem]
    assert called
    names = {node.target._schema.name for node in called}
    assert not [name for name in names if name.endswith("_copy") and name != "aten::_to_copy"]
    assert not [name for name in names if "_assert" in name or name == "aten::masked_scatter"]
    assert not [node for node in called if node.target._schema.is_mutable]


def test_what_depends_on_no_input_is_held(tmp_path: Path) -> None:
    module, inputs = PROGRAMS["constants"]
    graph = folded(form_of(module, inputs, tmp_path)).graph
    assert sorted({name_of(node.target) for node in graph.nodes if node.op == "call_function"}) == ["add", "mul"]


def test_an_operator_that_is_named_stays_whole(tmp_path: Path) -> None:
    module, inputs = PROGRAMS["masked_scatter"]
    form = form_of(module, inputs, tmp_path)
    names = {name_of(node.target) for node in core(form.path, inputs, whole=("masked_scatter",)).graph.nodes}
    assert "masked_scatter" in names


def test_products_with_weights_are_linear_layers_again(tmp_path: Path) -> None:
    module, inputs = PROGRAMS["attention"]
    graph = folded(form_of(module, inputs, tmp_path))
    expected = graph(*inputs)
    join_linear(graph)
    called = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert called.count(torch.ops.aten.linear.default) == 4
    assert torch.ops.aten.addmm.default not in called
    torch.testing.assert_close(graph(*inputs), expected)


def test_the_need_of_such_a_form_is_one_of_fixed_sizes() -> None:
    for name in ("tvm", "iree", "litert", "jax", "executorch", "ncnn"):
        plain = [need for need in registry.adapter(name).needs() if need.kind == "aten"]
        assert [need.dynamic for need in plain] == [False], name
