"""What a run does next."""

from __future__ import annotations

from typing import cast

from porting.bundles.bundle import Bundle
from porting.bundles.bundler import Made
from porting.cells.jobs import Cell
from porting.cells.schedule import BUNDLE, WAITING, Schedule, Work
from porting.types import ModelSpec, Target

MADE = Made(cast(Bundle, None))
ADAPTERS = ("quick", "slow")


def cells(model: str, params: int | None = None) -> list[Cell]:
    spec = ModelSpec(model, "factory", model, params=params)
    return [Cell(spec, Target.parse(f"{adapter}:cpu:fp32"), cast(type, None), "", "") for adapter in ADAPTERS]


def start(schedule: Schedule) -> Work:
    work = schedule.next()
    assert work is not None
    return work


def finish(schedule: Schedule, work: Work) -> None:
    schedule.took(work, {BUNDLE: 5.0, "slow": 20.0, "quick": 1.0}.get(work.kind, 0.0))
    if work.kind == BUNDLE:
        schedule.add_cells(work.cells, MADE)


def order(schedule: Schedule) -> list[str]:
    """Everything by one worker, as it comes."""
    done = []
    while work := schedule.next():
        done.append(f"{work.cells[0].spec.id} {work.kind}")
        finish(schedule, work)
    return done


def test_a_kind_not_seen_yet_is_tried_and_then_the_longest_comes_first_and_the_short_fill_the_end() -> None:
    schedule = Schedule(1)
    schedule.add_models([cells("a"), cells("b")])
    assert order(schedule) == ["a bundle", "a quick", "a slow", "b bundle", "b slow", "b quick"]


def test_the_largest_model_is_first_and_those_of_unknown_size_last_in_their_order() -> None:
    schedule = Schedule(1)
    schedule.add_models([cells("unknown"), cells("small", 10), cells("large", 20), cells("other")])
    assert [start(schedule).cells[0].spec.id for _ in range(4)] == ["large", "small", "unknown", "other"]
    assert schedule.next() is None


def test_what_is_not_here_is_told_before_any_work() -> None:
    schedule = Schedule(1)
    schedule.add_models([cells("a")])
    schedule.add_cells(cells("gone"), None)
    assert order(schedule)[:2] == ["gone ", "gone "]


def test_the_time_left_is_what_the_rest_took_elsewhere() -> None:
    schedule = Schedule(2)
    schedule.add_models([cells("a"), cells("b")])
    bundle = start(schedule)
    assert schedule.left() == 0  # nothing is known
    finish(schedule, bundle)
    finish(schedule, start(schedule))
    finish(schedule, start(schedule))
    assert schedule.left() == (5 + 1 + 20) / 2
    bundle = start(schedule)
    assert schedule.left() == (5 / 2 + 1 + 20) / 2
    finish(schedule, bundle)
    finish(schedule, start(schedule))
    finish(schedule, start(schedule))
    assert schedule.left() == 0


def test_only_so_many_short_cells_wait() -> None:
    schedule = Schedule(1)
    schedule.add_models([cells(f"m{n}") for n in range(4 * WAITING)])
    done = order(schedule)
    half = done[: len(done) // 2]
    behind = sum(" slow" in one for one in half) - sum(" quick" in one for one in half)
    assert 0 < behind <= WAITING + 1
    assert len(done) == 3 * 4 * WAITING
