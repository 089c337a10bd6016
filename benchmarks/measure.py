"""Run a command as a whole process tree and say what it cost: CPU seconds and the peak memory of its largest process."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost."""

    cpu: float
    """User plus system seconds, of every process that was waited for."""
    wall: float
    peak: int
    """Bytes: resident set of the largest single process."""
    code: int
    output: str


def cost(command: Sequence[str], environment: Mapping[str, str] | None = None, folder: str | None = None) -> Cost:
    """Run a command to its end. Its output is kept; its exit status is the caller's to judge."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", **(environment or {})}
    with tempfile.TemporaryFile() as out:
        start = time.monotonic()
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        # The usage of a child counts what it waited for itself, down the tree.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024, process.returncode, text)


def median(costs: Sequence[Cost]) -> Cost:
    """The run with the median CPU time."""
    return sorted(costs, key=lambda c: c.cpu)[len(costs) // 2]


def repeat(command: Sequence[str], runs: int, environment: Mapping[str, str] | None = None, folder: str | None = None) -> Cost:
    """The median of several runs after one that does not count."""
    cost(command, environment, folder)
    return median([cost(command, environment, folder) for _ in range(runs)])


def stamp() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
