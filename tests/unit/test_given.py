"""A person's own inputs: enough of them to tell a right answer from a constant one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from porting.cases import CaseInputs
from porting.given import read_cases, store_inputs
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
