"""Adding records and logs within a transaction: what is known is left alone, what depends on a new record follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Column, Connection, bindparam, select

from porting.store import cells, tables
from porting.store.logs import Log
from porting.store.records import Record
from porting.types import INFRASTRUCTURE, WRONG_INPUT, Outcome


def add_records(connection: Connection, records: Sequence[Record]) -> int:
    """Add those records that are not there yet. Returns how many they were."""
    known = present(connection, tables.result.c.record, (record.id for record in records))
    fresh = list({record.id: record for record in records if record.id not in known}.values())
    if not fresh:
        return 0
    _add_environments(connection, fresh)
    columns = [record.columns for record in fresh]
    connection.execute(tables.result.insert(), [{**record.columns, "json": record.text} for record in fresh])
    cells.update(connection, columns)
    runs = present(connection, tables.run.c.id, {row["run"] for row in columns})
    answer_plan(connection, [(c["run"], c["model"], c["target"], c["record"]) for c in columns if c["run"] in runs])
    return len(fresh)


def _add_environments(connection: Connection, records: Sequence[Record]) -> None:
    texts = {record.columns["environment"]: record.environment for record in records}
    known = present(connection, tables.environment.c.digest, texts)
    fresh = [{"digest": digest, "json": text} for digest, text in texts.items() if digest not in known]
    if fresh:
        connection.execute(tables.environment.insert(), fresh)


def answer_plan(connection: Connection, answers: Iterable[tuple[str, str, str, str]]) -> None:
    """Note which record answers a planned cell. answers: run, model, target, content id; what nobody planned is passed over."""
    values = [dict(zip(("_run", "_model", "_target", "record"), answer, strict=True)) for answer in answers]
    if values:
        connection.execute(_ANSWER, values)


def answers(connection: Connection, run: str, records: Sequence[Record], again: bool) -> dict[str, str]:
    """Which record answers the cell of each of `records` in `run`, by content id: itself, or one that is there already.

    Without `again` a record of another run for the same contents will do, unless it speaks of the rig or of what is missing
    there; the plan is told of it.
    """
    known = _answered(connection, run, {record.columns["model"] for record in records})
    by_key = {} if again else _usable(connection, {str(record.columns["key"]) for record in records})
    found: dict[str, str] = {}
    for record in records:
        cell = record.columns["model"], record.columns["target"]
        standing = known.get(cell) or by_key.get(record.columns["key"]) or record.id
        if standing != record.id and cell not in known:
            answer_plan(connection, [(run, *cell, standing)])
        known[cell] = found[record.id] = standing
    return found


def _answered(connection: Connection, run: str, models: Iterable[str]) -> dict[tuple[str, str], str]:
    plan = tables.plan.c
    query = select(plan.model, plan.target, plan.record)
    chosen = query.where(plan.run == run, plan.model.in_(list(models)), plan.record.is_not(None))
    return {(model, target): record for model, target, record in connection.execute(chosen)}


def _usable(connection: Connection, wanted: Iterable[str]) -> dict[str, str]:
    """The latest record of every key, where it answers again."""
    result = tables.result.c
    query = select(result.key, result.record, result.outcome, result.cause).where(result.key.in_(list(wanted)))
    latest = {row.key: row for row in connection.execute(query.order_by(result.moment, result.record))}
    no_answer = Outcome.UNAVAILABLE.value
    return {key: row.record for key, row in latest.items() if row.outcome != no_answer and row.cause not in _NO_ANSWER}


_NO_ANSWER = frozenset(cause.value for cause in INFRASTRUCTURE | WRONG_INPUT)


def add_log(connection: Connection, log: Log) -> None:
    """Add a log unless it is there."""
    if not present(connection, tables.log.c.digest, [log.digest]):
        connection.execute(tables.log.insert(), log.columns())


def present(connection: Connection, column: Column[str], values: Iterable[str]) -> set[str]:
    """Those of `values` that `column` has."""
    return set(connection.scalars(select(column).where(column.in_(list(values)))))


_ANSWER = tables.plan.update().where(
    tables.plan.c.run == bindparam("_run"),
    tables.plan.c.model == bindparam("_model"),
    tables.plan.c.target == bindparam("_target"),
)
