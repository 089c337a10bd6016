"""How much work a port will be: counts times hours, each line shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from porting.accelerators.profile import loads
from porting.codemod.finding import Finding, Safety, rules, table
from porting.errors import UsageError


@dataclass(frozen=True)
class Line:
    """One sort of work. hours: of one."""

    what: str
    count: int
    hours: float

    @property
    def total(self) -> float:
        return self.count * self.hours


def estimate(findings: Iterable[Finding], hours: Mapping[str, float] | None = None) -> list[Line]:
    """Every sort of work that is there, the most first. A package counts once in a tree, unguarded if it is so anywhere."""
    known = table("effort")["hours"] if hours is None else hours
    counts: Counter[str] = Counter()
    packages: dict[str, bool] = {}
    for finding in findings:
        details = finding.details or {}
        if finding.rule == "PRT403" and "package" in details:
            packages[details["package"]] = packages.get(details["package"], True) and bool(details["guarded"])
        elif finding.safety is not Safety.KEEP and finding.rule != "PRT403":
            counts[_sort(finding)] += 1
    counts.update("package_guarded" if guarded else "package_unguarded" for guarded in packages.values())
    lines = [Line(what, count, float(known[what])) for what, count in counts.items()]
    return sorted(lines, key=lambda line: (-line.total, line.what))


def _sort(finding: Finding) -> str:
    kind = rules()[finding.rule].kind
    if kind == "kernel" and finding.rule != "PRT405":
        effort = (finding.details or {}).get("effort")
        return f"kernel_{effort}" if effort else "kernel_build"
    return finding.safety.value if kind in ("code", "kernel") else kind


def read(path: Path) -> Mapping[str, float]:
    """Hours of a person's own. Raises UsageError."""
    known = table("effort")["hours"]
    try:
        given = loads(path.read_text(encoding="utf-8"))["hours"]
        found = {**known, **{str(k): float(v) for k, v in given.items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} has no table of hours: {error}.", f"It has [hours] with any of {', '.join(known)}.") from None
    unknown = set(found) - set(known)
    if unknown:
        raise UsageError(f"{path}: {', '.join(sorted(unknown))} is no sort of work.", f"Known: {', '.join(known)}.")
    return found
