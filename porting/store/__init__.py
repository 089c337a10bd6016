"""Results in a database. What the names below are is in porting.store.store; they load SQLAlchemy on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porting.store.records import Row, Verdict, utc_now
    from porting.store.store import Imported, Run, Store

__all__ = ["Imported", "Row", "Run", "Store", "Verdict", "utc_now"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'porting.store' has no attribute {name!r}")
    from porting.store import records, store

    return getattr(records if name in ("Row", "Verdict", "utc_now") else store, name)
