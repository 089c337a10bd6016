"""What a shared folder that is full, and nodes whose clocks are wrong, do to a run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from fleet_kit import Run, Start, a_job_at_work, records

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900), pytest.mark.usefixtures("on_slurm")]

MODELS = ("small_models:narrow", "small_models:wide")
LINE = ("check", *MODELS, "--on", "brand:slow:fp32", "--launcher", "slurm", "--job-cells", "1")
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
