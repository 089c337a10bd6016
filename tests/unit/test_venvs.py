"""Environments of their own for adapters, made by the real pip from packages that lie in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from porting.environments import recipe, venvs
from porting.environments.environment import command_of
from porting.environments.recipe import Recipe
from porting.errors import EnvironmentMissing, UsageError
from porting.workspace import Workspace

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("venvs")


@pytest.fixture(scope="module")
def workspace(place: Path) -> Workspace:
    return Workspace(place, place / "state", place / "cache")


@pytest.fixture(scope="module")
def wheels(place: Path) -> Path:
    """Three packages: two of them install the same import name, one needs what is nowhere."""
    folder = place / "wheels"
    folder.mkdir()
    wheel(folder, "first", "shared")
    wheel(folder, "second", "shared")
    wheel(folder, "third", "third", "nowhere-to-be-found>=2")
    return folder


def wheel(folder: Path, name: str, package: str, needs: str = "") -> None:
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    files = {
        f"{package}/__init__.py": "",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, content)


def requiring(wheels: Path, *names: str) -> Recipe:
    path = wheels.parent / f"{'-'.join(names)}.txt"
    path.write_text("\n".join(["--no-index", f"--find-links {wheels}", *names]) + "\n")
    return Recipe(path)


@pytest.fixture(scope="module")
def made(workspace: Workspace, wheels: Path) -> venvs.Venv:
    lines: list[str] = []
    venv = venvs.create(workspace, "first", requiring(wheels, "first"), on_line=lines.append)
    log = (workspace.environments / "first.log").read_text()
    assert [line.strip() for line in log.splitlines()] == lines
    assert "Successfully installed first-1.0" in log
    return venv


def test_an_environment_is_made_from_the_requirements_and_found_again(
    workspace: Workspace, wheels: Path, made: venvs.Venv
) -> None:
    assert set(made.packages) - {"setuptools"} == {"pip", "first"}
    assert made.python.startswith(f"{HERE}.")
    assert venvs.find(workspace, "first") == made
    assert venvs.names(workspace) == ["first"]
    assert command_of("first", {}, workspace) == (made.interpreter,)
    assert command_of("other", {}, workspace) is None


def test_other_requirements_or_another_python_make_it_outdated(workspace: Workspace, wheels: Path, made: venvs.Venv) -> None:
    assert venvs.is_current(made, requiring(wheels, "first"))
    assert venvs.is_current(made, requiring(wheels, "first"), HERE)
    assert not venvs.is_current(made, requiring(wheels, "second"))
    assert not venvs.is_current(made, requiring(wheels, "first"), "3.1")
    assert command_of("first", {"python": HERE}, workspace) == (made.interpreter,)
    with pytest.raises(EnvironmentMissing, match=r"no environment with Python 3\.1 yet.*porting env create first"):
        command_of("first", {"python": "3.1"}, workspace)


def interrupt(_line: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("names", "on_line", "error", "says"),
    [
        (("third",), print, EnvironmentMissing, "nowhere-to-be-found"),
        (("first", "second"), print, EnvironmentMissing, "first and second both install 'shared', over each other"),
        (("first",), interrupt, KeyboardInterrupt, ""),
    ],
)
def test_what_fails_says_why_and_leaves_the_one_that_was_there(
    workspace: Workspace,
    wheels: Path,
    made: venvs.Venv,
    names: tuple[str, ...],
    on_line: Callable[[str], None],
    error: type[BaseException],
    says: str,
) -> None:
    with pytest.raises(error, match=says or None) as raised:
        venvs.create(workspace, "first", requiring(wheels, *names), on_line=on_line)
    assert venvs.find(workspace, "first") == made
    if says:
        assert str(workspace.environments / "first.log") in str(raised.value)


def test_one_that_was_killed_while_it_was_made_anew_is_none_and_is_made_again(workspace: Workspace, wheels: Path) -> None:
    folder = workspace.environments / "killed"
    (folder / "bin").mkdir(parents=True)
    aside = folder.with_name("killed.aside")
    aside.mkdir()
    (aside / venvs.RECORD).write_text("{}")
    assert venvs.find(workspace, "killed") is None
    assert venvs.names(workspace).count("killed") == 1
    venv = venvs.create(workspace, "killed", requiring(wheels, "first"))
    assert venvs.find(workspace, "killed") == venv
    assert not aside.exists()
    assert venvs.remove(workspace, "killed")
    assert not venvs.remove(workspace, "killed")
    assert "killed" not in venvs.names(workspace)


@pytest.mark.parametrize("damage", ["", "[]", json.dumps({"adapter": "x"})])
def test_a_damaged_record_is_none(tmp_path: Path, damage: str) -> None:
    workspace = Workspace(tmp_path, tmp_path, tmp_path)
    (workspace.environments / "x").mkdir(parents=True)
    (workspace.environments / "x" / venvs.RECORD).write_text(damage)
    assert venvs.find(workspace, "x") is None


def test_a_python_is_looked_for_on_the_path_and_under_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(path: Path, says: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
        return path

    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert venvs.find_python(HERE) == Path(sys.executable)
    with pytest.raises(EnvironmentMissing, match=r"Python 3\.77 is not here.*apt install python3\.77-venv.*pyenv install 3\.77"):
        venvs.find_python("3.77")
    fake(tmp_path / "bin" / "python3.77", "exit 1")  # as a shim of pyenv does for a version that is not chosen
    own = fake(tmp_path / "pyenv" / "versions" / "3.77.1" / "bin" / "python", "echo Python 3.77.1")
    assert venvs.find_python("3.77") == own
    on_path = fake(tmp_path / "bin" / "python3.77", "echo Python 3.77.0")
    assert venvs.find_python("3.77") == on_path


def test_a_package_may_come_alone_and_be_mended_before_its_first_use(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, tmp_path / "state", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    plain = requiring(wheels, "first")
    (tmp_path / "requirements.txt").write_text(plain.requirements.read_text())
    (tmp_path / "environment.toml").write_text(f'python = "{HERE}"\nalone = ["Third==1.0"]\n')
    (tmp_path / "prepare.py").write_text("import third\nopen(third.__file__, 'a').write('MENDED = True')\nprint('mended')\n")
    made_from = recipe.read(tmp_path)
    assert made_from is not None
    assert made_from.pins == {"Third": "1.0"}
    assert made_from.digest != plain.digest
    lines: list[str] = []
    venv = venvs.create(workspace, "mended", made_from, on_line=lines.append)
    assert "third 1.0 requires nowhere-to-be-found, which is not installed." in lines
    assert lines[-1] == "mended"
    subprocess.run([venv.interpreter, "-c", "import third; assert third.MENDED"], check=True)
    assert venvs.is_current(venv, made_from)
    (tmp_path / "prepare.py").write_text("raise SystemExit('it cannot be mended')")
    changed = recipe.read(tmp_path)
    assert changed is not None
    assert not venvs.is_current(venv, changed)
    with pytest.raises(EnvironmentMissing, match=r"prepare\.py failed: it cannot be mended"):
        venvs.create(workspace, "mended", changed)
    assert venvs.find(workspace, "mended") == venv


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("python = 3.10", "has to be a version"),
        ('python = "3"', "has to be a version"),
        ('alone = "package"', "has to be a list"),
        ("alone = [1]", "has to be a list"),
        ("lonely = []", "unknown key 'lonely'"),
        ("python =", "environment.toml: "),
    ],
)
def test_settings_that_are_not_valid_are_refused(tmp_path: Path, settings: str, says: str) -> None:
    assert recipe.read(tmp_path) is None
    (tmp_path / "requirements.txt").write_text("")
    assert recipe.read(tmp_path) == Recipe(tmp_path / "requirements.txt")
    (tmp_path / "environment.toml").write_text(settings)
    with pytest.raises(UsageError, match=says):
        recipe.read(tmp_path)
