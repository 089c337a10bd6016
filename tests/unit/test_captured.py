"""Captured programs say plainly what they said oddly, and come to the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from porting.bundles.captured import tidy


class Cached(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Puts its rows behind those of a cache that nothing was written to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.tensor([]), x.reshape(1, 2, -1)], dim=-2)


class Adds(nn.Module):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tensor([1.0, 2.0])


class Empty(nn.Module):  # type: ignore[misc]
    """Everything in it is empty, as is a row of rank 2 in front of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nothing = torch.cat([x.new_zeros(0), x.new_zeros(0)])
        return torch.cat([x.new_zeros(0, 4), x]) + nothing.sum()


class Checks(nn.Module):  # type: ignore[misc]
    """Checks what it is given, and a row count that follows from it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._assert_async((x >= 0).all(), "no negative values")
        return x.to(torch.float32) * 2


class Counts(nn.Module):  # type: ignore[misc]
    """Counts the places of a mask, to see whether they are as many as there are features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = (x > 2).expand_as(x)
        torch._check(x[mask].numel() == x.numel() - 3)
        return torch.where(mask, x * 2, x)


class Picks(nn.Module):  # type: ignore[misc]
    """Its answer has as many rows as the mask has places."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        picked = x[x > 2]
        torch._check(picked.shape[0] <= 8)
        return picked * 2


class Flags(nn.Module):  # type: ignore[misc]
    """Joins flags in place, by what Python writes |=, &= and ^=."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flags = x > 2
        flags |= x < 1
        flags &= x != 6
        flags ^= True
        return x * flags


class Regions(nn.Module):  # type: ignore[misc]
    """Angles without automatic casts, and a gate without gradients; what answers is outside of both."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            angles, half = x.float() * 2, x / 2
        with torch.set_grad_enabled(not torch.is_grad_enabled()):
            gate = angles.sigmoid()
        return gate * angles + half


class Cast(nn.Module):  # type: ignore[misc]
    """Casts to bfloat16 by itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x.reshape(-1, 1) @ x.reshape(1, -1)
        return y.float() + 1


class Joins(nn.Module):  # type: ignore[misc]
    """Puts rows together of which the values tell how long they are, and that there are some."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = x[x > 2], x[x > 4]
        return torch.cat([low, high.expand(2, -1).reshape(-1)])


@pytest.mark.parametrize(
    "module",
    [Cached(), Adds(), Empty(), Checks(), Counts(), Picks(), Joins(), Flags(), Regions(), Cast()],
    ids=lambda module: type(module).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_numbers_stay_and_a_program_can_be_saved_and_run(module: nn.Module, tmp_path: Path) -> None:
    x = torch.arange(8.0).reshape(2, 4)[:, : 2 if isinstance(module, Adds) else 4]
    program = torch.export.export(module, (x,), strict=False)
    tidy(program)
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    read = torch.export.load(path)
    assert torch.equal(read.module()(x), module(x))
    assert torch.equal(read.run_decompositions().module()(x), module(x))


def targets(module: nn.Module, x: torch.Tensor) -> list[str]:
    program = torch.export.export(module, (x,), strict=False)
    before = str(program.graph)
    assert any(word in before for word in ("detach_.default", "_assert_async.msg", "_assert_scalar")), "tracing does otherwise"
    tidy(program)
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_a_constant_is_not_detached_in_place() -> None:
    assert targets(Adds(), torch.ones(1, 2)) == ["aten.lift_fresh_copy.default", "aten.detach.default", "aten.add.Tensor"]


def test_a_row_of_nothing_is_left_out_with_all_that_it_came_from() -> None:
    assert targets(Cached(), torch.ones(2, 4)) == ["aten.reshape.default", "aten.cat.default"]


def test_checks_of_values_are_left_out_with_all_that_they_looked_at() -> None:
    assert [t for t in targets(Checks(), torch.ones(1, 2)) if "to.dtype" not in t] == ["aten.mul.Tensor"]


def test_what_is_computed_for_a_check_alone_goes_with_it() -> None:
    x = torch.arange(8.0).reshape(2, 4)
    assert not {"aten.index.Tensor", "aten._assert_scalar.default"} & {*targets(Counts(), x)}


def test_checks_of_a_size_that_is_needed_stay() -> None:
    called = targets(Picks(), torch.arange(8.0).reshape(2, 4))
    assert {"aten.index.Tensor", "aten._assert_scalar.default"} <= {*called}


@pytest.mark.parametrize(("module", "within"), [(Regions(), 0), (Cast(), 1)])
def test_a_region_that_changes_nothing_is_no_program_within_the_program(module: nn.Module, within: int) -> None:
    program = torch.export.export(module, (torch.arange(4.0),), strict=False)
    assert any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in program.graph.nodes), "tracing does otherwise"
    tidy(program)
    assert sum(isinstance(node.target, torch._ops.HigherOrderOperator) for node in program.graph.nodes) == within
    assert len(list(program.graph_module.children())) == within
