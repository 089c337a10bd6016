"""What a report tells beside the present state: what changed since before, how things came to be day by day, what to mend first.

Reads the store; renders nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

from porting.diagnose.known import Known, known_of
from porting.diagnose.notes import smallest
from porting.diagnose.unlock import Remedy, blocked_cells, remedies, weights
from porting.records.diff import Change, diff
from porting.records.history import Turn, turns
from porting.report.counts import Tally
from porting.store.records import moment
from porting.types import Evidence, Outcome, Result

if TYPE_CHECKING:
    from porting.store import Store, Verdict
    from porting.workspace import Workspace

Key = tuple[str, str]
"""Model and target."""

DAYS = 60
"""As many days are told; of more, some are left out evenly."""
REMEDIES = 200
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
"""Microseconds."""


@dataclass(frozen=True)
class Day:
    """How things stood at the end of a day on which something was recorded."""

    date: str
    """UTC, ISO 8601."""
    targets: Mapping[str, Tally]


@dataclass(frozen=True)
class Story:
    """What a report tells beside the present state."""

    since: str = ""
    """The present is compared with what was known before this; UTC, ISO 8601."""
    known: int = 0
    """Cells that were known then."""
    changes: tuple[Change, ...] = ()
    """The most urgent first. A is as it was; cells that were not known then are none of them."""
    new: int = 0
    """Cells that were not known then."""
    moved: Mapping[str, tuple[str, str]] | None = None
    """Versions that are others in what was recorded since, by package."""
    days: tuple[Day, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    alone: frozenset[str] = frozenset()
    """Runs that were worked on one machine: what they measured may be compared."""
    turns: Mapping[Key, Turn] = field(default_factory=dict)
    """Since when cells are as they are."""
    known_of: Mapping[Key, Known] = field(default_factory=dict)
    """What is known of why cells do not pass."""


def tell(
    store: Store,
    results: Sequence[Result],
    sizes: Mapping[str, int],
    since: str | None = None,
    workspace: Workspace | None = None,
) -> Story:
    """The story of recorded results. sizes: parameters by model; since: a run or a day, by default the run of the latest result;
    workspace: where it is kept what was found out of cells that do not pass.

    Raises UsageError for a `since` that is neither.
    """
    now = {(r.model, r.target): r for r in results if r.started}
    begun = _begin(store, since) if since else _last_run(now.values())
    until = max((moment(r.started) for r in now.values()), default=0)
    old, days = walk((v for v in store.verdicts() if v.moment <= until and (v.model, v.target) in now), begun)
    changes, new, moved = _changes(store, old, now)
    known = known_of(workspace, results) if workspace else {}
    cases = smallest(workspace, results) if workspace else {}
    told = remedies(blocked_cells(results, sizes, cases), weights(results))[:REMEDIES]
    return Story(_text(begun), len(old), changes, new, moved, thinned(days), tuple(told), _alone(store), turns(store, now), known)


def _changes(
    store: Store, old: Mapping[Key, Verdict], now: Mapping[Key, Result]
) -> tuple[tuple[Change, ...], int, dict[str, tuple[str, str]]]:
    moved = [key for key, result in now.items() if key in old and old[key].moment != moment(result.started)]
    whole = store.by_records(old[key].record for key in moved)
    found = diff([whole[old[key].record] for key in moved], [now[key] for key in moved])
    return found.changes, len(now.keys() - old.keys()), dict(found.moved)


def walk(verdicts: Iterable[Verdict], begun: int) -> tuple[dict[Key, Verdict], list[Day]]:
    """What was known of every cell before a moment, and how things stood day by day. verdicts: the oldest first."""
    state: dict[Key, Verdict] = {}
    old: dict[Key, Verdict] | None = None
    counts: dict[str, Counter[tuple[Outcome, Evidence | None]]] = {}
    days: list[Day] = []
    day: int | None = None
    for verdict in verdicts:
        if old is None and verdict.moment >= begun:
            old = dict(state)
        if day is not None and verdict.moment // _DAY != day:
            days.append(_day(day, counts))
        day = verdict.moment // _DAY
        of_target = counts.setdefault(verdict.target, Counter())
        before = state.get((verdict.model, verdict.target))
        if before:
            of_target[before.outcome, before.evidence] -= 1
        of_target[verdict.outcome, verdict.evidence] += 1
        state[verdict.model, verdict.target] = verdict
    if day is not None:
        days.append(_day(day, counts))
    return state if old is None else old, days


def _day(day: int, counts: Mapping[str, Counter[tuple[Outcome, Evidence | None]]]) -> Day:
    return Day(_text(day * _DAY)[:10], {target: Tally(+counter) for target, counter in counts.items()})


def thinned(days: Sequence[Day], most: int = DAYS) -> tuple[Day, ...]:
    """As many days as are told: the first, the last, and evenly what lies between."""
    if len(days) <= most:
        return tuple(days)
    places = sorted({round(n * (len(days) - 1) / (most - 1)) for n in range(most)})
    return tuple(days[place] for place in places)


def _last_run(results: Iterable[Result]) -> int:
    """When the run began that the latest result is of."""
    times = sorted((moment(result.started), result.run) for result in results)
    return next((at for at, run in times if run == times[-1][1]), 0)


def _begin(store: Store, since: str) -> int:
    """When a day or a run began."""
    try:
        return moment(date.fromisoformat(since).isoformat())
    except ValueError:
        return moment(store.find_run(since).started)


def _text(at: int) -> str:
    return datetime.fromtimestamp(at / _SECOND, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _alone(store: Store) -> frozenset[str]:
    """Only what this store itself began is known to have been worked here, and not on a cluster."""
    return frozenset(run.id for run in store.runs() if not re.search(r"--launcher[= ](?!local\b)", run.command))
