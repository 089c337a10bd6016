"""Creating the tables, and bringing older versions of them up to date: one function a version, in order."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, inspect, select, text

from porting.errors import StoreError
from porting.store import cells, engine, tables


def prepare(database: Engine) -> None:
    """Create the tables where there are none, migrate older ones. Raises StoreError for a newer version and for a database
    of something else, both left as they are."""
    with engine.reading(database) as connection:
        version = _version(connection, database)
    if version == tables.VERSION:
        return
    if version == 0:
        engine.use_wal(database)
    with engine.writing(database) as connection:
        _bring_up(connection, _version(connection, database))  # asked again: another process may have been faster


def _version(connection: Connection, database: Engine) -> int:
    names = set(inspect(connection).get_table_names())
    if "meta" not in names:
        _refuse_foreign(names, database)
        return 0
    value = connection.scalar(select(tables.meta.c.value).where(tables.meta.c.key == "schema"))
    if value is None or not value.isdigit():
        raise StoreError(f"{engine.name_of(database)} is a database of something else.", "Name another place for the store.")
    if int(value) > tables.VERSION:
        raise StoreError(
            f"the store {engine.name_of(database)} has schema version {value}, this porting knows up to {tables.VERSION}.",
            "Update porting, or name another place for the store.",
        )
    return int(value)


def _refuse_foreign(names: set[str], database: Engine) -> None:
    # A PostgreSQL database may be shared with others, as long as they do not use our names.
    taken = names if database.dialect.name == "sqlite" else names & set(tables.metadata.tables)
    if taken:
        raise StoreError(
            f"{engine.name_of(database)} is a database of something else: it has a table {min(taken)!r}.",
            "Name another place for the store.",
        )


def _bring_up(connection: Connection, version: int) -> None:
    if version == 0:
        tables.metadata.create_all(connection)
        connection.execute(tables.meta.insert().values(key="schema", value=str(tables.VERSION)))
        return
    for step in range(version, tables.VERSION):
        MIGRATIONS[step](connection)
    connection.execute(tables.meta.update().where(tables.meta.c.key == "schema").values(value=str(tables.VERSION)))


def _to_2(connection: Connection) -> None:
    """Version 1 did not keep what a cell's outcome was before."""
    connection.execute(text("ALTER TABLE cell ADD COLUMN previous VARCHAR"))
    for model, target in connection.execute(select(tables.cell.c.model, tables.cell.c.target)).all():
        cells.rebuild(connection, model, target)


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _to_2}
"""By the version that they start from."""
