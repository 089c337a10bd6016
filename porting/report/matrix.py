"""The input of every renderer: the models and targets that were planned, and the results that are there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porting.expect import Gate
from porting.types import Evidence, Outcome, Result, Stage

if TYPE_CHECKING:
    from porting.records.story import Story


@dataclass(frozen=True)
class ModelRow:
    """One planned model."""

    id: str
    family: str = ""
    task: str = ""
    modality: str = ""
    """What it takes in, or its domain: `text`, `vision`, `audio`, `text+vision` ..."""
    house: str = ""
    params: int | None = None
    """Number of parameters as built."""
    origin: str = ""
    """`file:line` of its entry, as a person here would write it."""


@dataclass(frozen=True)
class TargetColumn:
    """One planned target."""

    id: str
    """`adapter:device:precision`."""
    evidence: Evidence
    """What a result on this target rests on, if there is one: known before anything ran."""
    available: bool = True
    reason: str = ""
    """Why it is not available."""


@dataclass(frozen=True)
class Matrix:
    """Models by targets. Every pair is planned; a pair without a result is reported as missing."""

    models: tuple[ModelRow, ...]
    targets: tuple[TargetColumn, ...]
    cells: Mapping[tuple[str, str], Result]
    """By model id and target id."""
    title: str = "porting report"
    generated: str = ""
    """UTC, ISO 8601. Given by the caller: the same matrix always renders to the same bytes."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of this toolkit and of the packages that decide results, by distribution name."""
    gate: Gate | None = None
    """How it is judged beside what was accepted, where that was asked for."""
    story: Story | None = None
    """What changed, how it came to be and what to mend first, where that was read from a store."""

    def result(self, model: str, target: str) -> Result:
        """Return what happened in a cell; a planned cell without a record is MISSING."""
        return self.cells.get((model, target)) or missing(model, target)

    def row(self, model: str) -> list[Result]:
        """Return the results of one model, in the order of the targets."""
        return [self.result(model, column.id) for column in self.targets]

    def column(self, target: str) -> list[Result]:
        """Return the results on one target, in the order of the models."""
        return [self.result(row.id, target) for row in self.models]

    def results(self) -> Iterator[Result]:
        """Yield every planned cell, model by model."""
        for row in self.models:
            yield from self.row(row.id)


def missing(model: str, target: str) -> Result:
    """What stands for a planned cell without a record."""
    return Result(
        model=model,
        target=target,
        stage=Stage.PLAN,
        outcome=Outcome.MISSING,
        message="there is no record",
        reproduce=f"porting check {shlex.quote(model)} --on {shlex.quote(target)}",
    )
