"""What names of a file mean: imports, their aliases and stars, as dotted names of where they come from."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Mapping

Star = Callable[[str], Mapping[str, str]]
"""What a star import of a module of the scanned tree brings; nothing for others."""

# What `from torch import *` brings that matters here.
_TORCH_STAR = ("cuda", "device", "load", "Generator", "nn", "autocast", "distributed", "backends", "amp", "jit")


class Names:
    """Import bindings of one file, wherever in it they are made."""

    def __init__(self, module: str, package: bool, star: Star) -> None:
        self._module = module
        self._package = package
        self._star = star
        self.known: dict[str, str] = {}
        self.stars: list[str] = []

    def add_all(self, nodes: Iterable[ast.Import | ast.ImportFrom]) -> None:
        """Take up all of a file's import statements: the last one of a name counts."""
        for node in sorted(nodes, key=lambda n: n.lineno):
            self.add(node)

    def add(self, node: ast.Import | ast.ImportFrom) -> None:
        """Take up one import statement."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
            return
        base = self.base(node)
        for alias in node.names:
            if alias.name == "*":
                self._add_star(base)
            else:
                self.known[alias.asname or alias.name] = f"{base}.{alias.name}"

    def base(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module that something is imported from."""
        if not node.level:
            return node.module or ""
        parts = self._module.split(".")
        kept = len(parts) - node.level + (1 if self._package else 0)
        return ".".join([*parts[: max(kept, 0)], *([node.module] if node.module else [])])

    def _add_star(self, base: str) -> None:
        self.stars.append(base)
        brought = {name: f"torch.{name}" for name in _TORCH_STAR} if base == "torch" else self._star(base)
        for name, meaning in brought.items():
            self.known.setdefault(name, meaning)

    def resolve(self, node: ast.AST) -> str:
        """The dotted name of an expression that is a chain of attributes on an imported name; empty for any other."""
        root = node
        while type(root) is ast.Attribute:
            root = root.value
        meaning = self.known.get(root.id) if type(root) is ast.Name else None
        if not meaning:
            return ""
        parts: list[str] = []
        while type(node) is ast.Attribute:
            parts.append(node.attr)
            node = node.value
        return ".".join([meaning, *reversed(parts)])

    def resolve_one_of(self, node: ast.AST, last: Collection[str]) -> str:
        """The same, for a name whose last part has to be one of some to matter: most are told by that part alone."""
        return self.resolve(node) if type(node) is not ast.Attribute or node.attr in last else ""
