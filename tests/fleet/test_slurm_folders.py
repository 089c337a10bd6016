"""What a shared folder that is full or slow, and nodes whose clocks are wrong, do to a run."""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from fleet_kit import Run, Start, a_job_at_work, records
from slurm_kit import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

MODELS = ("small_models:narrow", "small_models:wide")
LINE = ("check", *MODELS, "--on", "brand:slow:fp32", "--launcher", "slurm", "--job-cells", "1")
SLOW_FOLDER = Path(__file__).with_name("slow_folder.py")
FUSE = Path("/dev/fuse").exists() and importlib.util.find_spec("fuse") and ctypes.util.find_library("fuse")
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_shared_folder_ends_the_run_and_nothing_recorded_is_lost(
    command: Run, start: Start, tmp_path: Path, small_disk: Path
) -> None:
    shared = ("--shared", str(small_disk / "fleet"))
    process = start(*LINE, *shared)
    a_job_at_work(tmp_path, shared=small_disk / "fleet")
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    _, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert "no space left for" in err
    before = records(command)
    assert {r["outcome"] for r in before} <= {"pass"}
    filler.unlink()
    ended = command(*LINE, *shared)
    assert ended.code == 0, ended.err
    after = records(command)
    assert sorted((r["model"], r["outcome"]) for r in after) == [(model, "pass") for model in sorted(MODELS)]
    assert [r for r in before if r not in after] == []


@contextlib.contextmanager
def shown_again(folder: Path, place: Path, *how: float) -> Iterator[None]:
    """Show a folder at another place as well; how: see slow_folder.py."""
    place.mkdir()
    process = subprocess.Popen([sys.executable, SLOW_FOLDER, folder, place, *map(str, how)])
    try:
        wait_until(place.is_mount, "the folder is not shown")
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        process.wait(60)


@pytest.mark.skipif(not FUSE, reason="apt-get install libfuse2, pip install fusepy")
@pytest.mark.parametrize(("call", "late"), [(0.05, 0.0), (0.0, 30.0)], ids=["slow", "late"])
def test_a_slow_shared_folder_costs_time_but_no_cell(
    command: Run, start: Start, tmp_path: Path, call: float, late: float
) -> None:
    disk, mine, shared = tmp_path / "disk", tmp_path / "mine", tmp_path / "shared"
    disk.mkdir()
    with shown_again(disk, mine, call, late), shown_again(disk, shared, call, late):
        # coordinator and nodes each have the disk at the same place, and do not see what the other has cached
        own = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', mine, shared)
        process = start(*LINE, "--requeue", "0", "--shared", shared / "fleet", before=own)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    found = records(command)
    assert sorted((r["model"], r["outcome"]) for r in found) == [(model, "pass") for model in sorted(MODELS)]
    assert [note for r in found for note in r["notes"] if "again" in note] == []


@pytest.mark.skipif(not FAKETIME, reason="apt-get install faketime")
@pytest.mark.parametrize(("shift", "word"), [("+3h", "ahead"), ("-3h", "behind")])
def test_the_start_of_a_result_from_a_node_with_a_wrong_clock_is_corrected(
    command: Run, tmp_path: Path, shift: str, word: str
) -> None:
    lines = ["[nodes.cpu]", f'env = {{LD_PRELOAD = "{FAKETIME[0]}", FAKETIME = "{shift}", FAKETIME_DONT_FAKE_MONOTONIC = "1"}}']
    (tmp_path / "work" / "porting.toml").write_text("\n".join(lines))
    begun = datetime.now(timezone.utc)
    ended = command("check", *MODELS, "--on", "brand:cpu:fp32", "--launcher", "slurm", "--format", "json")
    assert ended.code == 0, ended.err
    for record in ended.json():
        assert any("the clock of its node is" in note and word in note for note in record["notes"]), record["notes"]
        assert begun <= datetime.fromisoformat(record["started"].replace("Z", "+00:00")) <= datetime.now(timezone.utc)
