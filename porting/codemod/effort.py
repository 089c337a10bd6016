"""How much work a port will be: counts times hours, each line shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from porting.accelerators.toml import loads
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


@dataclass(frozen=True)
class Share:
    """What one finding adds. what: empty where it adds nothing: it may stay, or its package is counted at another place."""

    what: str = ""
    hours: float = 0.0


def shares(findings: Sequence[Finding], hours: Mapping[str, float] | None = None) -> list[Share]:
    """What each finding adds to the work, in their order. A package that is imported counts once in a tree: where it is
    unguarded, if it is so anywhere; where it is only asked to be installed each line counts."""
    known = table("effort")["hours"] if hours is None else hours
    packages = _packages(findings)
    found = []
    for number, finding in enumerate(findings):
        if "guarded" in (finding.details or {}) and finding.rule == "PRT403":
            what = packages.get(number, "")
        else:
            what = "" if finding.safety is Safety.KEEP else _sort(finding)
        found.append(Share(what, float(known[what])) if what else Share())
    return found


def _packages(findings: Sequence[Finding]) -> Mapping[int, str]:
    """The findings that packages are counted at, by their numbers, and as what."""
    first: dict[str, tuple[bool, int]] = {}
    for number, finding in enumerate(findings):
        details = finding.details or {}
        if "package" in details and "guarded" in details:
            here = bool(details["guarded"]), number
            first[details["package"]] = min(first.get(details["package"], here), here)
    return {number: "package_guarded" if guarded else "package_unguarded" for guarded, number in first.values()}


def estimate(findings: Sequence[Finding], hours: Mapping[str, float] | None = None) -> list[Line]:
    """Every sort of work that is there, the most first."""
    counts = Counter((share.what, share.hours) for share in shares(findings, hours) if share.what)
    lines = [Line(what, count, each) for (what, each), count in counts.items()]
    return sorted(lines, key=lambda line: (-line.total, line.what))


def _sort(finding: Finding) -> str:
    kind = rules()[finding.rule].kind
    if kind == "kernel" and finding.rule != "PRT405":
        effort = (finding.details or {}).get("effort")
        return f"kernel_{effort}" if effort else "kernel_build"
    if finding.rule == "PRT403":
        return "config"  # a line that asks for it; its import is counted where it is
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
