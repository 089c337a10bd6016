"""What a program takes for granted of sizes that vary is left open where that can be, and is no axis of it where it cannot."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from porting.bundles.bundle import FormKey
from porting.bundles.eager import EagerModel
from porting.bundles.export import Exporter
from porting.bundles.pinned import open_numbers, pinned
from porting.types import Precision, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of themselves
SIZES = (3, 8, 6), (2, 12, 6), (1, 6, 6)


class Model(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, way: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.way(x),)


def divides(x: torch.Tensor) -> torch.Tensor:
    """By a number that Python makes of a size, as positions of a grid are."""
    return x / float(x.shape[1] // 2)


def repeats(x: torch.Tensor) -> torch.Tensor:
    """As often as Python makes of a size; and of a number that is none, as always."""
    times = int(x.shape[1] // 2 * 2)
    assert isinstance(3, int)
    assert isinstance(float("inf"), float)
    assert type(times) in (int, torch.SymInt)
    return x.new_ones(times, int("1")) + x.mean()


def halves(x: torch.Tensor) -> torch.Tensor:
    return x[:, : int(x.shape[1] * 0.5)]


def loops(x: torch.Tensor) -> torch.Tensor:
    """Once for every other row: there is no way to leave that open."""
    total = x.sum(1)
    for row in range(int(x.shape[1] // 2)):
        total = total * 2 + x[:, row]
    return total


def insists(x: torch.Tensor) -> torch.Tensor:
    """Wants a number and no expression."""
    rows = float(x.shape[1] // 2)
    assert type(rows) is float
    return x / rows


def exported(way: Callable[[torch.Tensor], torch.Tensor], folder: Path, kind: str) -> tuple[Any, nn.Module]:
    flat = EagerModel(Model(way).eval(), ["x"], {}).flat()
    x = torch.arange(2.0 * 8 * 6).reshape(2, 8, 6)
    outputs = [TensorSpec("y", "float32", tuple(flat(x)[0].shape))]
    inputs = [TensorSpec("x", "float32", ("batch", "length", 6))]
    made = Exporter(flat, inputs, outputs, [x], frozenset({"batch", "length"}), folder)
    return made.export(FormKey(kind, Precision.FP32, "dynamic")), flat


def answer(path: Path, x: torch.Tensor) -> torch.Tensor:
    if path.suffix == ".pt2":
        found: torch.Tensor = torch.export.load(path).module(check_guards=False)(x)[0]
        return found
    import onnxruntime

    return torch.from_numpy(onnxruntime.InferenceSession(str(path)).run(None, {"x": x.numpy()})[0])


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
@pytest.mark.parametrize("way", [divides, repeats, halves])
def test_numbers_that_python_makes_of_sizes_stay_sizes(way: Any, kind: str, tmp_path: Path) -> None:
    record, flat = exported(way, tmp_path, kind)
    assert set(record.dynamic_axes) == {"batch", "length"}
    for size in SIZES:
        x = torch.randn(size, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(answer(tmp_path / record.path, x), flat(x)[0])


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
@pytest.mark.parametrize("way", [loops, insists])
def test_an_axis_at_whose_other_sizes_a_program_would_be_wrong_is_none_of_it(way: Any, kind: str, tmp_path: Path) -> None:
    record, flat = exported(way, tmp_path, kind)
    assert record.dynamic_axes == ("batch",)
    x = torch.randn(5, 8, 6)
    torch.testing.assert_close(answer(tmp_path / record.path, x), flat(x)[0])


def test_a_program_says_what_it_takes_for_granted() -> None:
    def noted(way: Callable[[torch.Tensor], torch.Tensor]) -> list[str]:
        axes = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(Model(way), (torch.ones(2, 8, 6),), dynamic_shapes=axes, strict=False)
        return pinned(program)

    (size,) = noted(divides)
    assert "size()[1] // 2" in size
    assert noted(lambda x: x.reshape(x.shape[0], 2, -1)) == [], "multiples of something are more than one number"
    assert noted(lambda x: x * 2) == []


def test_the_names_are_given_back() -> None:
    def boom() -> None:
        with open_numbers(Model(divides)):
            assert vars(sys.modules[__name__])["int"] is not builtins.int
            assert int("3") == 3
            assert float("1.5") == 1.5
            raise KeyError

    with pytest.raises(KeyError):
        boom()
    assert "int" not in vars(sys.modules[__name__])
    assert "float" not in vars(sys.modules[__name__])
