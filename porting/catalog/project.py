"""A person's own `porting.toml`: their models, interpreters, store and targets. No torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.catalog import file as catalog_file
from porting.catalog.file import CatalogFile, Problem, Table
from porting.launch.cluster import Setup
from porting.types import ModelSpec, Target

FILE = "porting.toml"

_KEYS = (*catalog_file.TABLES, "catalog", "environments", "expect", "nodes", "store", "targets")


@dataclass(frozen=True)
class Project:
    """What a `porting.toml` says."""

    root: Path
    """The folder it lies in; relative paths and modules start there."""
    file: Path
    models: tuple[ModelSpec, ...] = ()
    """Its inline entries and those of the catalog files it names."""
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By adapter: `python` (an interpreter) or `command` (what to put before the worker's arguments, a container for
    instance), and `env` (variables)."""
    nodes: Mapping[str, Setup] = field(default_factory=dict)
    """By feature of a cluster's nodes, what has to be done there first."""
    store: str | None = None
    """Path or database URL of the result store."""
    targets: tuple[str, ...] = ()
    """Targets that a check runs on when none are named."""
    expect: Path | None = None
    """The folder of its expectations, where it names one."""


def find_project(start: Path) -> Project | None:
    """Read the `porting.toml` in `start` or the nearest parent that has one. Raises CatalogError naming file and line."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE).is_file():
            return read_project(candidate / FILE)
    return None


def read_project(path: Path) -> Project:
    """Read a `porting.toml`. Raises CatalogError naming file and line."""
    project, problems = check_project(path)
    if problems:
        raise problems[0].error()
    return project


def check_project(path: Path) -> tuple[Project, list[Problem]]:
    """Read a `porting.toml`: what is sound, and what is wrong with the rest."""
    path = path.resolve()
    root = path.parent
    text, problem = catalog_file.read_text(path)
    if text is None:
        assert problem
        return Project(root, path), [problem]
    file = CatalogFile(str(path), text, str(root))
    data = catalog_file.parse(file)
    catalog_file.unknown_keys(file, data, _KEYS)
    models = catalog_file.read_entries(file, data, root.name)
    for other in _catalog_files(file, data, root):
        found, problems = catalog_file.read(other, root)
        models += found
        file.problems += problems
    project = Project(
        root,
        path,
        tuple(models),
        _environments(file, data, root),
        _nodes(file, data),
        _store(file, data, root),
        _targets(file, data),
        _expect(file, data, root),
    )
    return project, file.problems


def _catalog_files(file: CatalogFile, data: Table, root: Path) -> list[Path]:
    table = data.get("catalog", {})
    line = file.header("catalog")
    if not isinstance(table, dict):
        file.complain(file.find(1, "catalog"), "'catalog' must be a table.")
        return []
    catalog_file.unknown_keys(file, table, ("paths",), line)
    patterns = _strings(file, table, "paths", line)
    found = []
    for pattern in patterns:
        matches = sorted(root.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not matches:
            file.complain(file.find(line, pattern), f"no catalog file matches {pattern!r}.")
        found += matches
    return found


def _environments(file: CatalogFile, data: Table, root: Path) -> dict[str, dict[str, Any]]:
    tables = data.get("environments", {})
    if not isinstance(tables, dict):
        file.complain(file.find(1, "environments"), "'environments' must hold tables, one an adapter.")
        return {}
    return {name: found for name, table in tables.items() if (found := _environment(file, name, table, root))}


def _environment(file: CatalogFile, name: str, table: Any, root: Path) -> dict[str, Any]:
    line = file.header("environments", name)
    if not isinstance(table, dict):
        file.complain(line, f"environment {name!r} must be a table.")
        return {}
    catalog_file.unknown_keys(file, table, ("python", "command", "env"), line)
    made: dict[str, Any] = {}
    if "python" in table and isinstance(table["python"], str):
        given = Path(table["python"]).expanduser()
        made["python"] = str(root / given) if "/" in table["python"] else table["python"]  # without one, it is looked up in PATH
    elif "python" in table:
        file.complain(file.find(line, "python"), "'python' must be a string.")
    if "command" in table:
        made["command"] = _strings(file, table, "command", line)
    if "env" in table:
        variables = table["env"]
        if isinstance(variables, dict) and all(isinstance(value, str) for value in variables.values()):
            made["env"] = dict(variables)
        else:
            file.complain(file.find(line, "env"), "'env' must be a table of strings.")
    return made


def _nodes(file: CatalogFile, data: Table) -> dict[str, Setup]:
    tables = data.get("nodes", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        file.complain(file.find(1, "nodes"), "'nodes' must hold tables, one a feature.")
        return {}
    return {name: _setup(file, name, table) for name, table in tables.items()}


def _setup(file: CatalogFile, name: str, table: Table) -> Setup:
    line = file.header("nodes", name)
    catalog_file.unknown_keys(file, table, ("python", "setup", "env", "maker", "scheduler"), line)
    for key in ("python", "maker"):
        if not isinstance(table.get(key, ""), str):
            file.complain(file.find(line, key), f"{key!r} must be a string.")
    env = table.get("env", {})
    if not (isinstance(env, dict) and all(isinstance(value, str) for value in env.values())):
        file.complain(file.find(line, "env"), "'env' must be a table of strings.")
        env = {}
    setup, scheduler = (tuple(_strings(file, table, key, line)) for key in ("setup", "scheduler"))
    return Setup(str(table.get("python", "")), setup, env, str(table.get("maker", "")), scheduler)


def _store(file: CatalogFile, data: Table, root: Path) -> str | None:
    """The result store: a URL as it is, a path, also that of an SQLite URL, from where the file lies."""
    value = data.get("store")
    if value is None or isinstance(value, str):
        path = (value or "").removeprefix("sqlite:///")
        return value if "://" in path or path in ("", ":memory:") else str(root / path)
    file.complain(file.find(1, "store"), "'store' must be a string, a path or the URL of a database.")
    return None


def _expect(file: CatalogFile, data: Table, root: Path) -> Path | None:
    value = data.get("expect")
    if value is None or isinstance(value, str):
        return root / Path(value).expanduser() if value else None
    file.complain(file.find(1, "expect"), "'expect' must be a string, the folder of expectation files.")
    return None


def _targets(file: CatalogFile, data: Table) -> tuple[str, ...]:
    targets = _strings(file, data, "targets", 1)
    for text in targets:
        try:
            Target.parse(text)
        except ValueError as error:
            file.complain(file.find(1, text), f"{error}.")
    return tuple(targets)


def _strings(file: CatalogFile, table: Table, key: str, line: int) -> list[str]:
    value = table.get(key, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    file.complain(file.find(line, key), f"{key!r} must be an array of strings.")
    return []
