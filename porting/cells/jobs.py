"""What the steps of a run share: the planned cell, the options, the trail of costs and logs, and the way to stop early."""

from __future__ import annotations

import datetime
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting import registry, verdict
from porting.adapter import Adapter
from porting.bundles.bundle import Bundle
from porting.environments.environment import Interpreter, interpreter_for
from porting.environments.probing import Prober, Probes
from porting.errors import EnvironmentMissing, PortingError
from porting.serialization import Json
from porting.types import Cause, ModelSpec, Outcome, Precision, Stage, StageTime, Target
from porting.verdict import Finding
from porting.workers.runner import JobEnd, Limits, Runner
from porting.workspace import Scratch, Workspace

WORTH_WARMING = 4
"""Cells from which it pays to warm the server: the rehearsal costs about as much as it saves three jobs."""


@dataclass(frozen=True)
class Options:
    """How a run is done."""

    limits: Limits = field(default_factory=Limits)
    workers: int = 0
    """Jobs at a time; 0 means one a core."""
    threads: int = 1
    """Of each job."""
    rerun: bool = False
    """Do again what has a result for the same contents, and exports that a limit or a crash ended."""
    rebuild: bool = False
    """Make bundles anew."""
    bench_seconds: float = 0.0
    """How long to measure the latency of what passed; 0 leaves it out."""
    given: Path | None = None
    """Folder with a person's own inputs: given.json (names) and NAME.npz."""
    command: str = ""
    """What was typed, for the record of the run."""
    route: str = ""
    """The one route to take, as porting.routes writes them; without it, one after the other until the model passes."""
    first: dict[str, str] = field(default_factory=dict)
    """Routes to begin with because they are known to be good, by `family target` (porting.routes.known_good)."""


@dataclass(frozen=True)
class Cell:
    """One planned (model, target)."""

    spec: ModelSpec
    target: Target
    adapter: type[Adapter]
    bundle_key: str
    key: str


@dataclass
class Trail:
    """What a cell has cost and printed so far."""

    stages: list[StageTime] = field(default_factory=list)
    logs: list[bytes] = field(default_factory=list)
    started: str = field(default_factory=lambda: utc_now())

    def add(self, end: JobEnd) -> None:
        self.stages += end.stages
        self.logs.append(end.log)

    @property
    def stage(self) -> Stage:
        """The last stage that was left in good order."""
        return self.stages[-1].name if self.stages else Stage.PLAN

    def fork(self) -> Trail:
        """A trail that goes on from here by itself: the bundle's is shared by every cell of the model."""
        return Trail(list(self.stages), list(self.logs), self.started)


class Stop(Exception):
    """A step found out what the cell's result is."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Jobs:
    """Starts jobs for a run, in the right interpreter, until the run is cancelled."""

    def __init__(self, workspace: Workspace, options: Options, environments: Mapping[str, Mapping[str, Any]]) -> None:
        self.workspace = workspace
        self._environments = environments
        self._interpreters: dict[str, Interpreter | None] = {}
        self._scratch = Scratch(workspace.runs)
        self.cells = self._scratch.folder / "cells"
        """Artifacts and outputs, one folder a cell."""
        self.runner = Runner(self._scratch.folder / "jobs", options.limits, options.threads, ("numpy", "torch"), workspace.shared)
        self.here = Prober(workspace, self.runner, self.interpreter)
        """Asks this machine."""
        self.prober: Probes = self.here
        """What the run goes by: this machine, or the nodes of a cluster."""
        self.expected = 1
        """Cells that are still to be worked when the run starts."""
        self._cancelled = threading.Event()

    def interpreter(self, adapter: str) -> Interpreter | None:
        """The interpreter of an adapter, one all through the run; None is the base environment. Raises EnvironmentMissing."""
        if adapter not in self._interpreters:
            self._interpreters[adapter] = interpreter_for(adapter, self._environments, self.workspace)
        return self._interpreters[adapter]

    def warm_for(self, source: str = "", adapter: type[Adapter] | None = None) -> None:
        """Let the server import what building from `source` needs, or what the jobs of an adapter need.

        Not for a few cells: each job then imports what it needs, which costs less than all of it.
        """
        if self.expected < WORTH_WARMING:
            return
        if source or (adapter and adapter.need.kind == "pt2"):
            self.runner.preload("porting.workers.warm", "rehearse")
        if source:
            self.runner.preload("porting.sources", "warm", source)
        if adapter:
            interpreter = self.interpreter(adapter.name)
            if interpreter is None or interpreter.can_fork:
                place = registry.module_of(adapter.name)
                self.runner.preload("porting.workers.warm", "warm_adapter", place, interpreter=interpreter)

    def run(self, payload: Json, trail: Trail, adapter: str = "", limits: Limits | None = None) -> JobEnd:
        """Run one job, of an adapter in its interpreter, and note what it cost. limits: instead of the run's own. Raises
        CancelledError after `cancel`."""
        end = self.runner.run(payload, self.interpreter(adapter) if adapter else None, limits)
        if self._cancelled.is_set():
            raise CancelledError
        trail.add(end)
        return end

    def must(self, payload: Json, trail: Trail, adapter: str, bundle: Bundle) -> Json:
        """Run one job of a cell and return its value. Raises Stop when it did not end well."""
        end = self.run(payload, trail, adapter)
        finding = verdict.of_end(end, bundle)
        if finding:
            raise Stop(finding)
        return end.value

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the jobs that run; none of them gets a record."""
        self._cancelled.set()
        self.runner.close()

    def close(self) -> None:
        """End everything and remove its files."""
        self.cancel()
        self._scratch.close()


def finding_of(error: PortingError, stage: Stage) -> Finding:
    """One of our own errors as a finding."""
    where = Stage.ENVIRONMENT if isinstance(error, EnvironmentMissing) else stage
    outcome, cause = error.verdict
    return Finding(where, Outcome(outcome), Cause(cause), error.message, error.hint)


def fault_of(error: Exception, trail: Trail) -> Finding:
    """A fault of ours as a finding: it ends one cell and not a run of thousands. The traceback goes to the log."""
    trail.logs.append("".join(traceback.format_exception(error)).encode())
    message = f"a fault in porting itself: {type(error).__name__}: {error}"
    return Finding(trail.stage, Outcome.FAIL, Cause.HARNESS, message, "Please report it, with what porting explain --log shows.")


def judged_at(precision: Precision) -> Precision:
    """The precision whose noise a target needs: int8 is judged by signal to noise, its reference by fp32."""
    return Precision.FP32 if precision is Precision.INT8 else precision


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
