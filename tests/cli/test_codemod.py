"""Porting a project's source from the command line: scan, rewrite, undo, commits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import Ended

Porting = Callable[..., Ended]

TRAIN = """import torch
from net.model import Net

device = "cuda" if torch.cuda.is_available() else "cpu"
model = Net().to(device)
if torch.cuda.is_available():
    torch.cuda.empty_cache()
graph = torch.cuda.CUDAGraph if False else None
print(sorted(model.state_dict()))
"""
MODEL = """import torch
from torch import nn


class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        torch.cuda.empty_cache()
"""


@pytest.fixture
def project(setting: Path) -> Path:
    folder = setting / "project"
    (folder / "net").mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "net" / "__init__.py").write_text("")
    (folder / "net" / "model.py").write_text(MODEL)
    (folder / "conf.yaml").write_text("device: cuda\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not {".git", "__pycache__"} & set(p.parts))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def test_a_scan_tells_and_fails_until_nothing_is_new(porting: Porting, project: Path) -> None:
    ended = porting("scan", project)
    assert ended.code == 1
    for said in ("train.py:4", "PRT210", "conf.yaml:1", "can be rewritten safely", "h in all"):
        assert said in ended.out
    base = project / "base.json"  # it names what was found, and is no finding itself
    assert porting("scan", project, "--write-baseline", base).code == 0
    assert porting("scan", project, "--baseline", base).code == 0
    (project / "more.py").write_text("import torch\ntorch.cuda.synchronize()\n")
    ended = porting("scan", project, "--baseline", base, "--format", "json")
    assert ended.code == 1
    assert [(e["path"], e["effort"]["what"]) for e in ended.json() if e["new"]] == [("more.py", "safe")]
    assert porting("scan", project / "net" / "__init__.py").code == 0


def test_named_rules_are_all_that_is_told_of(porting: Porting, project: Path) -> None:
    (project / "more.py").write_text("import flash_attn\n")
    ended = porting("scan", project, "--rules", "PRT110,PRT210")
    assert "of what these rules find in code 100% can be rewritten safely" in ended.out
    assert "report" not in ended.out
    ended = porting("scan", project, "--rules", "PRT403")
    assert "can be rewritten" not in ended.out
    assert "Huawei Ascend: torch_npu.npu_fusion_attention" in ended.out


def test_sarif_has_rules_places_and_fixes(porting: Porting, project: Path) -> None:
    log = json.loads(porting("scan", project, "--format", "sarif").out)
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    names = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"]
    work = run["properties"]["effort"]
    assert work["hours"] == round(sum(line["count"] * line["hours"] for line in work["lines"]), 2) > 0
    first = next(r for r in run["results"] if r["ruleId"] == "PRT210")
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 4, "startColumn": 10}
    (replacement,) = first["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement == {
        "deletedRegion": {"byteOffset": TRAIN.index('"cuda"'), "byteLength": 6},
        "insertedContent": {"text": "accel.type"},
    }


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "no-such-folder"),
        ("scan", ".", "--rules", "PRT000"),
        ("scan", ".", "--for", "nobody"),
        ("scan", ".", "--baseline", "no.json"),
        ("scan", ".", "--baseline", "a", "--write-baseline", "b"),
        ("scan", ".", "--effort", "none.toml"),
        ("rewrite", ".", "--undo"),
        ("rewrite", ".", "--helper", "a b"),
        ("rewrite", ".", "--rules", "x"),
        ("rewrite", ".", "--for", "ascend"),
        ("rewrite", ".", "--for", "nobody", "--with-care"),
    ],
)
def test_bad_input_is_one_error(porting: Porting, words: tuple[str, ...]) -> None:
    ended = porting(*words)
    assert ended.code == 2
    assert ended.complaint()


def test_a_rewrite_is_shown_first_then_written_then_undone(porting: Porting, project: Path) -> None:
    before = contents(project)
    shown = porting("rewrite", project)
    assert shown.code == 0
    assert contents(project) == before
    assert "+device = accel.type if accel.is_available()" in shown.out
    assert "not edited: 2 for a person to decide" in shown.err  # the graph, and the device in conf.yaml
    assert porting("rewrite", project, "--write").code == 0
    assert contents(project).keys() - before.keys() == {"porting_accel.py", "net/porting_accel.py", ".porting-rewrite.json"}
    assert "nothing to do" in porting("rewrite", project).err
    done = subprocess.run([sys.executable, "train.py"], cwd=project, capture_output=True, text=True, timeout=120)
    assert done.stdout == "['bias', 'weight']\n", done.stderr
    assert porting("rewrite", project, "--undo").code == 0
    assert contents(project) == before


def test_the_diff_is_a_patch_that_git_takes(porting: Porting, project: Path) -> None:
    patch = porting("rewrite", project).out
    subprocess.run(["git", "apply", "-"], cwd=project, input=patch, text=True, check=True)
    applied = contents(project)
    subprocess.run(["git", "apply", "-R", "-"], cwd=project, input=patch, text=True, check=True)
    assert porting("rewrite", project, "--write").code == 0
    written = contents(project)
    del written[".porting-rewrite.json"]
    assert written == applied


def test_what_was_changed_since_is_not_undone(porting: Porting, project: Path) -> None:
    porting("rewrite", project, "--write")
    (project / "train.py").write_text("mine\n")
    before = contents(project)
    ended = porting("rewrite", project, "--undo")
    assert ended.code == 2
    assert "train.py was changed" in ended.complaint()
    assert contents(project) == before


def test_two_passes_are_undone_together(porting: Porting, project: Path) -> None:
    before = contents(project)
    porting("rewrite", project, "--write", "--rules", "PRT210")
    porting("rewrite", project, "--write")
    porting("rewrite", project, "--undo")
    assert contents(project) == before


def test_rules_can_be_named_and_the_helper_can_lie_where_a_person_says(porting: Porting, project: Path) -> None:
    assert porting("rewrite", project, "--write", "--rules", "prt110", "--helper", "net.device").code == 0
    assert "from net import device as accel" in (project / "train.py").read_text()
    assert (project / "net" / "device.py").is_file()
    assert 'device = "cuda" if accel.is_available()' in (project / "train.py").read_text()


def test_settings_become_a_makers_when_asked_and_are_undone(porting: Porting, project: Path) -> None:
    before = contents(project)
    assert porting("rewrite", project, "--write", "--with-care", "--for", "npu", "--rules", "PRT350").code == 0
    after = contents(project)
    assert after.keys() - before.keys() == {".porting-rewrite.json"}
    assert after["conf.yaml"] == b"device: npu\n"
    assert porting("rewrite", project, "--undo").code == 0
    assert contents(project) == before


def test_a_target_without_a_list_of_operators_is_said_to_have_none(porting: Porting, project: Path) -> None:
    assert "Enflame has no published list of operators" in porting("scan", project, "--for", "enflame").err


def test_a_package_or_a_file_of_it_alone_gets_its_helper_from_the_package(porting: Porting, project: Path) -> None:
    before = contents(project)
    for path in (project / "net", project / "net" / "model.py"):
        assert porting("rewrite", path, "--write").code == 0
        assert "from net import porting_accel as accel" in (project / "net" / "model.py").read_text()
        assert (project / "net" / "porting_accel.py").is_file()
        assert porting("rewrite", path, "--undo").code == 0
        assert contents(project) == before


def test_each_rule_is_a_commit(porting: Porting, project: Path) -> None:
    for words in (
        ["init", "-q"],
        ["config", "user.email", "a@b.c"],
        ["config", "user.name", "a"],
        ["add", "."],
        ["commit", "-qm", "first"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True)
    ended = porting("rewrite", project, "--commit-each-rule")
    assert ended.code == 0, ended.err
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split(":")[0] for line in reversed(log)] == ["first", "PRT110", "PRT210"]
    assert subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True).stdout == ""


def test_a_scan_imports_no_torch(project: Path) -> None:
    code = f"import sys\nfrom porting.cli import run\nrun(['scan', {str(project)!r}])\n"
    code += "print([m for m in ('torch', 'numpy', 'onnx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
