"""Which interpreter a backend runs in, and what it needs to run our worker there.

The base environment is the one we run in. An adapter may be given another interpreter or a container command by
porting.toml: `[environments.openvino] python = "/opt/venvs/openvino/bin/python"` or `command = ["podman", "run", ...]`; else it
has the environment that `porting env create` made for it (porting.environments.venvs).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.environments import recipe, venvs
from porting.errors import EnvironmentMissing
from porting.workspace import Workspace, disk_errors

# What a worker in another interpreter imports of ours, and nothing else: standard library, numpy and the backend suffice.
WORKER_MODULES = (
    "_version", "serialization", "types", "adapter", "bundles/__init__", "bundles/generation", "bundles/tensors",
    "workers/__init__", "workers/worker", "workers/forkserver", "workers/warm", "operators/__init__", "operators/job",
    "diagnose/__init__", "diagnose/job",
    *(f"accelerators/{path.stem}" for path in sorted((Path(__file__).parents[1] / "accelerators").glob("*.py"))),
)  # fmt: skip
SUITE_MODULES = (
    "conformance/__init__", "conformance/fresh", "conformance/kit", "conformance/models", "deploy/__init__", "deploy/run",
)  # fmt: skip


@dataclass(frozen=True)
class Interpreter:
    """An interpreter beside the base one."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Set on top of the job's environment; PYTHONPATH leads to the worker's code."""

    @property
    def can_fork(self) -> bool:
        """Whether a warm server of its own may fork its jobs: those of a container would have process ids of their own."""
        return len(self.command) == 1


def interpreter_for(adapter: str, environments: Mapping[str, Mapping[str, Any]], workspace: Workspace) -> Interpreter | None:
    """The interpreter of an adapter, None for the base environment. environments: the tables of porting.toml.

    Raises EnvironmentMissing when the interpreter is not there.
    """
    entry = environments.get(adapter, {})
    command = command_of(adapter, entry, workspace)
    if command is None:
        return None
    if shutil.which(command[0]) is None:
        raise EnvironmentMissing(
            f"the interpreter for {adapter} is not there: {command[0]}.",
            f"Create it, or correct [environments.{adapter}] in porting.toml.",
        )
    return Interpreter(adapter, command, {"PYTHONPATH": str(stage_worker(workspace.workers, adapter)), **entry.get("env", {})})


def command_of(adapter: str, entry: Mapping[str, Any], workspace: Workspace) -> tuple[str, ...] | None:
    """What to start for an adapter: what its table in porting.toml names, else the environment made for it, else nothing.

    A table with variables alone means the interpreter we run in. Raises EnvironmentMissing when an environment with a certain
    version of Python is asked for and not made yet.
    """
    named = tuple(entry.get("command") or ())
    python = entry.get("python", "")
    if named or (python and not recipe.is_version(python)):
        return named or (python,)
    venv = venvs.find(workspace, adapter)
    if venv and (not python or venv.python.startswith(f"{python}.")):
        return (venv.interpreter,)
    if python:
        hint = f"Make it with `porting env create {adapter}`."
        raise EnvironmentMissing(f"{adapter} has no environment with Python {python} yet.", hint)
    return (sys.executable,) if entry else None


def stage_worker(workers: Path, adapter: str) -> Path:
    """Copy the worker's modules, the built-in adapters and, where it is none of them, `adapter` into a folder of their own, once
    per version of their contents."""
    return _stage(workers, WORKER_MODULES, adapter)


def stage_suite(workers: Path, adapter: str) -> Path:
    """The same with the conformance suite."""
    return _stage(workers, (*WORKER_MODULES, *SUITE_MODULES), adapter)


def _stage(workers: Path, modules: Iterable[str], adapter: str) -> Path:
    import porting
    from porting import registry

    files = {f"porting/{name}.py": Path(porting.__file__).parent / f"{name}.py" for name in modules}
    adapters = adapters_folder()
    files |= registry.brought(adapter)
    files |= {
        f"porting/adapters/{path.relative_to(adapters)}": path
        for path in sorted(adapters.rglob("*"))
        if path.is_file() and path.suffix in (".py", ".json", ".toml", ".txt")
    }
    digest = hashlib.sha256(b"".join(name.encode() + path.read_bytes() for name, path in files.items())).hexdigest()[:16]
    folder = workers / digest
    if not folder.is_dir():
        part = workers / f"{digest}.{uuid.uuid4().hex}.part"
        with disk_errors(part):
            for name, path in files.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, part / name)
            (part / "porting" / "__init__.py").write_text('"""The part of porting that runs in a backend\'s interpreter."""\n')
            try:
                os.rename(part, folder)
            except OSError:  # another process was quicker
                shutil.rmtree(part)
    return folder


def adapters_folder() -> Path:
    """Where the built-in adapters lie: beside porting/ in a checkout, inside it when installed."""
    import porting.adapters

    return Path(next(iter(porting.adapters.__path__)))
