"""The matrix as a badge, an SVG of one line. It counts passes by evidence, and says so when there is no answer to count."""

from __future__ import annotations

from xml.sax.saxutils import escape

from porting.report.counts import FAULTS, tally
from porting.report.matrix import Matrix
from porting.report.words import printable
from porting.types import Outcome

LABEL = "porting"
_GREEN, _YELLOW, _RED, _GREY = "#2f7d32", "#8a6100", "#b3261e", "#5f6368"
"""Each dark enough for white letters."""
_WIDTH = 6.6
"""Of a letter, in pixels; the text is stretched to the width that is left for it."""


def render(matrix: Matrix) -> str:
    """Return the SVG text, ending in a newline."""
    message, colour = verdict(matrix)
    left, right = (round(len(text) * _WIDTH) + 12 for text in (LABEL, message))
    texts = ((LABEL, 6, left), (message, left + 6, right))
    letters = "".join(f'<text x="{x}" y="14" textLength="{width - 12}">{escape(text)}</text>' for text, x, width in texts)
    title = escape(f"{LABEL}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f'<title>{title}</title><rect width="{left}" height="20" fill="#3c4043"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{letters}</g></svg>\n'
    )


def verdict(matrix: Matrix) -> tuple[str, str]:
    """What the badge says, and its colour: passes by evidence, of the cells that have an answer."""
    counts = tally(matrix.results())
    judged = sum(sum(counts.claims(o).values()) for o in (Outcome.PASS, Outcome.DEGRADED)) + sum(counts.of(o) for o in FAULTS)
    judged += counts.of(Outcome.INVALID)
    if not judged:
        return "no answer", _GREY
    passes = counts.claims()
    says = ", ".join(f"{n} {e.value}{'' if e.ran else ' only'}" for e, n in passes.items()) or "0 pass"
    message = printable(f"{says} of {judged}")
    if matrix.gate:
        return message, {0: _GREEN, 1: _RED, 3: _YELLOW}[matrix.gate.exit_code]
    ran = sum(n for e, n in passes.items() if e.ran)
    return message, _GREEN if ran == judged == counts.total else _YELLOW if passes else _RED
