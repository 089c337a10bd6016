"""Client of the warm server: starts it, asks it for processes, hears how they ended. What to run is porting.workers.runner's."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from porting.serialization import Json

START_SECONDS = 120.0
"""A server that has not imported its libraries by then has failed."""
LAST_WORDS = 4000
"""Bytes of the server's own output that are kept when it is lost."""


class ServerLost(Exception):
    """The warm server ended."""


class Process:
    """A job's process, a child of the server, as its watcher sees it. Raises ServerLost when it was not started."""

    def __init__(self, events: queue.Queue[dict[str, Any]]) -> None:
        self._events = events
        started = events.get()
        if "pid" not in started:
            raise ServerLost
        self.pid: int = started["pid"]
        self.started = time.monotonic()
        self.code: int | None = None
        """Exit status, negative for a signal; None as long as it runs."""
        self.rss = 0
        self.lost = False
        """Whether the server ended first, so that nobody knows."""

    def poll(self, seconds: float) -> bool:
        """Wait up to `seconds`; whether it has ended."""
        if self.code is None:
            try:
                event = self._events.get(timeout=seconds)
            except queue.Empty:
                return False
            self.lost = "status" not in event
            self.code, self.rss = event.get("status", -signal.SIGKILL), event.get("rss", 0)
        return True

    def kill(self) -> None:
        """End the whole tree, whatever sessions its members moved to."""
        import psutil

        members = []
        with contextlib.suppress(psutil.Error):
            members = psutil.Process(self.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in members:
            with contextlib.suppress(psutil.Error):
                member.kill()


class Server:
    """A porting.workers.forkserver process."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        imports: Sequence[str],
        folder: Path,
        cwd: Path | None = None,
    ) -> None:
        """Start it. command: an interpreter. environment: all of its variables; PYTHONPATH leads to our code. imports: modules
        it imports first. folder: for its log. cwd: where it runs, whose modules then go before all others; here by default."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"server-{uuid.uuid4().hex[:8]}.log"
        with open(self._log, "wb") as log:
            self._popen = subprocess.Popen(
                [*command, "-m", "porting.workers.forkserver", *imports],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )
        self._queues: dict[str, queue.Queue[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def start(self, identifier: str, folder: Path, environment: Mapping[str, str], command: Sequence[str] = ()) -> Process:
        """Start a job. environment: variables besides the server's own; with a `command`, all of them. Raises ServerLost."""
        if not self._ready.wait(START_SECONDS) or not self.alive():
            raise ServerLost
        events: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            self._queues[identifier] = events
        self.send({"id": identifier, "folder": str(folder), "environment": dict(environment), "command": list(command)})
        return Process(events)

    def send(self, message: Json) -> None:
        """Send one request. Raises ServerLost."""
        line = (json.dumps(message) + "\n").encode()
        try:
            with self._lock:
                inlet = self._pipe(self._popen.stdin)
                inlet.write(line)
                inlet.flush()
        except (BrokenPipeError, ValueError) as error:
            raise ServerLost from error

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def _listen(self) -> None:
        """Hand the server's words to the jobs they are about; when it is gone, tell every job that waits."""
        for line in self._pipe(self._popen.stdout):
            event = json.loads(line)
            if "ready" in event:
                self._ready.set()
                continue
            with self._lock:
                events = self._queues.get(event.get("started") or event["ended"])
                if "ended" in event:
                    self._queues.pop(event["ended"], None)
            if events:
                events.put(event)
        self._popen.wait()
        self._ready.set()
        with self._lock:
            for events in self._queues.values():
                events.put({})

    def close(self) -> bytes:
        """Close its input: the server ends its jobs and itself. Returns the last it had to say."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._popen.stdin).close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        self._listener.join(5)
        self._pipe(self._popen.stdout).close()
        with contextlib.suppress(OSError):  # it lies in the cache, which may be removed at any time
            return self._log.read_bytes()[-LAST_WORDS:]
        return b""
