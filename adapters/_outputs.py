"""Naming what a backend returns by position."""

from __future__ import annotations

from typing import Dict, Sequence, TypeVar

from porting.types import TensorSpec

Value = TypeVar("Value")


def by_position(results: Sequence[Value], specs: Sequence[TensorSpec]) -> Dict[str, Value]:
    """Results by the names of the declared outputs, in order; one that was not declared comes as `output_N`, so that it shows."""
    names = [spec.name for spec in specs] + [f"output_{number}" for number in range(len(specs), len(results))]
    return dict(zip(names, results))  # noqa: B905 -- `strict` came with Python 3.10
