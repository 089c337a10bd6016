"""A saved program that is read with each question asked once is the same program, and what was changed in torch is put back."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from porting.adapters import _torch_program
from torch import nn
from torch._export.serde import serialize

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of its own trees of arguments

DIM = torch.export.Dim.DYNAMIC
IMAGE = torch.randn(2, 3, 37, 41, generator=torch.Generator().manual_seed(0))


class Strided(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Three strides, so that sizes hold each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(3)))

    def forward(self, x: Any) -> Any:
        return torch.cat([self.layers(x).flatten(2), self.layers(x + 1).flatten(2)], dim=2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.pt2"
    with torch.no_grad():
        program = torch.export.export(Strided().eval(), (IMAGE,), dynamic_shapes=({0: DIM, 2: DIM, 3: DIM},))
        torch.export.save(program, str(path))
    return path


def sizes(program: Any) -> list[tuple[str, Any]]:
    """Expression and hint of every size and stride that varies."""
    values = [node.meta.get("val") for node in program.graph.nodes]
    dims = [dim for value in values if isinstance(value, torch.Tensor) for dim in (*value.shape, *value.stride())]
    return [(str(dim.node.expr), dim.node.hint) for dim in dims if isinstance(dim, torch.SymInt)]


def test_the_program_is_the_one_that_torch_reads(saved: Path) -> None:
    plain, ours = torch.export.load(str(saved)), _torch_program.read_program(saved)
    assert str(ours) == str(plain)
    assert str(ours.range_constraints) == str(plain.range_constraints)
    assert sizes(ours) == sizes(plain)
    assert len(sizes(ours)) > 20
    other = torch.randn(3, 3, 52, 33)
    with torch.no_grad():
        assert torch.equal(ours.module(check_guards=False)(other), plain.module(check_guards=False)(other))


def test_no_expression_is_parsed_twice(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, asked = serialize.GraphModuleDeserializer._parse_sym_expr, list[str]()

    def counting(self: Any, expression: Any, hint: Any = None) -> Any:
        asked.append(f"{type(expression).__name__} {expression} {hint}")
        return parse(self, expression, hint)

    monkeypatch.setattr(serialize.GraphModuleDeserializer, "_parse_sym_expr", counting)
    torch.export.load(str(saved))
    plainly = len(asked)
    asked.clear()
    _torch_program.read_program(saved)
    assert len(asked) == len(set(asked))
    assert len(asked) < plainly / 3


def test_two_programs_do_not_share_their_sizes(saved: Path) -> None:
    with _torch_program.asked_once():
        first, second = torch.export.load(str(saved)), torch.export.load(str(saved))
    assert sizes(first) == sizes(second)
    environments = [node.meta["val"].shape[0].node.shape_env for p in (first, second) for node in list(p.graph.nodes)[-2:-1]]
    assert environments[0] is not environments[1]


def test_torch_is_as_it_was_after_a_file_that_is_no_program(tmp_path: Path) -> None:
    before = serialize.GraphModuleDeserializer._parse_sym_expr, typing.get_type_hints
    (tmp_path / "model.pt2").write_bytes(b"no program")
    with pytest.raises(Exception):  # noqa: B017 -- torch's own choice
        _torch_program.read_program(tmp_path / "model.pt2")
    assert (serialize.GraphModuleDeserializer._parse_sym_expr, typing.get_type_hints) == before
