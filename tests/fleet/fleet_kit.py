"""What the tests of the launchers share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_kit import Ended
from slurm_kit import is_running, wait_until

Run = Callable[..., Ended]
Start = Callable[..., "subprocess.Popen[str]"]


def records(command: Run) -> list[dict[str, Any]]:
    """All that is recorded."""
    return [json.loads(line) for line in command("results", "export", "--no-logs").out.splitlines()]


def told(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is another one each time: times, places, the run, and what depends on the machine's load."""
    changing = ("started", "seconds", "peak_rss_bytes", "run", "log", "log_tail", "environment", "stages")
    stages = [stage["name"] for stage in record["stages"]]
    return {**{key: value for key, value in record.items() if key not in changing}, "stages": stages}


def apart(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """Where records that should be the same are not: cell, field, and what each says."""
    assert [(r["model"], r["target"]) for r in some] == [(r["model"], r["target"]) for r in others]
    pairs = [(told(a), told(b)) for a, b in zip(some, others, strict=True)]
    return [(f"{a['model']} {a['target']}", key, a[key], b.get(key)) for a, b in pairs for key in a if a[key] != b.get(key)]


def a_job_at_work(tmp_path: Path, besides: tuple[int, ...] = (), shared: Path | None = None, on: str = "") -> int:
    """The process of a job that works a cell, another one than `besides`. on: the node, where it matters."""
    runs = (shared or tmp_path / "state" / "fleet") / "runs"
    found: list[int] = []

    def one() -> bool:
        jobs = [json.loads(path.read_bytes()) for path in runs.glob("*/status/s*.json")]
        at_work = [job["pid"] for job in jobs if job["begun"] and job["ended"] is None and job["node"].startswith(on)]
        found[:] = [pid for pid in at_work if pid not in besides and is_running(pid)]
        return bool(found)

    wait_until(one, "no job works a cell", 180)
    return found[0]
