"""Works cells on this machine, as many at a time as it has cores."""

from __future__ import annotations

import contextlib
import operator
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from itertools import compress
from typing import Any

from porting.bundles.bundler import Bundler, Made
from porting.bundles.room import Room
from porting.cells.cell import CellRun, device_state
from porting.cells.jobs import Cell, Jobs, Options
from porting.cells.schedule import BUNDLE, Schedule, Work
from porting.launch import Done
from porting.types import Result


class Local:
    """The launcher of this machine, and of every node of a cluster."""

    def __init__(
        self,
        jobs: Jobs,
        bundler: Bundler,
        options: Options,
        run_id: str,
        on_bundle: Callable[[str], None] = lambda _: None,
    ) -> None:
        """on_bundle: told when a model is going to be built."""
        self._jobs, self._bundler, self._options, self._run_id = jobs, bundler, options, run_id
        self._on_bundle = on_bundle
        self.around: Callable[[Sequence[Cell]], AbstractContextManager[object]] = contextlib.nullcontext
        """Entered while a piece of work is done, with the cells that it is for."""

    def work(self, cells: Sequence[Cell], done: Done) -> None:
        """Keep every worker busy until each cell has its result."""
        self._jobs.expected = len(cells)
        schedule = self._schedule(cells)
        room = Room(self._jobs.workspace.bundles, self._bundler, (cell.bundle_key for cell in cells))
        active: dict[Future[Any], tuple[Work, float]] = {}
        with ThreadPoolExecutor(schedule.workers) as pool:
            try:
                while True:
                    while len(active) < schedule.workers and (work := schedule.next()):
                        active[pool.submit(self._do, work)] = work, time.monotonic()
                    if not active:
                        return
                    for future in wait(active, return_when=FIRST_COMPLETED).done:
                        work, start = active.pop(future)
                        schedule.took(work, time.monotonic() - start)
                        if work.kind == BUNDLE:
                            schedule.add_cells(work.cells, future.result())
                            continue
                        done([(work.cells[0], *future.result())], schedule.left())
                        room.done(work.cells[0].bundle_key)
            except BaseException:
                self._jobs.cancel()  # so that the threads come back
                raise

    def _schedule(self, cells: Sequence[Cell]) -> Schedule:
        schedule = Schedule(self._options.workers or len(os.sched_getaffinity(0)))
        available = [device_state(cell, self._jobs).available for cell in cells]
        schedule.add_models(by_model(compress(cells, available)))
        schedule.add_cells(compress(cells, map(operator.not_, available)), None)
        return schedule

    def _do(self, work: Work) -> Made | tuple[Result, bytes]:
        with self.around(work.cells):
            return self.make(work.cells) if work.kind == BUNDLE else self._cell(work.cells[0], work.made)

    def make(self, cells: Sequence[Cell]) -> Made:
        """Make the bundle of a model for the cells that need it."""
        self._on_bundle(cells[0].spec.id)
        return self._bundler.make(cells)

    def _cell(self, cell: Cell, made: Made | None) -> tuple[Result, bytes]:
        run = CellRun(cell, made, self._jobs, self._bundler, self._options, self._run_id)
        try:
            return run.run()
        finally:
            run.clean()


def by_model(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that share a bundle, in the order in which their models come."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.bundle_key, []).append(cell)
    return list(groups.values())
