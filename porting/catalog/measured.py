"""What building a catalog's models has shown: one record a model, in a file of JSON lines. Reading takes no torch.

The file is appended to while models are built, so that a killed run loses nothing, and put in order when the run ends. The last
line about a model counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import porting
from porting.serialization import Json, from_json, to_json
from porting.workspace import Workspace, atomic_write, disk_errors

FILE = "measured.jsonl"
SOUND = "sound"
"""Status of a model whose reference can tell right from wrong."""


@dataclass(frozen=True)
class Measured:
    """One model, as built and run in eager mode on this kind of machine."""

    model: str
    status: str
    """`sound`, or the outcome that stands in the way: `invalid` (the reference proves nothing), `fail`, `unavailable`."""
    message: str = ""
    """Why it is not sound."""
    architecture: str = ""
    """Class of the module."""
    params: int | None = None
    """Parameters as built here."""
    full_params: int | None = None
    """Parameters at the size that the library gives by default, where the entry is a smaller one."""
    inputs: tuple[str, ...] = ()
    """Those that move an output."""
    outputs: int = 0
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axis to `varies`, or the reason why it is fixed."""
    notes: tuple[str, ...] = ()
    """Known limits: what was dropped, what is not fed."""
    cpu_seconds: float | None = None
    """Of building, finding axes, and running every case wide and at fp32; None where all that was in the cache already."""
    peak_rss_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
    key: str = ""
    """Content key of the bundle: another key, and the record is of another model."""

    @property
    def sound(self) -> bool:
        return self.status == SOUND


def shipped() -> Path | None:
    """The file that comes with the catalog, where there is one."""
    files = (Path(folder) / "models" / FILE for folder in porting.__path__)
    return next((file for file in files if file.is_file()), None)


def own(workspace: Workspace) -> Path:
    """The file of a person's own measurements."""
    return workspace.state / FILE


def known(workspace: Workspace) -> dict[str, Measured]:
    """Records by model: those that come with the catalog, a person's own over them."""
    return {**(read(path) if (path := shipped()) else {}), **read(own(workspace))}


def sizes() -> dict[str, int]:
    """Parameters of each model of the catalog that was built, by id."""
    path = shipped()
    lines = _lines(path) if path else ()
    return {str(line["model"]): count for line in lines if isinstance(count := line.get("params"), int)}


def read(path: Path) -> dict[str, Measured]:
    """Records by model; none where there is no file. A line that a killed run left half written is passed over."""
    found: dict[str, Measured] = {}
    for line in _lines(path):
        record = from_json(Measured, line)
        found[record.model] = record
    return found


def append(path: Path, record: Measured) -> None:
    """Add a record. Raises DiskError."""
    text = json.dumps(to_json(record), sort_keys=True, ensure_ascii=False)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            broken = file.tell() and path.read_bytes()[-1:] != b"\n"  # a killed run's half line ends here
            file.write(b"\n" * bool(broken) + text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def tidy(path: Path, models: Iterable[str] | None = None) -> None:
    """Leave one line a model, in order of ids. models: those that there are still; the records of others go. Raises DiskError."""
    records = read(path)
    keep = set(records if models is None else models)
    lines = [json.dumps(to_json(records[name]), sort_keys=True, ensure_ascii=False) for name in sorted(records) if name in keep]
    atomic_write(path, "".join(f"{line}\n" for line in lines).encode())


def _lines(path: Path) -> Iterable[Json]:
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict) and isinstance(data.get("model"), str) and isinstance(data.get("status"), str):
            yield data
