"""What a coordinator and its nodes hand each other: files in one folder, each written under another name and renamed.

slices/NAME.json                 what a node's job is to do
results/CELL-NAME.jsonl          a cell's result, as `porting results export` writes it
status/NAME.json                 what the job is at; its last word is `ended`
facts/NAME.json                  what adapters found on a node
broken/NAME.json                 what a job says whose device is broken
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol, runtime_checkable

from porting.errors import UsageError
from porting.serialization import Json
from porting.store.jsonl import read_lines
from porting.store.logs import Log, pack
from porting.store.records import Record, canonical, moment, record_of, result_of
from porting.types import Result
from porting.workspace import atomic_write

SLICES, RESULTS, STATUS, FACTS, BROKEN = "slices", "results", "status", "facts", "broken"


class Depot(Protocol):
    """Where a node finds its work and leaves what came of it."""

    def read(self, name: str) -> bytes:
        """Raises OSError."""

    def write(self, name: str, content: bytes) -> None:
        """Raises OSError, InfrastructureError."""


@runtime_checkable
class Library(Protocol):
    """A depot that has bundles, too, for nodes that share no cache folder."""

    def fetch(self, key: str, folder: Path) -> bool:
        """Get a bundle; whether there is one. Raises InfrastructureError, DiskError."""

    def share(self, key: str, folder: Path) -> None:
        """Leave a bundle for others. Raises InfrastructureError."""


class Folder:
    """A folder that both see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        atomic_write(self._folder / name, content)


def facts_name(name: str) -> str:
    return f"{FACTS}/{name}.json"


def slice_name(name: str) -> str:
    return f"{SLICES}/{name}.json"


def status_name(name: str) -> str:
    return f"{STATUS}/{name}.json"


def broken_name(name: str) -> str:
    return f"{BROKEN}/{name}.json"


def result_name(cell: int, name: str) -> str:
    return f"{RESULTS}/{cell}-{name}.jsonl"


def result_lines(result: Result, log: bytes) -> bytes:
    """A result with its log, as lines of an export."""
    packed = pack(log)
    record = record_of(replace(result, log=packed.digest))
    return f"{record.text}\n{canonical(packed.to_json())}\n".encode("ascii")


def read_result(content: bytes, name: str) -> tuple[Result, Log | None]:
    """Read such lines. Raises UsageError for what is damaged, and for more or less than one result."""
    entries = list(read_lines(content.splitlines(keepends=True), name))
    found = [entry for entry in entries if isinstance(entry, Record)]
    if len(found) != 1:
        raise UsageError(f"{name} has {len(found)} results instead of one.")
    return result_of(found[0].text), next((entry for entry in entries if isinstance(entry, Log)), None)


def result_at(path: Path) -> tuple[Result, Log | None] | None:
    """The result in a file; None for one that is none, whose cell is then worked again."""
    try:
        return read_result(path.read_bytes(), path.name)
    except (OSError, UsageError):
        return None


SKEW_SECONDS = 60.0
"""By how much a node's clock may differ from the coordinator's."""


def timed(result: Result, earliest: float, latest: float) -> Result:
    """A result that began within these two moments, in seconds since the epoch: which result of a cell is the latest goes by
    that, and a node's clock may be wrong."""
    said = moment(result.started) / 1e6
    true = min(max(said, earliest), latest)
    if abs(said - true) <= SKEW_SECONDS:
        return result
    started = datetime.fromtimestamp(true, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    far = f"{abs(said - true):.0f} s {'ahead' if said > true else 'behind'}"
    return replace(result, started=started, notes=(*result.notes, f"the clock of its node is {far}; the start is corrected"))


def read_json(path: Path) -> Json:
    """A file of ours, or nothing where it is not there yet or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):  # what is renamed into place is whole; on a slow file system it may come late
        return {}


def results_in(folder: Path) -> Iterator[tuple[Path, int, str]]:
    """Result files of a run: path, number of the cell, name of the slice."""
    for path in sorted((folder / RESULTS).glob("*.jsonl")):
        number, _, name = path.stem.partition("-")
        if number.isdigit() and name:
            yield path, int(number), name


def broken_in(folder: Path) -> Iterator[tuple[Path, Json]]:
    """What jobs say whose devices are broken: the slice is the name of the file."""
    for path in sorted((folder / BROKEN).glob("*.json")):
        said = read_json(path)
        if said:
            yield path, said
