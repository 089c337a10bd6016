"""The program that runs in a job on a node: `python -m porting.launch.node DEPOT SLICE`.

It works its cells as `porting check` does on one machine, leaves each result in the depot as it comes, and says what it is at.
What becomes of a slice that it does not end is the coordinator's to decide.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from porting.environments.probing import MACHINE_VARIABLE
from porting.errors import PortingError
from porting.launch import depot as depots
from porting.launch import devices
from porting.launch.canary import BrokenDevice, Canary
from porting.launch.cluster import KEY_VARIABLE, MEMORY_SHARE, TOLD_TO_END, WARNING
from porting.serialization import Json, from_json, to_json
from porting.types import Cause, ModelSpec, Result, Target
from porting.workspace import Workspace, cache_folder

_EARLY = 60
"""Seconds by which Slurm may send its warning too early."""
HOLD_SECONDS = 3600.0
"""How long a job keeps a broken device at most; its run ends it before. The next job on the device asks again."""


class Status:
    """What this job is at, for the coordinator."""

    def __init__(self, depot: depots.Depot, name: str) -> None:
        self._depot, self._slice, self._name = depot, name, depots.status_name(name)
        self._devices = ""
        self._lock = threading.Lock()
        self._said: Json = {"node": node_name(), "pid": os.getpid(), "begun": {}, "ended": None}
        self._write()

    @contextlib.contextmanager
    def working(self, cells: Iterable[int]) -> Iterator[None]:
        """While this lasts, `cells` are worked: who finds them in the file of a job that is gone knows what it died of."""
        mine = {str(cell): time.time() for cell in cells}
        self._change(mine, ())
        try:
            yield
        finally:
            self._change({}, mine)

    def _change(self, begun: Mapping[str, float], ended: Iterable[str]) -> None:
        with self._lock:
            self._said["begun"].update(begun)
            for cell in ended:
                self._said["begun"].pop(cell, None)
            self._write()

    def has(self, devices: str) -> None:
        """Note which devices the job was given."""
        self._devices = devices

    def broken(self, why: str, suspects: Iterable[int]) -> None:
        """Say that the device is broken, and after which cells."""
        said = {"node": self._said["node"], "devices": self._devices, "why": why, "suspects": list(suspects)}
        self._change({}, list(self._said["begun"]))
        self._depot.write(depots.broken_name(self._slice), json.dumps(said).encode())

    def end(self, how: str, cause: Cause | None = None) -> None:
        """The last word: how it ended, empty when all is done; cause: what that says of a cell that was alone in its job."""
        with self._lock:
            self._said |= {"ended": how, "cause": cause and cause.value}
            self._write()

    def _write(self) -> None:
        self._depot.write(self._name, json.dumps(self._said).encode())


def depot_at(place: str) -> depots.Depot:
    """The depot at a folder, or at the URL of a coordinator."""
    if "://" not in place:
        return depots.Folder(Path(place))
    from porting.launch.remote import Remote

    return Remote(place, os.environ[KEY_VARIABLE])


def node_name() -> str:
    """The node's name as the scheduler has it."""
    return os.environ.get("SLURMD_NODENAME") or os.environ.get("PORTING_NODE") or platform.node()


def main(arguments: Sequence[str]) -> int:
    """Work one slice. Returns 0 when every cell has its result."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    depot, name = depot_at(arguments[0]), arguments[1]
    job: Json = json.loads(depot.read(depots.slice_name(name)))
    status = Status(depot, name)
    try:
        try:
            work(job, name, depot, status)
        except BrokenDevice as broken:
            status.broken(str(broken), broken.cells)
            time.sleep(HOLD_SECONDS)  # while this job has the device, the scheduler gives it to nobody
            status.end("its device is broken")
            return 3
    except KeyboardInterrupt:
        status.end(*_told_to_end())
        return 1
    except PortingError as error:
        status.end(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 -- whatever it was, the coordinator is told before this process ends
        traceback.print_exc()
        status.end(f"{type(error).__name__}: {error}")
        return 3
    status.end("")
    return 0


def _told_to_end() -> tuple[str, Cause | None]:
    """Why the scheduler tells this job to end: its time limit, or what only the scheduler knows."""
    job = os.environ.get("SLURM_JOB_ID", "")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["squeue", "-h", "-j", job, "-o", "%L"]
        left = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout if job else ""
        found = re.fullmatch(r"(?:0?(\d):)?(\d+)", left.strip())
        if found and int(found[1] or 0) * 60 + int(found[2]) <= WARNING + _EARLY:
            return "told to end before the job's time limit", Cause.TIMEOUT
    return TOLD_TO_END, None


def work(job: Json, name: str, depot: depots.Depot, status: Status) -> None:
    """Probe adapters, or work cells, whatever the slice asks for."""
    from porting.cells.pipeline import Pipeline

    wanted = [Target.parse(target) for _, _, target in job["cells"]] if "cells" in job else []
    given = devices.granted(os.environ) if job["device"] else ""
    os.environ.update(devices.job_variables(given, (target.device for target in wanted), job["maker"]))
    status.has(given)
    os.environ[MACHINE_VARIABLE] = f"{node_name()} {'with' if job['device'] else 'without'} a device"
    with Pipeline(workspace(), None, _options(job), job["environments"], run_id=job["run"]) as pipeline:
        if isinstance(depot, depots.Library):
            pipeline.bundler.fetch, pipeline.bundler.share = depot.fetch, depot.share
        if "probe" in job:
            prober = pipeline.jobs.here.afresh()
            facts = {adapter: to_json(prober.probe(adapter)) for adapter in job["probe"]}
            depot.write(depots.facts_name(name), json.dumps(facts).encode())
        else:
            _cells(pipeline, job, name, depot, status)


def _cells(pipeline: Any, job: Json, name: str, depot: depots.Depot, status: Status) -> None:
    specs = [from_json(ModelSpec, data) for data in job["specs"]]
    numbers: dict[tuple[str, str], int] = {}
    cells = []
    for number, spec, target in job["cells"]:
        numbers[specs[spec].id, target] = number
        cells += pipeline.cells_of(specs[spec], [Target.parse(target)])

    def number_of(cell: Any) -> int:
        return numbers[cell.spec.id, str(cell.target)]

    canary = Canary(pipeline) if job["canary"] else None
    if canary:
        canary.before(cell.target for cell in cells)

    def done(found: Sequence[tuple[Any, Result, bytes]], _: float) -> None:
        for cell, result, log in found:
            if canary:
                canary.after(cell.target, result, number_of(cell))
            depot.write(depots.result_name(number_of(cell), name), depots.result_lines(result, log))

    pipeline.local.around = lambda some: status.working(map(number_of, some))
    pipeline.local.work(cells, done)


def workspace() -> Workspace:
    """The folders of a node's job: bundles in the cache, which nodes may share; what is running on the node's own disk."""
    scratch = Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()) / f"porting-{os.getuid()}"
    return Workspace(Path.cwd(), scratch / "state", cache_folder(), scratch)


def _options(job: Json) -> Any:
    from porting.cells.jobs import Options

    options = from_json(Options, job["options"])
    options = replace(options, given=Path(options.given) if options.given else None, workers=options.workers or 1)
    granted = _memory_of_job()
    limit = options.limits.memory_bytes
    if granted:
        share = int(granted * MEMORY_SHARE / options.workers)
        options = replace(options, limits=replace(options.limits, memory_bytes=min(limit, share) if limit else share))
    return options


def _memory_of_job() -> int:
    """Bytes that the scheduler gave to this job; 0 where it does not say."""
    whole, core = os.environ.get("SLURM_MEM_PER_NODE", ""), os.environ.get("SLURM_MEM_PER_CPU", "")
    cores = os.environ.get("SLURM_CPUS_ON_NODE", "1")
    megabytes = int(whole) if whole.isdigit() else int(core) * int(cores) if core.isdigit() and cores.isdigit() else 0
    return megabytes << 20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
