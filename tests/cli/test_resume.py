"""A run that is killed at any moment goes on where it was: nothing recorded is lost, done twice, or left running."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_kit import Run

from porting.workspace import locked

FAULTS = (
    "none", "nan", "inf", "sign", "scale", "constant", "zeros", "drop", "extra", "dtype", "shape", "stale", "fallback", "partial",
    "no_artifact", "raises",
)  # fmt: skip
TARGETS = ",".join(f"faulty:{fault}:fp32" for fault in FAULTS)
LINE = ("check", "sample_models:two_outputs", "--on", TARGETS)
KILLS = 8


@pytest.fixture
def filled_cache(porting: Run, cache: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with the model built already."""
    monkeypatch.setenv("PORTING_CACHE", str(cache))
    assert porting("check", "sample_models:two_outputs", "--on", "faulty:none:fp32", "--store", "aside.db").code == 0
    monkeypatch.setenv("PORTING_CACHE", str(own_cache))
    shutil.copytree(cache, own_cache)
    return own_cache


def start(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "porting", *arguments]
    # A shell that starts the tests in the background has interrupts ignored, which every child inherits; a person's has not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_cells(process: subprocess.Popen[str], cells: int) -> None:
    """Read its progress until it has recorded so many cells, or ended."""
    assert process.stderr
    while cells and (line := process.stderr.readline()):
        cells -= line.startswith("[")


def processes_of(cache: Path) -> list[psutil.Process]:
    """Every process that was started for this cache, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("PORTING_CACHE") == str(cache):
                found.append(process)
        except psutil.Error:
            continue
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def none_left(cache: Path) -> bool:
    """Whether all of them are gone; a server that imports something hears of its client's end a moment later."""
    until = time.monotonic() + 60
    while processes_of(cache):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def records(porting: Run) -> dict[str, dict[str, Any]]:
    """What is recorded, by line, so that a changed record is another one."""
    lines = porting("results", "export", "--no-logs").out.splitlines()
    return {line: json.loads(line) for line in lines}


@pytest.mark.slow
def test_killed_at_random_moments_a_run_loses_nothing_repeats_nothing_and_leaves_nothing(
    porting: Run, command: Run, own_cache: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    before: dict[str, dict[str, Any]] = {}
    for number in range(KILLS):
        process = start(*LINE)
        # The first two anywhere from the start on, while the model is built; the others after some progress.
        wait_for_cells(process, 0 if number < 2 else chance.randint(1, 2))
        time.sleep(chance.uniform(0, 6) if number < 2 else chance.uniform(0, 0.4))
        process.kill()
        process.communicate()
        assert none_left(own_cache), processes_of(own_cache)
        now = records(porting)
        assert before.keys() <= now.keys(), "a record was lost or changed"
        before = now
    assert command(*LINE).code == 1
    after = records(porting)
    assert before.keys() <= after.keys()
    assert set(Counter(record["key"] for record in after.values()).values()) == {1}, "a cell was done twice"
    assert {record["target"].split(":")[1] for record in after.values()} == set(FAULTS)
    assert not any((own_cache / "runs").glob("*/*")), "files of killed runs were left"
    assert none_left(own_cache)


def test_a_run_with_nothing_to_do_starts_no_process(porting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.workers import forkclient

    line = ("check", "sample_models:two_outputs", "--on", "faulty:none:fp32,faulty:sign:fp32")
    assert porting(*line).code == 1
    before = records(porting)
    monkeypatch.setattr(forkclient.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    ended = porting(*line)
    assert ended.code == 1
    assert "2 cells, 2 with a result for the same contents" in ended.err
    assert records(porting) == before


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_ends_its_jobs_and_goes_on(
    porting: Run, command: Run, filled_cache: Path, request_to_end: int
) -> None:
    line = ("check", "sample_models:two_outputs", "--on", "faulty:none:fp32,faulty:child_hang:fp32")
    process = start(*line)
    wait_for_cells(process, 1)
    until = time.monotonic() + 60
    while not any("600.125" in p.cmdline() for p in processes_of(filled_cache)) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(request_to_end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in err
    assert "Error: interrupted; what was recorded is kept, and the same command goes on from there." in err
    assert none_left(filled_cache), processes_of(filled_cache)
    before = records(porting)
    assert [r["target"] for r in before.values()] == ["faulty:none:fp32"], "the interrupted cell has no record"
    ended = command("check", "sample_models:two_outputs", "--on", "faulty:none:fp32")
    assert "1 cell, 1 with a result for the same contents" in ended.err
    assert not any((filled_cache / "runs").glob("*/*"))


def test_a_killed_run_leaves_no_process_that_a_job_started(filled_cache: Path) -> None:
    process = start("check", "sample_models:two_outputs", "--on", "faulty:child_hang:fp32")
    until = time.monotonic() + 120
    while not any("600.125" in p.cmdline() for p in processes_of(filled_cache)):
        assert time.monotonic() < until, "the job did not come to its child"
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert none_left(filled_cache), processes_of(filled_cache)


def test_a_run_that_waits_for_another_one_can_be_interrupted(cache: Path, filled_cache: Path) -> None:
    bundles = [path for path in (filled_cache / "bundles").iterdir() if path.is_dir()]
    for bundle in bundles:
        shutil.rmtree(bundle)
    with contextlib.ExitStack() as held:
        for bundle in bundles:
            held.enter_context(locked(bundle))
        process = start("check", "sample_models:two_outputs", "--on", "faulty:none:fp32")
        assert process.stderr
        assert process.stderr.readline().startswith("1 cell, 0 with a result")
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 3
    assert none_left(filled_cache)


def test_when_the_server_of_jobs_is_killed_the_run_goes_on_with_another(porting: Run, command: Run, filled_cache: Path) -> None:
    faults = FAULTS[:6]
    line = (*LINE[:3], ",".join(f"faulty:{fault}:fp32" for fault in faults))
    process = start(*line)
    wait_for_cells(process, 1)
    (server,) = (p for p in psutil.Process(process.pid).children() if "porting.workers.forkserver" in p.cmdline())
    server.kill()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    found = {r["target"].split(":")[1]: r for r in records(porting).values()}
    assert set(found) == set(faults), "every cell has its record"
    lost = [fault for fault, r in found.items() if r["cause"] == "harness"]
    assert len(lost) <= 2 * len(os.sched_getaffinity(0))
    ended = command(*line)
    assert f"{len(faults)} cells, {len(faults) - len(lost)} with a result" in ended.err, "what was lost is done again"
    latest = {r["target"].split(":")[1]: r["outcome"] for r in porting("report", "--format", "json").json()}
    assert latest == {fault: "pass" if fault == "none" else "mismatch" for fault in faults}


def test_two_runs_at_once_on_one_store_and_one_cache_end_well(porting: Run, command: Run, own_cache: Path) -> None:
    models = ("small_models:narrow", "small_models:wide")
    line = ("check", *models, "--on", "faulty:none:fp32,onnxruntime:cpu:fp32")
    runs = [start(*line), start(*line)]
    for process in runs:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "Traceback" not in err
    assert none_left(own_cache)
    found = records(porting).values()
    assert {(r["model"], r["target"]) for r in found} == {(m, t) for m in models for t in line[-1].split(",")}
    assert {r["outcome"] for r in found} == {"pass"}
    assert len({r["bundle"] for r in found}) == len(models), "each model was built once, for both"
    assert "4 cells, 4 with a result for the same contents" in command(*line).err


def test_an_export_that_crashed_is_tried_again_when_asked_and_only_then(porting: Run, setting: Path) -> None:
    line = ("check", "small_models:fragile", "--on", "onnxruntime:cpu:fp32,openvino:cpu:fp32", "--route", "usual")
    first = porting(*line, "--format", "json").json()
    assert {(r["stage"], r["outcome"], r["cause"]) for r in first} == {("export", "fail", "crash")}
    (setting / "mended").touch()
    assert "2 with a result" in porting(*line).err
    again = porting(*line, "--rerun", "--format", "json").json()
    assert [r["outcome"] for r in again] == ["pass", "pass"]


def test_a_crash_at_one_precision_leaves_the_others_alone_and_is_tried_again_when_asked(porting: Run, setting: Path) -> None:
    line = ("check", "small_models:fragile_at_bf16", "--on", "torch:cpu:fp32,torch:cpu:bf16")

    def outcomes(*more: str) -> dict[str, tuple[str, str | None]]:
        return {r["target"][-4:]: (r["outcome"], r["cause"]) for r in porting(*line, *more, "--format", "json").json()}

    assert outcomes() == {"fp32": ("pass", None), "bf16": ("invalid", "crash")}
    (setting / "mended").touch()
    assert outcomes() == {"fp32": ("pass", None), "bf16": ("invalid", "crash")}
    assert outcomes("--rerun") == {"fp32": ("pass", None), "bf16": ("pass", None)}
