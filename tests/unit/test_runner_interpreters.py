"""Jobs in another interpreter: fresh processes, or forks of a warm server of its own once something was preloaded there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from porting.environments.environment import Interpreter, stage_worker
from porting.workers.runner import JobEnd, Limits, Runner

HERE = Path(__file__).parent
TELL, ABORT, LEAVE = ({"kind": f"interpreter_jobs:{name}"} for name in ("tell", "abort", "leave_a_child"))


@pytest.fixture
def other(tmp_path: Path) -> Interpreter:
    """This interpreter, as another one is: with the worker's code alone."""
    paths = os.pathsep.join([str(stage_worker(tmp_path / "workers", "onnxruntime")), str(HERE)])
    return Interpreter("other", (sys.executable,), {"PYTHONPATH": paths, "OF_ITS_OWN": "yes"})


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "jobs", Limits(seconds=60.0), threads=1) as made:
        yield made


@pytest.fixture
def warm(runner: Runner, other: Interpreter) -> Callable[..., JobEnd]:
    """Runs a job in the other interpreter, which has a server of its own."""
    runner.preload("interpreter_jobs", "remember", "word", interpreter=other)
    return lambda payload=TELL: runner.run(payload, other)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def value(end: JobEnd) -> dict[str, Any]:
    assert end.ending == "ok", end.log.decode()
    found: dict[str, Any] = end.value
    return found


def test_without_a_preload_every_job_is_a_fresh_process(runner: Runner, other: Interpreter) -> None:
    one, two = value(runner.run(TELL, other)), value(runner.run(TELL, other))
    assert one["loaded"] == two["loaded"] == []
    assert one["OF_ITS_OWN"] == "yes"
    assert "porting.workers.forkserver" not in one["modules"]


def test_after_one_they_are_forked_from_a_server_that_has_it(warm: Callable[..., JobEnd]) -> None:
    one, two = value(warm()), value(warm())
    assert one["parent"] == two["parent"]
    assert one["pid"] != two["pid"]
    assert one["loaded"] == ["word"]
    assert "porting.workers.runner" not in one["modules"], "of ours it has the worker alone"


def test_a_forked_job_has_its_own_folder_and_the_variables_of_all(warm: Callable[..., JobEnd]) -> None:
    one, two = value(warm()), value(warm())
    assert one["OF_ITS_OWN"] == "yes"
    assert one["OMP_NUM_THREADS"] == "1"
    assert one["TMPDIR"] != two["TMPDIR"]
    assert one["PORTING_JOB"] != two["PORTING_JOB"]


def test_our_own_interpreter_has_another_server(
    runner: Runner, warm: Callable[..., JobEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    assert value(runner.run(TELL))["parent"] != value(warm())["parent"]
    assert value(runner.run(TELL))["loaded"] == []


def test_a_crash_ends_the_job_and_not_the_server(warm: Callable[..., JobEnd]) -> None:
    before = value(warm())["parent"]
    end = warm(ABORT)
    assert (end.ending, end.code) == ("signal", -signal.SIGABRT)
    assert value(warm())["parent"] == before


def test_a_server_that_was_killed_is_started_again_and_told_again(warm: Callable[..., JobEnd]) -> None:
    before = value(warm())["parent"]
    os.kill(before, signal.SIGKILL)
    while psutil.pid_exists(before):  # its parent, the runner, takes note of its end
        time.sleep(0.01)
    after = value(warm())
    assert after["parent"] != before
    assert after["loaded"] == ["word"]


def test_where_no_server_starts_jobs_are_fresh_processes(runner: Runner, other: Interpreter, tmp_path: Path) -> None:
    staged, *rest = other.environment["PYTHONPATH"].split(os.pathsep)
    broken = tmp_path / "broken"
    shutil.copytree(staged, broken)
    (broken / "porting" / "workers" / "forkserver.py").write_text("raise SystemExit('not here')\n")
    told = Interpreter("broken", other.command, {**other.environment, "PYTHONPATH": os.pathsep.join([str(broken), *rest])})
    runner.preload("interpreter_jobs", "remember", "word", interpreter=told)
    assert value(runner.run(TELL, told))["loaded"] == []


def test_what_a_job_leaves_behind_is_ended(warm: Callable[..., JobEnd]) -> None:
    end = warm(LEAVE)
    assert end.ending == "ok"
    while runs(end.value):  # it has been killed, which takes a moment
        time.sleep(0.01)


def test_closing_ends_every_server(runner: Runner, warm: Callable[..., JobEnd]) -> None:
    server = value(warm())["parent"]
    runner.close()
    assert not psutil.pid_exists(server)


def test_a_container_keeps_no_server() -> None:
    assert Interpreter("plain", ("/usr/bin/python3",)).can_fork
    assert not Interpreter("contained", ("podman", "run", "image", "python3")).can_fork
