"""Findings as SARIF 2.1.0, which code hosts and editors show beside the lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from porting._version import VERSION
from porting.codemod.effort import Line
from porting.codemod.finding import ACCEL, Finding, Safety, rules
from porting.codemod.ignores import Ignored
from porting.codemod.words import remedy

_LEVELS = {Safety.SAFE: "warning", Safety.CARE: "warning", Safety.REPORT: "error", Safety.KEEP: "note"}


def log(
    findings: Sequence[Finding], new: Collection[int], ignored: Sequence[Ignored], compared: bool, work: Sequence[Line]
) -> dict[str, Any]:
    """One run. new: ids (as of id()) of findings that a baseline lacks; compared: whether there was a baseline; work: the
    estimate of the whole, which becomes a property of the run."""
    used = sorted({f.rule for f in findings} | {i.finding.rule for i in ignored})
    index = {rule: number for number, rule in enumerate(used)}
    results = []
    for finding in findings:
        state = {"baselineState": "new" if id(finding) in new else "unchanged"} if compared else {}
        results.append({**_result(finding, index), **state})
    for item in ignored:
        suppression = {"kind": "inSource", "justification": item.reason}
        results.append({**_result(item.finding, index), "suppressions": [suppression]})
    driver = {"name": "porting", "version": VERSION, "rules": [_rule(rule) for rule in used]}
    effort = {
        "hours": round(sum(line.total for line in work), 2),
        "lines": [{"what": line.what, "count": line.count, "hours": line.hours} for line in work],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {"effort": effort},
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _rule(name: str) -> dict[str, Any]:
    rule = rules()[name]
    return {
        "id": name,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.reason},
        "help": {"text": remedy(name)},
        "properties": {"kind": rule.kind, "safety": rule.safety.value},
    }


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    rule = rules()[finding.rule]
    place = {"artifactLocation": {"uri": finding.path}, "region": {"startLine": finding.line, "startColumn": finding.column}}
    said = f"{rule.what}: {finding.text}. {finding.why or rule.reason}"
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.safety],
        "message": {"text": said},
        "locations": [{"physicalLocation": place}],
        "properties": {"safety": finding.safety.value, **({"cell": finding.cell} if finding.cell else {})},
    }
    if finding.edits and not finding.imports_itself and not finding.cell:  # those of a cell are not of the file's bytes
        replacements = [
            {
                "deletedRegion": {"byteOffset": e.start, "byteLength": e.end - e.start},
                "insertedContent": {"text": e.new.replace(ACCEL, "accel")},
            }
            for e in finding.edits
        ]
        change = {"artifactLocation": {"uri": finding.path}, "replacements": replacements}
        result["fixes"] = [{"description": {"text": remedy(finding.rule)}, "artifactChanges": [change]}]
    return result
