"""The matrix as one HTML page without a script: for readers and browsers that run none. Wears the style sheet of the report."""

from __future__ import annotations

import html
from collections.abc import Iterable

from porting.report.counts import Reason, reasons, tally
from porting.report.matrix import Matrix
from porting.report.words import GLYPHS, PASSES, count, explain, glyph, legend, printable, summary, where, word
from porting.types import Evidence, Outcome, Result

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="base.css">
<link rel="stylesheet" href="marks.css">
<link rel="stylesheet" href="pages.css">
</head>
<body><main>
"""

# Outcomes that are no verdict about the target show no evidence.
_VERDICTS = (Outcome.PASS, Outcome.DEGRADED, Outcome.MISMATCH, Outcome.FAIL, Outcome.UNSUPPORTED)


def render(matrix: Matrix) -> str:
    """Return the page as text."""
    parts = [
        _HEAD.format(title=_text(matrix.title)),
        f"<h1>{_text(matrix.title)}</h1>\n",
        f"<p>{count(len(matrix.models), 'model')} on {count(len(matrix.targets), 'target')}.</p>\n",
        f"<p>{_text(summary(tally(matrix.results())))}.</p>\n",
        f"<p>Generated {_text(matrix.generated)}.</p>\n" if matrix.generated else "",
        _legend(matrix),
        _cells(matrix),
        _why(matrix),
        "</main></body>\n</html>\n",
    ]
    return "".join(parts)


def _text(text: str) -> str:
    return html.escape(printable(text))


def _mark(outcome: Outcome, evidence: Evidence | None) -> str:
    fill = f" e-{evidence.value}" if evidence and outcome in _VERDICTS else ""
    return f'<span class="cell o-{outcome.value}{fill}">{html.escape(glyph(outcome, evidence))}</span>'


def _legend(matrix: Matrix) -> str:
    lines = legend(matrix.results())
    evidences = {meaning: evidence for evidence, meaning in PASSES.items()}
    items = (f"<li>{_mark(o, evidences.get(meaning))} {_text(name)}: {_text(meaning)}</li>" for o, _, name, meaning in lines)
    return f'<ul class="plain-legend">{"".join(items)}</ul>\n'


def _cells(matrix: Matrix) -> str:
    heads = (f'<th scope="col">{_text(t.id)}<br><small>{t.evidence.value}</small></th>' for t in matrix.targets)
    rows = (f'<tr><th scope="row">{_text(m.id)}</th>{"".join(map(_cell, matrix.row(m.id)))}</tr>\n' for m in matrix.models)
    body = "".join(rows)
    return (
        f'<div class="scroll"><table class="list plain-matrix">\n'
        f'<thead><tr><th scope="col">model</th>{"".join(heads)}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
    )


def _cell(result: Result) -> str:
    return f"<td>{_mark(result.outcome, result.evidence)} {word(result.outcome, result.evidence)}</td>"


def _why(matrix: Matrix) -> str:
    found = reasons(matrix.results())
    return f"<h2>Why not</h2>\n{_reasons(found)}" if found else ""


def _reasons(found: Iterable[Reason]) -> str:
    return f'<ul class="plain-reasons">{"".join(_reason(reason) for reason in found)}</ul>\n'


def _reason(reason: Reason) -> str:
    first = reason.cells[0]
    head = f"{GLYPHS[reason.outcome]} {reason.outcome.value}, {count(len(reason.cells), 'cell')}, {where(first)}"
    return f"<li><b>{_text(head)}</b>: {_text(reason.message)}<br><code>{_text(explain(first))}</code></li>\n"
