"""What a report tells of time: since when it holds, what changed, day by day, what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from porting.errors import UsageError
from porting.records.diff import Kind
from porting.records.story import Day, Story, tell, thinned
from porting.report.counts import Tally
from porting.store import Store
from porting.types import Cause, Evidence, Outcome, Result, Stage
from porting.workspace import Workspace

PASS, FAIL = (Outcome.PASS, Stage.COMPARE, None), (Outcome.FAIL, Stage.CONVERT, Cause.UNSUPPORTED_OP)
TARGET = "demo:cpu:fp32"
Fate = tuple[Outcome, Stage, Cause | None]


def result(
    model: str, started: str, run: str, fate: Fate = PASS, target: str = TARGET, evidence: Evidence = Evidence.HOST
) -> Result:
    outcome, stage, cause = fate
    message = "Could not find an implementation for Frob(9)" if cause else ""
    return Result(model, target, stage, outcome, cause, evidence, message=message, run=run, started=started, reproduce="again")


HISTORY = [
    ("2026-11-01T10:00:00Z", "one", {"a": PASS, "b": FAIL}),
    ("2026-11-03T10:00:00Z", "two", {"a": PASS, "b": PASS, "c": FAIL}),
    ("2026-11-03T22:00:00Z", "three", {"a": FAIL, "d": PASS}),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        for started, run, fates in HISTORY:
            for model, fate in fates.items():
                opened.append(result(model, started, run, fate))
        yield opened


def told(store: Store, since: str | None = None) -> Story:
    return tell(store, store.latest(), {}, since)


def test_the_present_is_held_against_what_was_known_before_the_last_run(store: Store) -> None:
    story = told(store)
    assert story.since == "2026-11-03T22:00:00Z"
    assert [(change.kind, change.model) for change in story.changes] == [(Kind.BROKEN, "a")]
    assert (story.known, story.new) == (3, 1)


def test_cells_tell_since_when_they_are_so_and_what_they_were_before(store: Store) -> None:
    found = told(store).turns
    assert {model: (turn.start[:10], turn.before) for (model, _), turn in found.items()} == {
        "a": ("2026-11-03", "pass on host evidence"),
        "b": ("2026-11-03", "fail at convert (unsupported_op)"),
        "c": ("2026-11-03", ""),
        "d": ("2026-11-03", ""),
    }
    earlier = tell(store, [result("a", "2026-11-01T10:00:00Z", "one")], {})
    assert earlier.turns == {}, "of what is not the latest nothing is told"


def test_it_can_be_held_against_an_earlier_day(store: Store) -> None:
    story = told(store, "2026-11-02")
    assert {(change.kind, change.model) for change in story.changes} == {(Kind.BROKEN, "a"), (Kind.MENDED, "b")}
    assert (story.known, story.new) == (2, 2)


def test_it_can_be_held_against_a_run_that_this_store_began(store: Store) -> None:
    store.begin_run("later", [("a", TARGET)])
    story = told(store, "later")
    assert story.changes == ()
    assert story.known == 4


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "nobody"])
def test_a_day_or_run_that_is_none_is_one_clear_error(store: Store, since: str) -> None:
    with pytest.raises(UsageError, match=since):
        told(store, since)


def test_a_day_tells_how_things_stood_at_its_end(store: Store) -> None:
    days = told(store).days
    assert [day.date for day in days] == ["2026-11-01", "2026-11-03"]
    assert [day.targets[TARGET].claims() for day in days] == [{Evidence.HOST: 1}, {Evidence.HOST: 2}]
    assert [day.targets[TARGET].total for day in days] == [2, 4]


def test_days_keep_kinds_of_evidence_apart(store: Store) -> None:
    store.append(result("a", "2026-11-04T10:00:00Z", "four", target="other:mlu:fp32", evidence=Evidence.VIRTUAL))
    last = told(store).days[-1]
    assert last.targets["other:mlu:fp32"].claims() == {Evidence.VIRTUAL: 1}
    assert last.targets[TARGET].claims() == {Evidence.HOST: 2}


def test_what_was_recorded_after_the_results_shown_is_not_told(store: Store) -> None:
    shown = [result for result in store.latest() if result.model in ("b", "c")]
    story = tell(store, shown, {})
    assert story.since == "2026-11-03T10:00:00Z"
    assert [day.date for day in story.days] == ["2026-11-01", "2026-11-03"]
    assert story.days[-1].targets[TARGET].total == 2


def test_what_to_mend_is_told_of_the_results_shown(store: Store) -> None:
    (remedy,) = told(store).remedies
    assert (remedy.kind, remedy.name, remedy.turns) == ("operator", "Frob", 2)


def test_only_runs_of_this_machine_may_be_compared(store: Store) -> None:
    store.begin_run("here", [], "porting check a --on demo:cpu:fp32")
    store.begin_run("plainly", [], "porting check a --launcher local")
    store.begin_run("cluster", [], "porting check a --launcher slurm")
    store.begin_run("fleet", [], "porting check a --launcher=ray")
    assert told(store).alone == {"here", "plainly"}


def test_of_many_days_the_first_and_the_last_are_kept() -> None:
    days = [Day(f"day {n}", {"t": Tally({})}) for n in range(500)]
    kept = thinned(days, 60)
    assert len(kept) == 60
    assert (kept[0], kept[-1]) == (days[0], days[-1])
    assert thinned(days[:7], 60) == tuple(days[:7])


def test_results_that_are_missing_have_no_past(store: Store) -> None:
    from porting.report.matrix import missing

    story = tell(store, [missing("nobody", TARGET)], {})
    assert (story.known, story.new, story.changes, story.days) == (0, 0, (), ())


def test_what_was_found_out_of_a_fault_is_told_with_it_and_of_nothing_else(store: Store, tmp_path: Path) -> None:
    workspace = Workspace.find(tmp_path)
    story = tell(store, store.latest(), {}, workspace=workspace)
    faults = {(r.model, r.target) for r in store.latest() if r.outcome is Outcome.FAIL}
    assert story.known_of.keys() == faults
