"""Marks in the source that set findings aside: `# porting: ignore[PRT210] reason`, at a line's end or alone on the one above."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from porting.codemod.finding import Finding, Safety, rules

_MARK = re.compile(r"(?:#|//)\s*porting:\s*ignore\[(?P<rules>[\w\s,]*)\][ \t]*(?P<reason>[^\n]*)")
_STRING = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""")


@dataclass(frozen=True)
class Ignored:
    """A finding that a person has set aside."""

    finding: Finding
    reason: str


@dataclass
class _Mark:
    rules: frozenset[str]
    reason: str
    line: int
    used: bool = False

    @property
    def stale(self) -> bool:
        """Whether it sets nothing aside. One about what a maker lacks waits for the scan that names the maker."""
        return not self.used and not any(name in rules() and rules()[name].kind == "target" for name in self.rules)


def apply(path: str, text: str, findings: Iterable[Finding]) -> tuple[list[Finding], list[Ignored]]:
    """Findings that stand, and those that are set aside. A mark without a reason sets nothing aside, and is a finding itself, as
    is one that finds nothing."""
    if "porting:" not in text:
        return list(findings), []
    marks = _marks(text)
    stand: list[Finding] = []
    ignored: list[Ignored] = []
    for finding in findings:
        mark = next((m for m in marks.get(finding.line, ()) if finding.rule in m.rules), None)
        if mark:
            mark.used = True
        if mark and mark.reason:
            ignored.append(Ignored(finding, mark.reason))
        else:
            stand.append(finding)
    for mark in {id(m): m for line in marks.values() for m in line}.values():
        if mark.stale or not mark.reason:
            why = "it has no reason" if not mark.reason else "it ignores nothing"
            stand.append(Finding("PRT901", path, mark.line, 1, ", ".join(sorted(mark.rules)), Safety.REPORT, why))
    return sorted(stand, key=lambda f: (f.cell, f.line, f.column, f.rule)), ignored


def _marks(text: str) -> dict[int, list[_Mark]]:
    """Marks by the line that they are about."""
    found: dict[int, list[_Mark]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if "porting:" not in line:
            continue
        match = _MARK.search(_STRING.sub(lambda m: " " * len(m[0]), line))
        if match:
            named = frozenset(r.strip() for r in match["rules"].split(",") if r.strip())
            alone = not line[: match.start()].strip()
            found.setdefault(number + 1 if alone else number, []).append(_Mark(named, match["reason"].strip(), number))
    return found
