"""TOML with what an interpreter has. Apart from profiles, so that reading a table costs no more than that."""

from __future__ import annotations

import importlib
from typing import Any, Dict


class NoReader(ValueError):
    """Nothing here reads TOML."""


def loads(text: str) -> Dict[str, Any]:
    """Read TOML with what this interpreter has: its own reader from Python 3.11 on, tomli, or the copy that pip carries. Raises
    NoReader, and ValueError for what is no TOML."""
    for module in ("tomllib", "tomli", "pip._vendor.tomli"):
        try:
            reader = importlib.import_module(module)
        except ImportError:
            continue
        found: Dict[str, Any] = reader.loads(text)
        return found
    raise NoReader("nothing here reads TOML: install tomli")
