"""Judging a run: every planned cell beside the expectation that counts for it.

From the user's side outcomes are ordered: right numbers, right in part, a refusal, an error, a wrong answer. To move towards
the end is a regression, also among failures: a stack that used to refuse and now answers wrongly is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from fnmatch import filter as matching
from typing import NamedTuple

from porting.expect.entry import Expectation, Gate, Judged, Judgement, Stale
from porting.expect.file import Book
from porting.types import INFRASTRUCTURE, Evidence, Outcome, Result

Key = tuple[str, str]
"""Model and target."""

SEVERITY = (Outcome.PASS, Outcome.DEGRADED, Outcome.UNSUPPORTED, Outcome.FAIL, Outcome.MISMATCH, Outcome.INVALID)
"""From best to worst. An invalid reference is last: with it nothing at all can be said about the model any more."""

SILENT = (Outcome.UNAVAILABLE, Outcome.SKIPPED, Outcome.MISSING)
"""Say nothing about the model on the target."""

WORTH_RUNNING_AGAIN = (Outcome.MISMATCH, Outcome.FAIL)
"""What may come by chance. A refusal, a fallback or an unsound reference does not."""

FEW = 20
"""Unaccepted failures that are run again. Where more come at once it is no chance."""
MOST_TIMES = 5
DOUBT = 0.01
"""A flaky cell is run until it would fail that often by chance alone with this probability, at the rate that was accepted."""


def today() -> date:
    """The day in UTC, which is what days in expectation files are."""
    return datetime.now(timezone.utc).date()


def judge(
    results: Iterable[Result],
    book: Book,
    known: Collection[str],
    again: Mapping[Key, tuple[Outcome, ...]] | None = None,
    strict: bool = False,
    day: date | None = None,
) -> Gate:
    """Judge what came of every planned cell, missing ones among them. known: ids of all models there are, for finding entries
    that match nothing. again: what came of cells that were run again. day: the present one when not given."""
    day, tried = day or today(), again or {}
    cells = {}
    for result in results:
        expected = book.expected(result.model, result.target, result.environment)
        key = (result.model, result.target)
        cells[key] = judge_cell(result, expected, day, tried.get(key, ()))
    models = {*known, *(model for model, _ in cells)}
    return Gate(cells, _stale(book, dict.fromkeys(target for _, target in cells), models), strict)


def judge_cell(result: Result, expected: Expectation | None, day: date, again: tuple[Outcome, ...] = ()) -> Judged:
    """Judge one cell."""
    said = _said(result, expected, day, again)
    return Judged(result, said.judgement, said.detail, expected, again, said.accepted)


class Said(NamedTuple):
    """A judgement with its reason; accepted: whether somebody has accepted it, or it is nobody's to accept."""

    judgement: Judgement
    detail: str
    accepted: bool = False


def _said(result: Result, expected: Expectation | None, day: date, again: tuple[Outcome, ...]) -> Said:
    silent = silence(result)
    if silent:  # that a failure was accepted says nothing of a rig that failed
        known = expected is not None and result.outcome in SILENT and expected.outcome is result.outcome
        return _as_accepted(expected, day) if expected and known else silent
    flake = _flake(result, expected, day, again)
    if flake:
        return flake
    if expected is None:
        return Said(Judgement.NEW_CELL, "nothing was accepted of it")
    if expected.outcome in SILENT:
        better = result.outcome is Outcome.PASS
        return Said(Judgement.NEW_PASS if better else Judgement.NEW_CELL, f"{expected.outcome.value} was accepted")
    return _compare(result, expected, day)


def silence(result: Result) -> Said | None:
    """Why a result says nothing about its model on its target; None when it says something."""
    if result.outcome is Outcome.MISSING:
        return Said(Judgement.MISSING, "planned, and there is no record", True)
    if result.cause in INFRASTRUCTURE:
        return Said(Judgement.NO_ANSWER, "the rig failed", True)
    if result.outcome in SILENT:
        why = "the target is not here" if result.outcome is Outcome.UNAVAILABLE else "it was not run"
        return Said(Judgement.NO_ANSWER, why, True)
    return None


def describe(expected: Expectation) -> str:
    """What was accepted, in few words."""
    where = f" at {expected.stage.value}" if expected.stage else ""
    more = ", ".join(filter(None, (expected.cause and expected.cause.value, expected.signature)))
    on = f" on {expected.evidence.value} evidence" if expected.evidence else ""
    return f"{expected.outcome.value}{where}{f' ({more})' if more else ''}{on}"


def _compare(result: Result, expected: Expectation, day: date) -> Said:
    was = f"{describe(expected)} was accepted"
    accepted = Outcome.PASS if expected.flaky else expected.outcome  # what is flaky should pass
    if result.outcome is accepted:
        if _weaker(result, expected):
            now = result.evidence.value if result.evidence else "no"
            return Said(Judgement.REGRESSION, f"{was}, it now rests on {now} evidence")
        if accepted is not Outcome.PASS and _other_failure(result, expected):
            return Said(Judgement.FAILURE_CHANGED, was)
        return Said(Judgement.AS_EXPECTED, "", True) if expected.flaky else _as_accepted(expected, day)
    if result.outcome is Outcome.PASS or (result.outcome is Outcome.DEGRADED and accepted is not Outcome.PASS):
        return Said(Judgement.NEW_PASS, was)
    worse = SEVERITY.index(result.outcome) > SEVERITY.index(accepted)
    return Said(Judgement.REGRESSION if worse else Judgement.FAILURE_CHANGED, was)


def _as_accepted(expected: Expectation, day: date) -> Said:
    if expected.expires and _expired(expected, day):
        return Said(Judgement.EXPIRED, f"accepted until {expected.expires.isoformat()}")
    return Said(Judgement.AS_EXPECTED, expected.reason, True)


def _expired(expected: Expectation, day: date) -> bool:
    return expected.expires is not None and expected.expires < day


def _weaker(result: Result, expected: Expectation) -> bool:
    if expected.evidence is None:
        return False
    order = list(Evidence)
    return result.evidence is None or order.index(result.evidence) > order.index(expected.evidence)


def _other_failure(result: Result, expected: Expectation) -> bool:
    accepted = (expected.stage, expected.cause, expected.signature)
    came = (result.stage, result.cause, result.signature)
    return any(a is not None and a != c for a, c in zip(accepted, came, strict=True))


# ---- flaky cells --------------------------------------------------------------------------------------------------


def times_to_run_again(judged: Judged, retries: int) -> int:
    """How often a cell has to be run again before it is judged. retries: of a failure that nobody has called flaky."""
    result, expected = judged.result, judged.expected
    if judged.unanswered or result.outcome not in WORTH_RUNNING_AGAIN:
        return 0
    if expected and expected.flaky:
        rate = expected.flaky.failed / expected.flaky.of
        return max(1, min(MOST_TIMES, math.ceil(math.log(DOUBT) / math.log(rate)) - 1))
    return retries if judged.breaks else 0


def candidates(gate: Gate, retries: int) -> dict[Key, int]:
    """The cells to run again, with how often at most."""
    found = {key: times for key, judged in gate.cells.items() if (times := times_to_run_again(judged, retries))}
    chance = {key for key in found if (entry := gate.cells[key].expected) and entry.flaky}
    if len(found) - len(chance) > FEW:
        return {key: found[key] for key in found if key in chance}
    return found


def _flake(result: Result, expected: Expectation | None, day: date, again: tuple[Outcome, ...]) -> Said | None:
    """What is said of a failure that may have come by chance; None for one that is to be judged as it stands."""
    observed = expected.flaky if expected else None
    if result.outcome not in WORTH_RUNNING_AGAIN or not (observed or again):
        return None
    known = expected is not None and result.outcome is expected.outcome and not _other_failure(result, expected)
    rate = f"accepted: it fails {observed} times" if observed else "nobody has accepted it as flaky"
    other = ", but by another failure" if observed and not known else ""
    if expected and observed and _expired(expected, day):
        known, other = False, f"{other}, until {expected.expires}"
    if Outcome.PASS in again:
        tried = ", ".join(outcome.value for outcome in again)
        return Said(Judgement.FLAKY, f"failed, then {tried}; {rate}{other}", bool(observed) and known)
    if not observed:
        return None
    if again:
        return Said(Judgement.REGRESSION, f"failed {len(again) + 1} times in a row; {rate}{other}")
    return Said(Judgement.FLAKY, f"failed, and was not run again; {rate}{other}", known)


# ---- entries ------------------------------------------------------------------------------------------------------


def _stale(book: Book, targets: Iterable[str], known: Collection[str]) -> tuple[Stale, ...]:
    found = []
    for target in targets:
        for entry in book.of(target):
            idle = tuple(pattern for pattern in entry.models if pattern not in known and not _matches(pattern, known))
            found += [Stale(entry, idle)] if idle else []
    return tuple(found)


def _matches(pattern: str, known: Collection[str]) -> bool:
    return any(c in pattern for c in "*?[") and bool(matching(known, pattern))


# ---- judging while it can be run again ----------------------------------------------------------------------------


def judge_run(
    results: Sequence[Result],
    book: Book,
    known: Collection[str],
    strict: bool,
    retries: int,
    run_again: Callable[[Sequence[Key]], Iterable[Result]],
) -> Gate:
    """Judge a run, and run again what may have failed by chance, until it passes or has failed often enough."""
    gate = judge(results, book, known, strict=strict)
    left, again = candidates(gate, retries), dict[Key, tuple[Outcome, ...]]()
    while left:
        for result in run_again(list(left)):
            if silence(result) is None:
                key = (result.model, result.target)
                again[key] = (*again.get(key, ()), result.outcome)
        left = {key: times - 1 for key, times in left.items() if times > 1 and Outcome.PASS not in again.get(key, ())}
    return judge(results, book, known, again, strict) if again else gate
