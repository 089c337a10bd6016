"""The confusion table: planted things by precision, counted; and the margins of right results. No command line here."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from porting.confusion.margins import Margin
from porting.confusion.trial import CAUGHT, INVALID, PASSED, Trial
from porting.types import Precision

_WORDS = {CAUGHT: "caught", PASSED: "pass", INVALID: "invalid"}


@dataclass(frozen=True)
class Cell:
    """One planted thing at one precision, over all models, by the last set of rules."""

    kind: str
    planted: str
    precision: Precision
    expected: str
    models: dict[str, str]
    """What became of it, by model; only where it had an effect."""
    without_effect: int

    @property
    def wrong(self) -> list[str]:
        """Models in which it came out otherwise than it has to."""
        return [m for m, outcome in self.models.items() if self.expected and outcome not in (self.expected, INVALID)]

    def words(self) -> str:
        """`13 caught`, `11 caught, 2 pass`."""
        counts = Counter(self.models.values())
        return ", ".join(f"{counts[o]} {word}" for o, word in _WORDS.items() if counts[o]) or "no effect"

    def to_json(self) -> dict[str, Any]:
        counts = {outcome: list(self.models.values()).count(outcome) for outcome in (CAUGHT, PASSED, INVALID)}
        named = {"kind": self.kind, "planted": self.planted, "precision": self.precision.value, "expected": self.expected or None}
        return {**named, **counts, "without_effect": self.without_effect, "wrong": self.wrong, "models": self.models}


def cells(trials: Iterable[Trial]) -> list[Cell]:
    """Count trials, in the order in which they were made."""
    groups: dict[tuple[str, str, Precision], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.kind, trial.planted, trial.precision), []).append(trial)
    return [_cell(group) for group in groups.values()]


def _cell(group: Sequence[Trial]) -> Cell:
    first = group[0]
    models = {trial.model: trial.outcomes[-1] for trial in group if trial.outcomes}
    return Cell(first.kind, first.planted, first.precision, first.expected, models, len(group) - len(models))


def lines(counted: Sequence[Cell], kind: str, precisions: Sequence[Precision]) -> list[tuple[str, ...]]:
    """One line a planted thing, one column a precision; `no fault` where it is legitimate."""
    found = {(c.planted, c.precision): c for c in counted if c.kind == kind}
    names = dict.fromkeys(c.planted for c in counted if c.kind == kind)
    return [(name, *(found[name, p].words() if (name, p) in found else "no fault" for p in precisions)) for name in names]


def margin_lines(margins: Sequence[Margin]) -> list[tuple[str, ...]]:
    """Precision, whose results, how many, median and largest share of the allowance, and where that is."""
    groups: dict[tuple[Precision, str], list[Margin]] = {}
    for margin in margins:
        groups.setdefault((margin.precision, "eager" if margin.of == "eager" else "recorded passes"), []).append(margin)
    return [_margin_line(precision, of, groups[precision, of]) for precision, of in sorted(groups, key=_order)]


def _order(group: tuple[Precision, str]) -> tuple[int, str]:
    return list(Precision).index(group[0]), group[1]


def _margin_line(precision: Precision, of: str, group: Sequence[Margin]) -> tuple[str, ...]:
    worst = max(group, key=lambda m: m.shares[-1])
    where = worst.model if of == "eager" else f"{worst.model} on {worst.of}"
    over = sum(m.shares[-1] > 1 for m in group)
    median = statistics.median(m.shares[-1] for m in group)
    return precision.value, of, str(len(group)), f"{median:.2f}", f"{worst.shares[-1]:.2f}", str(over), where


def margin_to_json(margin: Margin) -> dict[str, Any]:
    return {
        "kind": "margin",
        "model": margin.model,
        "precision": margin.precision.value,
        "of": margin.of,
        "share": margin.shares[-1],
        "present_share": margin.shares[0],
    }


def change_to_json(trial: Trial) -> dict[str, Any]:
    """A trial that the rules to try judge otherwise."""
    return {
        "kind": "change",
        "planted": trial.planted,
        "precision": trial.precision.value,
        "model": trial.model,
        "before": trial.outcomes[0],
        "after": trial.outcomes[-1],
    }
