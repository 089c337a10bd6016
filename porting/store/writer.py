"""Adding records and logs within a transaction: what is known is left alone, what depends on a new record follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Column, Connection, bindparam, select

from porting.store import cells, tables
from porting.store.logs import Log
from porting.store.records import Record


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
