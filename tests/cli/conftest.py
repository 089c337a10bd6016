"""Runs the command line as a person would: in this process where one command is enough, in one of its own where it matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_kit import Ended
from gate_kit import ABSENT, CAME, ON, TOML

from porting import registry
from porting.cli import run

TESTS = Path(__file__).parents[1]
MODELS = (str(Path(__file__).parent), str(TESTS), str(TESTS / "faulty_adapter"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all commands: bundles are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def setting(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with a store of its own, and the sample models and the faulty adapter on the path."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PORTING_CACHE", str(cache))
    monkeypatch.setenv("PORTING_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((*MODELS, str(TESTS.parent))))
    monkeypatch.setattr(sys, "path", [*MODELS, *sys.path])
    registry.refresh()
    yield folder
    registry.refresh()


@pytest.fixture
def porting(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in this process."""

    def call(*arguments: object) -> Ended:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return call


@pytest.fixture
def command() -> Callable[..., Ended]:
    """Run a command in a process of its own. Keyword arguments are environment variables."""

    def call(*arguments: object, **environment: str) -> Ended:
        line = [sys.executable, "-m", "porting", *(str(a) for a in arguments)]
        done = subprocess.run(line, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240)
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that nobody else uses: bundles are made, and processes can be told by it."""
    monkeypatch.setenv("PORTING_CACHE", str(tmp_path / "own-cache"))
    return tmp_path / "own-cache"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A store with what came of one model on every fault, and on a target that is not here."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "porting.toml").write_text(TOML)
    path = os.pathsep.join((*MODELS, str(TESTS.parent)))
    environment = {**os.environ, "PORTING_CACHE": str(cache), "PORTING_HOME": str(folder), "PYTHONPATH": path}
    line = [sys.executable, "-m", "porting", "check", "--on", f"{ON},{ABSENT}", "--format", "json"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stderr
    outcomes = {r["target"].split(":")[1]: r["outcome"] for r in json.loads(done.stdout)}
    assert outcomes == CAME
    return folder / "results.db"
