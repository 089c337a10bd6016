"""What was located in a cell and what it was reduced to, kept beside the bundles under the cell's key, so that a record of equal
contents can tell of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import porting
from porting.serialization import Json, from_json, to_json
from porting.types import Result
from porting.workspace import Workspace, atomic_write

if TYPE_CHECKING:
    from porting.diagnose.reduce import Reduced

LOCATED, REDUCED = "located", "reduced"
PUBLISHED = "reduced.jsonl"
"""Cases of the catalog's own records, beside them: made by benchmarks/reduced_cases.py."""


@dataclass(frozen=True)
class Smallest:
    """A failure, cut out of a model and made as small as it gets."""

    kind: str
    signature: str
    operators: tuple[str, ...]
    shapes: dict[str, str]
    """Dtype and shape by input and constant."""
    bytes: int
    """Of the model file."""
    folder: str = ""
    """Where it lies; empty where it does not any more, or never did here."""

    @classmethod
    def of(cls, found: Reduced) -> Smallest:
        place = str(Path(found.folder).resolve())
        return cls(found.kind, found.signature, found.operators, found.shapes, found.bytes, place)

    def __str__(self) -> str:
        return f"{' + '.join(self.operators)} of {', '.join(self.shapes.values())} ({self.bytes:,} bytes)"


def _file(workspace: Workspace, what: str, key: str) -> Path:
    return workspace.cache / "diagnose" / what / f"{key[:40]}.json"


def keep(workspace: Workspace, what: str, key: str, found: object) -> None:
    """Note what was found. what: LOCATED or REDUCED; key: of the cell. Raises DiskError."""
    atomic_write(_file(workspace, what, key), json.dumps(to_json(found)).encode())


def recall(workspace: Workspace, what: str, key: str) -> Json | None:
    """What was found in a cell, as JSON; None where nobody looked, or the note is damaged."""
    try:
        found = json.loads(_file(workspace, what, key).read_bytes()) if key else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def smallest(workspace: Workspace, results: Iterable[Result]) -> dict[tuple[str, str], Smallest]:
    """The smallest case of every cell that was reduced here, by model and target; of others the one that is published."""
    known = published()
    found = {(r.model, r.target): recall(workspace, REDUCED, r.key) for r in results}
    here = {cell: from_json(Smallest, case) for cell, case in found.items() if case}
    return {cell: _still_there(here.get(cell) or known[cell]) for cell in found if cell in here or cell in known}


def _still_there(case: Smallest) -> Smallest:
    return case if Path(case.folder).is_dir() else Smallest(**{**vars(case), "folder": ""})


def published() -> dict[tuple[str, str], Smallest]:
    """Cases that come with the catalog, where it is a checkout, by model and target."""
    files = [Path(folder) / "models" / PUBLISHED for folder in porting.__path__]
    lines = [line for file in files if file.is_file() for line in file.read_text("utf-8").splitlines()]
    return {(row["model"], row["target"]): from_json(Smallest, row["case"]) for row in map(json.loads, lines) if row["case"]}
