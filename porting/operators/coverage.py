"""Counts over the results of node cases: by operator and by opset, for each target. No layout here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from porting.operators.known import OUTCOMES, Known, explanation
from porting.operators.suite import NodeCase
from porting.types import Outcome, Result


@dataclass
class Line:
    """Cases of one operator, or of one opset."""

    name: str
    opsets: set[int] = field(default_factory=set)
    cases: int = 0
    by_target: dict[str, Counter[Outcome]] = field(default_factory=dict)


def lines(
    cases: Sequence[NodeCase], results: Mapping[tuple[str, str], Result], targets: Sequence[str], key: Callable[[NodeCase], str]
) -> list[Line]:
    """Count cases by what `key` says of them, in the order in which it first says it. results: by model and target."""
    found: dict[str, Line] = {}
    for case in cases:
        line = found.setdefault(key(case), Line(key(case), by_target={target: Counter() for target in targets}))
        line.opsets.add(case.opset)
        line.cases += 1
        for target in targets:
            result = results.get((case.model, target))
            line.by_target[target][result.outcome if result else Outcome.MISSING] += 1
    return list(found.values())


def right(counts: Mapping[Outcome, int]) -> int:
    """How many answers were right: a part of them perhaps without anything running on the target, which `words` tells."""
    return counts.get(Outcome.PASS, 0) + counts.get(Outcome.DEGRADED, 0)


def words(counts: Mapping[Outcome, int]) -> str:
    """`25/28, 3 mismatch`: right answers of those tested, then what else there is."""
    tested = sum(counts.values()) - counts.get(Outcome.SKIPPED, 0)
    rest = [f"{counts[o]} {_NAMES.get(o, o.value)}" for o in Outcome if o is not Outcome.PASS and counts.get(o)]
    return ", ".join([f"{right(counts)}/{tested}", *rest])


_NAMES = {Outcome.SKIPPED: "not tested"}


@dataclass(frozen=True)
class Wrong:
    """Wrong answers and failures of a target that have one explanation, or none."""

    target: str
    known: Known | None
    results: tuple[Result, ...]


def wrong(results: Iterable[Result]) -> list[Wrong]:
    """Group what is wrong by target and explanation. What nobody has looked into comes first: errors that read alike together,
    wrong answers one by one."""
    groups: dict[tuple[str, Known | None, str], list[Result]] = {}
    for result in results:
        if result.outcome in OUTCOMES:
            known = explanation(result)
            alike = (result.signature if result.outcome is Outcome.FAIL else None) or result.message
            groups.setdefault((result.target, known, "" if known else alike), []).append(result)
    found = [Wrong(target, known, tuple(group)) for (target, known, _), group in groups.items()]
    return sorted(found, key=lambda w: (w.target, w.known is not None, -len(w.results), w.results[0].model))
