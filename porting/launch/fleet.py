"""A cluster as one run uses it: a folder that its nodes see, what they have, and what earlier coordinators left there."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from porting.adapter import Probe
from porting.cells.jobs import Cell, Options
from porting.errors import PortingError
from porting.launch import Tell
from porting.launch import depot as depots
from porting.launch.cluster import TOLD_TO_END, Cluster, Kind, Setup, State, setup_of
from porting.launch.facts import Facts, nowhere
from porting.launch.local import Local
from porting.launch.slices import by_size
from porting.launch.watch import POLL_SECONDS, Watch, end_jobs, patient
from porting.launch.work import FleetWork, Wishes
from porting.serialization import from_json, to_json
from porting.types import Outcome
from porting.workspace import atomic_write, disk_errors

if TYPE_CHECKING:
    from porting.store import Store

TAKEN = frozenset({"PREEMPTED", "NODE_FAIL", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "BOOT_FAIL"})
"""Words of a scheduler that say why it ended a job."""


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
        setups: Mapping[str, Setup],
        tell: Tell,
    ) -> None:
        """shared: a folder that every node sees. store: name of the result store. cluster: makes one for a run's folder and id.
        adapters: those that will be asked about. setups: what is said of nodes, by feature."""
        self._setups = setups
        self._shared, self._run, self._store, self._make = shared, run, store, cluster
        self._environments, self._options, self._wishes, self._tell = environments, options, wishes, tell
        self.folder = self._runs / run
        self._past: Mapping[tuple[str, str], float] = {}
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
        pairs = [pair for path, _, _ in depots.results_in(folder) if (pair := depots.result_at(path))]
        found = [(depots.timed(result, 0.0, time.time()), log) for result, log in pairs]
        store.answer(folder.name, found)
        shutil.rmtree(folder, ignore_errors=True)
        return len(found)

    def learn(self, store: Store) -> None:
        """Note how long cells have taken, by their latest results."""
        said = ((row.model, row.target, row.seconds) for row in store.matrix() if row.outcome is not Outcome.UNAVAILABLE)
        self._past = {(model, target): seconds for model, target, seconds in said}

    def expected(self, cell: Cell) -> float:
        """Seconds that a cell will take: as it took, else by its model's size."""
        return self._past.get((cell.spec.id, str(cell.target))) or by_size(cell)

    def launcher(self, local: Local) -> FleetWork:
        """What works the cells. local: for those whose targets no node has, which takes no work."""
        return FleetWork(self, local, self._run, self._wishes, self._tell)

    # ---- slices

    def write_slice(self, name: str, kind: Kind, device: bool, **what: Any) -> None:
        """Leave a slice for a job on a node of `kind`. what: `probe` (adapters), or `specs` and `cells`."""
        options = replace(self._options, command="")
        maker = setup_of(kind, self._setups).maker
        job = {
            "run": self._run,
            "device": device,
            "maker": maker,
            "options": to_json(options),
            "environments": dict(self._environments),
            **what,
        }
        atomic_write(self.folder / depots.slice_name(name), json.dumps(job).encode())

    def _ask(self, questions: Mapping[Kind, Sequence[str]]) -> Mapping[Kind, Mapping[str, Probe]]:
        """Let one node of each kind probe adapters; again where that job is lost."""
        waiting = {self._question(kind, adapters): kind for kind, adapters in questions.items()}
        lost = Counter[Kind]()
        found: dict[Kind, Mapping[str, Probe]] = {}
        watch = Watch(self.cluster)
        while waiting:
            for name, kind in list(waiting.items()):
                answer = depots.read_json(self.folder / depots.facts_name(name))
                if answer:
                    found[kind] = {adapter: from_json(Probe, data) for adapter, data in answer.items()}
                elif not watch.is_over(name):
                    continue
                elif lost[kind] < self._wishes.retries:
                    lost[kind] += 1
                    waiting[self._question(kind, questions[kind])] = kind
                else:
                    reason = f"the nodes of {kind.label} could not be asked: {self.why(name, watch.states.get(name))}"
                    found[kind] = {adapter: nowhere(adapter, reason) for adapter in questions[kind]}
                del waiting[name]
            if waiting:
                self._tell(f"asking {', '.join(kind.label for kind in waiting.values())} what they have")
                watch.look()
                time.sleep(POLL_SECONDS)
        return found

    def _question(self, kind: Kind, adapters: Sequence[str]) -> str:
        """Queue a job that probes adapters on a node of a kind. Returns the name of its slice."""
        prefix = f"probe{time.time_ns():x}"
        self.write_slice(f"{prefix}-0", kind, bool(kind.device), probe=list(adapters))
        patient(self.cluster.submit, kind, prefix, 1, bool(kind.device))
        return f"{prefix}-0"

    def why(self, name: str, state: State | None) -> str:
        """Why a job ended, in one line: its own last word, else the scheduler's and the end of what it printed."""
        status = depots.read_json(self.folder / depots.status_name(name))
        node = status.get("node") or (state.node if state else "")
        where = f" on {node}" if node else ""
        taken = state is not None and state.word in TAKEN
        if status.get("ended") and not (taken and status["ended"] == TOLD_TO_END):
            return f"{status['ended']}{where}"
        word = state.word if state and state.word else "the scheduler does not know the job any more"
        log = self.cluster.log(name)
        lines = log.read_text(errors="replace").strip().splitlines() if log else []
        return f"{word}{where}{f': {lines[-1][:200]}' if lines else ''}"


def read_store(folder: Path) -> str | None:
    """The store that a run's results are for; None where the run ended before it said so."""
    said = depots.read_json(folder / "run.json")
    return str(said["store"]) if said else None
