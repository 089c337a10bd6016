"""The cells of one run on a cluster: slices go out, results come in, what was lost goes out again.

What a cell's result is comes from its file alone. What the scheduler says of a job is used for one thing: to know that no more
files will come, and what to write of a cell whose job ended again and again.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from porting.errors import PortingError
from porting.jobs import Cell, utc_now
from porting.launch import Done
from porting.launch import depot as depots
from porting.launch.cluster import RUNNING, WAITING, Kind, State
from porting.launch.facts import needs_device
from porting.launch.local import Local, by_model
from porting.launch.watch import POLL_SECONDS, Watch, patient
from porting.signature import signature
from porting.types import Cause, Outcome, Result, Stage, to_json

if TYPE_CHECKING:
    from porting.launch.fleet import Fleet
    from porting.store.logs import Log

CELLS = 32
"""Cells of a job at most, but for a model that has more."""
WAVES = 4
"""Jobs for each place that works them, so that one that gets easy cells gets more of them."""


@dataclass(frozen=True)
class Wishes:
    """How a fleet works."""

    retries: int = 2
    """How often a cell is tried again whose job ended without its result."""
    cells: int = 0
    """Of one job; 0 works it out."""


@dataclass
class Slice:
    """Some cells, as one job works them."""

    name: str
    kind: Kind
    cells: tuple[int, ...]


class FleetWork:
    """Works the cells of one run."""

    def __init__(self, fleet: Fleet, local: Local, run: str, wishes: Wishes, tell: Callable[[str], None]) -> None:
        self._fleet, self._local, self._run, self._wishes, self._tell = fleet, local, run, wishes, tell
        self._cells: Sequence[Cell] = ()
        self._open: dict[str, Slice] = {}
        self._tries: dict[int, list[str]] = defaultdict(list)
        """By cell: how the jobs ended that were lost with it."""
        self._started = time.monotonic()
        self._batches = 0
        self._left: set[int] = set()
        """Cells whose results may still come."""

    def work(self, cells: Sequence[Cell], done: Done) -> None:
        """Work every cell; see porting.launch.Launcher."""
        self._cells, self._done, watch = cells, done, Watch(self._fleet.cluster)
        routes = [self._fleet.facts.route(cell.target) for cell in cells]
        self._local.work([cell for cell, kind in zip(cells, routes, strict=True) if kind is None], done)
        routed = [(number, kind) for number, kind in enumerate(routes) if kind]
        self._left = {number for number, _ in routed}
        try:
            self._send(self._slices(routed))
            while self._open:
                self._collect()
                if watch.look():
                    self._tell(self._view(watch))
                self._mend(watch)
                if self._open:
                    time.sleep(POLL_SECONDS)
        except BaseException:  # whatever it was, it goes on after what came is recorded and the jobs are ended
            self._give_up()
            raise

    # ---- out

    def _slices(self, routed: Sequence[tuple[int, Kind]]) -> list[tuple[Kind, list[int]]]:
        """Cells by job: models whole, the largest first; every kind begins at another one, so that few wait for each other's
        bundles."""
        kinds: dict[Kind, list[int]] = defaultdict(list)
        for number, kind in routed:
            kinds[kind].append(number)
        found = []
        for place, (kind, numbers) in enumerate(kinds.items()):
            size = self._wishes.cells or min(CELLS, max(1, -(-len(numbers) // (WAVES * kind.slots))))
            groups = sorted(self._models(numbers), key=lambda group: -(self._cells[group[0]].spec.params or 0))
            turn = place * len(groups) // len(kinds)
            found += [(kind, chunk) for chunk in _packed([*groups[turn:], *groups[:turn]], size)]
        return found

    def _models(self, numbers: Iterable[int]) -> list[list[int]]:
        """Numbers of cells by model."""
        number_of = {(self._cells[n].spec.id, self._cells[n].target): n for n in numbers}
        groups = by_model(self._cells[n] for n in number_of.values())
        return [[number_of[cell.spec.id, cell.target] for cell in group] for group in groups]

    def _send(self, slices: Sequence[tuple[Kind, Sequence[int]]]) -> None:
        """Queue a job for each; those of a kind, and with or without a device, are one array."""
        arrays: dict[tuple[Kind, bool], list[Sequence[int]]] = defaultdict(list)
        for kind, numbers in slices:
            for device in (False, True):
                some = [n for n in numbers if needs_device(self._cells[n].target, kind) is device]
                if some:
                    arrays[kind, device].append(some)
        for (kind, device), parts in arrays.items():
            prefix, self._batches = f"s{self._batches}", self._batches + 1
            for number, part in enumerate(parts):
                self._write(f"{prefix}-{number}", kind, device, part)
            patient(self._fleet.cluster.submit, kind, prefix, len(parts), device)

    def _write(self, name: str, kind: Kind, device: bool, numbers: Sequence[int]) -> None:
        specs = {self._cells[n].spec.id: self._cells[n].spec for n in numbers}
        place = {identifier: number for number, identifier in enumerate(specs)}
        cells = [[n, place[self._cells[n].spec.id], str(self._cells[n].target)] for n in numbers]
        self._fleet.write_slice(name, kind, device, specs=[to_json(spec) for spec in specs.values()], cells=cells)
        self._open[name] = Slice(name, kind, tuple(numbers))

    # ---- in

    def _collect(self) -> None:
        """Take in the results that are there: recorded first, removed then."""
        taken: list[Path] = []
        found: dict[int, tuple[Cell, Result, Log | None]] = {}
        for path, number, _ in depots.results_in(self._fleet.folder):
            taken.append(path)
            pair = depots.result_at(path) if number in self._left and number not in found else None
            if pair and (pair[0].model, pair[0].target) == (self._cells[number].spec.id, str(self._cells[number].target)):
                found[number] = self._cells[number], self._noted(number, pair[0]), pair[1]
        if found:
            self._left -= found.keys()
            pace = (time.monotonic() - self._started) / (len(self._cells) - len(self._left))
            self._done(list(found.values()), pace * len(self._left))
        for path in taken:
            path.unlink(missing_ok=True)

    def _noted(self, number: int, result: Result) -> Result:
        """A result with what was lost before it came."""
        lost = tuple(f"worked again: {how}" for how in self._tries[number])
        return replace(result, notes=(*result.notes, *lost)) if lost else result

    def _mend(self, watch: Watch) -> None:
        """Close the slices that are done; of those whose jobs ended before, send out again what is left."""
        again: list[tuple[Kind, Sequence[int]]] = []
        for part in list(self._open.values()):
            left = [n for n in part.cells if n in self._left]
            if not left:
                del self._open[part.name]
            elif watch.is_over(part.name):
                self._collect()  # what came between the last look and the end
                left = [n for n in part.cells if n in self._left]
                del self._open[part.name]
                again += self._again(part, left, watch.states.get(part.name))
        if again:
            self._send(again)

    def _again(self, part: Slice, left: Sequence[int], state: State | None) -> list[tuple[Kind, Sequence[int]]]:
        """What of a lost slice is to be worked again. Cells that were being worked when it ended, or all when none was and
        nothing had come of it, are suspects: they go apart from the others, a model a job, and only so often."""
        status = depots.read_json(self._fleet.folder / depots.status_name(part.name))
        begun = {int(number) for number in status.get("begun", ())}
        why = self._fleet.why(part.name, state)
        suspects = [n for n in left if n in begun] or (left if len(left) == len(part.cells) else [])
        for number in suspects:
            self._tries[number].append(why)
        lost = [n for n in suspects if len(self._tries[n]) > self._wishes.retries]
        if lost:
            self._left -= set(lost)
            alone = len(self._models(part.cells)) == 1
            self._done([(self._cells[n], self._gap(n, state, alone), None) for n in lost], 0.0)
        others = [n for n in left if n not in suspects]
        groups = self._models(n for n in suspects if n not in lost)
        return [(part.kind, group) for group in [*groups, *([others] if others else [])]]

    def _gap(self, number: int, state: State | None, alone: bool) -> Result:
        """What is recorded of a cell whose jobs all ended without its result."""
        cell, tries = self._cells[number], self._tries[number]
        cause = _CAUSES.get(state.word if state else "", Cause.HARNESS) if alone else Cause.HARNESS
        message = f"{len(tries)} jobs ended while they worked this cell, the last one: {tries[-1]}"
        return Result(
            model=cell.spec.id,
            target=str(cell.target),
            stage=Stage.ENVIRONMENT,
            outcome=Outcome.FAIL,
            cause=cause,
            signature=signature(cell.target.adapter, Stage.ENVIRONMENT, cause, message),
            message=message,
            notes=tuple(f"tried before: {how}" for how in tries[:-1]),
            key=cell.key,
            run=self._run,
            family=cell.spec.family,
            reproduce=f"porting check {cell.spec.id} --on {cell.target}",
            started=utc_now(),
        )

    def _give_up(self) -> None:
        """End the jobs, and record what came until then."""
        with contextlib.suppress(PortingError):  # a scheduler that is away: the next run ends what this one left
            self._fleet.cluster.cancel()
        with contextlib.suppress(PortingError):  # a store that is away: the files stay, and the next run records them
            self._collect()

    def _view(self, watch: Watch) -> str:
        """What all nodes are at, in one line."""
        names = list(self._open)
        running = [name for name in names if (s := watch.states.get(name)) and s.phase == RUNNING]
        nodes = []
        for name in running:
            status = depots.read_json(self._fleet.folder / depots.status_name(name))
            begun = [self._cells[int(n)] for n in status.get("begun", ())]
            nodes += [f"{status['node']}: {begun[0].spec.id} on {begun[0].target}"] if begun else []
        waiting = [s for name in names if (s := watch.states.get(name)) and s.phase == WAITING]
        why = next((f" ({s.reason})" for s in waiting if s.reason not in ("", "None")), "")
        head = f"{len(running)} jobs run, {len(waiting)} wait{why}"
        return "; ".join([f"{watch.away} {head}" if watch.away else head, *sorted(nodes)])


_CAUSES = {"OUT_OF_MEMORY": Cause.HOST_OOM, "TIMEOUT": Cause.TIMEOUT}
"""What a scheduler's word says of a cell that was alone in its job."""


def _packed(groups: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Whole groups together, at most `size` numbers each but for a group that has more."""
    chunk: list[int] = []
    for group in groups:
        if chunk and len(chunk) + len(group) > size:
            yield chunk
            chunk = []
        chunk = [*chunk, *group]
    if chunk:
        yield chunk
