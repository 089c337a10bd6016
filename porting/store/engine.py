"""Connections to SQLite and PostgreSQL, and what their errors mean to a person. What is in the tables is not its business.

One writer at a time on both engines: SQLite has no other way, and PostgreSQL gets an advisory lock, so that the same code
is right on both.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from porting.errors import DiskError, EnvironmentMissing, StoreError, UsageError
from porting.workspace import disk_errors, free_bytes

TIMEOUT = 60.0
"""Seconds to wait for another writer."""

_WRITER_LOCK = 0x706F7274696E67  # "porting": the key of the advisory lock
_CONNECT_SECONDS = 10
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


def engine_for(where: str | Path, timeout: float = TIMEOUT) -> Engine:
    """Make an engine for a path or URL; nothing is connected yet, but the folder of an SQLite file is made.

    timeout: seconds to wait for another writer. Raises UsageError for a URL that is none, EnvironmentMissing without psycopg.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, timeout)
    return _postgresql(url, timeout)


def _url(where: str | Path) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(Path(where).absolute()))
    try:
        url = make_url(where)
    except (exc.ArgumentError, ValueError):
        raise UsageError("the store's URL cannot be read.", _URL_HINT) from None
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite") and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite")
    raise UsageError(f"a store cannot be {url.render_as_string(hide_password=True)!r}.", _URL_HINT)


_URL_HINT = "Give a path, sqlite:///PATH, or postgresql://USER@HOST/DATABASE."


def _sqlite(url: URL, timeout: float) -> Engine:
    folder = Path(str(url.database)).absolute().parent
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": timeout})

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin a transaction only at the first write
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: safe against the end of any process
        connection.execute("PRAGMA cache_size = -32000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would be refused at once, without waiting for the other writer.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

    return engine


def _postgresql(url: URL, timeout: float) -> Engine:
    options = {"connect_timeout": _CONNECT_SECONDS, "application_name": "porting", "client_encoding": "utf8"}
    try:
        engine = create_engine(url, connect_args={k: v for k, v in options.items() if k not in url.query})
    except ImportError as error:
        raise EnvironmentMissing("a PostgreSQL store needs psycopg.", "pip install 'porting[postgresql]'") from error

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if _writes(connection):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(timeout * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    return engine


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("porting_writes"))


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database throughout. Raises StoreError, DiskError."""
    with translated(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction of the only writer: all of it, or nothing. Raises StoreError, DiskError."""
    with translated(engine), engine.connect().execution_options(porting_writes=True) as connection, connection.begin():
        yield connection


def use_wal(engine: Engine) -> None:
    """Let readers of an SQLite file go on while another process writes; the file remembers it."""
    if engine.dialect.name == "sqlite":
        with translated(engine), contextlib.closing(engine.raw_connection()) as connection:
            _switch(connection.cursor())


def _switch(cursor: Any) -> None:
    """SQLite does not wait for another writer here by itself: two first runs of a project would meet."""
    until = time.monotonic() + cursor.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.05)


def give_back(engine: Engine) -> None:
    """Give the space of what was removed back to the file system, and let the database see what it has now."""
    with translated(engine):
        if engine.dialect.name == "sqlite":  # what SQLAlchemy begins by itself is a transaction here, which VACUUM is not for
            with contextlib.closing(engine.raw_connection()) as raw:
                for word in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE"):
                    raw.cursor().execute(word)
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def name_of(engine: Engine) -> str:
    """The store as messages name it: a path, or a URL without its password."""
    sqlite = engine.dialect.name == "sqlite"
    return str(engine.url.database) if sqlite else engine.url.render_as_string(hide_password=True)


# ---- errors ---------------------------------------------------------------------------------------------------------

_DISK = (
    ("disk is full", "no space left for", "Free some space and run again; nothing recorded is lost."),
    ("readonly database", "cannot write", "Make the file and its folder writable, or name another place for the store."),
    ("unable to open database file", "cannot open", "Check that the path is a file in a folder that can be written."),
    ("disk i/o error", "the disk fails at", "Check the disk, its quota and the limit on file sizes."),
)
_FULL_BYTES = 128 << 10
"""A disk with less than this has no room for what SQLite writes beside its file."""
_STORE = (
    ("database is locked", "another process has been writing to", "Wait for it to end, or end it, and run again."),
    ("lock timeout", "another process has been writing to", "Wait for it to end, or end it, and run again."),
    ("not a database", "there is no SQLite database in", "Name another file, or move this one away."),
    ("malformed", "damaged:", "Move it away, then `porting results import` an export of it."),
    ("password", "the login was refused by", "Check user and password in the URL."),
    ("connection", "cannot connect to", "Check that the server runs and that the URL is right."),
)


@contextlib.contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn what a database driver raises into one clear line."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _explain(engine, str(error.orig)) from error
    except (exc.TimeoutError, sqlite3.Error) as error:
        raise _explain(engine, str(error)) from error


def _is_full(engine: Engine, text: str) -> bool:
    """Whether there is no space behind a vague error: SQLite calls it an I/O error where the disk is full in the wrong moment."""
    vague = engine.dialect.name == "sqlite" and ("disk i/o error" in text or "unable to open" in text)
    return vague and free_bytes(Path(name_of(engine))) < _FULL_BYTES


def _explain(engine: Engine, text: str) -> StoreError | DiskError:
    place = name_of(engine)
    if _is_full(engine, text.lower()):
        text = "disk is full"
    for sign, what, hint in _DISK:
        if sign in text.lower():
            return DiskError(f"{what} {place}.", hint)
    line = " ".join(text.split())[:200]
    for sign, what, hint in _STORE:
        if sign in text.lower():
            return StoreError(f"{what} {place} ({line}).", hint)
    return StoreError(f"the store {place} cannot be used: {line}.", "See the message of the database.")
