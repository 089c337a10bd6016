"""The tables of the store, as the current schema version has them. How older versions become this one: migrations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

VERSION = 2
"""Version of the tables; the version of the records in them is porting.types.SCHEMA."""

metadata = MetaData()

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", String, nullable=False))

environment = Table("environment", metadata, Column("digest", String, primary_key=True), Column("json", Text, nullable=False))

log = Table(
    "log",
    metadata,
    Column("digest", String, primary_key=True),  # of the whole log
    Column("bytes", BigInteger, nullable=False),  # of the whole log
    Column("zlib", LargeBinary, nullable=False),  # of its head and tail
)


def _light() -> list[Column[Any]]:
    """What the matrix and a history show, without reading a record."""
    return [
        Column("moment", BigInteger, nullable=False),  # `started` in microseconds since 1970: what "latest" goes by
        Column("family", String, nullable=False),
        Column("run", String, nullable=False),
        Column("key", String, nullable=False),
        Column("stage", String, nullable=False),
        Column("outcome", String, nullable=False),
        Column("cause", String),
        Column("evidence", String),
        Column("signature", String),
        Column("message", String, nullable=False),
        Column("started", String, nullable=False),
        Column("seconds", Float, nullable=False),
        Column("peak_rss_bytes", BigInteger, nullable=False),
        Column("log", String, nullable=False),
        Column("environment", ForeignKey("environment.digest"), nullable=False),
    ]


result = Table(
    "result",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("record", String, nullable=False, unique=True),
    Column("model", String, nullable=False),
    Column("target", String, nullable=False),
    *_light(),
    Column("json", Text, nullable=False),  # last: SQLite then reads the columns before it without it
    Index("result_by_cell", "model", "target", "moment"),
    Index("result_by_key", "key"),
    Index("result_by_moment", "moment", "record"),
)

cell = Table(
    "cell",
    metadata,
    Column("model", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("record", ForeignKey("result.record"), nullable=False),
    *_light(),
    Column("previous", String),
    Column("since", String, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", String, primary_key=True),
    Column("started", String, nullable=False),
    Column("finished", String),
    Column("command", String, nullable=False),
    Column("toolkit", String, nullable=False),
    Column("status", String, nullable=False),
)

plan = Table(
    "plan",
    metadata,
    Column("run", ForeignKey("run.id"), primary_key=True),
    Column("model", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("record", ForeignKey("result.record")),  # what answers the cell in this run: made by it, or reused
)
