"""Pass rates by target, before and after routes and rewrites, and what still fails, why and whose matter that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from porting.diagnose.blockers import blockers
from porting.diagnose.notes import Smallest
from porting.diagnose.unlock import shows
from porting.report.counts import NO_VERDICT
from porting.types import Outcome, Result, Stage

Owner = Callable[[str, str], str]
"""Who owns the failure of a model on a target, where somebody said so; else nothing."""


@dataclass(frozen=True)
class Rate:
    """What came of the catalog on one target."""

    target: str
    evidence: str
    recorded: int
    """Models with a record there, of whatever outcome."""
    valid: int
    """Of these, whose reference is valid."""
    before: int
    """That pass along the usual route."""
    after: int
    """That pass along some route."""
    degraded: int
    """Right, but in part elsewhere or in another precision; in neither of the two."""
    again: int
    """Cells with a record from since there are routes."""


@dataclass(frozen=True)
class Failure:
    """What still fails on a target for one reason."""

    target: str
    reason: str
    owner: str
    models: tuple[str, ...]
    """By the smallest first, where sizes are known."""
    case: Smallest | None = None
    """The smallest that any of the cells was reduced to (`porting reduce`)."""
    reduced: str = ""
    """The model that it is of."""


def rates(results: Iterable[Result]) -> list[Rate]:
    """A rate a target. results: any number of records of a cell; the latest counts, and what was so before there were routes."""
    found = []
    for target, cells in sorted(_by_target(results).items()):
        valid = [records for records in cells if records[-1].outcome not in NO_VERDICT]
        latest = [records[-1] for records in valid]
        evidence = next((r.evidence.value for r in latest if r.evidence), "")
        found.append(
            Rate(
                target,
                evidence,
                len(cells),
                len(valid),
                sum(_before(records) for records in valid),
                sum(result.outcome is Outcome.PASS for result in latest),
                sum(result.outcome is Outcome.DEGRADED for result in latest),
                sum(bool(result.form) for result in latest),
            )
        )
    return found


def failures(
    results: Iterable[Result], sizes: Mapping[str, int], owner: Owner, cases: Mapping[tuple[str, str], Smallest] | None = None
) -> list[Failure]:
    """What still fails, by target and reason, the reason with most models first. cases: what cells were reduced to, by model
    and target."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    smallest: dict[tuple[str, str, str], tuple[Smallest, str]] = {}
    for target, cells in sorted(_by_target(results).items()):
        for result in (records[-1] for records in cells):
            reasons = blockers(result)
            case = (cases or {}).get((result.model, target))
            for blocker in sorted(reasons):
                key = (target, f"{blocker.kind}: {blocker.name}", owner(result.model, target) or _owner(result))
                groups.setdefault(key, []).append(result.model)
                if case and shows(case, blocker, reasons) and (key not in smallest or case.bytes < smallest[key][0].bytes):
                    smallest[key] = (case, result.model)
    found = [
        Failure(*key, tuple(sorted(models, key=lambda m: (sizes.get(m) or 1 << 60, m))), *smallest.get(key, (None, "")))
        for key, models in groups.items()
    ]
    return sorted(found, key=lambda f: (f.target, -len(f.models), f.reason))


def _by_target(results: Iterable[Result]) -> dict[str, list[list[Result]]]:
    """Every cell's records, oldest first, by target."""
    cells: dict[tuple[str, str], list[Result]] = {}
    for result in sorted(results, key=lambda r: r.started):
        cells.setdefault((result.target, result.model), []).append(result)
    found: dict[str, list[list[Result]]] = {}
    for (target, _), records in sorted(cells.items()):
        found.setdefault(target, []).append(records)
    return found


def _before(records: Sequence[Result]) -> bool:
    """Whether a cell passes along the usual route: by its last record from before there were others, else by this one."""
    usual = [result for result in records if not result.form]
    return usual[-1].outcome is Outcome.PASS if usual else records[-1].outcome is Outcome.PASS and "+" not in records[-1].form


def _owner(result: Result) -> str:
    """Whose a failure is as long as nobody said: what never came to the stack is the export's, the rest the stack's maker's."""
    return "export" if result.stage in (Stage.BUILD, Stage.REFERENCE, Stage.EXPORT) else "stack"
