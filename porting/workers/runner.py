"""Run jobs, each in a process of its own, within limits; whatever its ending, a job becomes a `JobEnd`.

Crash, kill, hang and running out of memory are ordinary endings here. What they mean for a cell is porting.verdict's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porting.adapter import SHARED_FOLDER
from porting.environments.environment import Interpreter
from porting.serialization import Json
from porting.types import Stage, StageTime
from porting.workers.forkclient import Process, Server, ServerLost
from porting.workers.forkserver import JOB_VARIABLE
from porting.workers.worker import END, JOB, LOG, STAGES
from porting.workspace import disk_errors

POLL_SECONDS = 0.1
TREE_EVERY = 10
"""Polls between two looks at the whole process tree, which costs more than a look at the job's own process."""
IDLE_CPU_SECONDS = 0.02
"""CPU time between two looks below which a job counts as doing nothing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a job may use before it is ended."""

    seconds: float = 600.0
    """Wall time."""
    step_seconds: float = 0.0
    """Wall time within one stage of one case; 0 leaves it to the job's whole time."""
    silent_seconds: float = 120.0
    """Wall time without CPU use and without output."""
    memory_bytes: int = 0
    """Resident memory of the whole process tree; 0 means most of the machine's."""
    log_bytes: int = 256 << 20
    """Output, in bytes."""

    def memory(self) -> int:
        """The memory limit in bytes."""
        if self.memory_bytes:
            return self.memory_bytes
        import psutil

        return int(psutil.virtual_memory().total * 0.8)


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    ending: str
    """`ok`, `error` (an exception, described), `signal`, `exit` (ended without a word), `timeout`, `hang`, `memory`, `output`
    (too much of it) or `lost` (the rig lost it)."""
    value: Json = None
    error: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    """Exit status, negative for a signal."""
    stages: tuple[StageTime, ...] = ()
    stage: Stage = Stage.ENVIRONMENT
    """Last one entered."""
    detail: str = ""
    """What within that stage."""
    seconds: float = 0.0
    stage_seconds: float = 0.0
    """Wall time since the last stage was entered, when the job ended."""
    peak_rss_bytes: int = 0
    log: bytes = b""


class Runner:
    """Starts jobs through warm servers: forked from the one of the base environment, or from the one of another interpreter where
    something was preloaded there; else fresh processes of that interpreter.

    A server is the parent of its jobs and ends them, and whatever they started, when it is closed or loses us.
    """

    def __init__(
        self, jobs: Path, limits: Limits, threads: int = 1, imports: Sequence[str] = (), shared: Path | None = None
    ) -> None:
        """jobs: folder for the files of jobs. imports: modules that the server imports first. shared: adapters' SHARED_FOLDER."""
        self._folder = jobs
        self._limits = limits
        self._environment = job_environment(threads) | {SHARED_FOLDER: str(shared or jobs.parent / "shared")}
        self._imports = tuple(imports)
        self._preloaded: dict[Interpreter | None, list[tuple[str, ...]]] = {}
        self._servers: dict[Interpreter | None, Server] = {}
        """By interpreter; ours is None."""
        self._last_words = b""
        self._closed = False
        self._lock, self._preloading = threading.Lock(), threading.Lock()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the servers and every job they forked."""
        self._closed = True
        with self._lock:
            for interpreter in list(self._servers):
                self._end_server(interpreter)

    def run(self, payload: Json, interpreter: Interpreter | None = None, limits: Limits | None = None) -> JobEnd:
        """Run one job to its end. payload: what porting.workers.worker reads, with `kind`. interpreter: None is our own."""
        identifier = uuid.uuid4().hex
        folder = self._folder / identifier
        with disk_errors(folder):
            folder.mkdir(parents=True)
            (folder / "tmp").mkdir()
            (folder / JOB).write_text(json.dumps(payload))
        try:
            process = self._start(identifier, folder, interpreter)
            ending = _watch(process, folder, limits or self._limits) if process else "lost"
            end = _read_end(folder, ending, process)
            return end if process else replace(end, log=self._epitaph())
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def preload(self, module: str, function: str, *arguments: str, interpreter: Interpreter | None = None) -> None:
        """Let a server call a function that imports what the jobs to come need; once. interpreter: jobs there are forked from a
        server of its own from then on."""
        call, calls = (module, function, *arguments), self._preloaded.setdefault(interpreter, [])
        with self._preloading:
            if call in calls:
                return
            with contextlib.suppress(ServerLost):  # the next job starts another one, which is told all of it
                self._warm(interpreter).send({"preload": list(call)})
            calls.append(call)  # now: a server that has just been started was told what was there

    def _start(self, identifier: str, folder: Path, interpreter: Interpreter | None) -> Process | None:
        own = {"TMPDIR": str(folder / "tmp"), JOB_VARIABLE: identifier}
        if interpreter is None or interpreter in self._preloaded:
            for _ in range(2):  # a server that was killed is started again, once
                with contextlib.suppress(ServerLost):
                    return self._warm(interpreter).start(identifier, folder, own)
        if interpreter is None:
            return None
        command = (*interpreter.command, "-m", "porting.workers.worker", str(folder))
        environment = {**self._environment, **own, **interpreter.environment}
        for _ in range(2):
            with contextlib.suppress(ServerLost):
                return self._warm(None).start(identifier, folder, environment, command)
        return None

    def _warm(self, interpreter: Interpreter | None) -> Server:
        """The server of an interpreter, of our own for None. Raises ServerLost."""
        with self._lock:
            if self._closed:
                raise ServerLost
            server = self._servers.get(interpreter)
            if server and not server.alive():
                self._end_server(interpreter)
            if interpreter not in self._servers:
                self._servers[interpreter] = self._new_server(interpreter)
                for call in self._preloaded.get(interpreter, ()):
                    self._servers[interpreter].send({"preload": list(call)})
            return self._servers[interpreter]

    def _new_server(self, interpreter: Interpreter | None) -> Server:
        if interpreter:
            program = shutil.which(interpreter.command[0]) or interpreter.command[0]
            variables = {**self._environment, **interpreter.environment}
            return Server((os.path.abspath(program),), variables, ("numpy",), self._folder, self._folder)
        paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return Server((sys.executable,), {**self._environment, **paths}, self._imports, self._folder)

    def _epitaph(self) -> bytes:
        """What the last server that died said."""
        with self._lock:
            for interpreter in [one for one, server in self._servers.items() if not server.alive()]:
                self._end_server(interpreter)
            return self._last_words

    def _end_server(self, interpreter: Interpreter | None) -> None:
        """With the lock held: a thread that finds a server dead must not end the one that another has started since."""
        self._last_words = self._servers.pop(interpreter).close()


def job_environment(threads: int) -> dict[str, str]:
    """Environment of every job: one thread count, no hub, no chatter, no telemetry."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}
    private = {"DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return {**os.environ, **dict.fromkeys(counts, str(threads)), **quiet, **private, "PYTHONFAULTHANDLER": "1"}


# ---- watching -----------------------------------------------------------------------------------------------------


def _watch(process: Process, folder: Path, limits: Limits) -> str:
    """Wait for the end, or bring it about. Returns the ending as far as the watcher knows it: `ended` or a limit's name."""
    guard = _Guard(process, folder, limits)
    while not process.poll(POLL_SECONDS):
        broken = guard.check()
        if broken:
            process.kill()
            process.poll(5.0)
            return broken
    return "ended"


class _Guard:
    """Looks at a running job and says which limit it broke."""

    def __init__(self, process: Process, folder: Path, limits: Limits) -> None:
        import psutil

        self._process, self._limits = process, limits
        self._log, self._stages = folder / LOG, folder / STAGES
        self._memory = limits.memory()
        self._looks = 0
        self._seen: tuple[float, int] = (0.0, 0)
        self._active = self._stepped = time.monotonic()
        self._noted = 0
        self._psutil: Any = None
        with contextlib.suppress(psutil.Error):
            self._psutil = psutil.Process(process.pid)

    def check(self) -> str:
        now = time.monotonic()
        self._looks += 1
        if now - self._process.started > self._limits.seconds or self._dwells(now):
            return "timeout"
        if self._looks % TREE_EVERY:
            return "memory" if self._rss([self._psutil]) > self._memory else ""
        members = self._members()
        if self._rss(members) > self._memory:
            return "memory"
        size = _size(self._log)
        return "output" if size > self._limits.log_bytes else self._silence(members, now, size)

    def _dwells(self, now: float) -> bool:
        """Whether the job has been in one stage of one case for longer than it may."""
        if not self._limits.step_seconds:
            return False
        noted = _size(self._stages)
        if noted != self._noted:
            self._stepped, self._noted = now, noted
        return now - self._stepped > self._limits.step_seconds

    def _members(self) -> list[Any]:
        import psutil

        with contextlib.suppress(psutil.Error):
            return [self._psutil, *self._psutil.children(recursive=True)] if self._psutil else []
        return []

    @staticmethod
    def _rss(members: Sequence[Any]) -> int:
        import psutil

        total = 0
        for member in filter(None, members):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
        return total

    def _silence(self, members: Sequence[Any], now: float, log_size: int) -> str:
        import psutil

        cpu = 0.0
        for member in members:
            with contextlib.suppress(psutil.Error):
                times = member.cpu_times()
                cpu += times.user + times.system
        if cpu - self._seen[0] > IDLE_CPU_SECONDS or log_size != self._seen[1]:
            self._active, self._seen = now, (cpu, log_size)
        return "hang" if now - self._active > self._limits.silent_seconds else ""


def _size(file: Path) -> int:
    """In bytes; 0 for a file that is not there yet."""
    return file.stat().st_size if file.exists() else 0


# ---- reading the end ----------------------------------------------------------------------------------------------


def _read_end(folder: Path, ending: str, process: Process | None) -> JobEnd:
    log = _read_log(folder / LOG)
    marks = _marks(folder / STAGES)
    end = _end_file(folder / END)
    last = marks[-1] if marks else {}
    stage = Stage(last["stage"]) if last else Stage.ENVIRONMENT
    code = process.code if process and process.code is not None else 0
    seconds = time.monotonic() - process.started if process else 0.0
    result = JobEnd(
        ending,
        code=code,
        stages=stage_times(marks, end.get("usage") if end else None),
        stage=stage,
        detail=last.get("detail", ""),
        seconds=seconds,
        stage_seconds=max(0.0, time.time() - last["wall"]) if last else seconds,
        peak_rss_bytes=max(process.rss if process else 0, int(end["usage"]["rss"]) if end else 0),
        log=log,
    )
    if ending != "ended":
        return result
    if process and process.lost:
        return replace(result, ending="lost")
    if end and end["ok"] and code == 0:
        return replace(result, ending="ok", value=end["value"])
    if end and not end["ok"]:
        return replace(result, ending="error", error=end["error"])
    return replace(result, ending="signal" if code < 0 else "exit")


def _end_file(path: Path) -> dict[str, Any] | None:
    try:
        end: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):  # it is renamed into place: not there means that the job did not get so far
        return None
    return end


def _marks(path: Path) -> list[dict[str, Any]]:
    marks = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):  # the last line may be cut by a kill
            marks.append(json.loads(line))
    return marks


def stage_times(marks: Sequence[Mapping[str, Any]], end: Mapping[str, float] | None) -> tuple[StageTime, ...]:
    """Cost of each stage, from what was noted at its start and at the next one's; the last of a killed job has none."""
    following: list[Mapping[str, Any]] = [*marks[1:], *([end] if end else [])]
    times: dict[Stage, StageTime] = {}
    for mark, after in zip(marks, following, strict=False):
        stage = Stage(mark["stage"])
        before = times.get(stage, StageTime(stage, 0.0, 0.0, 0))
        times[stage] = StageTime(
            stage,
            round(before.seconds + after["wall"] - mark["wall"], 4),
            round(before.cpu_seconds + after["cpu"] - mark["cpu"], 4),
            int(max(before.peak_rss_bytes, after["rss"])),
        )
    return tuple(times.values())


def _read_log(path: Path, limit: int = 2 << 20) -> bytes:
    """The log, or its two ends when it is long."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            if size <= limit:
                return file.read()
            head = file.read(limit // 2)
            file.seek(-limit // 2, os.SEEK_END)
            return head + f"\n... {size - limit} bytes left out ...\n".encode() + file.read()
    except FileNotFoundError:
        return b""
