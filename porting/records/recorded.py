"""What a person means by results that were recorded: a run, a store, an exported file, or a version of something.

| written | means |
|---|---|
| `last`, `last~1`, the id of a run or its beginning | what that run came to |
| `results.jsonl`, `results.jsonl.xz` | an exported file, of every cell the latest result |
| `results.db`, `postgresql://...` | another store, likewise |
| `openvino=2026.3`, `openvino>=2026.3,<2027` | results in the store whose environment is so, of every cell the latest |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from porting.errors import UsageError
from porting.expect.versions import holds, misfit
from porting.types import Result

if TYPE_CHECKING:
    from porting.api import Setting
    from porting.store import Store

_VERSION = re.compile(r"([\w.][\w. -]*?)\s*((?:[<>!=]=?).+)")


@dataclass(frozen=True)
class Recorded:
    """Results, of every cell one."""

    name: str
    results: tuple[Result, ...]


def recorded(text: str, setting: Setting) -> Recorded:
    """The results that `text` means. Raises UsageError when it means none, or cannot be read."""
    if _is_file(text) or "://" in text:
        with store_of(text, setting) as store:
            return Recorded(text, tuple(store.latest()))
    with setting.open_store() as store:
        version = version_of(text)
        if version:
            return Recorded(text, _of_version(store, *version, text))
        run = store.find_run(text)
        return Recorded(f"{run.id} ({run.started[:16]})", tuple(store.of_run(run.id)))


@contextmanager
def store_of(text: str | None, setting: Setting) -> Iterator[Store]:
    """The store at a path or URL, or one with what an exported file holds; the setting's own without. Raises UsageError."""
    from porting.store import Store
    from porting.store.jsonl import import_file

    if text is None:
        with setting.open_store() as store:
            yield store
    elif _is_file(text) and text.endswith((".jsonl", ".jsonl.xz")):
        with TemporaryDirectory(prefix="porting-") as folder, Store.open(Path(folder) / "results.db") as store:
            import_file(store, Path(text))
            yield store
    else:
        if "://" not in text and not Path(text).is_file():  # opening it would make it
            raise UsageError(f"there is no store {text!r}.", "Check the path.")
        with Store.open(text) as store:
            yield store


def version_of(text: str) -> tuple[str, str] | None:
    """The package and the condition that `openvino=2026.3` or `openvino>=2026.3,<2027` means; None for a text that is none.
    Raises UsageError for a comparison that makes no sense."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        return None
    condition = _condition(found[2])
    wrong = misfit(condition)
    if wrong:
        raise UsageError(f"{text!r} is no version: it {wrong}.")
    return found[1], condition


def _is_file(text: str) -> bool:
    return text.endswith((".jsonl", ".jsonl.xz", ".db", ".sqlite")) or Path(text).is_file()


def _condition(text: str) -> str:
    """`=2026.3` is what a person writes for any 2026.3."""
    if re.match(r"=[^=]", text):
        plain = text[1:].strip()
        return f"=={plain}.*" if re.fullmatch(r"\d+(\.\d+)*", plain) else f"=={plain}"
    return text


def _of_version(store: Store, package: str, condition: str, text: str) -> tuple[Result, ...]:
    found = store.latest_where(lambda environment: package in environment and holds(condition, environment[package]))
    if not found:
        known = sorted({e[package] for e in store.environments() if package in e})
        raise UsageError(f"no result was had with {text}.", f"There are results with {package}: {', '.join(known) or 'none'}.")
    return tuple(found)
