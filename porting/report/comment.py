"""What a reviewer reads under a pull request, or at the top of a job: what is worse first, the rest folded away."""

from __future__ import annotations

from porting.report.counts import tally
from porting.report.markdown import cells, escape, gate_of, legend_of, targets, why
from porting.report.matrix import Matrix
from porting.report.words import summary

MARKER = "<!-- porting -->"
"""The first line, by which a comment is found again, to be changed rather than repeated."""
LIMIT = 65_536
"""Characters that a comment on GitHub may have."""


def render(matrix: Matrix) -> str:
    """Return the comment, ending in a newline, with as much as fits into one."""
    for shown in (50, 20, 5):
        for folded in ((targets, cells, legend_of), (targets,), ()):
            text = _comment(matrix, shown, [part(matrix) for part in folded])
            if len(text) <= LIMIT:
                return text
    return f"{MARKER}\n{_head(matrix)}\n"


def _comment(matrix: Matrix, shown: int, folded: list[str]) -> str:
    parts = [MARKER, gate_of(matrix, shown) if matrix.gate else f"{_head(matrix)}\n\n{why(matrix, shown)}".rstrip()]
    if folded:
        parts.append("<details><summary>Targets and cells</summary>\n\n" + "\n\n".join(folded) + "\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _head(matrix: Matrix) -> str:
    return f"## {escape(matrix.gate.headline if matrix.gate else summary(tally(matrix.results())))}"
