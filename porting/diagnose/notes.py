"""What was located, kept beside the bundles under the key of its cell, so that a record of equal contents can tell of it."""

from __future__ import annotations

import json
from pathlib import Path

from porting.types import Json, to_json
from porting.workspace import Workspace, atomic_write


def _file(workspace: Workspace, key: str) -> Path:
    return workspace.cache / "diagnose" / "located" / f"{key[:40]}.json"


def keep(workspace: Workspace, key: str, located: object) -> None:
    """Note what was found. key: of the cell. Raises DiskError."""
    atomic_write(_file(workspace, key), json.dumps(to_json(located)).encode())


def recall(workspace: Workspace, key: str) -> Json | None:
    """What was found in a cell, as JSON; None where nobody looked, or the note is damaged."""
    try:
        found = json.loads(_file(workspace, key).read_bytes()) if key else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
