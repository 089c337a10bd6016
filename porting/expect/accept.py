"""What would have to change in expectation files for recorded results to be as expected. Writes nothing.

A failure is accepted only with a reason and an owner, which a person gives; what passes needs none. What says nothing about a
model is never accepted.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from porting.errors import PortingError
from porting.expect.edit import Document
from porting.expect.entry import Expectation, Gate, Judged, Judgement, Observed, Stale
from porting.expect.file import Book, file_name, shown
from porting.expect.judge import judge_cell, silence, today
from porting.types import Outcome, Result


@dataclass(frozen=True)
class Grounds:
    """Why failures are accepted, by the person who accepts them."""

    reason: str = ""
    owner: str = ""
    link: str = ""
    expires: date | None = None
    when: Mapping[str, str] | None = None
    """Conditions under which they are accepted, by key of the environment; what was accepted without one stays."""


@dataclass(frozen=True)
class Plan:
    """What is to be accepted, and what cannot be."""

    wanted: tuple[tuple[Judged, Expectation], ...]
    """A cell and the entry that it is to have."""
    ungrounded: tuple[Judged, ...]
    """Failures that nobody has given a reason for."""
    silent: tuple[Judged, ...]
    """Cells that have no answer."""


@dataclass(frozen=True)
class Edit:
    """A file before and after."""

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> str:
        """A patch that `git apply` takes."""
        name = shown(self.path)
        old, new = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, f"a/{name}" if self.before else "/dev/null", f"b/{name}"))


def plan(gate: Gate, grounds: Grounds, flaky: Mapping[tuple[str, str], tuple[Result, Observed]]) -> Plan:
    """Say what is to be accepted. flaky: cells that came to a pass and to a failure with the same contents, with the failure."""
    wanted, ungrounded, silent = [], [], []
    for key, judged in gate.cells.items():
        observed = flaky.get(key)
        if judged.unanswered:
            silent.append(judged)
        elif observed:
            entry = _flaky(judged, *observed, grounds)
            if judged.expected is None or judged.expected.flaky != observed[1]:
                wanted += [(judged, entry)] if entry else []
                ungrounded += [] if entry else [judged]
        elif not judged.accepted:
            entry = _entry(judged, grounds)
            wanted += [(judged, entry)] if entry else []
            ungrounded += [] if entry else [judged]
    return Plan(tuple(wanted), tuple(ungrounded), tuple(silent))


def _entry(judged: Judged, grounds: Grounds) -> Expectation | None:
    """The entry that makes a cell as expected; None when that takes a reason which nobody has given."""
    result = judged.result
    if result.outcome is Outcome.PASS and judged.judgement is not Judgement.REGRESSION:
        return Expectation(result.target, (result.model,), Outcome.PASS, evidence=result.evidence, when=grounds.when or {})
    known = judged.expected if judged.judgement is Judgement.EXPIRED and grounds.expires else None
    owned = _owned(grounds, known)
    if owned is None:
        return None
    if result.outcome is Outcome.PASS:
        cell = {"target": result.target, "models": (result.model,)}
        return replace(owned, **cell, outcome=Outcome.PASS, evidence=result.evidence, expires=None)  # type: ignore[arg-type]
    return _failure(owned, result)


def _flaky(judged: Judged, failure: Result, observed: Observed, grounds: Grounds) -> Expectation | None:
    known = judged.expected if judged.expected and judged.expected.flaky else None
    owned = _owned(grounds, known)
    return replace(_failure(owned, failure), flaky=observed) if owned else None


def _owned(grounds: Grounds, known: Expectation | None) -> Expectation | None:
    """Reason, owner, link and expiry of a new entry: what the person said, else those of the known one."""
    if grounds.reason and grounds.owner:
        said = grounds
    elif known:
        said = replace(grounds, reason=known.reason, owner=known.owner, link=grounds.link or known.link)
        said = replace(said, expires=grounds.expires or known.expires, when=grounds.when or known.when)
    else:
        return None
    owned = Expectation("", (), Outcome.FAIL, reason=said.reason, owner=said.owner, link=said.link, expires=said.expires)
    return replace(owned, when=said.when or {})


def _failure(owned: Expectation, result: Result) -> Expectation:
    return replace(
        owned,
        target=result.target,
        models=(result.model,),
        outcome=result.outcome,
        stage=result.stage,
        cause=result.cause,
        signature=result.signature,
        since=date.fromisoformat(result.started[:10]) if result.started else today(),
    )


# ---- edits --------------------------------------------------------------------------------------------------------


def edits(book: Book, planned: Plan, gate: Gate, prune: Iterable[Stale] = (), whole: bool = False) -> list[Edit]:
    """The changes of files that `planned` takes. prune: entries whose models are to go. whole: whether the gate has every cell
    of its targets, so that a glob which is left without a failure can go.

    Raises PortingError when a file could not be changed so that it says what it should.
    """
    stale = list(prune)
    targets = dict.fromkeys([entry.target for _, entry in planned.wanted] + [s.expected.target for s in stale])
    made = []
    for target in targets:
        path = book.folder / file_name(target)
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        wanted = [(judged, entry) for judged, entry in planned.wanted if entry.target == target]
        gone = [s for s in stale if s.expected.target == target]
        mended = _mended(gate, target) if whole else ()
        made.append(Edit(path, before, _edited(path, before, wanted, gone, mended)))
    return [edit for edit in made if edit.after != edit.before]


def _edited(
    path: Path,
    text: str,
    wanted: Sequence[tuple[Judged, Expectation]],
    stale: Iterable[Stale],
    mended: Collection[tuple[int, str]],
) -> str:
    document = Document(path, text)
    renamed = {judged.result.model: judged.expected for judged, _ in wanted}
    conditional = {judged.result.model for judged, entry in wanted if entry.when}
    idle = {(s.expected.line, model) for s in stale for model in s.models} | set(mended)
    for number, entry in enumerate(document.entries):
        old = [model for model in entry.models if (entry.line, model) in idle or _left(model, renamed, entry, conditional)]
        if old:
            document.take_out(number, old)
    document = Document(path, document.text)
    for judged, entry in wanted:  # a model may be covered by a glob now that it has no entry of its own
        if not _fits(document, judged, entry):
            document.put(entry)
    after = document.text
    again = Document(path, after)
    for judged, entry in wanted:
        if not _fits(again, judged, entry):
            raise PortingError(f"{path} cannot be changed so that {judged.result.model} is as wanted.", "Edit the file by hand.")
    return after.lstrip("\n") if not text else after


def _left(model: str, renamed: Mapping[str, Expectation | None], entry: Expectation, conditional: Collection[str]) -> bool:
    """Whether a model that is accepted anew leaves an entry: the one that counted, and those without a condition, unless the new
    one has a condition and stands beside them."""
    if model not in renamed:
        return False
    if not entry.when:
        return model not in conditional
    return _counted(renamed[model], entry)


def _counted(expected: Expectation | None, entry: Expectation) -> bool:
    return expected is not None and expected.line == entry.line


def _fits(document: Document, judged: Judged, wanted: Expectation) -> bool:
    """Whether a cell is as expected by a document, and, where it has to be flaky, by an entry of that rate."""
    result = judged.result
    live = tuple(entry for entry in document.entries if entry.models)
    found = Book(Path(), {result.target: live}).expected(result.model, result.target, result.environment)
    if found is None or found.flaky != wanted.flaky:
        return False
    return wanted.flaky is not None or judge_cell(result, found, today()).judgement is Judgement.AS_EXPECTED


def _mended(gate: Gate, target: str) -> set[tuple[int, str]]:
    """Globs of failures all of whose cells pass, as the line of their entry and the glob."""
    covered: dict[int, list[Judged]] = {}
    for (_, on), judged in gate.cells.items():
        if on == target and judged.expected and judged.expected.outcome is not Outcome.PASS:
            covered.setdefault(judged.expected.line, []).append(judged)
    return {
        (line, pattern)
        for line, cells in covered.items()
        if all(judged.judgement is Judgement.NEW_PASS and judged.result.outcome is Outcome.PASS for judged in cells)
        for pattern in cells[0].expected.models  # type: ignore[union-attr]
    }


# ---- by chance ----------------------------------------------------------------------------------------------------


def observed_rate(results: Sequence[Result]) -> tuple[Result, Observed] | None:
    """How often a cell failed, by all its results with the contents of the latest, the oldest first; the latest failure with it.
    None for one that always came to the same."""
    alike = [r for r in results if r.key and r.key == results[-1].key and silence(r) is None]
    failed = [r for r in alike if r.outcome in (Outcome.MISMATCH, Outcome.FAIL)]
    if not failed or not any(r.outcome is Outcome.PASS for r in alike):
        return None
    return failed[-1], Observed(len(failed), len(alike))
