"""Which number of a result lies nearest to, or furthest over, what was allowed. It judges nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from porting.types import OutputNumbers, Result

METRICS = ("rel_norm", "row", "peak", "flips")


@dataclass(frozen=True)
class Worst:
    """The binding number of a result."""

    case: str
    output: str
    metric: str
    """`rel_norm`, `row`, `peak`, `flips`, or `nonfinite`."""
    value: float | None
    """None when not finite."""
    allowed: float | None
    ratio: float
    """value / allowed; infinite for a non-finite output, and where nothing was allowed."""


def worst(result: Result) -> Worst | None:
    """Find the number with the largest share of its allowance over all cases and outputs; None where nothing was judged."""
    return max(_numbers(result), key=lambda w: w.ratio, default=None)


def summary(result: Result) -> dict[str, Any] | None:
    """Return the worst number as JSON; an infinite ratio is null."""
    found = worst(result)
    if found is None:
        return None
    return {**vars(found), "ratio": found.ratio if math.isfinite(found.ratio) else None}


def _numbers(result: Result) -> Iterator[Worst]:
    for case in result.cases:
        for output in case.outputs:
            yield from _of_output(case.name, output)


def _of_output(case: str, output: OutputNumbers) -> Iterator[Worst]:
    if output.nonfinite:
        yield Worst(case, output.name, "nonfinite", output.nonfinite, 0, math.inf)
    for metric in METRICS:
        value, allowed = getattr(output, metric), getattr(output, f"allowed_{metric}")
        if allowed is not None:
            yield Worst(case, output.name, metric, value, allowed, _ratio(value, allowed))


def _ratio(value: float | None, allowed: float) -> float:
    if value is None:  # an allowance without a number: the number was not finite, and JSON has none for that
        return math.inf
    if value == 0:
        return 0.0
    return value / allowed if allowed else math.inf
