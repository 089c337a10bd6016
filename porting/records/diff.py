"""Two sets of results side by side: outcomes, causes, numbers that drift inside a pass, speed and memory. Renders nothing.

What differs by less than its factor is left out: times and memory of two runs are never quite the same.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from porting.report.numerics import worst
from porting.types import Evidence, Outcome, Result, Stage

WORKS = (Outcome.PASS, Outcome.DEGRADED)
SILENT = (Outcome.UNAVAILABLE, Outcome.SKIPPED, Outcome.MISSING)
OF_THE_TARGET = (Stage.CONVERT, Stage.LOAD, Stage.RUN)
LEAST_SHARE = 0.01
"""Of what is allowed: an error below it is no drift, whatever it was before."""
LEAST_BYTES = 64 << 20
"""Memory that a process more or less takes is no change."""


class Kind(str, enum.Enum):
    """What became of a cell from A to B, the most urgent first."""

    BROKEN = "broken"  # it worked, and does not
    OUTCOME = "other outcome"  # neither worked
    CAUSE = "other failure"  # the same outcome, at another stage, for another cause or with another signature
    PARTLY = "less of it"  # a pass became degraded, or rests on weaker evidence
    DRIFT = "drift"  # both pass, and the share of the allowed error is another
    SLOWER = "slower"
    MEMORY = "more memory"
    UNANSWERED = "no answer any more"
    ONLY_A = "only in A"
    ONLY_B = "only in B"
    ANSWERED = "answered now"
    MENDED = "mended"
    MORE = "more of it"  # degraded became a pass, or it rests on stronger evidence
    FASTER = "faster"
    LESS_MEMORY = "less memory"


@dataclass(frozen=True)
class Factors:
    """From which factor on a difference counts."""

    error: float = 2.0
    time: float = 1.25
    memory: float = 1.25


@dataclass(frozen=True)
class Change:
    """A difference of one cell; a cell may have several."""

    kind: Kind
    model: str
    target: str
    detail: str
    a: Result | None = None
    b: Result | None = None
    before: float | None = None
    """Of a number: share of the allowed error, seconds, bytes."""
    after: float | None = None


@dataclass(frozen=True)
class Diff:
    """What differs between A and B."""

    changes: tuple[Change, ...]
    cells: int
    """Cells that both have."""
    moved: Mapping[str, tuple[str, str]]
    """Versions that are others in B, by package, where each side has one alone."""

    @property
    def broken(self) -> bool:
        return any(change.kind is Kind.BROKEN for change in self.changes)


def diff(a: Iterable[Result], b: Iterable[Result], factors: Factors | None = None) -> Diff:
    """Compare B with A, cell by cell."""
    old, new = ({(r.model, r.target): r for r in results} for results in (a, b))
    found: list[Change] = []
    for key in dict.fromkeys([*old, *new]):
        found += _cell(*key, old.get(key), new.get(key), factors or Factors())
    order = list(Kind)
    found.sort(key=lambda change: (order.index(change.kind), -_size(change), change.model, change.target))
    return Diff(tuple(found), len(old.keys() & new.keys()), moved_versions(old.values(), new.values()))


def moved_versions(a: Iterable[Result], b: Iterable[Result]) -> dict[str, tuple[str, str]]:
    """The parts of the environment that all results of a side agree on and the sides do not."""
    ours, theirs = _common(a), _common(b)
    return {name: (ours[name], theirs[name]) for name in sorted(ours.keys() & theirs.keys()) if ours[name] != theirs[name]}


def _common(results: Iterable[Result]) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for result in results:
        for name, value in result.environment.items():
            values.setdefault(name, set()).add(value)
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def _cell(model: str, target: str, a: Result | None, b: Result | None, factors: Factors) -> Iterator[Change]:
    if a is None or b is None:
        one, kind = (a, Kind.ONLY_A) if b is None else (b, Kind.ONLY_B)
        assert one
        yield Change(kind, model, target, said(one), a, b)
        return
    step = _step(a, b)
    if step:
        yield Change(step, model, target, f"{said(a)} -> {said(b)}", a, b)
    if a.outcome in WORKS and b.outcome in WORKS:
        yield from _numbers(model, target, a, b, factors)


def _step(a: Result, b: Result) -> Kind | None:
    """How the verdict changed."""
    if a.outcome in SILENT or b.outcome in SILENT:
        if a.outcome in SILENT and b.outcome in SILENT:
            return None
        return Kind.ANSWERED if a.outcome in SILENT else Kind.UNANSWERED
    works = (a.outcome in WORKS, b.outcome in WORKS)
    if works == (True, False):
        return Kind.BROKEN
    if works == (False, True):
        return Kind.MENDED
    if works == (True, True):
        return _claim(a, b)
    if a.outcome is not b.outcome:
        return Kind.OUTCOME
    same = (a.stage, a.cause, a.signature) == (b.stage, b.cause, b.signature)
    return None if same else Kind.CAUSE


def _claim(a: Result, b: Result) -> Kind | None:
    """How much of a claim two results make that both say that numbers are right."""
    order = list(Evidence)
    ranks = [(WORKS.index(r.outcome), order.index(r.evidence) if r.evidence else len(order)) for r in (a, b)]
    if ranks[0] == ranks[1]:
        return None
    weaker = any(new > old for old, new in zip(*ranks, strict=True))
    return Kind.PARTLY if weaker else Kind.MORE


def _numbers(model: str, target: str, a: Result, b: Result, factors: Factors) -> Iterator[Change]:
    """What moved between two results that both say that numbers are right."""
    shares = _pair(_share(a), _share(b), factors.error)
    if shares and max(shares) > LEAST_SHARE:
        detail = f"worst error {shares[0]:.1%} -> {shares[1]:.1%} of what is allowed"
        yield Change(Kind.DRIFT, model, target, detail, a, b, *shares)
    times = _pair(a.perf.median_seconds if a.perf else None, b.perf.median_seconds if b.perf else None, factors.time)
    if times:
        kind = Kind.SLOWER if times[1] > times[0] else Kind.FASTER
        yield Change(kind, model, target, f"{times[0] * 1e3:.3g} -> {times[1] * 1e3:.3g} ms", a, b, *times)
    sizes = _pair(_memory(a), _memory(b), factors.memory)
    if sizes and abs(sizes[1] - sizes[0]) >= LEAST_BYTES:
        kind = Kind.MEMORY if sizes[1] > sizes[0] else Kind.LESS_MEMORY
        yield Change(kind, model, target, f"peak {sizes[0] / 2**20:.0f} -> {sizes[1] / 2**20:.0f} MiB", a, b, *sizes)


def _memory(result: Result) -> int | None:
    """Peak of the stages that are the target's; those before are made once a model."""
    return max((stage.peak_rss_bytes for stage in result.stages if stage.name in OF_THE_TARGET), default=0) or None


def _share(result: Result) -> float | None:
    """The largest share of the allowed error that a result used."""
    found = worst(result)
    return found.ratio if found and math.isfinite(found.ratio) else None


def _pair(before: float | None, after: float | None, factor: float) -> tuple[float, float] | None:
    """Two numbers, where both are there and they are further apart than a factor."""
    if before is None or after is None or max(before, after) <= min(before, after) * factor:
        return None
    return before, after


def _size(change: Change) -> float:
    """How far a number moved, as a factor."""
    if change.before is None or change.after is None:
        return 0.0
    low, high = sorted((change.before, change.after))
    return high / low if low else math.inf


def said(result: Result) -> str:
    """A verdict in few words."""
    if result.outcome in WORKS:
        return f"{result.outcome.value} on {result.evidence.value} evidence" if result.evidence else result.outcome.value
    cause = f" ({result.cause.value})" if result.cause else ""
    return f"{result.outcome.value} at {result.stage.value}{cause}"
