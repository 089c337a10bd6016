"""The matrix as JUnit XML, the form that CI servers read: a suite a target, a case a model.

A failure is what fails the build, an error what has no answer, skipped what is not good and was accepted, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from porting.report.matrix import Matrix
from porting.report.verdicts import Level, levels, reason
from porting.types import Result

LOG_SHOWN = 2000
"""Characters of the end of a log that a failed case carries."""

_TAGS = {Level.BAD: "failure", Level.SILENT: "error", Level.ACCEPTED: "skipped"}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may have, not even escaped."""


def render(matrix: Matrix) -> str:
    """Return the XML text, ending in a newline."""
    found = levels(matrix)
    root = Element("testsuites", name=_text(matrix.title))
    everything = []
    for column in matrix.targets:
        results = [r for r in matrix.column(column.id) if (r.model, r.target) in found]
        if not results:
            continue
        everything += results
        suite = SubElement(root, "testsuite", name=_text(column.id))
        _count(suite, results, [found[r.model, r.target] for r in results])
        if matrix.generated:
            suite.set("timestamp", matrix.generated.partition(".")[0].rstrip("Z"))
        _properties(suite, {"evidence": column.evidence.value, **matrix.versions})
        for result in results:
            _case(suite, result, found[result.model, result.target], matrix)
    _count(root, everything, [found[r.model, r.target] for r in everything])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _count(element: Element, results: Sequence[Result], found: Sequence[Level]) -> None:
    element.set("tests", str(len(results)))
    for name, level in (("failures", Level.BAD), ("errors", Level.SILENT), ("skipped", Level.ACCEPTED)):
        element.set(name, str(found.count(level)))
    element.set("time", f"{sum(r.seconds for r in results):.3f}")


def _case(suite: Element, result: Result, level: Level, matrix: Matrix) -> None:
    case = SubElement(suite, "testcase", classname=_text(result.target), name=_text(result.model), time=f"{result.seconds:.3f}")
    judged = matrix.gate.cells.get((result.model, result.target)) if matrix.gate else None
    facts = {"outcome": result.outcome, "evidence": result.evidence, "stage": result.stage, "cause": result.cause}
    named = {name: value.value for name, value in facts.items() if value}
    named |= {"signature": result.signature} if result.signature else {}
    named |= {"judgement": judged.judgement.value} if judged else {}
    _properties(case, named)
    why = reason(result, judged)
    if level in _TAGS:
        child = SubElement(case, _TAGS[level], message=_text(why))
        if level is not Level.ACCEPTED:
            child.set("type", _text((result.cause or result.outcome).value))
            child.text = _text("\n".join(filter(None, (result.message, result.hint, result.reproduce))))
    said = [why] if level is Level.FINDING else []
    said += [result.log_tail[-LOG_SHOWN:]] if level in (Level.BAD, Level.SILENT) and result.log_tail else []
    if said:
        SubElement(case, "system-out").text = _text("\n".join(said))


def _properties(parent: Element, values: dict[str, str]) -> None:
    properties = SubElement(parent, "properties")
    for name, value in values.items():
        SubElement(properties, "property", name=_text(name), value=_text(value))


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
