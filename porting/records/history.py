"""Since when a cell passes or fails, and what moved when that changed. Renders nothing.

A cell's results are an unbroken line of intervals. What has no answer (the target was not there, the rig failed) ends none.
At a change the environments on both sides are compared, so that it is told by versions, not by days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porting.report.numerics import worst
from porting.store.records import moment, utc_now
from porting.types import INFRASTRUCTURE, Outcome, Result

if TYPE_CHECKING:
    from porting.store import Row, Store

WORKS = (Outcome.PASS, Outcome.DEGRADED)
_SILENT = (Outcome.UNAVAILABLE, Outcome.SKIPPED)
_DAY = 86_400_000_000
"""Microseconds."""
DRIFT_FACTOR, DRIFT_SHARE = 1.5, 0.1
"""The worst error of a pass drifts when it is that many times what it was when the cell began to pass, and that share of what is
allowed."""


@dataclass(frozen=True)
class Interval:
    """Results of a cell that say the same, one after the other."""

    rows: tuple[Row, ...]
    """The oldest first."""
    moved: Mapping[str, tuple[str, str]]
    """Versions that are others than at the end of the interval before, by name."""
    because: tuple[str, ...] = ()
    """What else is other than before, in words; for the first interval nothing."""
    over: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Versions at its beginning and at its end, by name."""

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def last(self) -> Row:
        return self.rows[-1]

    @property
    def held(self) -> dict[str, tuple[str, str]]:
        """Versions that moved in its course, and changed nothing."""
        return {name: ends for name, ends in self.over.items() if ends[0] != ends[1]}

    @property
    def works(self) -> bool:
        return _works(self.last)

    @property
    def says(self) -> str:
        """The verdict, in few words."""
        return _says(self.last)


@dataclass(frozen=True)
class Hit:
    """A cell that a query found."""

    model: str
    target: str
    detail: str
    since: str
    """When what it tells of began; UTC, ISO 8601."""
    moved: Mapping[str, tuple[str, str]]
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """Since when a cell is as it is."""

    start: str
    """UTC, ISO 8601."""
    results: int | None = None
    """That say so, where they were counted."""
    before: str = ""
    """What it was before, in words; empty where it was nothing else."""
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Versions that were others before, by name."""
    because: tuple[str, ...] = ()
    """What else was other before, in words."""


def turn(line: Sequence[Interval]) -> Turn:
    """The turn to the last of a cell's intervals, of which there is one at least."""
    now, before = line[-1], line[-2].says if len(line) > 1 else ""
    return Turn(now.first.started, len(now.rows), before, dict(now.moved), now.because)


def turns(store: Store, results: Mapping[tuple[str, str], Result]) -> dict[tuple[str, str], Turn]:
    """Turns of the cells that these are the latest results of. What a cell was before is told where it had another outcome."""
    found = {}
    for row in store.matrix():
        result = results.get((row.model, row.target))
        if result and result.started == row.started:
            past = store.history(row.model, row.target)[::-1] if row.previous else ()
            found[row.model, row.target] = turn(intervals(past, store)) if past else Turn(row.since)
    return found


def intervals(rows: Sequence[Row], store: Store) -> list[Interval]:
    """The intervals of one cell. rows: all its results, the oldest first."""
    groups = _groups(rows)
    before = [None, *groups[:-1]]
    return [_interval(group, old[-1] if old else None, store) for group, old in zip(groups, before, strict=True)]


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The results of each interval."""
    said = [row for row in rows if not _silent(row)] or rows
    groups: list[list[Row]] = []
    for row in said:
        if groups and _verdict(groups[-1][-1]) == _verdict(row):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _interval(group: Sequence[Row], before: Row | None, store: Store) -> Interval:
    moved = _moved(before, group[0], store) if before else ({}, ())
    return Interval(tuple(group), *moved, _ends(group[0], group[-1], store))


def _ends(a: Row, b: Row, store: Store) -> dict[str, tuple[str, str]]:
    """The environments of two results side by side."""
    old = store.environment(a.environment)
    new = old if a.environment == b.environment else store.environment(b.environment)
    return {name: (old.get(name, ""), new.get(name, "")) for name in sorted(old.keys() | new.keys())}


def _moved(a: Row, b: Row, store: Store) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """What differs between the work behind two results."""
    if a.key and a.key == b.key:
        return {}, ("nothing: the same contents came to another result",)
    ends = _ends(a, b, store)
    moved = {name: (old, new) for name, (old, new) in ends.items() if old != new}
    results = store.by_records([a.record, b.record])
    bundles = [results[row.record].bundle if row.record in results else "" for row in (a, b)]
    because = ["the bundle: model, inputs, reference or export"] if all(bundles) and bundles[0] != bundles[1] else []
    if not moved and not because:
        because = ["the code that judges" if "adapter" in ends else "the adapter, or the code that judges"]
    return moved, tuple(because)


def _works(row: Row) -> bool:
    return row.outcome in WORKS


def _says(row: Row) -> str:
    if _works(row):
        return f"{row.outcome.value} on {row.evidence.value} evidence" if row.evidence else row.outcome.value
    more = ", ".join(filter(None, (row.cause and row.cause.value, row.signature)))
    return f"{row.outcome.value} at {row.stage.value}{f' ({more})' if more else ''}"


def _verdict(row: Row) -> tuple[object, ...]:
    return (row.outcome, row.evidence) if _works(row) else (row.outcome, row.stage, row.cause, row.signature)


def _silent(row: Row) -> bool:
    return row.outcome in _SILENT or row.cause in INFRASTRUCTURE


# ---- queries ------------------------------------------------------------------------------------------------------


def flaky(rows: Sequence[Row], _: Store, __: int) -> Hit | None:
    """Cells that passed and failed with the same contents."""
    alike = [row for row in rows if row.key and row.key == rows[-1].key and not _silent(row)]
    failed = [row for row in alike if row.outcome in (Outcome.FAIL, Outcome.MISMATCH)]
    if not failed or len(failed) == len(alike):
        return None
    detail = f"failed {len(failed)} of {len(alike)} times with the same contents"
    return Hit(rows[-1].model, rows[-1].target, detail, alike[0].started, {})


def regressed(rows: Sequence[Row], store: Store, since: int) -> Hit | None:
    """Cells that stopped working within the days."""
    return _turned(rows, store, since, works=False)


def newly_passing(rows: Sequence[Row], store: Store, since: int) -> Hit | None:
    """Cells that began to work within the days, having failed before."""
    return _turned(rows, store, since, works=True)


def drifting(rows: Sequence[Row], store: Store, _: int) -> Hit | None:
    """Cells whose worst error grew towards the tolerance while they passed."""
    if rows[-1].outcome is not Outcome.PASS or len(rows) < 2:
        return None
    group = _groups(rows)[-1]
    first, last = group[0], group[-1]
    old, new = _share(first, store), _share(last, store)
    if old is None or new is None or new < DRIFT_SHARE or new < old * DRIFT_FACTOR:
        return None
    detail = f"the worst error was {old:.1%} of what is allowed, and is {new:.1%}"
    return Hit(last.model, last.target, detail, first.started, *_moved(first, last, store))


def _share(row: Row, store: Store) -> float | None:
    """The largest share of the allowed error that a recorded result used."""
    result = store.get(row.record)
    found = worst(result) if result else None
    return found.ratio if found else None


def _turned(rows: Sequence[Row], store: Store, since: int, works: bool) -> Hit | None:
    """A cell that works now and did not, or the other way round, when it turned at or after `since`."""
    if _works(rows[-1]) is not works and not _silent(rows[-1]):
        return None  # most cells: no need to look at the past
    groups = _groups(rows)
    turn = next((n for n in range(len(groups) - 1, 0, -1) if _works(groups[n][-1]) is not _works(groups[n - 1][-1])), None)
    last = groups[-1][-1]
    if turn is None or _works(last) is not works or _silent(last) or moment(groups[turn][0].started) < since:
        return None
    now, before = groups[turn], groups[turn - 1][-1]
    return Hit(last.model, last.target, f"{_says(before)} -> {_says(last)}", now[0].started, *_moved(before, now[0], store))


QUERIES: dict[str, Callable[[Sequence[Row], Store, int], Hit | None]] = {
    "flaky": flaky,
    "regressed": regressed,
    "newly-passing": newly_passing,
    "drifting": drifting,
}


def may_hit(name: str, days: float) -> Callable[[Row], bool]:
    """Whether a query may find a cell, by its latest result alone. What turned within some days has its outcome since then, or
    for a shorter time: of most cells the past need not be read."""
    since = moment(utc_now()) - round(days * _DAY)
    if name not in ("regressed", "newly-passing"):
        return lambda _: True
    return lambda row: moment(row.since) >= since


def query(name: str, cells: Iterable[Sequence[Row]], store: Store, days: float) -> Iterator[Hit]:
    """The cells that a query finds. cells: of each all results, the oldest first; days: back from now, for queries on turns."""
    since = moment(utc_now()) - round(days * _DAY)
    for rows in cells:
        found = QUERIES[name](rows, store, since)
        if found:
            yield found
