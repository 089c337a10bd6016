"""A warm server: imports the heavy libraries once and forks a child for every job.

A fresh import of torch and transformers costs seconds a job, a fork tens of milliseconds. The server reads one JSON
object a line on standard input and answers on standard output; nothing else is ever written there. It computes nothing
itself: threads or devices that were started before a fork would be broken in the child. `porting.workers.runner` is its client.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from porting.workers import worker

_PR_SET_CHILD_SUBREAPER = 36
JOB_VARIABLE = "PORTING_JOB"
"""Environment variable that tells which job a process belongs to."""
END_SECONDS = 5.0
"""A process that cannot be ended within this time hangs in the kernel."""


class Server:
    """Forks jobs and reports how they ended, until its input is closed."""

    def __init__(self, inlet: int, outlet: int) -> None:
        self._inlet = inlet
        self._outlet = outlet
        self._jobs: dict[int, str] = {}
        self._buffer = b""
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)

    def serve(self) -> None:
        # Whatever a job leaves behind becomes our child, so that we can end it.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            self._say(ready=os.getpid())
            while self._turn():
                pass
        except BrokenPipeError:  # the client was killed; that its words ended is not read yet
            pass
        finally:
            self._end()

    def _turn(self) -> bool:
        """Wait for a request or the end of a job; whether there may be more."""
        readable, _, _ = select.select([self._inlet, self._wake], [], [])
        if self._wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        self._reap()
        return self._inlet not in readable or self._read()

    def _say(self, **message: Any) -> None:
        os.write(self._outlet, (json.dumps(message) + "\n").encode())

    def _read(self) -> bool:
        data = os.read(self._inlet, 65536)
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._start(json.loads(line))
        return True

    def _start(self, request: dict[str, Any]) -> None:
        if "preload" in request:
            _preload(*request["preload"])
            return
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._child(Path(request["folder"]), request["environment"], request["command"], server)
        self._jobs[pid] = request["id"]
        self._say(started=request["id"], pid=pid)

    def _child(self, folder: Path, environment: dict[str, str], command: list[str], server: int) -> None:
        status = 70
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            log = os.open(folder / worker.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, destination in ((null, 0), (log, 1), (log, 2)):
                os.dup2(source, destination)
            for descriptor in (self._inlet, self._outlet, self._wake, self._waker, log, null):
                if descriptor > 2:
                    os.close(descriptor)
            if command:
                _become(command, environment)
            os.environ.update(environment)
            tempfile.tempdir = None  # forget the server's: TMPDIR has changed
            worker.isolate(server)
            status = worker.run_job(folder)
        finally:
            # Neither `finally` blocks nor exit handlers of the server may run here, and no backend's teardown.
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            identifier = self._jobs.pop(pid, None)
            if identifier is not None:
                self._end_session(pid)
                self._end_strays(identifier)
                self._say(
                    ended=identifier,
                    status=os.waitstatus_to_exitcode(status),
                    cpu=used.ru_utime + used.ru_stime,
                    rss=used.ru_maxrss * 1024,
                )

    def _end_strays(self, identifier: str) -> None:
        """End processes that left the session of the job that just ended; as a subreaper we have become their parent."""
        for pid in _children():
            if pid not in self._jobs and (not self._jobs or _belongs(pid, identifier)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _end_session(pid: int) -> None:
        """End what the job left running in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _end(self) -> None:
        """End every job, and what they started: orphans become our children, as we are a subreaper."""
        for pid in self._jobs:
            self._end_session(pid)
        until = time.monotonic() + END_SECONDS
        while children := _children():
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if time.monotonic() > until:
                return
            time.sleep(0.01)


def _become(command: list[str], environment: dict[str, str]) -> None:
    """Go on as another interpreter; return only when it does not start."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error}", file=sys.stderr)
        raise


def _children() -> list[int]:
    """Process ids of our children; none where the kernel does not list them."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def _preload(module: str, function: str, *arguments: str) -> None:
    """Call what imports something; a package that is not here is for the job that needs it to complain about."""
    with contextlib.suppress(Exception):
        getattr(importlib.import_module(module), function)(*arguments)
    gc.freeze()  # or each job's collector would walk what was loaded here, and copy its pages by doing so: 3 % of a job's time


def _belongs(pid: int, identifier: str) -> bool:
    try:
        return f"{JOB_VARIABLE}={identifier}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it ended meanwhile
        return False


def main() -> None:
    # Not to die with the parent: its end closes our input, and then there are jobs to end first.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    inlet, outlet = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # libraries that print while they are imported must not talk to the client
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()
    Server(inlet, outlet).serve()


if __name__ == "__main__":
    main()
