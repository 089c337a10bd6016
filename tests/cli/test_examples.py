"""The examples: each is copied, its CI is run as a runner would, its README is followed, its report comes out the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ci_kit import ACTION, HEAD, REPORTS, ROOT, check, gitlab, tools, yaml

sys.path.insert(0, str(ROOT / "tests" / "unit"))

import doc_pages

EXAMPLES = ROOT / "examples"
NAMES = ("fine-tune", "research", "vendor-onnx")
NEEDS = {"fine-tune": "transformers", "vendor-onnx": "openvino"}
KEPT = re.compile(r"^(Generated|Versions: ).*$", re.MULTILINE)
"""Lines of a report that are of the day."""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A copy of an example to work in, with `porting` and `python` on PATH."""

    def copy(name: str) -> Path:
        if name in NEEDS:
            pytest.importorskip(NEEDS[name], exc_type=ImportError)
        folder = tmp_path / name / "repository"
        ignored = shutil.ignore_patterns("report", ".porting*", "__pycache__")
        shutil.copytree(EXAMPLES / name, folder, ignore=ignored)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PATH", tools(tmp_path / "bin"))
        return folder

    return copy


def the_action(folder: Path) -> list[dict[str, Any]]:
    """The steps of the workflow's one job."""
    (job,) = yaml.safe_load((folder / ".github" / "workflows" / "porting.yml").read_text())["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_in_ci_and_its_readme_holds(name: str, example: Callable[[str], Path], tmp_path: Path) -> None:
    folder = example(name)
    accepted = (folder / "report.md").read_text()
    checkout, action, *more = the_action(folder)
    assert checkout["uses"].startswith("actions/checkout@")
    assert re.fullmatch(r"OWNER/porting@v\d+", action["uses"])
    done = check(tmp_path / "summary.md", **action.get("with", {}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice title=porting::gate as expected: " in done.stdout
    assert sorted(path.name for path in (folder / "porting-report").iterdir()) == REPORTS
    for step in more:
        ran = subprocess.run(step["run"], shell=True, capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    follower = doc_pages.Follower(folder, {"PORTING_HOME": str(folder / ".porting-cache" / "home")})
    assert follower.follow(folder / "README.md") >= 1
    assert KEPT.sub("", (folder / "report.md").read_text()) == KEPT.sub("", accepted)
    assert (folder / "report" / "index.html").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_ci_file_of_an_example_has_ten_lines_and_no_input_that_there_is_not(name: str) -> None:
    files = [EXAMPLES / name / ".github" / "workflows" / "porting.yml", EXAMPLES / name / ".gitlab-ci.yml"]
    there = [file for file in files if file.is_file()]
    assert there
    assert [len(file.read_text().splitlines()) for file in there if len(file.read_text().splitlines()) > 10] == []
    for step in the_action(EXAMPLES / name):
        if "porting@" in step.get("uses", ""):
            assert step.get("with", {}).keys() <= ACTION["inputs"].keys()


def test_the_vendors_file_passes_in_gitlab_too(example: Callable[[str], Path]) -> None:
    folder = example("vendor-onnx")
    (included,) = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())["include"]
    assert included["inputs"].keys() <= HEAD["spec"]["inputs"].keys()
    done = gitlab(folder, **included["inputs"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate as expected: 3 as expected" in done.stdout
    assert (folder / "porting-report" / "junit.xml").is_file()


def test_the_vendors_file_is_what_its_script_makes(example: Callable[[str], Path]) -> None:
    folder = example("vendor-onnx")
    subprocess.run(["python", "make_model.py", "again.onnx"], check=True, timeout=240)
    assert (folder / "again.onnx").read_bytes() == (folder / "gauge.onnx").read_bytes()


def test_the_checkpoint_is_made_by_the_script_beside_it(example: Callable[[str], Path]) -> None:
    folder = example("fine-tune")
    ready = "from porting.sources._torchvision import make_importable; make_importable()"
    train = f"{ready}; import finetune; print(finetune.main('again', 60))"
    done = subprocess.run(["python", "-c", train], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.8
    made, kept = ({path.name for path in (folder / name).iterdir()} for name in ("again", "checkpoint"))
    assert made == kept


def test_new_cuda_code_in_the_research_repository_fails_its_ci(example: Callable[[str], Path]) -> None:
    folder = example("research")
    (folder / "denoise" / "extra.py").write_text("import torch\n\ntorch.cuda.empty_cache()\n")
    (scan,) = (step["run"] for step in the_action(folder) if "run" in step)
    done = subprocess.run(scan, shell=True, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "denoise/extra.py:3" in done.stdout


def test_the_page_of_the_examples_leads_to_each() -> None:
    linked = {Path(link).parts[0] for link in doc_pages.links(EXAMPLES / "README.md")}
    assert linked == set(NAMES) == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
