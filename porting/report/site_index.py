"""What the pages of a report know before details are loaded: every cell in columns, and the story of how they came to be.

Makes JSON; writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from porting.report.counts import Tally, first_line
from porting.report.matrix import Matrix
from porting.report.numerics import worst
from porting.serialization import Json
from porting.types import Cause, Evidence, Outcome, Result, Stage

if TYPE_CHECKING:
    from porting.diagnose.unlock import Remedy
    from porting.records.diff import Change
    from porting.records.story import Story

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
MESSAGE_LENGTH = 240
"""Characters of a message in the index; the details have all of it."""
LOW, HIGH, STEPS = -3, 2, 10
"""Shares of the allowed error are told from a thousandth to a hundred times, in so many steps a power of ten."""


def index(matrix: Matrix, details: Iterable[str] = ()) -> dict[str, Json]:
    """Return what the page knows of every cell before details are loaded: a column for each field, models by targets."""
    results = list(matrix.results())
    reasons = _Reasons()
    numbers = [reasons.number(result) for result in results]
    return {
        "title": matrix.title,
        "generated": matrix.generated,
        "versions": dict(sorted(matrix.versions.items())),
        "outcomes": [o.value for o in Outcome],
        "evidences": [e.value for e in Evidence],
        "stages": [s.value for s in Stage],
        "causes": [c.value for c in Cause],
        "targets": [[t.id, list(Evidence).index(t.evidence), int(t.available), t.reason] for t in matrix.targets],
        "models": [[m.id, m.family, m.task, m.modality, m.house, m.params] for m in matrix.models],
        "cells": {
            "outcome": _column((r.outcome for r in results), list(Outcome)),
            "evidence": _column((r.evidence for r in results), list(Evidence)),
            "stage": _column((r.stage for r in results), list(Stage)),
            "cause": _column((r.cause for r in results), list(Cause)),
            "reason": numbers,
            "error": "".join(map(_error, results)),
        },
        "reasons": reasons.table,
        "details": list(details),
        "story": _story(matrix.story, matrix) if matrix.story else None,
    }


def _column(values: Iterable[Any], names: list[Any]) -> str:
    """Spell a column with one character a cell: the place in `names`; the place after the last stands for none."""
    digits = {name: DIGITS[place] for place, name in enumerate(names)}
    digits[None] = DIGITS[len(names)]
    return "".join(digits[value] for value in values)


class _Reasons:
    """Numbers the reasons of cells from 1. Cells of one signature share the message of the first."""

    def __init__(self) -> None:
        self.table: list[list[str]] = []
        self._numbers: dict[str, int] = {}

    def number(self, result: Result) -> int:
        """Return the number of a cell's reason, 0 where there is none."""
        if result.outcome in (Outcome.PASS, Outcome.MISSING):
            return 0
        message = first_line(result.message)[:MESSAGE_LENGTH]
        key = f"s {result.signature}" if result.signature else f"m {message}"
        if key not in self._numbers:
            self.table.append([result.signature or "", message])
            self._numbers[key] = len(self.table)
        return self._numbers[key]


def _error(result: Result) -> str:
    """One character for the largest share of what is allowed; the last digit where nothing was judged. A share of exactly one
    is in the last step that is allowed."""
    found = worst(result)
    if found is None:
        return DIGITS[-1]
    if found.ratio <= 10**LOW:
        return DIGITS[0]
    power = min(math.log10(found.ratio), HIGH) if math.isfinite(found.ratio) else HIGH
    return DIGITS[math.ceil((power - LOW) * STEPS)]


# ---- story --------------------------------------------------------------------------------------------------------


def _story(story: Story, matrix: Matrix) -> Json:
    models = {row.id: place for place, row in enumerate(matrix.models)}
    targets = {column.id: place for place, column in enumerate(matrix.targets)}
    return {
        "since": story.since,
        "known": story.known,
        "new": story.new,
        "moved": {name: list(pair) for name, pair in (story.moved or {}).items()},
        "changes": [_change(c, models, targets) for c in story.changes if c.model in models and c.target in targets],
        "days": [[day.date, _day(day.targets, targets)] for day in story.days],
        "remedies": [_remedy(r, models, targets) for r in story.remedies if r.model in models and r.target in targets],
        "alone": sorted(story.alone),
    }


def _day(found: Mapping[str, Tally], targets: Mapping[str, int]) -> Json:
    """By target: how many cells were known, and the passes by evidence, in the order of evidence."""
    return {
        str(targets[target]): [tally.total, [tally.claims().get(evidence, 0) for evidence in Evidence]]
        for target, tally in found.items()
        if target in targets
    }


def _change(change: Change, models: Mapping[str, int], targets: Mapping[str, int]) -> Json:
    before = change.a
    was = [before.outcome.value, before.evidence and before.evidence.value, before.stage.value] if before else None
    return [change.kind.value, models[change.model], targets[change.target], was, _finite(change.before), _finite(change.after)]


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _remedy(remedy: Remedy, models: Mapping[str, int], targets: Mapping[str, int]) -> Json:
    return {
        "kind": remedy.kind,
        "name": remedy.name[:MESSAGE_LENGTH],
        "where": remedy.where,
        "turns": remedy.turns,
        "blocks": remedy.blocks,
        "models": remedy.models,
        "targets": remedy.targets,
        "families": remedy.families,
        "evidence": dict(remedy.evidence),
        "smallest": [models[remedy.model], targets[remedy.target]],
        "case": str(remedy.case or ""),
    }
