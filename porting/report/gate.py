"""What the gate says, in words that all renderers share. Judges nothing: that is porting.expect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from porting.expect.entry import Expectation, Gate, Judged, Judgement
from porting.report.counts import first_line
from porting.report.words import count, where
from porting.types import Outcome


@dataclass(frozen=True)
class Told:
    """Something the gate has to tell, of a cell or of an entry."""

    word: str
    """A judgement, or `matches nothing`."""
    subject: str
    detail: str
    breaks: bool
    expected: Expectation | None = None
    judged: Judged | None = None

    @property
    def text(self) -> str:
        """All of it in a sentence."""
        return f"{self.subject}: {self.detail}"


def told(gate: Gate) -> Iterator[Told]:
    """Everything that is not as expected, the most urgent first."""
    for judged in gate:
        if judged.judgement is not Judgement.AS_EXPECTED:
            subject = f"{judged.result.model} on {judged.result.target}"
            breaks = judged.breaks or (gate.strict and not judged.accepted)
            yield Told(judged.judgement.value, subject, _detail(judged), breaks, judged.expected, judged)
    for stale in gate.stale:
        models = ", ".join(stale.models)
        yield Told("matches nothing", models, f"no model is called so, on {stale.expected.target}", gate.strict, stale.expected)


def _detail(judged: Judged) -> str:
    result = judged.result
    came = result.outcome.value
    if result.outcome is Outcome.PASS:
        came = f"pass on {result.evidence.value} evidence" if result.evidence else came
    elif result.outcome is not Outcome.MISSING:
        came = f"{came} · {where(result)}: {first_line(result.message) or 'no message'}"
    again = "" if not judged.again or judged.judgement is Judgement.FLAKY else "; run again, it came to the same"
    return f"{judged.detail}; now {came}{again}"


def owned(expected: Expectation) -> str:
    """Who owns an accepted failure and why it is accepted."""
    link = f" {expected.link}" if expected.link else ""
    rate = f" (fails {expected.flaky} times)" if expected.flaky else ""
    return f"{expected.owner}: {expected.reason}{rate}{link}" if expected.owner else expected.reason


def answered(gate: Gate) -> str:
    """How many of the planned cells have an answer: what a percentage would have to be of."""
    silent = sum(judged.unanswered for judged in gate.cells.values())
    return f"{len(gate.cells) - silent} of {count(len(gate.cells), 'cell')} answered"
