"""Glyphs and words of the text renderers, and how untrusted text is made safe to print. No layout here."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Mapping

from porting.report.counts import Tally
from porting.types import Evidence, GenerationNumbers, Outcome, Result

GLYPHS = {
    Outcome.PASS: "✓",
    Outcome.DEGRADED: "◐",
    Outcome.MISMATCH: "≠",
    Outcome.FAIL: "✗",
    Outcome.UNSUPPORTED: "⊘",
    Outcome.UNAVAILABLE: "-",
    Outcome.INVALID: "?",
    Outcome.SKIPPED: "↷",
    Outcome.MISSING: "!",
}

# A pass that no device of the target's kind stands behind has a letter, so that it cannot be read as a tick.
LETTERS = {Evidence.VIRTUAL: "v", Evidence.COMPILED: "c", Evidence.STATIC: "l"}

# For terminals that cannot show the glyphs.
ASCII_GLYPHS = {"·": "-", "✓": "+", "◐": "%", "≠": "#", "✗": "X", "⊘": "o", "↷": ">"}

# What a pass says. It never says more than its evidence does.
PASSES = {
    Evidence.HARDWARE: "numbers right on the target's own hardware",
    Evidence.SIMULATOR: "numbers right on the vendor's own simulator",
    Evidence.HOST: "numbers right in the real runtime, on this machine's CPU",
    Evidence.VIRTUAL: "numbers right on a stand-in device that enforces the vendor's published lists; not run on the target",
    Evidence.COMPILED: "an artifact was produced; nothing ran",
    Evidence.STATIC: "lists say that it would; nothing was built",
}

OUTCOMES = {
    Outcome.PASS: "numbers right, but the record does not say where",
    Outcome.DEGRADED: "numbers right, but in part run elsewhere, or in another precision",
    Outcome.MISMATCH: "numbers wrong",
    Outcome.FAIL: "stopped with an error",
    Outcome.UNSUPPORTED: "the stack says it cannot",
    Outcome.UNAVAILABLE: "SDK, device, licence or weights are not here: says nothing about the model",
    Outcome.INVALID: "the reference itself is not sound: says nothing about the target",
    Outcome.SKIPPED: "a person chose not to run it",
    Outcome.MISSING: "planned, but there is no record",
}


def glyph(outcome: Outcome, evidence: Evidence | None) -> str:
    """Return the one-column mark of a cell."""
    letter = LETTERS.get(evidence) if evidence else None
    return letter if letter and outcome is Outcome.PASS else GLYPHS[outcome]


def word(outcome: Outcome, evidence: Evidence | None) -> str:
    """Return the short word of a cell: a pass is named by what it rests on."""
    return evidence.value if outcome is Outcome.PASS and evidence else outcome.value


def claims(counts: Mapping[Evidence, int]) -> str:
    """Spell counts that must not be added up: `12 host, 3 compiled only`."""
    return ", ".join(f"{n} {e.value}{'' if e.ran else ' only'}" for e, n in counts.items()) or "0"


def count(number: int, noun: str) -> str:
    """Spell a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summary(counts: Tally) -> str:
    """Spell a tally in one line, what was planned last."""
    parts = [f"pass {claims(counts.claims())}"]
    if degraded := counts.claims(Outcome.DEGRADED):
        parts.append(f"degraded {claims(degraded)}")
    rest = [o for o in Outcome if o not in (Outcome.PASS, Outcome.DEGRADED)]
    parts += [f"{counts.of(o)} {o.value}" for o in rest if counts.of(o)]
    return " · ".join([*parts, f"{counts.total} planned"])


def legend(results: Iterable[Result]) -> list[tuple[Outcome, str, str, str]]:
    """List the marks that occur: outcome, glyph, word, meaning. A pass has one line for each kind of evidence."""
    seen = {(r.outcome, r.evidence) for r in results}
    passed = [e for e in Evidence if (Outcome.PASS, e) in seen]
    others = [o for o in Outcome if o is not Outcome.PASS and any(o is outcome for outcome, _ in seen)]
    lines = [(Outcome.PASS, glyph(Outcome.PASS, e), e.value, PASSES[e]) for e in passed]
    return lines + [(o, glyph(o, None), o.value, OUTCOMES[o]) for o in others]


def where(result: Result) -> str:
    """Say at which stage, for which cause and on what evidence a cell ended."""
    parts = (result.stage.value, result.cause and result.cause.value.replace("_", " "), result.evidence and result.evidence.value)
    return " · ".join(part for part in parts if part)


def explain(result: Result) -> str:
    """Return the command that shows everything known about a cell; where there is no record, the one that makes it."""
    if result.outcome is Outcome.MISSING:
        return result.reproduce
    return f"porting explain {shlex.quote(result.model)} {shlex.quote(result.target)}"


def generation(n: GenerationNumbers) -> str:
    """Say in one line what greedy generation from one prompt came to."""
    what = f"{n.name}: {n.tokens} tokens, {count(n.rows, 'row')}"
    off = "" if n.max_abs is None else f"; scores off by at most {n.max_abs:.1e}"
    if n.row is None:
        return f"{what}, equal to eager's{off}"
    gap = "more than can be said" if n.gap is None else f"{n.gap:.1e}"
    limit = "" if n.allowed_gap is None else f", a tie up to {n.allowed_gap:.1e}"
    where = f"token {(n.step or 0) + 1} of row {n.row} is {n.got}, eager's {n.expected}"
    return f"{what}, {'equal up to a tie' if n.tie else 'DIFFERENT'}: {where}, which leads by {gap}{limit}{off}"


def version(text: str) -> str:
    """Spell a version, as far as a person needs it: of a digest the beginning."""
    return text[:19] if text.startswith("sha256:") else text or "none"


def causes(moved: Mapping[str, tuple[str, str]], because: Iterable[str]) -> list[str]:
    """Spell what is other than before: versions by name, and what else is known."""
    return [f"{name} {version(old)} -> {version(new)}" for name, (old, new) in moved.items()] + list(because)


# Characters that reorder what is shown: an error message could use them to read as something else.
_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return `text` on one line with control and reordering characters shown as escapes."""
    return "".join(_shown(c) for c in text.strip())


def printable_lines(text: str) -> str:
    """The same for text of several lines, whose breaks and indentation stay."""
    return "\n".join("".join(_shown(c) for c in line) for line in text.splitlines())


def _shown(char: str) -> str:
    if char in "\n\r\t\v\f\u2028\u2029\u0085":
        return " "
    if char in _REORDERING or unicodedata.category(char) in ("Cc", "Cs"):
        return f"\\u{ord(char):04x}"
    return char
