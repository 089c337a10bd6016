"""`porting models build`: models are built with their references, whatever becomes of them, and what that shows is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_kit import Run

CATALOG = """
[[models]]
id = "ours/sound"
source = "factory"
name = "sample_models:two_outputs"

[[models]]
id = "ours/constant"
source = "factory"
name = "sample_models:constant_output"

[[models]]
id = "ours/raises"
source = "factory"
name = "sample_models:raises"

[[models]]
id = "ours/absent"
source = "factory"
name = "sample_models:two_outputs"
requires = ["no-such-distribution"]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "porting.toml").write_text(CATALOG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_model_gets_a_record_that_says_what_building_it_has_shown(porting: Run, project: Path) -> None:
    built = porting("models", "build", "--format", "json")
    assert built.code == 1
    records = {r["model"]: r for r in built.json()}
    sound = records["ours/sound"]
    assert (sound["status"], sound["inputs"], sound["outputs"]) == ("sound", ["input_ids"], 2)
    assert sound["params"] > 0
    assert sound["architecture"]
    assert sound["axes"]["batch"] == "varies"
    assert records["ours/constant"]["status"] == "invalid"
    assert records["ours/raises"]["status"] in ("fail", "invalid")
    assert records["ours/absent"]["status"] == "unavailable"
    assert all(r["message"] for name, r in records.items() if name != "ours/sound")
    listed = {m["id"]: m for m in porting("models", "list", "ours/*", "--format", "json").json()}
    assert listed["ours/sound"]["status"] == "sound"
    assert listed["ours/sound"]["params"] == sound["params"]
    assert listed["ours/constant"]["message"] == records["ours/constant"]["message"]
    shown = porting("models", "show", "ours/constant")
    assert "measured status" in shown.out
    assert "invalid" in shown.out
    assert "4 models; 1 with a reference that was found sound" in porting("models", "list", "ours/*").out


def test_what_has_a_record_of_the_same_contents_is_not_built_again_and_what_was_not_here_is_tried_again(
    porting: Run, project: Path
) -> None:
    first = {r["model"]: r for r in porting("models", "build", "--format", "json").json()}
    file = project / "state" / "measured.jsonl"
    file.write_text(file.read_text().replace('"status": "invalid"', '"status": "as before"'))
    again = {r["model"]: r for r in porting("models", "build", "--format", "json").json()}
    assert again["ours/constant"]["status"] == "as before"  # read, not built
    assert again["ours/absent"] == first["ours/absent"]
    anew = {r["model"]: r for r in porting("models", "build", "ours/constant", "--rerun", "--format", "json").json()}
    assert anew["ours/constant"]["status"] == "invalid"
    assert "ours/sound" in {
        line["id"] for line in porting("models", "list", "ours/*", "--format", "json").json() if line["status"]
    }


def test_a_run_that_is_killed_goes_on_where_it_was(porting: Run, project: Path) -> None:
    line = [sys.executable, "-m", "porting", "models", "build", "--workers", "1"]
    file = project / "state" / "measured.jsonl"
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while run.poll() is None and not (file.is_file() and file.read_bytes().count(b"\n")):
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    kept = file.read_text().splitlines()
    assert kept
    ended = porting("models", "build", "--format", "json")
    assert len(ended.json()) == 4
    assert kept[0] in file.read_text().splitlines()


def test_a_file_named_by_out_takes_the_records(porting: Run, project: Path) -> None:
    said = porting("models", "build", "ours/sound", "--out", "sub/here.jsonl")
    assert said.code == 0
    assert "1 models, 1 with a sound reference" in said.out
    assert (project / "sub" / "here.jsonl").read_text().count("\n") == 1
