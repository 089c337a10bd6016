"""One result in plain text, for a terminal: what happened, how long it took, how far off, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from porting.report.numerics import worst
from porting.report.words import causes, generation, version
from porting.types import Outcome, Result

if TYPE_CHECKING:
    from porting.diagnose.known import Known
    from porting.records.history import Turn


def text_of(result: Result, records: int, known: Known | None = None, since: Turn | None = None) -> str:
    """Tell about a result. records: how many results the cell has. known: what is known of why it does not pass. since: when the
    cell came to be as it is, what it was before, and what moved then."""
    return "\n".join(_lines(result, records, known, since))


def _since(since: Turn | None) -> Iterator[str]:
    """A line, and one for each version that moved."""
    if not since:
        return
    before = f"; before: {since.before}" if since.before else ", from the first result on"
    yield from _field("since", f"{since.start[:10]}{before}")
    for text in causes(since.moved, since.because):
        yield f"              moved: {text}"


def _cause(known: Known) -> Iterator[str]:
    """What was located, a line for each operator and source line; what it was reduced to; what is known to help."""
    yield from _field("located", "\n".join((known.said, *known.operators)))
    yield from _field("reduced to", "\n".join(filter(None, (known.smallest, known.folder))))
    for remedy in known.remedies:
        yield from _field("may help", remedy)


def _lines(result: Result, records: int, known: Known | None, since: Turn | None) -> Iterator[str]:
    evidence = f" (evidence: {result.evidence.value})" if result.evidence else ""
    cause = f", {result.cause.value}" if result.cause else ""
    yield f"{result.model} on {result.target}: {result.outcome.value}{evidence}"
    yield f"  stage       {result.stage.value}{cause}"
    yield from _field("message", result.message)
    yield from _field("hint", result.hint)
    yield from _field("signature", result.signature or "")
    yield from _field("precision", result.effective_precision or "")
    yield from _field("route", " -> ".join(result.route))
    yield from _field("passes with" if result.outcome is Outcome.PASS else "works with", ", ".join(result.passes_with))
    for attempt in result.attempts:
        yield from _field("also tried", attempt)
    yield from _field("axes", ", ".join(f"{name}: {state}" for name, state in result.axes.items()))
    yield from _placement(result)
    yield from _numbers(result)
    for generated in result.generation:
        yield from _field("generated", generation(generated))
    yield from _cause(known) if known else ()
    for note in result.notes:
        yield from _field("note", note)
    for stage in result.stages:
        peak = f", peak {stage.peak_rss_bytes >> 20} MiB" if stage.peak_rss_bytes else ""
        yield f"  {stage.name.value:<12}{stage.seconds:.2f} s, {stage.cpu_seconds:.2f} CPU-s{peak}"
    if result.log_tail.strip() and result.cause:
        yield "  end of the log:"
        yield from (f"    {line}" for line in result.log_tail.strip().splitlines()[-15:])
    yield from _field("with", ", ".join(f"{name} {version(value)}" for name, value in sorted(result.environment.items())))
    yield from _since(since)
    yield from _field("recorded", f"{result.started}, {records} result{'s' * (records != 1)} of this cell")
    yield from _field("again", result.reproduce + " --rerun")
    for command in known.commands if known else ():
        yield from _field("look into", command)


def _field(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines()[:12]):
        yield f"  {name if not number else '':<12}{line}"


def _placement(result: Result) -> Iterator[str]:
    if result.placement:
        p = result.placement
        ran = "an unknown number of" if p.target_ops is None else p.target_ops
        other = f", {p.other_ops} elsewhere" if p.other_ops else ""
        share = "" if p.share is None else f"; {p.share:.1%} of the arithmetic on the target"
        yield f"  placement   {ran} operators on {p.device}{other}{share}"
        if p.cycles is not None:
            yield f"              {p.cycles:,} cycles a run, by the vendor's own estimate"
        if p.detail:
            yield f"              {', '.join(f'{count} {name}' for name, count in p.detail.items())}"


def _numbers(result: Result) -> Iterator[str]:
    found = worst(result)
    if found:
        value = "not finite" if found.value is None else f"{found.value:.2e}"
        yield f"  worst       {value} ({found.metric}), allowed {found.allowed:.2e}; output {found.output}, case {found.case}"
