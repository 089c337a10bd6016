"""Makes a store smaller without changing what it says: of old results that say the same one after the other, the first and the
last stay.

What a history shows (since when, what was before, which versions moved) goes by these two alone. Counts of results within an
interval get smaller.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, text

from porting.store import tables
from porting.store.records import moment

_CHUNK = 1000
_SAYS = ("outcome", "evidence", "stage", "cause", "signature", "environment")
"""Two results of a cell that are equal in these say the same of the same versions."""


@dataclass(frozen=True)
class Compacted:
    """What a compaction removed, or would."""

    results: int
    kept: int
    """Results that stay."""
    runs: int
    """Runs whose plans are forgotten with the results that answered them."""
    logs: int


def compact(connection: Connection, before: int) -> Compacted:
    """Remove results that started before a moment and are neither the first nor the last of an unbroken line that says the same,
    with the runs that began before it, and what nothing refers to any more. before: microseconds since 1970."""
    runs = _forget_runs(connection, before)
    gone = list(_within(connection, before))
    result = tables.result.c
    for chunk in _chunks(gone):
        connection.execute(delete(tables.result).where(result.id.in_(chunk)))
    logs = connection.execute(delete(tables.log).where(tables.log.c.digest.not_in(select(result.log)))).rowcount
    connection.execute(delete(tables.environment).where(tables.environment.c.digest.not_in(select(result.environment))))
    kept = connection.scalar(select(func.count()).select_from(tables.result)) or 0
    return Compacted(len(gone), kept, runs, logs)


INDEXES = {"cell_by_record": "cell (record)", "plan_by_record": "plan (record)"}
"""Of what refers to a result: without them the database reads these tables whole for each result that is removed. They are there
while a store is compacted, and have to be committed before: PostgreSQL may not use those of the same transaction."""


def add_indexes(connection: Connection) -> None:
    for name, what in INDEXES.items():
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON {what}"))


def drop_indexes(connection: Connection) -> None:
    for name in INDEXES:
        connection.execute(text(f"DROP INDEX IF EXISTS {name}"))


def _within(connection: Connection, before: int) -> Iterator[int]:
    """Results that may go, by row. None that the plan of a run that stays refers to."""
    result = tables.result.c
    columns = [result.id, result.record, result.model, result.target, result.moment, *(result[name] for name in _SAYS)]
    query = select(*columns).order_by(result.model, result.target, result.moment, result.record)
    answers = set(connection.scalars(select(tables.plan.c.record).where(tables.plan.c.record.is_not(None))))
    rows = connection.execute(query, execution_options={"yield_per": _CHUNK})
    for _, group in itertools.groupby(rows, key=_said):
        line: list[Row[Any]] = list(group)
        yield from (row.id for row in line[1:-1] if row.moment < before and row.record not in answers)


def _said(row: Row[Any]) -> tuple[Any, ...]:
    return (row.model, row.target, *(getattr(row, name) for name in _SAYS))


def _forget_runs(connection: Connection, before: int) -> int:
    """Remove old runs with their plans. Returns how many."""
    known = connection.execute(select(tables.run.c.id, tables.run.c.started)).all()
    old = [run.id for run in known if moment(run.started) < before]
    for chunk in _chunks(old):
        connection.execute(delete(tables.plan).where(tables.plan.c.run.in_(chunk)))
        connection.execute(delete(tables.run).where(tables.run.c.id.in_(chunk)))
    return len(old)


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), _CHUNK):
        yield values[first : first + _CHUNK]
