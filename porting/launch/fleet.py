"""Works cells on the nodes of a cluster: sends slices of them out as jobs, takes results in as files, mends what was lost.

What a cell's result is comes from its file alone. What the scheduler says of a job is used for one thing: to know that no more
files will come, and what to write of a cell whose job ended again and again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from porting.adapter import Probe
from porting.errors import PortingError, UsageError
from porting.jobs import Cell, Options, utc_now
from porting.launch import Done
from porting.launch import depot as depots
from porting.launch.cluster import ENDED, RUNNING, WAITING, Cluster, Kind, State, Unreachable
from porting.launch.facts import Facts, needs_device, nowhere
from porting.launch.local import Local, by_model
from porting.signature import signature
from porting.types import Cause, Outcome, Result, Stage, from_json, to_json
from porting.workspace import atomic_write, disk_errors

if TYPE_CHECKING:
    from porting.store import Store
    from porting.store.logs import Log

POLL_SECONDS = 0.5
"""Between two looks at the files."""
ASK_SECONDS = 2.0
"""Between two questions to the scheduler."""
SETTLE_SECONDS = 5.0
"""How long a file may take to be seen here after its job has ended: folders on network file systems are cached."""
PATIENCE_SECONDS = 900.0
"""How long a scheduler may be away before the run gives up; results that are there by then are recorded."""
ENDING_SECONDS = 60.0
"""How long is waited for jobs that were told to end."""
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
    ended: float | None = None
    """When the scheduler was first heard to say so, on our clock."""


class Fleet:
    """The cluster as one run uses it: a folder that its nodes see, and what they have."""

    def __init__(
        self,
        shared: Path,
        run: str,
        store: str,
        cluster: Callable[[Path, str], Cluster],
        environments: Mapping[str, Mapping[str, Any]],
        options: Options,
        adapters: Sequence[str],
        wishes: Wishes,
        tell: Callable[[str], None],
    ) -> None:
        """shared: a folder that every node sees. store: name of the result store. cluster: makes one for a run's folder and id.
        adapters: those that will be asked about."""
        self._shared, self._run, self._store, self._make = shared, run, store, cluster
        self._environments, self._options, self._wishes, self._tell = environments, options, wishes, tell
        self.folder = self._runs / run
        self._lock = filelock.FileLock(self._runs / f"{run}.lock", thread_local=False)
        with disk_errors(self.folder):
            self._runs.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()  # before the folder is there: a folder without a holder is a left one
            self.folder.mkdir()
        atomic_write(self.folder / "run.json", json.dumps({"store": store}).encode())
        self.cluster = cluster(self.folder, run)
        self.facts = Facts(self.cluster.kinds(), self._ask, shared / "facts", adapters)

    @property
    def _runs(self) -> Path:
        return self._shared / "runs"

    def close(self) -> None:
        """End what runs, and remove the files of the run unless results are among them that are not recorded yet."""
        with contextlib.suppress(PortingError):  # a scheduler that is away: the next run ends what this one left
            end_jobs(self.cluster)
        kept = any(depots.results_in(self.folder))
        if not kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        if not kept:
            (self._runs / f"{self._run}.lock").unlink(missing_ok=True)

    def recover(self, store: Store) -> int:
        """Record what came of runs whose coordinators were killed, and end what they left running. Returns the results found."""
        count = 0
        for folder in sorted(self._runs.iterdir()):
            if folder.is_dir() and folder != self.folder and read_store(folder) in (None, self._store):
                lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
                with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=0):
                    count += self._recover(folder, store)
                    folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
        return count

    def _recover(self, folder: Path, store: Store) -> int:
        end_jobs(self._make(folder, folder.name))
        found = [pair for path, _, _ in depots.results_in(folder) if (pair := _read(path))]
        store.answer(folder.name, found)
        shutil.rmtree(folder, ignore_errors=True)
        return len(found)

    def launcher(self, local: Local) -> FleetWork:
        """What works the cells. local: for those whose targets no node has, which takes no work."""
        return FleetWork(self, local, self._run, self._wishes, self._tell)

    # ---- slices

    def write_slice(self, name: str, device: bool, **what: Any) -> None:
        """Leave a slice for a job. what: `probe` (adapters), or `specs` and `cells`."""
        options = replace(self._options, command="")
        job = {"run": self._run, "device": device, "options": to_json(options), "environments": dict(self._environments), **what}
        atomic_write(self.folder / depots.slice_name(name), json.dumps(job).encode())

    def _ask(self, questions: Mapping[Kind, Sequence[str]]) -> Mapping[Kind, Mapping[str, Probe]]:
        """Let one node of each kind probe adapters."""
        waiting: dict[str, Kind] = {}
        stamp = f"{time.time_ns():x}"
        for number, (kind, adapters) in enumerate(questions.items()):
            prefix = f"probe{stamp}{number}"
            self.write_slice(f"{prefix}-0", bool(kind.device), probe=list(adapters))
            patient(self.cluster.submit, kind, prefix, 1, bool(kind.device))
            waiting[f"{prefix}-0"] = kind
        found: dict[Kind, Mapping[str, Probe]] = {}
        watch = Watch(self.cluster)
        while waiting:
            for name, kind in list(waiting.items()):
                answer = depots.read_json(self.folder / depots.facts_name(name))
                if answer:
                    found[kind] = {adapter: from_json(Probe, data) for adapter, data in answer.items()}
                elif watch.is_over(name):
                    reason = f"the nodes of {kind.label} could not be asked: {self.why(name, watch.states.get(name))}"
                    found[kind] = {adapter: nowhere(adapter, reason) for adapter in questions[kind]}
                else:
                    continue
                del waiting[name]
            if waiting:
                self._tell(f"asking {', '.join(kind.label for kind in waiting.values())} what they have")
                watch.look()
                time.sleep(POLL_SECONDS)
        return found

    def why(self, name: str, state: State | None) -> str:
        """Why a job ended, in one line: its own last word, else the scheduler's and the end of what it printed."""
        status = depots.read_json(self.folder / depots.status_name(name))
        node = status.get("node") or (state.node if state else "")
        where = f" on {node}" if node else ""
        if status.get("ended"):
            return f"{status['ended']}{where}"
        word = state.word if state and state.word else "the scheduler does not know the job any more"
        log = self.cluster.log(name)
        lines = log.read_text(errors="replace").strip().splitlines() if log else []
        return f"{word}{where}{f': {lines[-1][:200]}' if lines else ''}"


@dataclass
class Watch:
    """Follows the states of jobs, and says when one has ended for good."""

    cluster: Cluster
    states: Mapping[str, State] = field(default_factory=dict)
    _asked: float = 0.0
    _heard: float = field(default_factory=time.monotonic)
    _over: dict[str, float] = field(default_factory=dict)
    away: str = ""
    """What the scheduler's silence looks like; empty while it answers."""

    def look(self) -> None:
        """Ask the scheduler unless it was asked a moment ago. Raises Unreachable when it has been away for too long."""
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS:
            return
        try:
            self.states, self.away = self.cluster.states(), ""
            self._heard = self._asked = time.monotonic()
        except Unreachable as error:
            self.away = error.message
            self._asked = now
            if now - self._heard > PATIENCE_SECONDS:
                raise

    def is_over(self, name: str) -> bool:
        """Whether a job has ended, and what it wrote has had its time to be seen here."""
        state = self.states.get(name)
        if self.away or not self._asked or (state and state.phase != ENDED):
            self._over.pop(name, None)
            return False
        return time.monotonic() - self._over.setdefault(name, time.monotonic()) > SETTLE_SECONDS

    def count(self, phase: str, names: Iterable[str]) -> int:
        return sum(1 for name in names if (state := self.states.get(name)) and state.phase == phase)


class FleetWork:
    """Works the cells of one run."""

    def __init__(self, fleet: Fleet, local: Local, run: str, wishes: Wishes, tell: Callable[[str], None]) -> None:
        self._fleet, self._local, self._run, self._wishes, self._tell = fleet, local, run, wishes, tell
        self._cells: Sequence[Cell] = ()
        self._open: dict[str, Slice] = {}
        self._answered: set[int] = set()
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
                watch.look()
                self._mend(watch)
                self._tell(self._view(watch))
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
        self._fleet.write_slice(name, device, specs=[to_json(spec) for spec in specs.values()], cells=cells)
        self._open[name] = Slice(name, kind, tuple(numbers))

    # ---- in

    def _collect(self) -> None:
        """Take in the results that are there: recorded first, removed then."""
        taken: list[Path] = []
        found: dict[int, tuple[Cell, Result, Log | None]] = {}
        for path, number, _ in depots.results_in(self._fleet.folder):
            taken.append(path)
            pair = _read(path) if number in self._left and number not in found else None
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


def patient(call: Callable[..., None], *arguments: Any) -> None:
    """Call until the scheduler answers. Raises Unreachable when it is away for too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call(*arguments)
        except Unreachable:
            if time.monotonic() > until:
                raise
        time.sleep(ASK_SECONDS)


def end_jobs(cluster: Cluster) -> None:
    """End all jobs of a run, and wait until they have: one that goes on would write into a folder that is gone. Raises
    Unreachable."""
    until = time.monotonic() + ENDING_SECONDS
    if cluster.alive():
        cluster.cancel()
    while cluster.alive() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)


def read_store(folder: Path) -> str | None:
    """The store that a run's results are for; None where the run ended before it said so."""
    said = depots.read_json(folder / "run.json")
    return str(said["store"]) if said else None


def _read(path: Path) -> tuple[Result, Log | None] | None:
    """A result file; None for one that is no result, whose cell is then worked again."""
    try:
        return depots.read_result(path.read_bytes(), path.name)
    except (OSError, UsageError):
        return None


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
