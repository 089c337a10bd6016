"""Jobs and coordinators are killed at random, again and again: nothing recorded is lost, no cell has two records.

PORTING_KILLS says how often, 200 without it; `make fleet-test-all`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from fleet_kit import Start
from slurm_kit import MiniSlurm, is_running

from porting.store import Store

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(5400), pytest.mark.usefixtures("on_slurm")]

MODELS = ("small_models:narrow", "small_models:wide", "small_models:deep", "sample_models:two_outputs")
TARGETS = "brand:slow:fp32,brand:npu:fp32,brand:mlu:fp32"
SLURM = ("--launcher", "slurm", "--job-cells", "1", "--requeue", "1000")
COORDINATOR_SHARE = 0.15
"""Of all kills, those of the coordinator."""


def jobs(tmp_path: Path) -> list[int]:
    """Processes of jobs that work now."""
    found = []
    for path in (tmp_path / "state" / "fleet" / "runs").glob("*/status/s*.json"):
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(path.read_bytes())
            if said["ended"] is None and is_running(said["pid"]):
                found.append(said["pid"])
    return found


def killed(process: subprocess.Popen[str], tmp_path: Path, draw: random.Random) -> str:
    """Kill a job with all that it started, or the coordinator. Returns which, empty when there was nothing to kill."""
    running = jobs(tmp_path)
    if running and draw.random() < COORDINATOR_SHARE:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return "coordinator"
    if not running:
        return ""
    with contextlib.suppress(psutil.NoSuchProcess):
        job = psutil.Process(draw.choice(running))
        for one in [job, *job.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    return "job"


def begun(start: Start, line: tuple[str, ...]) -> subprocess.Popen[str]:
    """A coordinator; what it says is read by somebody, so that it goes on."""
    process = start(*line)
    threading.Thread(target=process.communicate, daemon=True).start()
    return process


def recorded(path: Path) -> list[str]:
    """All that a store has, as lines."""
    lines = io.BytesIO()
    with Store.open(path) as store:
        store.export_jsonl(lines, logs=False)
    return lines.getvalue().decode().splitlines()


def test_after_many_kills_every_cell_has_one_record(
    start: Start, slurm: MiniSlurm, environment: dict[str, str], tmp_path: Path
) -> None:
    draw = random.Random(1)
    wanted, kills = int(os.environ.get("PORTING_KILLS", "200")), Counter[str]()
    environment["BRAND_SECONDS"] = "0.3"
    cells = sorted((model, target) for model in MODELS for target in TARGETS.split(","))
    generation = 0
    while kills.total() < wanted:
        store = tmp_path / f"results{generation}.db"
        line = ("check", *MODELS, "--on", TARGETS, *SLURM, "--store", str(store))
        seen: list[str] = []
        process = begun(start, line)
        while process.poll() != 0:
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL
                process = begun(start, line)
            if kills.total() < wanted and (what := killed(process, tmp_path, draw)):
                kills[what] += 1
                print(f"kill {kills.total()}: {what}", flush=True)
            now = recorded(store)
            assert set(seen) <= set(now), "a record is gone"
            seen = now
            time.sleep(draw.random() * 1.5)
        found = [json.loads(text) for text in recorded(store)]
        assert sorted((r["model"], r["target"]) for r in found) == cells
        assert {r["outcome"] for r in found} == {"pass"}
        generation += 1
    print(f"{kills.total()} kills ({dict(kills)}), {generation} runs to the end, {generation * len(cells)} records")
    assert not slurm.call("squeue", "-h", "-o", "%i").split()
