"""The matrix as GitHub-flavoured Markdown, for job summaries and issues. Text that came from outside stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from porting.report.counts import CLAIMS, FAULTS, NO_VERDICT, Reason, reasons, tally
from porting.report.gate import Told, answered, owned, told
from porting.report.matrix import Matrix
from porting.report.words import claims, count, explain, glyph, legend, printable, summary, where, word
from porting.types import Evidence, GenerationNumbers, Result

REASONS_SHOWN = 100
"""A job summary may have one megabyte."""


def render(matrix: Matrix) -> str:
    """Return the whole report, ending in a newline."""
    parts = [_head(matrix), gate_of(matrix), targets(matrix), cells(matrix), legend_of(matrix), _generation(matrix), why(matrix)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return `text` on one line, with everything that Markdown, a table or HTML would read as syntax escaped."""
    line = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", printable(text))
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Return `text` as inline code; as plain text where a character could end the code or the table cell early."""
    line = printable(text)
    return escape(line) if not line or set(line) & set("`|\\") else f"`{line}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _head(matrix: Matrix) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(matrix.versions.items()))
    size = f"{count(len(matrix.models), 'model')} on {count(len(matrix.targets), 'target')}. {summary(tally(matrix.results()))}."
    lines = [f"# {escape(matrix.title)}", size]
    lines += [f"Generated {escape(matrix.generated)}."] if matrix.generated else []
    lines += [f"Versions: {escape(versions)}."] if versions else []
    return "\n\n".join(lines)


def gate_of(matrix: Matrix, limit: int = REASONS_SHOWN) -> str:
    """Return what is not as expected, as a table with a heading; nothing where no gate was asked for."""
    gate = matrix.gate
    if gate is None:
        return ""
    found = list(told(gate))
    head = f"## {escape(gate.headline)}\n\n{answered(gate)}."
    if not found:
        return head
    rest = f"\n\n{len(found) - limit} more are not shown." if len(found) > limit else ""
    return f"{head}\n\n" + _table(["", "cell", "what", "accepted"], (_told(item) for item in found[:limit])) + rest


def _told(item: Told) -> list[str]:
    entry = f"{code(item.expected.place)} {escape(owned(item.expected))}".strip() if item.expected else ""
    return [f"**{item.word}**" if item.breaks else item.word, code(item.subject), escape(item.detail), entry]


def targets(matrix: Matrix) -> str:
    """Return what came on each target, as a table with a heading."""
    rows = [_target(matrix, column.id, column.evidence, column.reason) for column in matrix.targets]
    return "## Targets\n\n" + _table(["target", "evidence", "pass", "degraded", "wrong or failed", "no verdict", "note"], rows)


def _target(matrix: Matrix, target: str, evidence: Evidence, note: str) -> list[str]:
    counts = tally(matrix.column(target))
    faults = sum(counts.of(o) for o in FAULTS)
    silent = sum(counts.of(o) for o in NO_VERDICT)
    right = [claims(counts.claims(o)) for o in CLAIMS]
    return [code(target), evidence.value, *right, str(faults), str(silent), escape(note)]


def cells(matrix: Matrix) -> str:
    """Return models by targets, as a table with a heading."""
    head = ["model", *(code(column.id) for column in matrix.targets)]
    rows = [[code(row.id), *(_cell(result) for result in matrix.row(row.id))] for row in matrix.models]
    return "## Matrix\n\n" + _table(head, rows)


def _cell(result: Result) -> str:
    return f"{glyph(result.outcome, result.evidence)} {word(result.outcome, result.evidence)}"


def legend_of(matrix: Matrix) -> str:
    """Return what the marks mean."""
    lines = [f"- {mark} {name}: {meaning}" for _, mark, name, meaning in legend(matrix.results())]
    return "A pass is named by what it rests on.\n\n" + "\n".join(lines)


def _generation(matrix: Matrix) -> str:
    """Greedy generation, where a target did any: tokens equal to eager's before the first that differs, of those asked for."""
    rows = [
        [code(r.model), code(r.target), code(n.name), f"{n.equal} of {n.tokens}", "yes" if n.tie else "", _leads(n)]
        for r in matrix.results()
        for n in r.generation
    ]
    head = ["model", "target", "prompt", "tokens equal", "tie", "eager's token leads by"]
    return "## Greedy generation\n\n" + _table(head, rows) if rows else ""


def _leads(n: GenerationNumbers) -> str:
    return "" if n.row is None else "more than can be said" if n.gap is None else f"{n.gap:.1e}"


def why(matrix: Matrix, limit: int = REASONS_SHOWN) -> str:
    """Return why cells are no pass, the most frequent reason first, as a table with a heading."""
    found = reasons(matrix.results())
    if not found:
        return ""
    head = ["cells", "outcome", "where", "message", "for instance", "see more"]
    rest = f"\n\n{len(found) - limit} more reasons are not shown." if len(found) > limit else ""
    return "## Why not\n\n" + _table(head, (_reason(r) for r in found[:limit])) + rest


def _reason(reason: Reason) -> list[str]:
    first = reason.cells[0]
    example = f"{code(first.model)} on {code(first.target)}"
    label = f"{glyph(reason.outcome, None)} {reason.outcome.value}"
    return [str(len(reason.cells)), label, where(first), escape(reason.message), example, code(explain(first))]
