"""The files that a person's code consists of: found by reading it, nothing is imported.

A result is taken from the record when nothing that it depends on has changed, so a file that is overlooked here is a verdict on a
net that is not there any more. Whole packages count, not the modules that are imported of them: what a package's own code imports
by a computed name is then not missed.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import porting

_DATA = frozenset(
    (".safetensors", ".pt", ".pth", ".bin", ".npz", ".npy", ".ckpt", ".onnx", ".h5", ".json", ".yaml", ".yml", ".txt")
)
_KEPT = frozenset(("torch", "numpy", "porting"))
"""Imported by nearly all, and part of every bundle's key already: not followed. The path of `porting` in a checkout leads to
everything there, a virtual environment too."""


def module_file(root: Path, place: str) -> Path | None:
    """The file that a module name or path means, found without importing its parent packages. root: a relative path is from here,
    and modules are looked for here first."""
    if place.endswith(".py"):
        path = Path(root, Path(place).expanduser())
        return path if path.is_file() else None
    found = _find(root, place)
    return Path(found.origin) if found and found.origin else None


def files(file: Path, root: Path) -> tuple[set[Path], set[str]]:
    """What a module depends on: the Python and data files beside it (of its package, if it is in one), the same of every module
    outside the installed packages that one of these imports, and the names of the installed packages that they import."""
    found = set(_beside(file))
    if _inside(file, porting.__path__):  # a net of the catalog: it stands on torch and on the blocks that these share
        return found, set()
    packages: set[str] = set()
    waiting, seen = set(found), set(_KEPT)
    while waiting:
        path = waiting.pop()
        for name in (_imports(_state(path)) if path.suffix == ".py" else frozenset()) - seen:
            seen.add(name)
            own = _own(root, name)
            packages |= {name} if own is None else set()
            waiting |= (own or set()) - found
            found |= own or set()
    return found, packages


def _own(root: Path, name: str) -> set[Path] | None:
    """The files of a module or package at the top that is no installed one; none where there is no such module. None of an
    installed one."""
    found = _find(root, name)
    places = [*(found.submodule_search_locations or ()), *((found.origin,) if found.origin else ())] if found else []
    if any(_installed(Path(place)) for place in places) or (found and not places):
        return None
    return {path for place in map(Path, places) for path in (_within(place) if place.is_dir() else [place])}


def _find(root: Path, place: str) -> importlib.machinery.ModuleSpec | None:
    search: Sequence[str] | None = [str(root), *sys.path]
    found = None
    for end in range(1, place.count(".") + 2):
        name = ".".join(place.split(".")[:end])
        found = importlib.machinery.PathFinder.find_spec(name, search) or _found_otherwise(name)
        if found is None:
            return None
        search = list(found.submodule_search_locations or [])
    return found


def versions(packages: set[str]) -> dict[str, str]:
    """Versions of the distributions that bring these packages, by the distributions' names."""
    return {name: importlib.metadata.version(name) for package in packages for name in _distributions(package)}


@functools.cache
def _distributions(package: str) -> tuple[str, ...]:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return tuple(sorted(set(_all_packages().get(package, ()))))
    return (package,)


@functools.cache
def _all_packages() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _beside(file: Path) -> Iterator[Path]:
    if file.parent.parent in [Path(folder) / "models" for folder in porting.__path__]:  # the catalog's own nets share blocks
        yield from _within(file.parent)
        yield from file.parent.parent.glob("*.py")
    elif (file.parent / "__init__.py").is_file():
        yield from _within(_top(file.parent))
    else:
        yield from filter(_counts, file.parent.glob("*"))


def _top(package: Path) -> Path:
    return _top(package.parent) if (package.parent / "__init__.py").is_file() else package


def _within(folder: Path) -> Iterator[Path]:
    return filter(_counts, folder.rglob("*"))


def _counts(path: Path) -> bool:
    return path.suffix in ({".py"} | _DATA) and path.is_file()


def _state(path: Path) -> tuple[Path, int, int]:
    """A file as it is now: another size or time is another content."""
    state = path.stat()
    return path, state.st_size, state.st_mtime_ns


@functools.lru_cache(4096)
def _imports(state: tuple[Path, int, int]) -> frozenset[str]:
    """Packages at the top that a file imports, also inside functions. A file that cannot be parsed imports nothing: building the
    model will tell."""
    try:
        tree = ast.parse(state[0].read_bytes())
    except (SyntaxError, ValueError):
        return frozenset()
    names = {name for node in ast.walk(tree) for name in _names(node)}
    return frozenset(name.partition(".")[0] for name in names) - sys.stdlib_module_names


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith("import_module"):
        first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) and node.args[0].values else node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):  # of f"models.{name}" the package is told
            yield first.value


def _installed(origin: Path) -> bool:
    """Whether a module is of an installed distribution, whose version stands for its files; of another environment, too, which
    may lie in the project's own folder."""
    paths = sysconfig.get_paths()
    inside = _inside(origin, [paths[name] for name in ("purelib", "platlib", "stdlib")])
    return inside or not {"site-packages", "dist-packages"}.isdisjoint(origin.parts)


def _inside(file: Path, folders: Sequence[str]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)


def _found_otherwise(name: str) -> importlib.machinery.ModuleSpec | None:
    """A module at the top that another finder brings, as editable installs do; finding those imports nothing."""
    try:
        return importlib.util.find_spec(name) if "." not in name else None
    except ValueError:  # it is imported, and does not say from where
        return None
