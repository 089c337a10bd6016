"""Environments of their own for adapters: made from an adapter's recipe, checked, reused, removed.

CACHE/environments/NAME/               a virtual environment
CACHE/environments/NAME/porting.json   what it was made from and what is in it; written last: without it, it is not whole
CACHE/environments/NAME.log            what making it printed
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from porting.environments.recipe import Recipe
from porting.errors import EnvironmentMissing
from porting.serialization import from_json, to_json
from porting.workspace import Workspace, atomic_write, disk_errors, locked

RECORD = "porting.json"
_ASIDE = ".aside"

# Run by the environment's own interpreter. Two packages that both hold pkg/__init__.py overwrite each other.
_INSPECT = """
import collections, importlib.metadata, json, platform
packages, owners = {}, collections.defaultdict(set)
for found in importlib.metadata.distributions():
    name = found.metadata["Name"]
    packages[name] = found.version
    for file in found.files or ():
        if len(file.parts) == 2 and file.parts[1] == "__init__.py":
            owners[file.parts[0]].add(name)
shared = {name: sorted(by) for name, by in owners.items() if len(by) > 1}
print(json.dumps({"python": platform.python_version(), "packages": packages, "shared": shared}))
"""


@dataclass(frozen=True)
class Venv:
    """What an environment was made from, and what is in it."""

    adapter: str
    interpreter: str
    """Its Python, a path."""
    python: str
    """Version of that."""
    requirements: str
    """Digest of what it was made from."""
    packages: Mapping[str, str]


def find(workspace: Workspace, adapter: str) -> Venv | None:
    """An adapter's environment; None when there is none, or it is not whole."""
    try:
        venv = from_json(Venv, json.loads((workspace.environments / adapter / RECORD).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: to be made
        return None
    return venv if Path(venv.interpreter).exists() else None


def names(workspace: Workspace) -> list[str]:
    """Adapters that have an environment, whole or not."""
    folder = workspace.environments
    found = {path.name.removesuffix(_ASIDE) for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return sorted(found)


def is_current(venv: Venv, recipe: Recipe, python: str = "") -> bool:
    """Whether an environment is what this recipe, with this version of Python, would make."""
    wanted = python or recipe.python
    return venv.requirements == recipe.digest and (not wanted or venv.python.startswith(f"{wanted}."))


def create(
    workspace: Workspace, adapter: str, recipe: Recipe, python: str = "", on_line: Callable[[str], None] = lambda _: None
) -> Venv:
    """Make an adapter's environment anew. python: a version, such as 3.10; without it, the one that the recipe
    names, or the one we run in.

    on_line: is told every line that pip prints. Raises EnvironmentMissing when no such Python is here, or a package cannot be
    installed, or those that are do not go together; the environment that was there before is then there still.
    """
    folder = workspace.environments / adapter
    log = folder.with_name(f"{adapter}.log")
    wanted = python or recipe.python
    base = find_python(wanted) if wanted else Path(sys.executable)
    with locked(folder), _replacing(folder):
        log.write_bytes(b"")
        try:
            venv = _make(folder, adapter, base, recipe, lambda line: _tell(line, log, on_line))
        except EnvironmentMissing as error:
            raise EnvironmentMissing(error.message, f"{error.hint} All that was printed: {log}".strip()) from error
        atomic_write(folder / RECORD, json.dumps(to_json(venv), indent=1).encode())
    return venv


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[None]:
    """Put what a folder holds aside, and back when its replacement fails; also when a replacement was killed before this one.
    It has to be made in place: the programs of a virtual environment know where it lies."""
    aside = folder.with_name(f"{folder.name}{_ASIDE}")
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _put_back(aside, folder)
        if folder.is_dir():
            os.rename(folder, aside)
        try:
            yield
        except BaseException:  # an interrupt, too: half an environment serves nobody
            shutil.rmtree(folder, ignore_errors=True)
            _put_back(aside, folder)
            raise
    shutil.rmtree(aside, ignore_errors=True)


def _put_back(aside: Path, folder: Path) -> None:
    if aside.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(aside, folder)


def remove(workspace: Workspace, adapter: str) -> bool:
    """Remove an adapter's environment and its log; whether there was one."""
    folder = workspace.environments / adapter
    with locked(folder):
        there = adapter in names(workspace)
        for path in (folder, folder.with_name(f"{adapter}{_ASIDE}")):
            shutil.rmtree(path, ignore_errors=True)
        folder.with_name(f"{adapter}.log").unlink(missing_ok=True)
    return there


def find_python(version: str) -> Path:
    """An interpreter of a version: on PATH, else pyenv's. Raises EnvironmentMissing."""
    if sys.version.startswith(f"{version}."):
        return Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    for candidate in candidates:
        if _answers(candidate, version):
            return candidate
    hint = f"Get it with `apt install python{version}-venv` or `pyenv install {version}`."
    raise EnvironmentMissing(f"Python {version} is not here, neither on PATH nor under {pyenv}.", hint)


def _answers(python: Path, version: str) -> bool:
    """A name on PATH may be a shim that leads nowhere."""
    try:
        said = subprocess.run([python, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.startswith(f"Python {version}.")


def _make(folder: Path, adapter: str, base: Path, recipe: Recipe, tell: Callable[[str], None]) -> Venv:
    _run([str(base), "-m", "venv", str(folder)], tell, f"`{base} -m venv` failed")
    python = folder / "bin" / "python"
    isolated = [str(python), "-Iu"]  # else the current folder counts as installed, too
    pip = [*isolated, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    install = [*pip, "install", "--progress-bar", "off"]
    _run([*install, "-r", str(recipe.requirements)], tell, "pip could not install what it needs")
    if recipe.alone:
        _run([*install, "--no-deps", *recipe.alone], tell, "pip could not install what it needs")
    _run([*pip, "check"], tell, "its packages do not go together", recipe.may_lack)
    if recipe.prepare:
        _run([*isolated, str(recipe.prepare)], tell, f"{recipe.prepare.name} failed")
    found = json.loads("".join(_lines([*isolated, "-c", _INSPECT])))
    if found["shared"]:
        name, owners = next(iter(found["shared"].items()))
        raise EnvironmentMissing(f"{' and '.join(owners)} both install {name!r}, over each other.", "Require one of them.")
    return Venv(adapter, str(python), found["python"], recipe.digest, found["packages"])


def _run(
    command: list[str], tell: Callable[[str], None], failure: str, harmless: Callable[[str], bool] = lambda _: False
) -> None:
    """Run a command and tell what it prints. Raises EnvironmentMissing with its last words when it fails, unless all that it
    printed is harmless."""
    words = []
    try:
        for line in _lines(command):
            tell(line)
            words.append(line.strip())
    except subprocess.CalledProcessError as error:
        if words and all(map(harmless, words)):
            return
        said = [word for word in words if word.startswith("ERROR")] or words or [f"exit status {error.returncode}"]
        raise EnvironmentMissing(f"{failure}: {said[-1].removeprefix('ERROR: ')}") from error


def _lines(command: list[str]) -> Iterator[str]:
    """What a command prints, line by line. Raises CalledProcessError at its end when it failed."""
    # Nothing of the base environment, or of the user's own packages, may stand in for what is missing in the new one.
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER", "PIP_PREFIX")}
    environment = clean | {"PYTHONNOUSERSITE": "1"}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, text=True, stdin=null, stdout=pipe, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            yield from process.stdout
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _tell(line: str, log: Path, on_line: Callable[[str], None]) -> None:
    with disk_errors(log), log.open("a", encoding="utf-8") as file:
        file.write(line)
    on_line(line.strip())
