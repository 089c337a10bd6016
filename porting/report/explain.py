"""One result in plain text, for a terminal: what happened, how long it took, how far off, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porting.report.counts import FAULTS
from porting.report.numerics import worst
from porting.report.words import causes, generation, version
from porting.types import Json, Outcome, Result, Stage

if TYPE_CHECKING:
    from porting.records.history import Turn

OPERATORS = 8
"""Located operators that are named."""


def text_of(
    result: Result, records: int, known: bool = False, located: Json = None, since: Turn | None = None, reduced: str = ""
) -> str:
    """Tell about a result. records: how many results the cell has. known: whether its target's adapter is here, so that
    operators can be told apart. located: what was found when somebody looked (porting.diagnose.locate.Located as JSON).
    since: when the cell came to be as it is, what it was before, and what moved then. reduced: its smallest case, in words."""
    return "\n".join(_lines(result, records, known, located, since, reduced))


def next_steps(result: Result, known: bool) -> list[str]:
    """Commands that tell more of why a cell does not pass."""
    if result.outcome not in FAULTS or result.target.endswith(":int8") or result.stage not in _OF_TARGET:
        return []
    where = f"{shlex.quote(_named(result))} {result.target}"
    steps = [f"porting locate {where}", f"porting reduce {where}"] if known else []
    return [*steps, f"porting unlock {result.target}"]


_OF_TARGET = (Stage.CONVERT, Stage.LOAD, Stage.RUN, Stage.COMPARE)


def _named(result: Result) -> str:
    """What the command that made a result calls its model."""
    words = shlex.split(result.reproduce)
    return words[2] if len(words) > 2 else result.model


def _operators(located: Json) -> Iterator[str]:
    """What was located: a line for each operator and source line."""
    if not located:
        return
    yield from _field("located", str(located["said"]))
    seen: dict[str, int] = {}
    for blamed in (*located["blamed"], *located["group"]):
        where = f"{blamed['source']['place']} {blamed['source']['text']}".strip()
        line = f"{blamed['operator']} ({blamed['kind']}){f' at {where}' if where else ''}"
        seen[line] = seen.get(line, 0) + 1
    for line, times in list(seen.items())[:OPERATORS]:
        yield f"              {line}{f', {times} nodes' if times > 1 else ''}"
    if len(seen) > OPERATORS:
        yield f"              and {len(seen) - OPERATORS} more: porting locate"


def _since(since: Turn | None) -> Iterator[str]:
    """A line, and one for each version that moved."""
    if not since:
        return
    before = f"; before: {since.before}" if since.before else ", from the first result on"
    yield from _field("since", f"{since.start[:10]}{before}")
    for text in causes(since.moved, since.because):
        yield f"              moved: {text}"


def _lines(result: Result, records: int, known: bool, located: Json, since: Turn | None, reduced: str) -> Iterator[str]:
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
    yield from _operators(located)
    yield from _field("reduced to", reduced)
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
    for command in next_steps(result, known):
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
