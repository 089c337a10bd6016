"""What becomes of cells whose nodes and jobs Slurm takes away: every one has its result in the end, and says what happened."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fleet_kit import Run, Start, a_job_at_work, records
from slurm_kit import MiniSlurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

MODELS = ("small_models:narrow", "small_models:wide")
LINE = ("check", *MODELS, "--on", "brand:slow:fp32", "--launcher", "slurm", "--job-cells", "1")


@pytest.fixture(autouse=True)
def whole_again(slurm: MiniSlurm, command: Run) -> Iterator[None]:
    """Bundles are there, so that faults meet cells; afterwards all nodes are up."""
    command("check", *MODELS, "--on", "faulty:none:fp32", "--store", "aside.db")
    yield
    slurm.wait_idle()


def preempt(slurm: MiniSlurm, job: int) -> Callable[[], object]:
    """Somebody needs the whole node at once."""
    slurm.call("sbatch", "-p", "urgent", "-w", "cpu01", "--exclusive", "--mem=0", "-o", "/dev/null", "--wrap", "sleep 4")
    return lambda: None


def take_down(slurm: MiniSlurm, job: int) -> Callable[[], object]:
    slurm.call("scontrol", "update", "nodename=cpu01", "state=down", "reason=test")
    return lambda: slurm.call("scontrol", "update", "nodename=cpu01", "state=resume")


def pull_the_plug(slurm: MiniSlurm, job: int) -> Callable[[], object]:
    """Everything on the node is gone, without a word."""
    step = next(p for p in psutil.Process(job).parents() if p.name().startswith("slurmstepd"))
    for process in [slurm.nodes["cpu01"], step, *step.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    slurm.nodes["cpu01"].wait()
    return lambda: slurm.start_node("cpu01")


@pytest.mark.parametrize(
    ("fault", "word"),
    [(preempt, "PREEMPTED"), (take_down, "NODE_FAIL"), (pull_the_plug, "NODE_FAIL")],
    ids=["preempted", "down", "unplugged"],
)
def test_cells_of_a_job_that_is_taken_away_are_worked_again_and_say_so(
    command: Run, start: Start, slurm: MiniSlurm, tmp_path: Path, fault: Callable[..., Callable[[], object]], word: str
) -> None:
    process = start(*LINE, "--requeue", "3")
    mend = fault(slurm, a_job_at_work(tmp_path))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    mend()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found = records(command)
    assert sorted((r["model"], r["outcome"]) for r in found) == [(model, "pass") for model in sorted(MODELS)]
    notes = [note for r in found for note in r["notes"]]
    assert any(note.startswith(f"worked again: {word} on cpu01") for note in notes), notes


@pytest.mark.slow
def test_a_cell_that_takes_longer_than_its_job_may_is_a_timeout(command: Run, environment: dict[str, str]) -> None:
    environment["BRAND_SECONDS"] = "300"
    ended = command(*LINE[:2], *LINE[3:], "--requeue", "0", "--scheduler=--time=2", "--format", "json")
    (record,) = json.loads(ended.out)
    assert (record["outcome"], record["cause"]) == ("fail", "timeout"), record
    assert "told to end before the job's time limit on cpu01" in record["message"]


def test_while_no_node_is_up_cells_wait_and_are_missing_after_the_run_is_ended(
    command: Run, start: Start, slurm: MiniSlurm, tmp_path: Path
) -> None:
    process = start(*LINE, "--format", "json")
    mend = take_down(slurm, a_job_at_work(tmp_path))
    try:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 3, err
        shown = command("report", "--run", "last", "--format", "json").json()
        told = {r["model"]: r["outcome"] for r in shown}
        assert set(told) == set(MODELS)
        assert set(told.values()) <= {"missing", "pass"}
        assert "missing" in told.values()
    finally:
        mend()
    slurm.wait_idle()
    assert command(*LINE).code == 0
    assert {r["outcome"] for r in records(command)} == {"pass"}
