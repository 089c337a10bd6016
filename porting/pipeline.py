"""The one pipeline: plan cells, make each model's bundle once, work every cell, record it.

`check`, `convert`, the catalog run and every launcher go through here. The steps of a bundle are in porting.bundler, those
of a cell in porting.cell; here is their order.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting import keys
from porting.bundler import Bundler, Made
from porting.cell import CellRun, device_state
from porting.errors import PortingError
from porting.jobs import Cell, Jobs, Options
from porting.types import INFRASTRUCTURE, WRONG_INPUT, ModelSpec, Outcome, Precision, Result, Target
from porting.workspace import Workspace

if TYPE_CHECKING:
    from porting.store import Store


@dataclass(frozen=True)
class Event:
    """Progress, for whoever shows it."""

    kind: str
    """`plan`, `bundle` (a model is being built) or `cell` (one has its result)."""
    model: str = ""
    target: str = ""
    result: Result | None = None
    done: int = 0
    """Cells that have a result."""
    total: int = 0


class Pipeline:
    """Checks models on targets. One object a run; leaving its context ends every job."""

    def __init__(
        self,
        workspace: Workspace,
        store: Store | None,
        options: Options | None = None,
        environments: Mapping[str, Mapping[str, Any]] | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.options = options or Options()
        self.run_id = uuid.uuid4().hex[:12]
        self.jobs = Jobs(workspace.prepare(), self.options, environments or {})
        self._store = store
        self._bundler = Bundler(self.jobs, self.options, self.run_id)
        self._on_event = on_event
        self._given = self.options.given.name if self.options.given else ""  # it is named by its contents

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close()

    def plan(self, specs: Sequence[ModelSpec], targets: Sequence[Target]) -> list[Cell]:
        """Every cell with its content key. Probes the adapters, each once."""
        from porting import registry

        cells = []
        for spec in specs:
            bundle = self._bundle_key(spec)
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
        self._on_event(Event("plan", done=len(results), total=len(cells)))
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
        self._on_event(Event("plan", total=1))
        made = self._make([cell]) if device_state(cell, self.jobs).available else None
        run = CellRun(cell, made, self.jobs, self._bundler, self.options, self.run_id)
        try:
            result, log = run.run()
            if self._store:
                self._store.append(result, log)
        except BaseException:  # whatever it was, it goes on after the artifact is gone
            run.clean()
            raise
        self._on_event(Event("cell", spec.id, str(target), result, 1, 1))
        return run, result

    def reference(self, spec: ModelSpec, precisions: Iterable[Precision]) -> Made:
        """The bundle of a model with its noise at `precisions`, made where it is not there; no form is exported for it."""
        return self._bundler.reference(spec, self._bundle_key(spec), set(precisions))

    def _bundle_key(self, spec: ModelSpec) -> str:
        return keys.bundle_key(spec, _fingerprint(spec), self._given)

    def _known(self, cells: Sequence[Cell]) -> dict[str, Result]:
        """Results of equal contents; those that speak of the rig, of wrong input or of something missing here, are not reused."""
        if not self._store or self.options.rerun or self.options.rebuild or self.options.bench_seconds:
            return {}
        found = self._store.by_keys(cell.key for cell in cells)
        passing = INFRASTRUCTURE | WRONG_INPUT
        return {key: r for key, r in found.items() if r.outcome is not Outcome.UNAVAILABLE and r.cause not in passing}

    def _work(self, cells: Sequence[Cell], results: dict[str, Result], total: int) -> None:
        """Keep every worker busy: with a cell whose bundle is ready if there is one, else with the next model's bundle."""
        self.jobs.expected = len(cells)
        ready: deque[tuple[Cell, Made | None]] = deque()
        models: deque[list[Cell]] = deque()
        # The largest first, or one of them is left over at the end, with every other worker out of work.
        for group in sorted(_by_model(cells), key=lambda group: -(group[0].spec.params or 0)):
            here = [cell for cell in group if device_state(cell, self.jobs).available]
            models += [here] if here else []
            ready.extend((cell, None) for cell in group if cell not in here)
        workers = self.options.workers or len(os.sched_getaffinity(0))
        active: dict[Future[Any], Cell | list[Cell]] = {}
        with ThreadPoolExecutor(workers) as pool:
            try:
                while models or ready or active:
                    while len(active) < workers and (ready or models):
                        what: Cell | list[Cell]
                        if ready:
                            what, made = ready.popleft()
                            active[pool.submit(self._cell, what, made)] = what
                        else:
                            what = models.popleft()
                            active[pool.submit(self._make, what)] = what
                    for future in wait(active, return_when=FIRST_COMPLETED).done:
                        what = active.pop(future)
                        if isinstance(what, Cell):
                            result = results[what.key] = future.result()
                            self._on_event(Event("cell", what.spec.id, str(what.target), result, len(results), total))
                        else:
                            ready.extend((cell, future.result()) for cell in what)
            except BaseException:
                self.jobs.cancel()  # so that the threads come back
                raise

    def _make(self, cells: Sequence[Cell]) -> Made:
        self._on_event(Event("bundle", cells[0].spec.id))
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


def _fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """What the source depends on; when it cannot say, building the model will say why."""
    from porting import sources

    try:
        return sources.source(spec.source).fingerprint(spec)
    except PortingError as error:
        return {"unknown": str(error)}


def _by_model(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.bundle_key, []).append(cell)
    return list(groups.values())
