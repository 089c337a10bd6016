"""`check --changed REVISION`: only what a change since then can affect is checked, by the content keys of both."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cli_kit import Run

NET = """
import torch
from torch import nn

from sizes import WIDTH


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(4, width)

    def forward(self, x):
        return self.linear(x)


def small():
    return Net(WIDTH), {"x": torch.ones(2, 4)}
"""
CATALOG = """
targets = ["faulty:none:fp32"]

[[models]]
id = "ours/first"
source = "factory"
name = "a/net.py:small"
tiers = ["ci"]

[[models]]
id = "ours/second"
source = "factory"
name = "b/net.py:small"
"""


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of a git repository, committed."""
    project = tmp_path / "repository" / "project"
    project.mkdir(parents=True)
    (project / "porting.toml").write_text(CATALOG)
    for name, width in (("a", 3), ("b", 5)):
        (project / name).mkdir()
        (project / name / "net.py").write_text(NET)
        (project / name / "sizes.py").write_text(f"WIDTH = {width}\n")
    git(tmp_path / "repository", "init", "-q")
    git(tmp_path / "repository", "add", "-A")
    git(tmp_path / "repository", "commit", "-qm", "first")
    monkeypatch.chdir(project)
    return project


def checked(porting: Run, *more: str) -> list[str]:
    ended = porting("check", "--changed", "HEAD", "--format", "json", *more)
    assert ended.code == 0, ended.err
    return [result["model"] for result in ended.json()]


def test_nothing_changed_is_nothing_to_check(porting: Run, repository: Path) -> None:
    assert checked(porting) == []
    assert subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True).stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "models"),
    [
        ("b/sizes.py", "WIDTH = 5", "WIDTH = 6", ["ours/second"]),  # what the factory imports
        ("a/net.py", "self.linear(x)", "self.linear(x).relu()", ["ours/first"]),
        ("porting.toml", 'name = "a/net.py:small"', 'name = "a/net.py:small"\nsizes = { batch = 3 }', ["ours/first"]),
        ("porting.toml", 'tiers = ["ci"]', 'tiers = ["nightly"]', []),  # says nothing about the model
    ],
)
def test_what_changed_is_checked_and_nothing_else(
    porting: Run, repository: Path, file: str, old: str, new: str, models: list[str]
) -> None:
    text = (repository / file).read_text()
    assert old in text
    (repository / file).write_text(text.replace(old, new))
    assert checked(porting) == models


def test_a_model_that_was_not_there_is_checked(porting: Run, repository: Path) -> None:
    with (repository / "porting.toml").open("a") as file:
        file.write('\n[[models]]\nid = "ours/third"\nsource = "factory"\nname = "b/net.py:small"\n')
    assert checked(porting) == ["ours/third"]


@pytest.mark.parametrize(("revision", "said"), [("no-such-branch", "no revision 'no-such-branch'"), ("--help", "--help")])
def test_a_revision_that_is_none_is_a_clear_error(porting: Run, repository: Path, revision: str, said: str) -> None:
    ended = porting("check", "--changed", revision)
    assert ended.code == 2
    assert said in ended.complaint()


def test_a_folder_outside_any_repository_is_a_clear_error(porting: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "porting.toml").write_text('targets = ["faulty:none:fp32"]\n')
    monkeypatch.chdir(tmp_path / "plain")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    ended = porting("check", "sample_models:two_outputs", "--changed", "HEAD")
    assert ended.code == 2
    assert "Error: " in ended.err


def test_a_change_of_a_package_that_is_imported_from_elsewhere_in_the_repository_counts(
    porting: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = repository.parent / "src" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "build.py").write_text(NET.replace("from sizes import WIDTH", "WIDTH = 3"))
    catalog = (repository / "porting.toml").read_text()
    (repository / "porting.toml").write_text(catalog.replace("b/net.py:small", "mine.build:small"))
    git(repository, "add", "-A", repository.parent)
    git(repository, "commit", "-qm", "a package in src")
    monkeypatch.syspath_prepend(package.parent)  # as an editable install has it
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)
    assert checked(porting) == []
    (package / "__init__.py").write_text("second = 2")
    assert checked(porting) == ["ours/second"]
