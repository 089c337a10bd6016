"""The one pipeline: plan cells, make each model's bundle once, work every cell, record it.

`check`, `convert`, the catalog run and every launcher go through here. The steps of a bundle are in porting.bundles.bundler,
those of a cell in porting.cells.cell, where cells are worked in porting.launch.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting import registry
from porting.bundles.bundle import Bundle, FormKey
from porting.bundles.bundler import Bundler, Made
from porting.bundles.room import Room
from porting.cells import keys
from porting.cells.cell import CellRun, device_state
from porting.cells.jobs import Cell, Jobs, Options, Trail
from porting.errors import PortingError
from porting.launch import Launcher
from porting.launch.local import Local
from porting.routes import known_good
from porting.types import INFRASTRUCTURE, WRONG_INPUT, ModelSpec, Outcome, Precision, Result, Target
from porting.workspace import Workspace

if TYPE_CHECKING:
    from porting.launch.fleet import Fleet
    from porting.store import Store


@dataclass(frozen=True)
class Event:
    """Progress, for whoever shows it."""

    kind: str
    """`plan`, `bundle` (a model is being built), `cell` (one has its result), `chunk` (several have), `fleet` (what the nodes are
    at) or `news` (what befell one of them)."""
    model: str = ""
    target: str = ""
    result: Result | None = None
    done: int = 0
    """Cells that have a result."""
    total: int = 0
    left: float = 0.0
    """Seconds until all is done, by what this run has taken so far; of a cell's or chunk's event."""
    text: str = ""
    """Of a fleet's event: jobs that wait and run, and what the nodes work at."""


class Pipeline:
    """Checks models on targets. One object a run; leaving its context ends every job."""

    def __init__(
        self,
        workspace: Workspace,
        store: Store | None,
        options: Options | None = None,
        environments: Mapping[str, Mapping[str, Any]] | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        fleet: Fleet | None = None,
        run_id: str = "",
    ) -> None:
        """fleet: where cells are worked, this machine without one. run_id: of the run that this one goes on with or is a part of;
        a new one when not given."""
        self.options = options or Options()
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self.jobs = Jobs(workspace.prepare(), self.options, environments or {})
        self._store = store
        self.bundler = self._bundler = Bundler(self.jobs, self.options, self.run_id)
        self.tell = on_event
        """Whoever shows progress."""
        self.local = Local(self.jobs, self._bundler, self.options, self.run_id, lambda model: self.tell(Event("bundle", model)))
        self._shared = fleet is not None
        self._launcher: Launcher = self.local
        if fleet:
            self.jobs.prober = fleet.facts
            self._launcher = fleet.launcher(self.local)
        self._given = self.options.given.name if self.options.given else ""  # it is named by its contents

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close()
        self._bundler.close()

    def plan(self, specs: Sequence[ModelSpec], targets: Sequence[Target]) -> list[Cell]:
        """Every cell with its content key. Probes the adapters, each once."""
        return [cell for spec in specs for cell in self.cells_of(spec, targets)]

    def cells_of(self, spec: ModelSpec, targets: Iterable[Target]) -> list[Cell]:
        """The cells of one model, each with its content key."""
        bundle = self.bundle_key(spec)
        return [Cell(spec, t, registry.adapter(t.adapter), bundle, self._cell_key(bundle, t)) for t in targets]

    def check(self, specs: Sequence[ModelSpec], targets: Sequence[Target]) -> list[Result]:
        """Check every model on every target. Returns a result a cell, in that order, without those that a fleet had to give up;
        each is recorded when it comes."""
        return self.check_cells(self.plan(specs, targets))

    def check_cells(self, cells: Sequence[Cell]) -> list[Result]:
        """The same for some of the planned cells."""
        results = self.known(cells)
        self._remember([cell for cell in cells if cell.key not in results])
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
        return [results[cell.key] for cell in cells if cell.key in results]

    def convert(self, spec: ModelSpec, target: Target) -> tuple[CellRun, Result]:
        """Work one cell and keep its artifact, for the caller to take and then `clean`."""
        cell = self.plan([spec], [target])[0]
        self._remember([cell])
        self.tell(Event("plan", total=1))
        made = self.local.make([cell]) if device_state(cell, self.jobs).available else None
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
        return self.local.make([cell])

    def with_form(self, cell: Cell, bundle: Bundle, form: FormKey, trail: Trail) -> Bundle:
        """The bundle with a certain form, or with the reason why there is none."""
        return self._bundler.with_form(cell, bundle, form, trail)

    def with_precision(self, cell: Cell, bundle: Bundle, precision: Precision) -> Bundle:
        """The bundle with the noise of a precision that a backend chose by itself. Raises Stop when it proves nothing there."""
        return self._bundler.with_precision(cell, bundle, precision, Trail())

    def bundle_key(self, spec: ModelSpec) -> str:
        """Content key of a model's bundle."""
        return keys.bundle_key(spec, _fingerprint(spec), self._given)

    def _cell_key(self, bundle: str, target: Target) -> str:
        versions = self.jobs.prober.about(target).versions
        return keys.cell_key(bundle, target, registry.fingerprint(target.adapter), versions, self.options.route)

    def _remember(self, cells: Sequence[Cell]) -> None:
        """Begin with the routes that are known to be good for the families of these cells, by what is on record."""
        if self._store and cells and not self.options.route:
            targets = {str(cell.target) for cell in cells}
            self.options.first.update(known_good(self._store.latest(None, targets)))

    @property
    def _again(self) -> bool:
        """Whether what has a result is worked all the same."""
        return self.options.rerun or self.options.rebuild or self.options.bench_seconds > 0

    def known(self, cells: Sequence[Cell]) -> dict[str, Result]:
        """Results of equal contents that answer again."""
        if not self._store or self._again:
            return {}
        return reusable(self._store.by_keys(cell.key for cell in cells))

    def _work(self, cells: Sequence[Cell], results: dict[str, Result], total: int) -> None:
        """Let the launcher work every cell; record each result, and tell of it."""

        def done(found: Sequence[tuple[Cell, Result, Any]], left: float) -> None:
            for (cell, _, _), result in zip(found, self._record(found), strict=True):
                results[cell.key] = result
                self.tell(Event("cell", cell.spec.id, str(cell.target), result, len(results), total, left))

        self._launcher.work(cells, done)

    def _record(self, found: Sequence[tuple[Cell, Result, Any]]) -> list[Result]:
        """Record results as they came. Returns what is on record for each cell: of a fleet, the first of several."""
        pairs = [(result, log) for _, result, log in found]
        if self._store and self._shared:
            return self._store.answer(self.run_id, pairs, again=self._again)
        if self._store:
            self._store.extend(pairs)
        return [result for result, _ in pairs]


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
