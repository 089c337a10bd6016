"""Results go from one store to another: all of them, or those that are asked for, compressed where the file's name says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_kit import Run

MODEL = "small_models:narrow"
ORT, TORCH = "onnxruntime:cpu:fp32", "torch:cpu:fp32"


@pytest.fixture(autouse=True)
def three_results(porting: Run, setting: Path) -> None:
    """Two of one cell, one of another."""
    assert porting("check", MODEL, "--on", f"{ORT},{TORCH}").code == 0
    assert porting("check", MODEL, "--on", ORT, "--rerun").code == 0


def targets_in(exported: str) -> list[str]:
    return [line["target"] for line in map(json.loads, exported.splitlines()) if "target" in line]


def test_the_latest_of_every_cell_alone(porting: Run) -> None:
    assert sorted(targets_in(porting("results", "export").out)) == [ORT, ORT, TORCH]
    assert sorted(targets_in(porting("results", "export", "--latest").out)) == [ORT, TORCH]


def test_the_latest_is_the_last_that_was_recorded(porting: Run) -> None:
    last = porting("report", "--format", "json").json()
    (exported,) = porting("results", "export", "--latest", "--no-logs", "--on", ORT).out.splitlines()
    assert any(result["started"] in exported for result in last if result["target"] == ORT)


def test_targets_by_name_and_by_glob(porting: Run) -> None:
    assert targets_in(porting("results", "export", "--on", "onnx*").out) == [ORT, ORT]
    assert targets_in(porting("results", "export", "--on", f"{TORCH},nothing").out) == []
    refused = porting("results", "export", "--on", "iree:*")
    assert refused.code == 2
    assert "there is no result of a target 'iree:*'" in refused.complaint()
    assert TORCH in refused.err


def test_a_compressed_file_goes_both_ways(porting: Run, setting: Path) -> None:
    plain, small = setting / "all.jsonl", setting / "all.jsonl.xz"
    assert porting("results", "export", plain).code == porting("results", "export", small).code == 0
    assert small.stat().st_size < plain.stat().st_size / 2
    assert "3 new results" in porting("results", "import", small, "--store", "other.db").out
    assert porting("results", "export", "--store", "other.db").out == plain.read_text()
    first = small.read_bytes()
    porting("results", "export", small)
    assert small.read_bytes() == first, "the same results make the same bytes"
    assert not list(setting.glob(".part.*"))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: b"no archive", lambda data: data[:200] + b"!" + data[201:]]
)
def test_a_damaged_archive_is_refused_and_nothing_of_it_kept(porting: Run, setting: Path, damage: object) -> None:
    archive = setting / "all.jsonl.xz"
    porting("results", "export", archive)
    archive.write_bytes(damage(archive.read_bytes()))  # type: ignore[operator]
    refused = porting("results", "import", archive, "--store", "other.db")
    assert refused.code == 2
    assert "all.jsonl.xz" in refused.complaint()
    assert porting("results", "export", "--store", "other.db").out == ""


def test_what_is_published_names_no_folder_of_this_machine(porting: Run, setting: Path, cache: Path) -> None:
    (setting / "broken.py").write_text("def made():\n    raise ValueError(f'no weights in {__file__}')\n")
    assert porting("check", "broken:made", "--on", ORT).code == 2
    told, published = porting("results", "export").out, porting("results", "export", "--redact").out
    assert f"no weights in {setting}/broken.py" in told
    assert "no weights in ROOT/broken.py" in published
    assert not [place for place in (str(setting), str(cache), str(Path.home()), sys.prefix) if f"{place}/" in published]
    assert len(published.splitlines()) == 4, "no logs"
    for name in ("published.jsonl.xz", "again.jsonl.xz"):
        porting("results", "export", name, "--redact")
    said = [porting("results", "import", name, "--store", "other.db").out for name in ("published.jsonl.xz", "again.jsonl.xz")]
    assert said == ["4 new results, 0 known already\n", "0 new results, 4 known already\n"]


@pytest.mark.parametrize(
    ("told", "published"),
    [
        ("File /home/ada/port/porting/bundles/build.py, line 7", "File PORTING/porting/bundles/build.py, line 7"),
        ("/srv/x-1/adapters/iree/graph.py:3", "PORTING/adapters/iree/graph.py:3"),
        ("at /opt/py/lib/python3.12/site-packages/torch/nn.py", "at PACKAGES/torch/nn.py"),
        ("node /model.0/porting/MatMul of /layers/adapters.1/Add", "node /model.0/porting/MatMul of /layers/adapters.1/Add"),
    ],
)
def test_nor_of_another_whose_results_were_imported(porting: Run, setting: Path, told: str, published: str) -> None:
    assert porting("results", "export", "here.jsonl", "--no-logs").code == 0
    first, *_ = (setting / "here.jsonl").read_text().splitlines()
    (setting / "there.jsonl").write_text(json.dumps({**json.loads(first), "message": told}) + "\n")
    assert porting("results", "import", "there.jsonl", "--store", "there.db").code == 0
    out = porting("results", "export", "--redact", "--store", "there.db").out
    assert json.loads(out)["message"] == published
