"""The coordinator's own rules, on a cluster that a test moves by hand: late files, lost jobs, broken devices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from porting import registry
from porting.cells.jobs import Cell, Options
from porting.launch import depot as depots
from porting.launch.cluster import ENDED, RUNNING, WAITING, Kind, State
from porting.launch.fleet import Fleet
from porting.launch.watch import LATE_SECONDS, SETTLE_SECONDS, Clock
from porting.launch.work import FleetWork, Wishes
from porting.types import Cause, ModelSpec, Outcome, Result, Stage, Target

KIND = Kind("npus", 2, 2, "gpu:npu", ("npu",), "n[1-2]")
TARGET = Target.parse("torch:npu:fp32")


class Cluster:
    """Jobs that do what a test says, one after the other; time passes when the coordinator sleeps."""

    def __init__(self, folder: Path, jobs: Iterator[Callable[[Cluster, str, list[int]], None]]) -> None:
        self.folder, self._jobs = folder, jobs
        self.now, self._events = 1000.0, list[tuple[float, Callable[[], None]]]()
        self.found: dict[str, State] = {}

    def kinds(self) -> list[Kind]:
        return [KIND]

    def submit(self, kind: Kind, prefix: str, count: int, device: bool) -> None:
        assert (kind, device) == (KIND, True)
        for number in range(count):
            name = f"{prefix}-{number}"
            cells = json.loads((self.folder / depots.slice_name(name)).read_bytes())["cells"]
            self.found[name] = State(WAITING)
            next(self._jobs)(self, name, [cell[0] for cell in cells])

    def states(self) -> Mapping[str, State]:
        return dict(self.found)

    def cancel(self) -> None: ...

    def alive(self) -> bool:
        return False

    def log(self, name: str) -> Path | None:
        return None

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        self._events.append((self.now + seconds, call))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [event for event in self._events if event[0] <= self.now]
        self._events = [event for event in self._events if event[0] > self.now]
        for _, call in sorted(due, key=lambda event: event[0]):
            call()
        assert self.now < 5000, "the coordinator waits for ever"

    # ---- what jobs do

    def put(self, name: str, said: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(said if isinstance(said, bytes) else json.dumps(said).encode())

    def state(self, name: str, phase: str, word: str) -> None:
        self.found[name] = State(phase, word, "n1", clean=word == "COMPLETED")

    def result(self, name: str, number: int) -> None:
        found = Result(f"m{number}", str(TARGET), Stage.COMPARE, Outcome.PASS, key=str(number), started=started(self.now))
        self.put(depots.result_name(number, name), depots.result_lines(found, b""))


def started(now: float) -> str:
    return f"1970-01-01T00:{int(now // 60):02}:{now % 60:09.6f}Z"


def works(late: float = 0.0, word: str = "COMPLETED") -> Callable[[Cluster, str, list[int]], None]:
    """Works its cells; the files are seen `late` seconds after the scheduler says that the job has ended."""

    def job(cluster: Cluster, name: str, cells: list[int]) -> None:
        cluster.at(1, lambda: cluster.state(name, RUNNING, "RUNNING"))
        cluster.at(5, lambda: cluster.state(name, ENDED, word))
        cluster.at(5 + late, lambda: [cluster.result(name, n) for n in cells] and None)

    return job


def dies(at_work: bool, word: str = "NODE_FAIL") -> Callable[[Cluster, str, list[int]], None]:
    def job(cluster: Cluster, name: str, cells: list[int]) -> None:
        begun = {str(cells[0]): 0} if at_work else {}
        cluster.put(depots.status_name(name), {"node": "n1", "begun": begun, "ended": None})
        cluster.at(5, lambda: cluster.state(name, ENDED, word))

    return job


def breaks(suspects: int) -> Callable[[Cluster, str, list[int]], None]:
    """Finds its device broken, after so many of its cells."""

    def job(cluster: Cluster, name: str, cells: list[int]) -> None:
        cluster.at(1, lambda: cluster.state(name, RUNNING, "RUNNING"))
        said = {"node": name, "devices": "0", "why": "no answer", "suspects": cells[:suspects]}
        cluster.at(2, lambda: cluster.put(depots.broken_name(name), said))

    return job


class Nothing:
    def work(self, cells: Sequence[Cell], done: Any) -> None:
        assert not cells


class Everywhere:
    def route(self, target: Target) -> Kind:
        return KIND


Work = Callable[..., dict[str, Result]]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    def call(*jobs: Callable[[Cluster, str, list[int]], None], cells: int = 1, wishes: Wishes | None = None) -> dict[str, Result]:
        made: list[Cluster] = []

        def cluster(folder: Path, _: str) -> Cluster:
            made.append(Cluster(folder, iter(jobs)))
            return made[-1]

        wishes = wishes or Wishes()
        fleet = Fleet(tmp_path, "run", "store", cluster, {}, Options(), [], wishes, {}, lambda _: None)
        fleet.facts = Everywhere()  # type: ignore[assignment]
        clock = Clock(lambda: made[0].now, lambda: made[0].now, made[0].sleep)
        adapter = registry.adapter("torch")
        planned = [Cell(ModelSpec(f"m{n}", "factory", "m"), TARGET, adapter, str(n), str(n)) for n in range(cells)]
        found: dict[str, Result] = {}

        def done(pairs: Sequence[Any], _: float) -> None:
            for cell, result, _log in pairs:
                assert cell.spec.id not in found, "a second record"
                found[cell.spec.id] = result

        FleetWork(fleet, Nothing(), "run", wishes, lambda *_: None, clock).work(planned, done)  # type: ignore[arg-type]
        fleet.close()
        return found

    return call


@pytest.mark.parametrize(("late", "word"), [(SETTLE_SECONDS - 2, "FAILED"), (LATE_SECONDS - 20, "COMPLETED")])
def test_a_file_that_is_seen_some_time_after_its_job_ended_counts(work: Work, late: float, word: str) -> None:
    found = work(works(late, word))
    assert (found["m0"].outcome, found["m0"].notes) == (Outcome.PASS, ())


@pytest.mark.parametrize(("late", "word"), [(SETTLE_SECONDS + 10, "FAILED"), (LATE_SECONDS + 10, "COMPLETED")])
def test_a_file_that_is_seen_when_its_cell_has_gone_out_again_makes_no_second_record(work: Work, late: float, word: str) -> None:
    found = work(works(late, word), works())
    assert found["m0"].outcome is Outcome.PASS


def test_how_often_a_lost_cell_goes_out_again_is_bounded_and_on_record(work: Work) -> None:
    found = work(dies(True), dies(True), works(), wishes=Wishes(retries=2))
    assert (found["m0"].outcome, len(found["m0"].notes)) == (Outcome.PASS, 2)
    assert found["m0"].notes[0] == "worked again: NODE_FAIL on n1"


def test_a_cell_that_is_lost_each_time_is_given_up_and_says_how_often(work: Work) -> None:
    found = work(dies(True), dies(True, "OUT_OF_MEMORY"), wishes=Wishes(retries=1))
    assert (found["m0"].outcome, found["m0"].cause) == (Outcome.FAIL, Cause.HOST_OOM)
    assert found["m0"].message == "2 jobs ended while they worked this cell, the last one: OUT_OF_MEMORY on n1"


def test_neighbours_of_a_lost_cell_are_not_counted(work: Work) -> None:
    found = work(dies(True), works(), works(), cells=3, wishes=Wishes(retries=0, cells=3))
    assert found["m0"].cause is Cause.HARNESS
    assert [(found[m].outcome, found[m].notes) for m in ("m1", "m2")] == [(Outcome.PASS, ())] * 2


def test_the_cells_of_a_broken_device_go_to_another(work: Work) -> None:
    found = work(breaks(0), works(), cells=2, wishes=Wishes(retries=0, cells=2))
    assert {(r.outcome, r.notes) for r in found.values()} == {(Outcome.PASS, ())}


def test_a_cell_after_which_two_devices_are_broken_is_why(work: Work) -> None:
    found = work(breaks(1), breaks(1), works(), cells=2, wishes=Wishes(cells=2))
    assert (found["m0"].outcome, found["m0"].cause, found["m0"].stage) == (Outcome.FAIL, Cause.CRASH, Stage.RUN)
    assert found["m0"].notes == ("before: s0-0 device 0 failed the canary after it",)


def test_when_no_device_is_left_what_remains_says_so(work: Work) -> None:
    found = work(breaks(0), breaks(0), cells=1)
    assert (found["m0"].outcome, found["m0"].cause) == (Outcome.FAIL, Cause.HARNESS)
    assert found["m0"].message.startswith("every device of npus that this run was given fails the canary: s0-0 device 0")
