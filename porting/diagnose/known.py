"""What is known of why a cell does not pass, beside its record: what was located in it, what it was reduced to, which changes
answer what stands in the way, and the commands that find out more."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from porting import registry
from porting.diagnose.blockers import blockers
from porting.diagnose.notes import LOCATED, Smallest, recall, smallest
from porting.errors import PortingError
from porting.report.counts import FAULTS
from porting.routes import answers_to
from porting.serialization import Json
from porting.types import Result, Stage
from porting.workspace import Workspace

OPERATORS = 8
"""Located operators that are named."""
_OF_TARGET = (Stage.CONVERT, Stage.LOAD, Stage.RUN, Stage.COMPARE)


@dataclass(frozen=True)
class Known:
    """In words, for a terminal and for a page."""

    said: str = ""
    """What was found when somebody looked (`porting locate`)."""
    operators: tuple[str, ...] = ()
    """Operators that were blamed, with the model's source lines."""
    smallest: str = ""
    """The case that it was reduced to (`porting reduce`)."""
    folder: str = ""
    """Where that lies on this machine."""
    remedies: tuple[str, ...] = ()
    """Changes that answer what stands in the way, and that the record has not tried."""
    commands: tuple[str, ...] = ()
    """What tells more."""


def known_of(workspace: Workspace, results: Iterable[Result]) -> dict[tuple[str, str], Known]:
    """What is known of those of the results that are faults, by model and target."""
    faults = [result for result in results if result.outcome in FAULTS]
    cases = smallest(workspace, faults)
    here = {target: _is_here(target) for target in dict.fromkeys(result.target for result in faults)}
    return {(r.model, r.target): _known(workspace, r, cases.get((r.model, r.target)), here[r.target]) for r in faults}


def _known(workspace: Workspace, result: Result, case: Smallest | None, here: bool) -> Known:
    located = recall(workspace, LOCATED, result.key) or {}
    return Known(
        str(located.get("said", "")),
        tuple(_operators(located)),
        str(case) if case else "",
        case.folder if case else "",
        tuple(_remedies(result)),
        tuple(_commands(result, here)),
    )


def _operators(located: Json) -> Iterator[str]:
    """An operator and source line each."""
    seen: dict[str, int] = {}
    for blamed in (*located.get("blamed", ()), *located.get("group", ())):
        where = f"{blamed['source']['place']} {blamed['source']['text']}".strip()
        line = f"{blamed['operator']} ({blamed['kind']}){f' at {where}' if where else ''}"
        seen[line] = seen.get(line, 0) + 1
    for line, times in list(seen.items())[:OPERATORS]:
        yield f"{line}{f', {times} nodes' if times > 1 else ''}"
    if len(seen) > OPERATORS:
        yield f"and {len(seen) - OPERATORS} more: porting locate"


def _remedies(result: Result) -> Iterator[str]:
    tried = " ".join((result.form, *result.attempts))
    for blocker in sorted(blockers(result)):
        named = f"{blocker.kind}: {blocker.name}"
        words = [word for word in answers_to(named) if word not in tried]
        if words:
            yield f"{', '.join(words)} answers {named}"


def _commands(result: Result, here: bool) -> Iterator[str]:
    if result.target.endswith(":int8") or result.stage not in _OF_TARGET:
        return
    where = f"{shlex.quote(_named(result))} {result.target}"
    if here:
        yield from (f"porting locate {where}", f"porting reduce {where}")
    yield f"porting unlock {result.target}"


def _named(result: Result) -> str:
    """What the command that made a result calls its model."""
    words = shlex.split(result.reproduce)
    return words[2] if len(words) > 2 else result.model


def _is_here(target: str) -> bool:
    """Whether a target's adapter is here, so that it can be looked into."""
    try:
        registry.adapter(target.partition(":")[0])
    except PortingError:
        return False
    return True
