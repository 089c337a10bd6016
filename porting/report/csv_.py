"""The matrix as CSV, a row a cell, for spreadsheets. No field is read as a formula."""

from __future__ import annotations

import csv
import io

from porting.report.counts import first_line
from porting.report.matrix import Matrix
from porting.report.numerics import worst
from porting.report.words import printable
from porting.types import Result

COLUMNS = (
    "model", "target", "family", "outcome", "evidence", "stage", "cause", "signature", "judgement", "reason", "owner",
    "worst_share_of_allowed", "median_seconds", "seconds", "peak_rss_bytes", "started", "message",
)  # fmt: skip


def render(matrix: Matrix) -> str:
    """Return the text, the names of the columns first."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in matrix.results():
        row = _row(result, matrix)
        writer.writerow([_safe(row[name]) for name in COLUMNS])
    return stream.getvalue()


def _row(result: Result, matrix: Matrix) -> dict[str, object]:
    judged = matrix.gate.cells.get((result.model, result.target)) if matrix.gate else None
    entry, share = (judged.expected if judged else None), worst(result)
    row: dict[str, object] = {name: getattr(result, name) for name in COLUMNS if hasattr(result, name)}
    return row | {
        "judgement": judged.judgement if judged else None,
        "reason": entry.reason if entry else None,
        "owner": entry.owner if entry else None,
        "worst_share_of_allowed": f"{share.ratio:.4g}" if share else None,
        "median_seconds": result.perf.median_seconds if result.perf else None,
        "message": first_line(result.message),
    }


def _safe(value: object) -> object:
    """What a spreadsheet shows as it is: a text that would be a formula begins with an apostrophe."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = printable(str(getattr(value, "value", value)))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
