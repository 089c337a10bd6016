"""The one pipeline: plan cells, make each model's bundle once, work every cell, record it.

`check`, `convert`, the catalog run and every launcher go through here. The steps of a bundle are in porting.bundler, those
of a cell in porting.cell, what comes next in porting.schedule.
"""

from __future__ import annotations

import operator
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import cache, keys
from porting.bundle import Bundle, FormKey
from porting.bundler import Bundler, Made
from porting.cell import CellRun, device_state
from porting.errors import PortingError
from porting.jobs import Cell, Jobs, Options, Trail
from porting.schedule import BUNDLE, Schedule, Work
from porting.types import INFRASTRUCTURE, WRONG_INPUT, ModelSpec, Outcome, Precision, Result, Target
from porting.workspace import Workspace

if TYPE_CHECKING:
    from porting.store import Store


@dataclass(frozen=True)
class Event:
    """Progress, for whoever shows it."""

    kind: str
    """`plan`, `bundle` (a model is being built), `cell` (one has its result) or `chunk` (several have)."""
    model: str = ""
    target: str = ""
    result: Result | None = None
    done: int = 0
    """Cells that have a result."""
    total: int = 0
    left: float = 0.0
    """Seconds until all is done, by what this run has taken so far; of a cell's or chunk's event."""


class Pipeline:
    """Checks models on targets. One object a run; leaving its context ends every job."""

    def __init__(
        self,
        workspace: Workspace,
        store: Store | None,
        options: Options | None = None,
        environments: Mapping[str, Mapping[str, Any]] | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        run_id: str = "",
    ) -> None:
        """run_id: of the run that this one goes on with; a new one when not given."""
        self.options = options or Options()
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self.jobs = Jobs(workspace.prepare(), self.options, environments or {})
        self._store = store
        self._bundler = Bundler(self.jobs, self.options, self.run_id)
        self.tell = on_event
        """Whoever shows progress."""
        self._given = self.options.given.name if self.options.given else ""  # it is named by its contents

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close()
        self._bundler.close()

    def plan(self, specs: Sequence[ModelSpec], targets: Sequence[Target]) -> list[Cell]:
        """Every cell with its content key. Probes the adapters, each once."""
        from porting import registry

        cells = []
        for spec in specs:
            bundle = self.bundle_key(spec)
            for target in targets:
                versions = self.jobs.prober.probe(target.adapter).versions
                key = keys.cell_key(bundle, target, registry.fingerprint(target.adapter), versions)
                cells.append(Cell(spec, target, registry.adapter(target.adapter), bundle, key))
        return cells

    def check(self, specs: Sequence[ModelSpec], targets: Sequence[Target]) -> list[Result]:
        """Check every model on every target. Returns a result a cell, in that order; each is recorded when it comes."""
        cells = self.plan(specs, targets)
        results = self._known(cells)
        if self._store:
            self._store.begin_run(self.run_id, [(c.spec.id, str(c.target)) for c in cells], self.options.command)
            self._store.reuse(self.run_id, results.values())
        self.tell(Event("plan", done=len(results), total=len(cells)))
        status = "interrupted"
        try:
            self._work([cell for cell in cells if cell.key not in results], results, len(cells))
            status = "finished"
        finally:
            if self._store:
                self._store.finish_run(self.run_id, status)
        return [results[cell.key] for cell in cells]

    def convert(self, spec: ModelSpec, target: Target) -> tuple[CellRun, Result]:
        """Work one cell and keep its artifact, for the caller to take and then `clean`."""
        cell = self.plan([spec], [target])[0]
        self.tell(Event("plan", total=1))
        made = self._make([cell]) if device_state(cell, self.jobs).available else None
        run = CellRun(cell, made, self.jobs, self._bundler, self.options, self.run_id)
        try:
            result, log = run.run()
            if self._store:
                self._store.append(result, log)
        except BaseException:  # whatever it was, it goes on after the artifact is gone
            run.clean()
            raise
        self.tell(Event("cell", spec.id, str(target), result, 1, 1))
        return run, result

    def reference(self, spec: ModelSpec, precisions: Iterable[Precision]) -> Made:
        """The bundle of a model with its noise at `precisions`, made where it is not there; no form is exported for it."""
        return self._bundler.reference(spec, self.bundle_key(spec), set(precisions))

    def room(self, bundle_keys: Iterable[str]) -> Room:
        """Keeps the cache within its limit while these are worked; a key given twice has to be done twice."""
        return Room(self.jobs.workspace.bundles, self._bundler, bundle_keys)

    def made(self, cell: Cell) -> Made:
        """The bundle of a cell's model, with the form that its adapter needs; made where it is not there."""
        return self._make([cell])

    def with_form(self, cell: Cell, bundle: Bundle, form: FormKey, trail: Trail) -> Bundle:
        """The bundle with a certain form, or with the reason why there is none."""
        return self._bundler.with_form(cell, bundle, form, trail)

    def with_precision(self, cell: Cell, bundle: Bundle, precision: Precision) -> Bundle:
        """The bundle with the noise of a precision that a backend chose by itself. Raises Stop when it proves nothing there."""
        return self._bundler.with_precision(cell, bundle, precision, Trail())

    def bundle_key(self, spec: ModelSpec) -> str:
        """Content key of a model's bundle."""
        return keys.bundle_key(spec, _fingerprint(spec), self._given)

    def _known(self, cells: Sequence[Cell]) -> dict[str, Result]:
        """Results of equal contents that answer again."""
        if not self._store or self.options.rerun or self.options.rebuild or self.options.bench_seconds:
            return {}
        return reusable(self._store.by_keys(cell.key for cell in cells))

    def _work(self, cells: Sequence[Cell], results: dict[str, Result], total: int) -> None:
        """Keep every worker busy until each cell has its result."""
        self.jobs.expected = len(cells)
        schedule, room = self._schedule(cells), self.room(cell.bundle_key for cell in cells)
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
                        cell = work.cells[0]
                        result = results[cell.key] = future.result()
                        room.done(cell.bundle_key)
                        done, left = len(results), schedule.left()
                        self.tell(Event("cell", cell.spec.id, str(cell.target), result, done, total, left))
            except BaseException:
                self.jobs.cancel()  # so that the threads come back
                raise

    def _schedule(self, cells: Sequence[Cell]) -> Schedule:
        schedule = Schedule(self.options.workers or len(os.sched_getaffinity(0)))
        available = [device_state(cell, self.jobs).available for cell in cells]
        schedule.add_models(_by_model(compress(cells, available)))
        schedule.add_cells(compress(cells, map(operator.not_, available)), None)
        return schedule

    def _do(self, work: Work) -> Made | Result:
        return self._make(work.cells) if work.kind == BUNDLE else self._cell(work.cells[0], work.made)

    def _make(self, cells: Sequence[Cell]) -> Made:
        self.tell(Event("bundle", cells[0].spec.id))
        return self._bundler.make(cells)

    def _cell(self, cell: Cell, made: Made | None) -> Result:
        run = CellRun(cell, made, self.jobs, self._bundler, self.options, self.run_id)
        try:
            result, log = run.run()
        finally:
            run.clean()
        if self._store:
            self._store.append(result, log)
        return result


class Room:
    """Lets bundles go as soon as their last cell is worked, and keeps the cache within its limit while a run goes on."""

    EVERY = 60.0
    """Seconds between two looks at the disk; each costs a stat a file."""

    def __init__(self, folder: Path, bundler: Bundler, bundle_keys: Iterable[str]) -> None:
        """Raises UsageError for a limit that is none."""
        self._folder, self._bundler = folder, bundler
        self._left = Counter(bundle_keys)
        self._looked = -self.EVERY
        cache.limit_of(folder, ())  # a limit that is none is told before the work

    def done(self, bundle_key: str) -> None:
        """Say that one piece of work on a bundle is done."""
        self._left[bundle_key] -= 1
        if self._left[bundle_key]:
            return
        self._bundler.release(bundle_key)
        if time.monotonic() - self._looked >= self.EVERY:
            cache.prune(self._folder)
            self._looked = time.monotonic()


def reusable(found: Mapping[str, Result]) -> dict[str, Result]:
    """Those results that answer again: not what speaks of the rig, of wrong input or of something missing here."""
    passing = INFRASTRUCTURE | WRONG_INPUT
    return {key: r for key, r in found.items() if r.outcome is not Outcome.UNAVAILABLE and r.cause not in passing}


def _fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """What the source depends on; when it cannot say, building the model will say why."""
    from porting import sources

    try:
        return sources.source(spec.source).fingerprint(spec)
    except PortingError as error:
        return {"unknown": str(error)}


def _by_model(cells: Iterable[Cell]) -> Iterable[Sequence[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.bundle_key, []).append(cell)
    return groups.values()
