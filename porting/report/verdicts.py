"""How a cell reads to tools that know only good and bad: CI servers, annotations, badges. Evidence goes with every claim."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from porting.expect.entry import Judged
from porting.report.counts import NO_VERDICT, first_line
from porting.report.gate import owned
from porting.report.matrix import Matrix
from porting.report.words import where
from porting.types import Outcome, Result


class Level(str, enum.Enum):
    """What a CI server can show."""

    GOOD = "good"
    ACCEPTED = "accepted"  # not good, and somebody has accepted that
    FINDING = "finding"  # not good or not as accepted, and fails no build
    BAD = "bad"  # fails the build
    SILENT = "silent"  # no answer: says nothing about the model


def level(result: Result, judged: Judged | None, strict: bool = False) -> Level:
    """The level of a cell: by the gate where it was judged, else by its outcome."""
    if judged is None:
        if result.outcome in (Outcome.PASS, Outcome.DEGRADED):
            return Level.GOOD if result.outcome is Outcome.PASS else Level.FINDING
        silent = result.outcome in NO_VERDICT and result.outcome is not Outcome.INVALID
        return Level.SILENT if silent else Level.BAD
    if judged.unanswered:
        return Level.SILENT
    if judged.breaks or (strict and not judged.accepted):
        return Level.BAD
    if not judged.accepted:
        return Level.FINDING
    return Level.GOOD if result.outcome is Outcome.PASS else Level.ACCEPTED


def levels(matrix: Matrix) -> Mapping[tuple[str, str], Level]:
    """The level of every cell that was planned; where a gate judged, of those that it judged."""
    gate = matrix.gate
    return {
        (result.model, result.target): level(result, judged, bool(gate and gate.strict))
        for result in matrix.results()
        for judged in [gate.cells.get((result.model, result.target)) if gate else None]
        if judged or not gate
    }


def reason(result: Result, judged: Judged | None) -> str:
    """Why a cell is not plainly good, in a sentence."""
    text = f"{result.outcome.value} · {where(result)}: {first_line(result.message) or 'no message'}"
    if judged is None:
        return text
    accepted = f" [accepted: {owned(judged.expected)}]" if judged.expected and judged.expected.owner else ""
    return f"{judged.judgement.value}: {judged.detail or result.outcome.value}; {text}{accepted}"
