"""Disks that are full or read-only, stores that are newer or damaged: one line, exit status 3, and nothing recorded is lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import Run

ON = ("--on", "onnxruntime:cpu:fp32")
MODEL = "small_models:narrow"


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount something there; skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting takes root")
    if subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    with mounted(folder, "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs"):
        yield folder


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """As it is, but read-only: a mount for root, who ignores permissions, else the permissions."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        try:
            yield folder
        finally:
            folder.chmod(0o700)
        return
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
        here = Path.cwd()
        os.chdir(here)  # into what is mounted now, if it is this one
        try:
            yield folder
        finally:
            os.chdir("/")
            if here.exists():
                os.chdir(here)


def fill(folder: Path, leave_kib: int) -> Path:
    """Fill the disk of a folder up to a rest."""
    free = shutil.disk_usage(folder).free - (leave_kib << 10)
    (folder / "ballast").write_bytes(bytes(max(free, 0)))
    return folder / "ballast"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "state"


@pytest.fixture
def recorded(porting: Run, kept: Path, tmp_path: Path) -> list[str]:
    """A store with one result, made once and copied; what it exports."""
    if kept.exists():
        shutil.copytree(kept, tmp_path / "state")
    else:
        assert porting("check", MODEL, *ON).code == 0
        shutil.copytree(tmp_path / "state", kept)
    return porting("results", "export").out.splitlines()


# ---- full -----------------------------------------------------------------------------------------------------------


def test_a_full_cache_ends_the_run_and_not_the_model(porting: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "cache", 256) as cache:
        monkeypatch.setenv("PORTING_CACHE", str(cache))
        ballast = fill(cache, 100)
        ended = porting("check", "sample_models:two_outputs", *ON, "--format", "json")
        assert ended.code == 3
        if ended.out:
            (result,) = ended.json()
            assert (result["outcome"], result["cause"]) == ("fail", "disk")
            assert result["message"]
        else:
            assert "PORTING_CACHE" in ended.complaint()
        ballast.unlink()
        shutil.rmtree(cache / "bundles", ignore_errors=True)
        subprocess.run(["mount", "-o", "remount,size=64m", str(cache)], check=True)
        assert porting("check", "sample_models:two_outputs", *ON).code == 0, "and goes on once there is space"


def test_a_full_cache_says_so_before_any_work(porting: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "cache", 64) as cache:
        monkeypatch.setenv("PORTING_CACHE", str(cache))
        fill(cache, 0)
        ended = porting("check", MODEL, *ON)
        assert ended.code == 3
        assert "no space left" in ended.complaint()
        assert "PORTING_CACHE" in ended.complaint()


def test_a_store_on_a_full_disk_loses_nothing(porting: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "full", 1024) as state:
        monkeypatch.setenv("PORTING_HOME", str(state))
        assert porting("check", MODEL, *ON).code == 0
        before = porting("results", "export").out
        ballast = fill(state, 0)
        ended = porting("check", MODEL, *ON, "--rerun")
        assert ended.code == 3
        assert "no space left" in ended.complaint()
        ballast.unlink()
        assert porting("results", "export").out == before
        assert porting("check", MODEL, *ON, "--rerun").code == 0
        assert porting("results", "export").out.count('"key"') == 2 * before.count('"key"')


def test_a_port_that_does_not_fit_leaves_nothing_that_looks_like_one(porting: Run, tmp_path: Path) -> None:
    with small_disk(tmp_path / "full", 16) as place:
        ended = porting("convert", MODEL, "--to", "onnxruntime:cpu:fp32", "-o", place)
        assert ended.code == 3
        assert "no space left" in ended.complaint()
        assert list(place.iterdir()) == []


def test_a_report_or_an_export_that_does_not_fit_is_one_line(porting: Run, recorded: list[str], tmp_path: Path) -> None:
    assert recorded
    with small_disk(tmp_path / "full", 64) as place:
        fill(place, 0)
        for arguments in (("report", "--html", place / "page"), ("results", "export", place / "results.jsonl")):
            ended = porting(*arguments)
            assert ended.code == 3
            assert "no space left" in ended.complaint().lower()


def test_a_limit_on_file_sizes_is_no_fault_of_the_model(tmp_path: Path) -> None:
    """`ulimit -f`, as a batch system may set it: any user can provoke it."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    line = [sys.executable, "-c", f"{limit}; from porting.cli import main; main()"]
    line += ["check", "small_models:heavy", *ON, "--format", "json"]
    environment = {**os.environ, "PORTING_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 3, done.stderr
    (result,) = json.loads(done.stdout)
    assert (result["outcome"], result["cause"]) == ("fail", "disk")


# ---- read-only ------------------------------------------------------------------------------------------------------


def test_a_read_only_cache_is_one_line(porting: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("PORTING_CACHE", str(tmp_path / "cache"))
    with read_only(tmp_path / "cache"):
        ended = porting("check", MODEL, *ON)
    assert ended.code == 3
    assert "PORTING_CACHE" in ended.complaint()


def test_a_read_only_folder_is_one_line(porting: Run, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTING_HOME")
    with read_only(setting):
        for arguments in (("check", MODEL, *ON), ("init",), ("report",)):
            ended = porting(*arguments)
            assert ended.code == 3
            assert "cannot write" in ended.complaint()


def test_a_store_that_cannot_be_written_is_not_lost(porting: Run, recorded: list[str], tmp_path: Path) -> None:
    with read_only(tmp_path / "state"):
        ended = porting("check", MODEL, *ON, "--rerun")
        assert ended.code == 3
        assert "written" in ended.complaint() or "writable" in ended.complaint()
    assert porting("results", "export").out.splitlines() == recorded


def test_a_port_into_a_read_only_folder_is_one_line(porting: Run, setting: Path) -> None:
    (setting / "place").mkdir()
    with read_only(setting / "place"):
        ended = porting("convert", MODEL, "--to", "onnxruntime:cpu:fp32", "-o", "place/port")
        assert ended.code == 3
        assert "cannot write" in ended.complaint()


# ---- stores ---------------------------------------------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_left_as_it_is(porting: Run, recorded: list[str], tmp_path: Path) -> None:
    database = tmp_path / "state" / "results.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
        connection.commit()
    for arguments in (("check", MODEL, *ON), ("report",), ("explain", MODEL, "onnxruntime:cpu:fp32"), ("results", "export")):
        ended = porting(*arguments)
        assert ended.code == 3
        assert "schema version 999" in ended.complaint()
        assert "Update porting" in ended.complaint()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM result").fetchone() == (len([r for r in recorded if '"key"' in r]),)


@pytest.mark.parametrize("content", [b"this is no database, but text of some length" * 100, b"SQLite format 3\0" + bytes(4096)])
def test_a_damaged_store_is_one_line_and_is_not_written(porting: Run, tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "state" / "results.db"
    database.parent.mkdir()
    database.write_bytes(content)
    for arguments in (("check", MODEL, *ON), ("report",)):
        ended = porting(*arguments)
        assert ended.code == 3
        assert "results.db" in ended.complaint()
    assert database.read_bytes() == content


def test_a_damaged_bundle_says_how_to_make_it_again(
    porting: Run, recorded: list[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("PORTING_CACHE", str(tmp_path / "cache"))
    for weights in (tmp_path / "cache" / "bundles").glob("*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    ended = porting("check", MODEL, *ON, "--rerun", "--format", "json")
    assert ended.code == 3
    assert ended.json()[0]["cause"] == "harness"
    assert "--rebuild" in ended.json()[0]["hint"]
    assert porting("check", MODEL, *ON, "--rebuild").code == 0
