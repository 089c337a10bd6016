"""The cells of one run on a cluster: slices go out, results come in, what was lost goes out again.

What a cell's result is comes from its file alone. What the scheduler says of a job is used for one thing: to know that no more
files will come, and what to write of a cell whose job ended again and again.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from porting.cells.jobs import Cell, utc_now
from porting.errors import PortingError
from porting.launch import Done, Tell, slices
from porting.launch import depot as depots
from porting.launch.cluster import RUNNING, WAITING, Kind, State
from porting.launch.interrupt import asking
from porting.launch.local import Local
from porting.launch.slices import Numbers, Slice
from porting.launch.watch import CLOCK, POLL_SECONDS, Clock, Watch, patient
from porting.serialization import Json, to_json
from porting.signature import signature
from porting.types import Cause, Outcome, Result, Stage

if TYPE_CHECKING:
    from porting.launch.fleet import Fleet
    from porting.store.logs import Log

BREAKS = 2
"""Devices that one cell may break: those on which the canary passes before it and fails after it."""

SHOWN = 8
"""Nodes that the view names."""


@dataclass(frozen=True)
class Wishes:
    """How a fleet works."""

    retries: int = 2
    """How often a cell is tried again whose job ended without its result."""
    cells: int = 0
    """Of one job; 0 works it out."""
    canary: bool = True
    """Whether devices are asked, by a model that is known to work, before a job and after a failure."""


class FleetWork:
    """Works the cells of one run."""

    def __init__(self, fleet: Fleet, local: Local, run: str, wishes: Wishes, tell: Tell, clock: Clock = CLOCK) -> None:
        self._fleet, self._local, self._run, self._wishes, self._tell = fleet, local, run, wishes, tell
        self._clock = clock
        self._cells: Sequence[Cell] = ()
        self._open: dict[str, Slice] = {}
        self._tries: dict[int, list[str]] = defaultdict(list)
        """By cell: how the jobs ended that were lost with it."""
        self._broke: dict[int, int] = defaultdict(int)
        """By cell: devices that failed the canary after it."""
        self._held: dict[Kind, dict[str, str]] = defaultdict(dict)
        """Jobs that keep a broken device from others: what is said of it, by slice."""
        self._sent: dict[str, float] = {}
        """When each slice was queued, in seconds since the epoch, by our clock."""
        self._started = clock.now()
        self._batches = 0
        self._left: set[int] = set()
        """Cells whose results may still come."""

    def work(self, cells: Sequence[Cell], done: Done) -> None:
        """Work every cell; see porting.launch.Launcher."""
        self._cells, self._done, watch = cells, done, Watch(self._fleet.cluster, self._clock)
        routes = [self._fleet.facts.route(cell.target) for cell in cells]
        self._local.work([cell for cell, kind in zip(cells, routes, strict=True) if kind is None], done)
        routed = [(number, kind) for number, kind in enumerate(routes) if kind]
        self._left = {number for number, _ in routed}
        try:
            self._send(slices.chunks(cells, routed, self._wishes.cells, self._fleet.expected))
            with asking() as interrupted:
                while self._open:
                    interrupted()
                    self._step(watch)
        except BaseException:  # whatever it was, it goes on after what came is recorded and the jobs are ended
            self._give_up()
            raise

    def _step(self, watch: Watch) -> None:
        """Take in what came, send out what was lost, and wait a moment."""
        self._collect()
        for path, said in depots.broken_in(self._fleet.folder):
            self._quarantine(path.stem, said)
            path.unlink(missing_ok=True)
        if watch.look():
            self._tell(self._view(watch))
        self._mend(watch)
        if self._open:
            self._clock.sleep(POLL_SECONDS)

    # ---- out

    def _send(self, parts: Iterable[tuple[Kind, Numbers]]) -> None:
        """Queue a job for each; those of a kind, and with or without a device, are one array."""
        for (kind, device), some in slices.arrays(self._cells, parts).items():
            if device and self._none_left(kind):
                self._abandon(kind, [n for part in some for n in part])
                continue
            prefix, self._batches = f"s{self._batches}", self._batches + 1
            for number, part in enumerate(some):
                self._write(f"{prefix}-{number}", kind, device, part)
            patient(self._fleet.cluster.submit, kind, prefix, len(some), device)

    def _write(self, name: str, kind: Kind, device: bool, numbers: Numbers) -> None:
        specs = {self._cells[n].spec.id: self._cells[n].spec for n in numbers}
        place = {identifier: number for number, identifier in enumerate(specs)}
        cells = [[n, place[self._cells[n].spec.id], str(self._cells[n].target)] for n in numbers]
        what = {"specs": [to_json(spec) for spec in specs.values()], "cells": cells, "canary": device and self._wishes.canary}
        self._fleet.write_slice(name, kind, device, **what)
        self._open[name], self._sent[name] = Slice(name, kind, device, tuple(numbers)), self._clock.wall()

    # ---- in

    def _collect(self) -> None:
        """Take in the results that are there: recorded first, removed then."""
        taken: list[Path] = []
        found: dict[int, tuple[Cell, Result, Log | None]] = {}
        for path, number, name in depots.results_in(self._fleet.folder):
            taken.append(path)
            pair = depots.result_at(path) if number in self._left and number not in found else None
            if pair and (pair[0].model, pair[0].target) == (self._cells[number].spec.id, str(self._cells[number].target)):
                result = depots.timed(pair[0], self._sent.get(name, 0.0), self._clock.wall())
                found[number] = self._cells[number], self._noted(number, result), pair[1]
        if found:
            left = len(self._left) - len(found)
            pace = (self._clock.now() - self._started) / (len(self._cells) - left)
            self._done(list(found.values()), pace * left)
            self._left -= found.keys()  # not before: what is interrupted in between is brought again, and recorded once
        for path in taken:
            path.unlink(missing_ok=True)

    def _noted(self, number: int, result: Result) -> Result:
        """A result with what was lost before it came."""
        lost = tuple(f"worked again: {how}" for how in self._tries[number])
        return replace(result, notes=(*result.notes, *lost)) if lost else result

    def _left_of(self, part: Slice) -> list[int]:
        return [n for n in part.cells if n in self._left]

    # ---- lost

    def _mend(self, watch: Watch) -> None:
        """Close the slices that are done; of those whose jobs ended before, send out again what is left."""
        again: list[tuple[Kind, Numbers]] = []
        for part in list(self._open.values()):
            if not self._left_of(part):
                del self._open[part.name]
            elif watch.is_over(part.name):
                self._collect()  # what came between the last look and the end
                del self._open[part.name]
                state = watch.states.get(part.name)
                again += self._lost(part, state)
        self._send(again)

    def _lost(self, part: Slice, state: State | None) -> list[tuple[Kind, Numbers]]:
        """What of a lost slice is to be worked again. Suspects are the cells that were being worked when it ended, or all when
        none was and nothing had come of it."""
        left, status = self._left_of(part), self._status(part.name)
        begun = {int(number) for number in status.get("begun", ())}
        suspects = [n for n in left if n in begun] or (left if len(left) == len(part.cells) else [])
        said = Cause(status["cause"]) if status.get("cause") else _CAUSES.get(state.word if state else "", Cause.HARNESS)
        cause = said if len(slices.models(self._cells, part.cells)) == 1 else Cause.HARNESS
        return self._again(part.kind, left, suspects, self._fleet.why(part.name, state), cause)

    def _again(
        self, kind: Kind, left: Numbers, suspects: Numbers, why: str, cause: Cause = Cause.HARNESS
    ) -> list[tuple[Kind, Numbers]]:
        """Suspects go apart from the others, a model a job, and only so often; the others are not counted."""
        for number in suspects:
            self._tries[number].append(why)
        lost = [n for n in suspects if len(self._tries[n]) > self._wishes.retries]
        self._answer([(n, self._gap(n, cause)) for n in lost])
        others = [n for n in left if n not in suspects]
        groups = slices.models(self._cells, (n for n in suspects if n in self._left))
        return [(kind, group) for group in [*groups, *([others] if others else [])]]

    def _answer(self, found: Sequence[tuple[int, Result]]) -> None:
        """Record what was made up here of cells that no job has a result of."""
        if found:
            self._left -= {number for number, _ in found}
            self._done([(self._cells[n], result, None) for n, result in found], 0.0)

    def _gap(self, number: int, cause: Cause) -> Result:
        """What is recorded of a cell whose jobs all ended without its result."""
        tries = self._tries[number]
        message = f"{len(tries)} jobs ended while they worked this cell, the last one: {tries[-1]}"
        return self._failure(number, Stage.ENVIRONMENT, cause, message, tuple(f"tried before: {how}" for how in tries[:-1]))

    def _failure(self, number: int, stage: Stage, cause: Cause, message: str, notes: tuple[str, ...] = ()) -> Result:
        cell = self._cells[number]
        return Result(
            model=cell.spec.id,
            target=str(cell.target),
            stage=stage,
            outcome=Outcome.FAIL,
            cause=cause,
            signature=signature(cell.target.adapter, stage, cause, message),
            message=message,
            notes=notes,
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

    # ---- broken devices

    def _quarantine(self, name: str, said: Json) -> None:
        """Send out again what a job left that found its device broken. The job itself keeps the device, so that the scheduler
        gives it to nobody; when all of a kind are kept so, its cells are given up."""
        part = self._open.pop(name, None)
        if part is None:  # it has been lost meanwhile
            return
        self._collect()
        device = f"{said['node']} device {said['devices'] or '?'}"
        self._held[part.kind][name] = f"{device} fails the canary: {said['why']}"
        self._tell(self._held[part.kind][name], "news")
        for number in said["suspects"]:
            self._broke[number] += 1
        breakers = [n for n in said["suspects"] if self._broke[n] >= BREAKS and n in self._left]
        self._answer([(n, self._breaker(n, device)) for n in breakers])
        left = self._left_of(part)
        self._send(
            self._again(part.kind, left, [n for n in said["suspects"] if n in left], f"{device} failed the canary after it")
        )
        if self._none_left(part.kind):
            for other in [other for other in self._open.values() if other.kind == part.kind and other.device]:
                del self._open[other.name]
                self._abandon(part.kind, self._left_of(other))

    def _none_left(self, kind: Kind) -> bool:
        """Whether every device of a kind is kept from cells."""
        return len(self._held[kind]) >= kind.slots

    def _breaker(self, number: int, device: str) -> Result:
        """What is recorded of a cell after which several devices were broken that had been sound before."""
        message = f"{self._broke[number]} devices passed the canary before this cell and failed it after, the last one {device}"
        return self._failure(number, Stage.RUN, Cause.CRASH, message, tuple(f"before: {how}" for how in self._tries[number]))

    def _abandon(self, kind: Kind, numbers: Numbers) -> None:
        """Give up cells that need a device of a kind that has no sound one left."""
        said = "; ".join(self._held[kind].values())
        message = f"every device of {kind.label} that this run was given fails the canary: {said}"[:2000]
        self._answer([(n, self._failure(n, Stage.ENVIRONMENT, Cause.HARNESS, message)) for n in numbers])

    # ---- told

    def _status(self, name: str) -> Json:
        return depots.read_json(self._fleet.folder / depots.status_name(name))

    def _view(self, watch: Watch) -> str:
        """What the nodes are at, in one line: of many, some."""
        running = [n for n in self._open if (state := watch.states.get(n)) and state.phase == RUNNING]
        nodes = []
        for status in map(self._status, running[-SHOWN:]):
            begun = [self._cells[int(n)] for n in status.get("begun", ())]
            nodes += [f"{status['node']}: {begun[0].spec.id} on {begun[0].target}"] if begun else []
        waiting = [s for name in self._open if (s := watch.states.get(name)) and s.phase == WAITING]
        why = next((f" ({s.reason})" for s in waiting if s.reason not in ("", "None")), "")
        broken = sum(map(len, self._held.values()))
        head = f"{len(running)} jobs run, {len(waiting)} wait{why}{f', {broken} broken devices' if broken else ''}"
        return "; ".join([f"{watch.away} {head}" if watch.away else head, *sorted(nodes)])


_CAUSES = {"OUT_OF_MEMORY": Cause.HOST_OOM, "TIMEOUT": Cause.TIMEOUT}
"""What a scheduler's word says of a cell that was alone in its job."""
