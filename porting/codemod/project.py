"""The scanned tree as Python sees it: modules by their names, and what other files need to know of one, read on demand."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from porting.codemod.names import Names, Star
from porting.codemod.native import Native
from porting.codemod.source import parse


@dataclass
class Module:
    """What a module gives to others."""

    name: str
    names: Names
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    public: tuple[str, ...] | None = None
    """Its `__all__`, where that is a plain list."""


class Project:
    """Modules of a tree. A file is known by every dotted name that some folder above it, put on the path, would give it."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        self._read: dict[str, Module | None] = {}
        self._by_name: dict[str, str] = {}
        self.native = Native()
        """Its C++. Grows while files are looked at."""
        self.launches: dict[str, list[str]] = {}
        """Places where a function is called with a grid, by its dotted name. Grows while files are looked at."""
        self.called: dict[str, list[tuple[str, int]]] = {}
        """File by file that was looked at, what is called there by its last name, and the line."""
        for path in paths:
            parts = module_parts(path)
            for first in range(len(parts)):
                # The name from the tree's root wins: it comes first for its own file.
                self._by_name.setdefault(".".join(parts[first:]), path)
            self._by_name[".".join(parts)] = path

    def path(self, name: str) -> str:
        """The file of a module that there is."""
        return self._by_name[name]

    def module(self, name: str) -> Module | None:
        """A module of the tree by its dotted name; None where there is none, or where it does not parse."""
        if name not in self._read:
            self._read[name] = None  # modules that star-import each other end here
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> Module | None:
        path = self._by_name.get(name)
        if path is None:
            return None
        try:
            tree = parse((self._root / path).read_bytes())
        except (OSError, SyntaxError, ValueError):
            return None
        return summary(name, path.endswith("__init__.py"), tree, self.star)

    def star(self, name: str) -> Mapping[str, str]:
        """What `from name import *` brings of things that were imported there."""
        module = self.module(name)
        if module is None:
            return {}
        wanted = module.public
        own = {n: f"{name}.{n}" for n in (*module.classes, *module.functions)}
        return {
            n: meaning
            for n, meaning in {**module.names.known, **own}.items()
            if (n in wanted if wanted is not None else not n.startswith("_"))
        }

    def find(self, dotted: str, depth: int = 0) -> tuple[Module, str] | None:
        """The module and the name there of `package.module.Thing`, through re-exports."""
        base, _, last = dotted.rpartition(".")
        module = self.module(base) if base else None
        if module is None or depth > 8:
            return None
        if last in module.classes or last in module.functions:
            return module, last
        meaning = module.names.known.get(last)
        return self.find(meaning, depth + 1) if meaning and meaning != dotted else None


def summary(name: str, package: bool, tree: ast.Module, star: Star) -> Module:
    """What a parsed module gives to others: its imports, classes and functions at the top, also those under a condition."""
    names = Names(name, package, star)
    module = Module(name, names)
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.add(node)
        elif isinstance(node, ast.ClassDef):
            module.classes[node.name] = node
        elif isinstance(node, ast.FunctionDef):
            module.functions[node.name] = node
        elif isinstance(node, (ast.If, ast.Try)):
            waiting = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)] + waiting
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            module.public = _strings(node.value)
    return module


def _strings(node: ast.expr) -> tuple[str, ...] | None:
    if not isinstance(node, (ast.List, ast.Tuple)):
        return None
    found = [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return tuple(found) if len(found) == len(node.elts) else None


def module_parts(path: str) -> list[str]:
    """`a/b/c.py` as a module's name in parts; a package by its folder."""
    parts = path.rpartition(".")[0].split("/")
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts
