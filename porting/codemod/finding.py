"""The nouns: a rule, a finding, an edit. Nothing of how they are found."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porting.accelerators.toml import loads

HERE = Path(__file__).parent
ACCEL = "\0"
"""Stands in the text of an edit for the name that a file has for the helper."""


class Safety(str, enum.Enum):
    """What may be done about a finding without a person."""

    SAFE = "safe"
    CARE = "care"
    REPORT = "report"
    KEEP = "keep"

    @property
    def rank(self) -> int:
        return list(Safety).index(self)


@dataclass(frozen=True)
class Rule:
    """One entry of rules.toml."""

    id: str
    what: str
    kind: str
    safety: Safety
    reason: str
    remedy: str


@dataclass(frozen=True)
class Edit:
    """Bytes `start` to `end` of a file become `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Finding:
    """One place in one file."""

    rule: str
    path: str
    """Relative to what was scanned, with slashes."""
    line: int
    """From 1; in a notebook of its cell."""
    column: int
    """From 1."""
    text: str
    """What stands there, on one line."""
    safety: Safety
    why: str = ""
    """Why the finding has this class, where the rule's own reason does not say it."""
    edits: tuple[Edit, ...] = ()
    imports_itself: bool = False
    """Whether the edit brings the names that it uses, as an edited import does."""
    details: Mapping[str, Any] | None = None
    cell: int = 0
    """Code cell of a notebook, from 1; 0 elsewhere."""

    @property
    def place(self) -> str:
        return f"{self.path}:{f'cell {self.cell}:' if self.cell else ''}{self.line}"

    def without_edits(self, why: str) -> Finding:
        """The same, for a person to decide."""
        safety = Safety.KEEP if self.safety is Safety.KEEP else Safety.REPORT
        return replace(self, safety=safety, why=why, edits=())


@functools.cache
def table(name: str) -> Mapping[str, Any]:
    """One of the data files beside this one."""
    return loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=1)
def rules() -> Mapping[str, Rule]:
    """Every rule by its id."""
    return {
        name: Rule(name, entry["what"], entry["kind"], Safety(entry["safety"]), entry["reason"], entry["remedy"])
        for name, entry in table("rules").items()
    }
