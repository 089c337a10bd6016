"""What nodes, coordinators and the scheduler do to a run: nothing recorded is lost, no cell has two records."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import slurm_kit
from fleet_kit import Run, Start, a_job_at_work, records

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

SLURM = ("--launcher", "slurm", "--job-cells", "1")
MODELS = ("small_models:narrow", "small_models:wide", "small_models:deep", "sample_models:two_outputs")
SLOW = ("check", *MODELS, "--on", "brand:slow:fp32,brand:cpu:fp32", *SLURM)


@pytest.fixture(autouse=True)
def built(command: Run) -> None:
    """Bundles are there, so that faults meet cells."""
    command("check", *MODELS, "--on", "faulty:none:fp32", "--store", "aside.db")


def whole(command: Run) -> list[dict[str, Any]]:
    """What is recorded, which has to be one record a cell."""
    found = records(command)
    assert sorted((r["model"], r["target"]) for r in found) == sorted((m, t) for m in MODELS for t in SLOW[6].split(","))
    return found


def gone(slurm: slurm_kit.MiniSlurm) -> bool:
    return not slurm.call("squeue", "-h", "-o", "%i").split()


def test_a_cell_whose_job_is_killed_is_worked_again_and_says_so(command: Run, start: Start, tmp_path: Path) -> None:
    process = start(*SLOW)
    os.kill(a_job_at_work(tmp_path), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found = whole(command)
    assert {r["outcome"] for r in found} == {"pass"}
    again = {r["model"]: r["notes"] for r in found if any(note.startswith("worked again: FAILED on ") for note in r["notes"])}
    assert len(again) == 1, "the model that the job was at, on one target or, while its bundle was opened, on both"
    assert not any((tmp_path / "state" / "fleet" / "runs").iterdir()), "files of the run were left"


def test_a_cell_whose_jobs_are_killed_each_time_is_given_up_with_what_happened(
    command: Run, start: Start, tmp_path: Path
) -> None:
    line = ("check", MODELS[0], "--on", "brand:slow:fp32", *SLURM, "--requeue", "1", "--format", "json")
    process = start(*line)
    first = a_job_at_work(tmp_path)
    os.kill(first, signal.SIGKILL)
    os.kill(a_job_at_work(tmp_path, besides=(first,)), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    (record,) = json.loads(out)
    assert (record["outcome"], record["cause"]) == ("fail", "harness")
    assert record["message"].startswith("2 jobs ended while they worked this cell, the last one: FAILED on cpu01")
    assert command(*line).json()[0]["outcome"] == "pass", "it says nothing about the cell, which is worked again when asked"


def test_after_its_coordinator_was_killed_a_run_goes_on_with_what_came(
    command: Run, start: Start, slurm: slurm_kit.MiniSlurm, tmp_path: Path
) -> None:
    process = start(*SLOW)
    a_job_at_work(tmp_path)
    process.kill()
    process.communicate()
    results = tmp_path / "state" / "fleet" / "runs"
    slurm_kit.wait_until(lambda: list(results.glob("*/results/*.jsonl")), "the jobs went down with it", 120)
    left = len(list(results.glob("*/results/*.jsonl")))
    before = len(records(command))
    ended = command(*SLOW)
    assert ended.code == 0, ended.err
    known = int(ended.err.split(" cells, ")[1].split(" ")[0])
    assert known >= before + left > 0
    assert {r["outcome"] for r in whole(command)} == {"pass"}
    assert gone(slurm)


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_jobs_and_goes_on(
    command: Run, start: Start, slurm: slurm_kit.MiniSlurm, tmp_path: Path, request_to_end: int
) -> None:
    process = start(*SLOW)
    a_job_at_work(tmp_path)
    process.send_signal(request_to_end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Error: interrupted; what was recorded is kept, and the same command goes on from there." in err
    slurm_kit.wait_until(lambda: gone(slurm), "jobs were left")
    assert command(*SLOW).code == 0
    assert {r["outcome"] for r in whole(command)} == {"pass"}


def test_on_a_terminal_ctrl_c_asks_and_a_second_one_ends_the_run(
    slurm: slurm_kit.MiniSlurm, environment: dict[str, str], tmp_path: Path
) -> None:
    person, terminal = pty.openpty()
    line = [sys.executable, "-m", "porting", *SLOW]
    process = subprocess.Popen(line, env=environment, cwd=tmp_path / "work", stdout=terminal, stderr=terminal)
    os.close(terminal)
    said: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(person, said), daemon=True)
    reader.start()
    a_job_at_work(tmp_path)
    process.send_signal(signal.SIGINT)
    slurm_kit.wait_until(lambda: b"Press Ctrl-C again" in b"".join(said), "it did not ask", 30)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(100) == 3
    assert b"interrupted; what was recorded is kept" in b"".join(said)
    slurm_kit.wait_until(lambda: gone(slurm), "jobs were left")


def read_all(terminal: int, said: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # nobody has it open any more
        while content := os.read(terminal, 65536):
            said.append(content)


def test_a_run_outlives_a_restart_of_the_scheduler(
    command: Run, start: Start, slurm: slurm_kit.MiniSlurm, tmp_path: Path
) -> None:
    process = start(*SLOW)
    a_job_at_work(tmp_path)
    slurm.controller.kill()
    slurm.controller.wait()
    time.sleep(5)
    slurm.start_controller()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert {r["outcome"] for r in whole(command)} == {"pass"}


def test_two_coordinators_on_one_store_record_each_cell_once(command: Run, start: Start) -> None:
    runs = [start(*SLOW), start(*SLOW)]
    for process in runs:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert {r["outcome"] for r in whole(command)} == {"pass"}


def test_a_model_that_takes_all_memory_is_told_from_a_broken_node(command: Run) -> None:
    ended = command("check", MODELS[0], "--on", "faulty:bomb:fp32", *SLURM, "--scheduler=--mem=1500M", "--format", "json")
    assert ended.code == 1, ended.err
    assert [(r["outcome"], r["cause"]) for r in ended.json()] == [("fail", "host_oom")]
