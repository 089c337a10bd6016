"""What is known about node cases that come back wrong: an `operators.toml` beside the adapter's module.

It says who is at fault and why, and changes no verdict. A wrong case that nobody has looked into has no entry, and is shown so.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from porting import registry
from porting.errors import CatalogError, PortingError
from porting.operators import PREFIX
from porting.types import Outcome, Result

KINDS = {
    "backend-bug": "the backend's answer is not what the operator's specification says, or it fails at what it says it can do",
    "tolerance": "the operator is right within its own arithmetic, which is coarser than what is allowed here",
    "spec": "the specification does not say which answer is right, or the case itself is wrong",
}
OUTCOMES = (Outcome.MISMATCH, Outcome.FAIL)
"""What an entry may explain."""
_NEEDED: dict[str, type] = {"cases": list, "outcome": str, "kind": str, "version": str, "reason": str}
_MORE: dict[str, type] = {"targets": list, "flaky": bool}


@dataclass(frozen=True)
class Known:
    """One entry."""

    cases: tuple[str, ...]
    """Names of cases, or globs."""
    outcome: Outcome
    """`mismatch` or `fail`: an entry for a wrong answer does not explain a crash."""
    kind: str
    """One of KINDS."""
    version: str
    """Of the backend that it was last seen with."""
    reason: str
    """Who finds what, in a sentence."""
    targets: tuple[str, ...] = ("*",)
    """Globs of targets."""
    flaky: bool = False
    """Whether a right answer now and then is no sign that it is mended."""

    def covers(self, result: Result) -> bool:
        """Whether it is about the case and target of a result, whatever came of it."""
        name = result.model.removeprefix(PREFIX)
        return any(fnmatchcase(name, p) for p in self.cases) and any(fnmatchcase(result.target, p) for p in self.targets)


def explanation(result: Result) -> Known | None:
    """The entry that explains a wrong case; None for a right one, and for one that nobody has looked into."""
    if result.outcome not in OUTCOMES:
        return None
    entries = known_of(result.target.partition(":")[0])
    return next((entry for entry in entries if entry.outcome is result.outcome and entry.covers(result)), None)


def mended(results: Sequence[Result]) -> list[Result]:
    """Right answers that an entry says are wrong: the entry can go."""
    right = [result for result in results if result.outcome is Outcome.PASS]
    return [r for r in right if any(e.covers(r) and not e.flaky for e in known_of(r.target.partition(":")[0]))]


@functools.cache
def known_of(adapter: str) -> tuple[Known, ...]:
    """The entries of an adapter. Raises CatalogError for a file that is not valid."""
    try:
        module = sys.modules[registry.adapter(adapter).__module__].__file__
    except PortingError:  # recorded with an adapter that is not here any more
        return ()
    path = Path(str(module)).with_name(registry.KNOWN_FILE)
    return read(path) if path.is_file() else ()


def read(path: Path) -> tuple[Known, ...]:
    """Read an `operators.toml`. Raises CatalogError naming the file and the entry."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read: {error}.") from error
    if data.keys() - {"known"}:
        raise CatalogError(f"{path} has {', '.join(sorted(data.keys() - {'known'}))}; there are only [[known]] entries.")
    return tuple(_entry(path, number, entry) for number, entry in enumerate(data.get("known", ()), 1))


def _entry(path: Path, number: int, entry: dict[str, Any]) -> Known:
    where = f"{path}, entry {number}"
    kinds = _NEEDED | _MORE
    for key, value in entry.items():
        if key not in kinds or not isinstance(value, kinds[key]):
            raise CatalogError(f"{where}: {key} is not known, or of another type.", f"There are {', '.join(kinds)}.")
    lacking = [key for key in _NEEDED if not entry.get(key)]
    if lacking:
        raise CatalogError(f"{where} has no {', '.join(lacking)}.")
    if entry["kind"] not in KINDS or entry["outcome"] not in [o.value for o in OUTCOMES]:
        outcomes = " or ".join(o.value for o in OUTCOMES)
        raise CatalogError(f"{where}: kind is one of {', '.join(KINDS)}, outcome {outcomes}.")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    values["outcome"] = Outcome(entry["outcome"])
    return Known(**values)
