"""Sums over results, shared by all renderers. Evidence survives every sum: nothing here adds a claim to one of another kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from porting.types import Cause, Evidence, Outcome, Result, Stage

# What says that numbers were right. Such a claim is worth as much as its evidence, so it is never summed across kinds.
CLAIMS = (Outcome.PASS, Outcome.DEGRADED)

# What says nothing about the model on the target.
NO_VERDICT = (Outcome.UNAVAILABLE, Outcome.INVALID, Outcome.SKIPPED, Outcome.MISSING)

# What a person has to look at.
FAULTS = (Outcome.MISMATCH, Outcome.FAIL, Outcome.UNSUPPORTED)


@dataclass(frozen=True)
class Tally:
    """Number of cells by outcome and evidence."""

    cells: Mapping[tuple[Outcome, Evidence | None], int]

    @property
    def total(self) -> int:
        """Cells that were planned."""
        return sum(self.cells.values())

    def of(self, outcome: Outcome) -> int:
        """Count an outcome that claims nothing. Raises ValueError for PASS and DEGRADED: ask `claims` for those."""
        if outcome in CLAIMS:
            raise ValueError(f"{outcome.value} is counted by evidence, never as one sum")
        return sum(n for (o, _), n in self.cells.items() if o is outcome)

    def claims(self, outcome: Outcome = Outcome.PASS) -> dict[Evidence, int]:
        """Count PASS or DEGRADED by evidence, strongest first; kinds without any are left out."""
        counts = {e: self.cells.get((outcome, e), 0) for e in Evidence}
        return {e: n for e, n in counts.items() if n}


def tally(results: Iterable[Result]) -> Tally:
    """Count cells by outcome and evidence."""
    return Tally(Counter((r.outcome, r.evidence) for r in results))


def tally_by_target(results: Iterable[Result]) -> dict[str, Tally]:
    """Count cells by outcome and evidence, apart for every target."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.target, []).append(result)
    return {target: tally(group) for target, group in groups.items()}


@dataclass(frozen=True)
class Reason:
    """One reason that keeps cells from a pass, with all the cells it keeps."""

    signature: str
    """Empty where the records have none."""
    outcome: Outcome
    stage: Stage
    cause: Cause | None
    message: str
    """First line of the first cell's message."""
    cells: tuple[Result, ...]

    @property
    def models(self) -> int:
        return len({r.model for r in self.cells})

    @property
    def targets(self) -> int:
        return len({r.target for r in self.cells})


def first_line(message: str) -> str:
    """Return the first line that says something; one that ends in a colon only announces the next."""
    found = ""
    for line in filter(None, (line.strip() for line in message.splitlines())):
        found = f"{found} {line}".strip()
        if not line.endswith(":"):
            break
    return found


def reasons(results: Iterable[Result]) -> list[Reason]:
    """Group everything that is not a pass by signature (by first line where there is none), the most frequent first."""
    groups: dict[tuple[str, Outcome], list[Result]] = {}
    for result in results:
        if result.outcome is not Outcome.PASS:
            groups.setdefault((result.signature or first_line(result.message), result.outcome), []).append(result)
    found = [_reason(group) for group in groups.values()]
    return sorted(found, key=lambda r: (-len(r.cells), r.message, r.signature))


def _reason(group: list[Result]) -> Reason:
    head = group[0]
    return Reason(head.signature or "", head.outcome, head.stage, head.cause, first_line(head.message), tuple(group))
