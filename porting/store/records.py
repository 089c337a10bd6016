"""What a stored record is: canonical JSON, content id, the columns that tables show. Knows no database."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from porting.serialization import Json, from_json, to_json
from porting.store.validation import misfit
from porting.types import SCHEMA, Cause, Evidence, Outcome, Result, Stage

Columns = dict[str, Any]

MESSAGE_LIMIT = 500
"""Characters of the message that the columns keep; the record keeps all of it."""


class Row(NamedTuple):
    """A result without its details, and what it meant for its cell. No dataclass: a matrix has tens of thousands."""

    record: str
    """Content id: hex SHA-256 of the record's canonical JSON."""
    model: str
    target: str
    family: str
    run: str
    key: str
    stage: Stage
    outcome: Outcome
    cause: Cause | None
    evidence: Evidence | None
    signature: str | None
    message: str
    """At most 500 characters."""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    peak_rss_bytes: int
    log: str
    """Digest of the log, `sha256:...`, or empty."""
    environment: str
    """Content id of the environment."""
    previous: Outcome | None
    """The outcome that the cell had before the present one began; None when there was no other."""
    since: str
    """When the first of the unbroken line of equal outcomes started."""


class Verdict(NamedTuple):
    """A result in short, for counts over time."""

    model: str
    target: str
    record: str
    """Content id."""
    moment: int
    """Microseconds since 1970."""
    outcome: Outcome
    evidence: Evidence | None


@dataclass(frozen=True)
class Record:
    """A result ready to be stored."""

    columns: Columns
    """What the tables have beside the record itself, as plain values."""
    text: str
    """The whole result as canonical JSON."""
    environment: str
    """The environment as canonical JSON."""

    @property
    def id(self) -> str:
        return str(self.columns["record"])


def canonical(data: Json) -> str:
    """The one way to write a value: sorted keys, no blanks, ASCII. Raises ValueError for NaN and infinity."""
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise ValueError("has a number that is not finite") from None


def content_id(text: str) -> str:
    """Hex SHA-256 of canonical JSON."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def utc_now() -> str:
    """Now in UTC as ISO 8601 with microseconds, so that two results of one cell keep their order."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(started: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    try:
        when = datetime.fromisoformat(started.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"has a start that is no ISO 8601 time: {started[:40]!r}") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return (when - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def record_of(result: Result) -> Record:
    """Make a record of a result. Raises ValueError for numbers that are not finite and for a start that is no time."""
    return record_from(to_json(result))


def record_from(data: Json) -> Record:
    """Make a record of a result's JSON; fields this version does not know are kept. Raises ValueError with what is wrong."""
    wrong = misfit(Result, data)
    if wrong:
        raise ValueError(wrong)
    text = canonical(data)
    environment = canonical(data.get("environment", {}))
    columns: Columns = {name: _column(data.get(name, default)) for name, default in _FROM_RESULT.items()}
    columns |= {"record": content_id(text), "environment": content_id(environment), "moment": moment(columns["started"])}
    columns["message"] = columns["message"][:MESSAGE_LIMIT]
    return Record(columns, text, environment)


_FROM_RESULT = {
    field.name: None if field.default is dataclasses.MISSING else field.default
    for field in dataclasses.fields(Result)
    if field.name in Row._fields and field.name != "environment"
}


def _column(value: Any) -> Any:
    # No database takes NUL or half a surrogate pair in a text; the record itself has them, escaped.
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if isinstance(value, str) else value


def clean(name: str) -> str:
    """A name as the columns hold it."""
    return str(_column(name))


def newer_schema(data: Json) -> bool:
    """Whether a record was written by a newer version of the toolkit."""
    schema = data.get("schema", SCHEMA) if isinstance(data, dict) else SCHEMA
    return isinstance(schema, int) and schema > SCHEMA


def result_of(text: str) -> Result:
    """Read a stored record."""
    return from_json(Result, json.loads(text))


def row_of(values: Iterable[Any]) -> Row:
    """Build a Row out of the columns Row._fields."""
    row = list(values)
    for place, members in _ENUMS:
        row[place] = members[row[place]]
    return Row._make(row)


_ENUMS: list[tuple[int, dict[Any, Any]]] = [
    (Row._fields.index(name), {None: None} | {member.value: member for member in kind})
    for name, kind in (("stage", Stage), ("outcome", Outcome), ("previous", Outcome), ("cause", Cause), ("evidence", Evidence))
]
