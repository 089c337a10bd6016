"""The result store: append, query, merge. What records, cells and plans are made of is in the modules beside this one."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Engine, Select, Table, select

from porting._version import VERSION
from porting.errors import UsageError
from porting.store import cells, compaction, engine, records, tables
from porting.store.compaction import Compacted
from porting.store.jsonl import read_lines
from porting.store.logs import Log, pack, text_of
from porting.store.migrations import prepare
from porting.store.records import Record, Row, Verdict, clean
from porting.store.writer import add_log, add_records, answer_plan, answers
from porting.types import Evidence, Outcome, Result

T = TypeVar("T")
_CHUNK = 1000  # values in one IN list, records in one round of an import


class Writable(Protocol):
    """What takes bytes."""

    def write(self, content: bytes, /) -> object: ...


@dataclass(frozen=True)
class Imported:
    """What an import found."""

    new: int
    known: int


@dataclass(frozen=True)
class Run:
    """One `check`, as it was begun."""

    id: str
    started: str
    """UTC, ISO 8601."""
    finished: str | None
    """None while it runs, and for ever when it was killed."""
    command: str
    toolkit: str
    """Version of the toolkit."""
    status: str
    """`running`, or what `finish_run` was told."""


class Store:
    """Results in a database. Every method is one transaction; several processes and threads may use one database at once.

    All methods raise StoreError when the database cannot be used and DiskError when the disk is the reason.
    """

    def __init__(self, database: Engine) -> None:
        self._engine = database
        self._process = os.getpid()
        self._environments: dict[str, dict[str, str]] = {}

    @classmethod
    def open(cls, where: str | Path, timeout: float = engine.TIMEOUT) -> Store:
        """Open the SQLite file or PostgreSQL database at a path or URL; it is created or migrated as needed.

        timeout: seconds to wait for another writer. Raises UsageError for a URL that is none, StoreError for a newer schema
        (the database is left as it is), a database of something else, a damaged one or no server, DiskError.
        """
        store = cls(engine.engine_for(where, timeout))
        try:
            prepare(store._engine)
        except BaseException:  # whatever it was, it goes on after the connections are closed
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the connections. The store may be used again: it connects anew."""
        self._database.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def _database(self) -> Engine:
        if self._process != os.getpid():  # forked: the connections are the parent's
            self._engine.dispose(close=False)
            self._process = os.getpid()
        return self._engine

    @property
    def name(self) -> str:
        """A path, or a URL without its password."""
        return engine.name_of(self._engine)

    # ---- writing

    def append(self, result: Result, log: bytes | None = None) -> str:
        """Add a result and its log; on return both are safe from the end of any process. Returns the record's content id.

        A result without `started` gets the present time; one with a log gets the log's digest. The same record a second time
        changes nothing. Raises ValueError for numbers that are not finite and for the outcome `missing`.
        """
        return self.extend([(result, log)])[0]

    def extend(self, pairs: Iterable[tuple[Result, bytes | Log | None]]) -> list[str]:
        """Add several results with their logs, all or none; see `append`."""
        made = [_made(result, log) for result, log in pairs]
        with engine.writing(self._database) as connection:
            _add(connection, made)
        return [record.id for record, _ in made]

    def answer(self, run: str, pairs: Sequence[tuple[Result, bytes | Log | None]], again: bool = False) -> list[Result]:
        """Add results for cells that `run` planned, each cell once, however often and by however many its result is brought.

        Left out is a result of a cell that has its answer in this run, and, unless `again`, one for contents that another run
        has recorded by now, which is the answer then. Returns what is on record, a result a pair.
        """
        made = [_made(result, log) for result, log in pairs]
        with engine.writing(self._database) as connection:
            there = answers(connection, run, [record for record, _ in made], again)
            _add(connection, [(record, log) for record, log in made if there[record.id] == record.id])
            texts = dict(self._texts(connection, there.values()))
        return [records.result_of(texts[there[record.id]]) for record, _ in made]

    @staticmethod
    def _texts(connection: Connection, wanted: Iterable[str]) -> Iterator[tuple[str, str]]:
        result = tables.result.c
        for chunk in _chunks(set(wanted)):
            yield from (
                (row.record, row.json)
                for row in connection.execute(select(result.record, result.json).where(result.record.in_(chunk)))
            )

    def begin_run(self, run: str, planned: Iterable[cells.Key], command: str = "") -> None:
        """Record a run and what it plans to do, as (model, target). A run that is there already is resumed: cells are added."""
        wanted = {(clean(model), clean(target)) for model, target in planned}
        values = {"started": records.utc_now(), "command": clean(command), "toolkit": VERSION, "status": "running"}
        with engine.writing(self._database) as connection:
            again = tables.run.update().where(tables.run.c.id == run).values(status="running", finished=None)
            if not connection.execute(again).rowcount:
                connection.execute(tables.run.insert().values(id=run, **values))
            known = connection.execute(select(tables.plan.c.model, tables.plan.c.target).where(tables.plan.c.run == run))
            fresh = wanted - {(model, target) for model, target in known}
            if fresh:
                rows = [{"run": run, "model": model, "target": target} for model, target in sorted(fresh)]
                connection.execute(tables.plan.insert(), rows)

    def reuse(self, run: str, results: Iterable[Result]) -> None:
        """Let recorded results of equal key answer the cells that `run` planned; they are then not missing."""
        wanted = [(clean(result.model), clean(result.target), clean(result.key)) for result in results]
        with engine.writing(self._database) as connection:
            latest: dict[str, str] = {}
            for chunk in _chunks({key for _, _, key in wanted}):
                latest.update((key, record) for key, record in connection.execute(_by_key(chunk, tables.result.c.record)))
            answer_plan(connection, [(run, model, target, latest[key]) for model, target, key in wanted if key in latest])

    def finish_run(self, run: str, status: str = "finished") -> None:
        """Say how a run ended. Raises UsageError when nobody began it."""
        with engine.writing(self._database) as connection:
            ended = tables.run.update().where(tables.run.c.id == run).values(finished=records.utc_now(), status=status)
            if not connection.execute(ended).rowcount:
                raise UsageError(f"there is no run {run!r}.", "See the runs in the store.")

    def compact(self, before: str, trial: bool = False) -> Compacted:
        """Remove old results that say what those around them say, and runs that began before then; see porting.store.compaction.
        before: UTC, ISO 8601. trial: change nothing, say what would go. The space is given back to the file system."""
        if not trial:
            with engine.writing(self._database) as connection:
                compaction.add_indexes(connection)
        with engine.writing(self._database) as connection:
            found = compaction.compact(connection, records.moment(before))
            if trial:
                connection.rollback()
        if not trial:
            with engine.writing(self._database) as connection:
                compaction.drop_indexes(connection)
            engine.give_back(self._database)
        return found

    # ---- reading

    def by_keys(self, keys: Iterable[str]) -> dict[str, Result]:
        """The latest result of every content key that has one."""
        texts: dict[str, str] = {}
        with engine.reading(self._database) as connection:
            for chunk in _chunks({clean(key) for key in keys if key}):
                texts.update((key, text) for key, text in connection.execute(_by_key(chunk, tables.result.c.json)))
        return {key: records.result_of(text) for key, text in texts.items()}

    def get(self, record: str) -> Result | None:
        """The result with a content id."""
        with engine.reading(self._database) as connection:
            text = connection.scalar(select(tables.result.c.json).where(tables.result.c.record == record))
        return None if text is None else records.result_of(text)

    def latest(self, models: Iterable[str] | None = None, targets: Iterable[str] | None = None) -> list[Result]:
        """The latest result of every cell, whole, by model and target; models, targets: only these."""
        query = select(tables.cell.c.model, tables.cell.c.target, tables.result.c.json).join_from(tables.cell, tables.result)
        return self._results(query.where(*_only(tables.cell, models, targets)))

    def of_run(self, run: str) -> list[Result]:
        """What answers the cells that a run planned, made by it or reused, by model and target."""
        query = select(tables.plan.c.model, tables.plan.c.target, tables.result.c.json).join_from(tables.plan, tables.result)
        return self._results(query.where(tables.plan.c.run == run))

    def environments(self) -> list[dict[str, str]]:
        """Every environment that results were had in."""
        with engine.reading(self._database) as connection:
            return [dict(json.loads(text)) for text in connection.scalars(select(tables.environment.c.json))]

    def latest_where(self, holds: Callable[[Mapping[str, str]], bool]) -> list[Result]:
        """Of every cell the latest result whose environment is as asked for, whole, by model and target."""
        known, result = tables.environment.c, tables.result.c
        with engine.reading(self._database) as connection:
            rows = connection.execute(select(known.digest, known.json))
            wanted = [digest for digest, text in rows if holds(json.loads(text))]
            columns = (result.model, result.target, result.moment, result.record, result.json)
            found: dict[cells.Key, tuple[int, str, str]] = {}
            for chunk in _chunks(wanted):
                for model, target, *one in connection.execute(select(*columns).where(result.environment.in_(chunk))):
                    found[model, target] = max(found.get((model, target), (-1, "", "")), (one[0], one[1], one[2]))
        return [records.result_of(text) for _, (_, _, text) in sorted(found.items())]

    def _results(self, query: Select[str, str, str]) -> list[Result]:
        with engine.reading(self._database) as connection:
            found = sorted((model, target, text) for model, target, text in connection.execute(query))
        return [records.result_of(text) for _, _, text in found]

    def matrix(self) -> list[Row]:
        """The latest result of every cell without its details, by model and target."""
        query = select(*(tables.cell.c[name] for name in Row._fields))
        with engine.reading(self._database) as connection:
            return sorted(map(records.row_of, connection.execute(query)), key=attrgetter("model", "target"))

    def history(self, model: str, target: str) -> list[Row]:
        """All results of a cell without their details, the latest first; each with what was previous, and since when, then."""
        with engine.reading(self._database) as connection:
            states = cells.states(connection, clean(model), clean(target))
        return [records.row_of(state[name] for name in Row._fields) for state in reversed(states)]

    def histories(self, wanted: Callable[[str, str], bool], latest: Callable[[Row], bool] = lambda _: True) -> list[list[Row]]:
        """The same of every cell that is wanted, and whose latest result is as asked for, by model and target; of each the oldest
        first."""
        chosen = [(row.model, row.target) for row in self.matrix() if wanted(row.model, row.target) and latest(row)]
        with engine.reading(self._database) as connection:
            found = cells.all_states(connection, chosen)
        return [[records.row_of(state[name] for name in Row._fields) for state in found[key]] for key in chosen]

    def verdicts(self) -> Iterator[Verdict]:
        """Every result in short, the oldest first, read while they are asked for."""
        result = tables.result.c
        columns = (result.model, result.target, result.record, result.moment, result.outcome, result.evidence)
        query = select(*columns).order_by(result.moment, result.record).execution_options(yield_per=_CHUNK)
        outcomes = {kind.value: kind for kind in Outcome}
        evidences = {kind.value: kind for kind in Evidence}
        with engine.reading(self._database) as connection:
            for model, target, record, moment, outcome, evidence in connection.execute(query):
                yield Verdict(model, target, record, moment, outcomes[outcome], evidences.get(evidence))

    def by_records(self, wanted: Iterable[str]) -> dict[str, Result]:
        """The results with these content ids, whole."""
        with engine.reading(self._database) as connection:
            return {record: records.result_of(text) for record, text in self._texts(connection, wanted)}

    def log_text(self, digest: str) -> str | None:
        """The log of a result, its middle left out when it is long; None when it is not in this store."""
        with engine.reading(self._database) as connection:
            packed = connection.scalar(select(tables.log.c.zlib).where(tables.log.c.digest == digest))
        return None if packed is None else text_of(packed)

    def environment(self, digest: str) -> dict[str, str]:
        """The versions that a Row's `environment` stands for; empty when it is not in this store."""
        if digest not in self._environments:  # what a digest names does not change, and many results share one
            with engine.reading(self._database) as connection:
                text = connection.scalar(select(tables.environment.c.json).where(tables.environment.c.digest == digest))
            if text is None:
                return {}
            self._environments[digest] = dict(json.loads(text))
        return dict(self._environments[digest])

    def runs(self) -> list[Run]:
        """All runs that were begun with this store, the latest first."""
        with engine.reading(self._database) as connection:
            rows = connection.execute(select(tables.run).order_by(tables.run.c.started.desc(), tables.run.c.id)).mappings().all()
        return [Run(**row) for row in rows]

    def find_run(self, text: str) -> Run:
        """The run that an id or its beginning means, or `last`, or `last~2` for the second before it. Raises UsageError."""
        runs = self.runs()
        back = re.fullmatch(r"last(?:~(\d+))?", text)
        found = runs[int(back[1] or 0) :][:1] if back else [run for run in runs if run.id.startswith(text)]
        if len(found) != 1:
            there = ", ".join(f"{run.id} ({run.started[:16]})" for run in runs[:5]) or "none"
            raise UsageError(
                f"{text!r} means {'several runs' if found else 'no run'} of {self.name}.", f"The latest are: {there}."
            )
        return found[0]

    def missing(self, run: str) -> list[tuple[str, str]]:
        """The (model, target) that a run planned and that nothing answers, sorted."""
        plan = tables.plan.c
        query = select(plan.model, plan.target).where(plan.run == run, plan.record.is_(None))
        with engine.reading(self._database) as connection:
            return sorted((model, target) for model, target in connection.execute(query))

    # ---- merging

    def export_jsonl(
        self,
        stream: Writable,
        *,
        logs: bool = True,
        models: Iterable[str] | None = None,
        targets: Iterable[str] | None = None,
        since: str | None = None,
        latest: bool = False,
        change: Callable[[bytes], bytes] | None = None,
    ) -> int:
        """Write results as JSON Lines, oldest first, then their logs. Returns the number of results.

        models, targets: only these; since: only results that started then or later (UTC, ISO 8601); latest: of every cell the
        latest alone; change: makes another line of a result's, such as one that names no path. A result that is changed so is
        another one to whoever imports it.
        """
        chosen = _only(tables.result, models, targets)
        if latest:
            chosen.append(tables.result.c.record.in_(select(tables.cell.c.record)))
        if since is not None:
            chosen.append(tables.result.c.moment >= records.moment(since))
        count = 0
        for line, is_record in self._lines(chosen, logs):
            stream.write(change(line) if change and is_record else line)
            count += is_record
        return count

    def _lines(self, chosen: list[ColumnElement[bool]], logs: bool) -> Iterator[tuple[bytes, bool]]:
        result = tables.result.c
        texts = select(result.json).where(*chosen).order_by(result.moment, result.record)
        kept = select(tables.log).where(tables.log.c.digest.in_(select(result.log).where(*chosen))).order_by(tables.log.c.digest)
        with engine.reading(self._database) as connection:
            connection = connection.execution_options(yield_per=_CHUNK)
            for text in connection.scalars(texts):
                yield text.encode("ascii") + b"\n", True
            for row in connection.execute(kept) if logs else ():
                yield records.canonical(Log(*row).to_json()).encode("ascii") + b"\n", False

    def import_jsonl(self, stream: Iterable[bytes], name: str = "input") -> Imported:
        """Add the results and logs of an export that are not here yet, all or none. name: what messages call the input.

        Raises UsageError that names the line when one is damaged or was written by a newer version.
        """
        new = total = 0
        entries = read_lines(stream, name)
        with engine.writing(self._database) as connection:
            while chunk := list(itertools.islice(entries, _CHUNK)):
                found = [entry for entry in chunk if isinstance(entry, Record)]
                new += add_records(connection, found)
                total += len(found)
                for entry in chunk:
                    if isinstance(entry, Log):
                        add_log(connection, entry)
        return Imported(new, total - new)


def _made(result: Result, log: bytes | Log | None) -> tuple[Record, Log | None]:
    packed = pack(log) if isinstance(log, bytes) else log
    digest = packed.digest if packed else result.log
    return records.record_of(replace(result, started=result.started or records.utc_now(), log=digest)), packed


def _add(connection: Connection, made: Sequence[tuple[Record, Log | None]]) -> None:
    for _, log in made:
        if log:
            add_log(connection, log)
    for chunk in _chunks(record for record, _ in made):  # a database takes only so many values in one statement
        add_records(connection, chunk)


def _chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


def _by_key(keys: Sequence[str], column: Column[str]) -> Select[str, str]:
    """The keys and `column`, the latest of a key last."""
    result = tables.result.c
    return select(result.key, column).where(result.key.in_(keys)).order_by(result.moment, result.record)


def _only(table: Table, models: Iterable[str] | None, targets: Iterable[str] | None) -> list[ColumnElement[bool]]:
    wanted = ((table.c.model, models), (table.c.target, targets))
    return [column.in_([clean(value) for value in values]) for column, values in wanted if values is not None]
