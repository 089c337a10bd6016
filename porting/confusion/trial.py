"""One planted fault, judged: the data that answers, job and table share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from porting.numerics.compare import RULES, Judge, Noise, Rule
from porting.serialization import Json, from_json, to_json
from porting.types import Outcome, Precision

if TYPE_CHECKING:
    import numpy

    Outputs = Mapping[str, numpy.ndarray[Any, Any]]
    Cases = Mapping[str, Outputs]

Rules = Mapping[Precision, Rule]

PRECISIONS = (Precision.FP32, Precision.FP16, Precision.BF16)
"""Those that eager PyTorch can be run at."""
CAUGHT, PASSED, INVALID = "caught", "passed", "invalid"
_WORDS = {Outcome.MISMATCH: CAUGHT, Outcome.PASS: PASSED, Outcome.INVALID: INVALID}


@dataclass(frozen=True)
class Trial:
    """What became of one planted thing in one model at one precision."""

    kind: str
    """`answer` or `fault`."""
    planted: str
    model: str
    precision: Precision
    outcomes: tuple[str, ...] = ()
    """`caught`, `passed` or `invalid` by each set of rules; none where the plant had no effect."""
    expected: str = ""
    """What it has to be for the rule to be any good: `caught`, `passed`, or nothing where it is only counted."""
    effect: float | None = None
    """Faults: how far an output moves, in multiples of the noise of fp32."""


def judges(truth: Cases, noise: Mapping[str, Noise], precision: Precision, rule_sets: Sequence[Rules]) -> list[Judge]:
    """One judge for each set of rules."""
    return [Judge(truth, noise, precision, rules) for rules in rule_sets]


def outcomes(answer: Cases, by: Sequence[Judge]) -> tuple[str, ...]:
    """What each judge says of an answer."""
    return tuple(_WORDS[judge.judge(answer).outcome] for judge in by)


def rule_sets(changes: Mapping[str, float | None], precisions: Sequence[Precision]) -> list[Rules]:
    """The present rules, and after them the ones to try where `changes` (factor, floor, ceiling, flips) changes any."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        return [RULES]
    return [RULES, {p: replace(rule, **given) if p in precisions else rule for p, rule in RULES.items()}]


def rules_to_json(rules: Rules) -> Json:
    return {precision.value: to_json(rule) for precision, rule in rules.items()}


def rules_from_json(data: Json) -> Rules:
    return {Precision(name): from_json(Rule, rule) for name, rule in data.items()}
