"""Conditions on versions, as expectations have them: `>=2026.3,<2027`, `==1.32.*`, `x86_64`.

Makers of backends number as they like (`2026.4.1-22982-e213a147257-releases/2026/4`, `torch_npu 2.13.0`, `550.54.15`), so a
version is its first dotted number, and a pre-release mark where one follows it; what `2.13.0+cpu` says besides does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*([\w.+*-]+)")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")
_MARK = re.compile(r"[.\-_]?(dev|alpha|a|beta|b|rc|pre|post)\.?(\d*)(?![0-9a-z])")
_RANKS = {"dev": 0, "alpha": 1, "a": 1, "beta": 2, "b": 2, "rc": 3, "pre": 3, "": 4, "post": 5}

_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def misfit(condition: Any) -> str | None:
    """What is wrong with a condition, or None."""
    if not isinstance(condition, str) or not condition.strip():
        return "must be a string such as '>=1.2,<2'"
    if not re.search(r"[<>=!]", condition):
        return None
    for clause in condition.split(","):
        found = _CLAUSE.fullmatch(clause.strip())
        if found is None:
            return f"has {clause.strip()!r}, which is no comparison; write for instance '>=1.2,<2'"
        if not _RELEASE.search(found[2]):
            return f"compares with {found[2]!r}, which has no number"
        if "*" in found[2] and (found[1] not in ("==", "!=") or not re.fullmatch(r"[\d.]+\.\*", found[2])):
            return f"has {clause.strip()!r}; a star ends a version after == or !="
    return None


def holds(condition: str, version: str) -> bool:
    """Whether a version is as a condition says; one without a comparison is the whole text. The condition must be sound."""
    if not re.search(r"[<>=!]", condition):
        return condition.strip() == version
    return all(_clause(found[1], found[2], version) for found in _CLAUSE.finditer(condition))


def _clause(operator: str, wanted: str, version: str) -> bool:
    if not _RELEASE.search(version):
        return operator == "!="
    if wanted.endswith(".*"):
        start = tuple(int(part) for part in wanted[:-2].split("."))
        return (_numbers(version)[: len(start)] == start) == (operator == "==")
    return _HOLDS[operator](order(version), order(wanted))


def order(version: str) -> tuple[tuple[int, ...], int, int]:
    """What versions are sorted by. The version must have a number."""
    found = _RELEASE.search(version)
    assert found
    mark = _MARK.match(version.lower(), found.end())
    numbers = _numbers(version)
    while numbers[-1:] == (0,):  # 1.2 is 1.2.0
        numbers = numbers[:-1]
    return numbers, _RANKS[mark[1] if mark else ""], int(mark[2] or 0) if mark else 0


def _numbers(version: str) -> tuple[int, ...]:
    found = _RELEASE.search(version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
