"""A person's own inputs: enough of them to tell a right answer from a constant one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from porting.bundles.cases import CaseInputs
from porting.bundles.given import by_name, read_cases, store_inputs
from porting.errors import UsageError
from porting.types import InputSpec
from porting.workspace import Workspace

INPUTS = (InputSpec("x", "float32", ("batch", "sequence"), "normal"),)


def read(tmp_path: Path, *shapes: tuple[int, int]) -> list[CaseInputs]:
    arrays = [{"x": np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape) + n} for n, shape in enumerate(shapes)]
    return read_cases(store_inputs(arrays, Workspace(tmp_path, tmp_path / "state", tmp_path / "cache").prepare()), INPUTS)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (2, 4)], [(1, 5), (2, 5), (3, 5)]])
def test_cases_that_share_no_sizes_get_a_twin_with_other_values(tmp_path: Path, shapes: list[tuple[int, int]]) -> None:
    *own, twin = read(tmp_path, *shapes)
    assert [case.arrays["x"].shape for case in own] == shapes
    assert twin.sizes == own[0].sizes
    assert (twin.arrays["x"] != own[0].arrays["x"]).any()


def test_cases_of_the_same_sizes_need_no_twin(tmp_path: Path) -> None:
    assert len(read(tmp_path, (2, 3), (2, 3))) == 2
    assert len(read(tmp_path, (2, 3), (2, 4), (2, 4))) == 3


class TwoInputs(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, *, flag: bool = True) -> torch.Tensor:
        return a + b if flag else a


def test_inputs_by_position_get_the_names_of_forward_and_others_stay() -> None:
    a, b = np.zeros(2), np.ones(2)
    module = TwoInputs()
    assert by_name(a, module) == {"a": a}
    assert by_name((a, b), module) == {"a": a, "b": b}
    assert by_name([(a, b), {"a": b, "b": a}, "case.npz"], module) == [{"a": a, "b": b}, {"a": b, "b": a}, "case.npz"]
    assert by_name(({"a": a}, {"a": b}), module) == ({"a": a}, {"a": b})
    with pytest.raises(UsageError, match="3 inputs by position, but forward takes a, b"):
        by_name((a, b, a), module)
