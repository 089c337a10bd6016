"""A Python file as bytes and as a tree: parents of nodes, nodes by their class, byte spans, and the text of a span."""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections import defaultdict
from typing import Any, TypeVar

N = TypeVar("N", bound=ast.AST)
BOM = b"\xef\xbb\xbf"
# Fields that hold no nodes, or none that say anything, and classes without children.
_PLAIN = frozenset((
    "ctx", "op", "ops", "type_comment", "kind", "id", "attr", "arg", "module", "level", "conversion", "is_async", "simple",
    "type_ignores",
))  # fmt: skip
_LEAVES = (ast.Name, ast.Constant, ast.alias, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal)
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def parse(data: bytes) -> ast.Module:
    """The tree of a file's bytes. Raises SyntaxError or ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in somebody's string is no concern of ours
        try:
            return ast.parse(data)
        except (RecursionError, MemoryError) as error:
            raise ValueError(f"too deeply nested: {error}") from None


def unparsable(data: bytes) -> SyntaxError | ValueError | None:
    """Why a file does not parse, asked without making its tree, which is most of the work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            symtable.symtable(data, "?", "exec")  # type: ignore[arg-type]  # bytes say their encoding themselves
            return None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # this asks for more than a tree does
    try:
        parse(data)
    except (SyntaxError, ValueError) as error:
        return error
    return None


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """The fields that may hold children, by class of node."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        self[kind] = () if kind in _LEAVES else tuple(name for name in kind._fields if name not in _PLAIN)
        return self[kind]


_FIELDS = _Fields()


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right under one, without contexts and operators."""
    found: list[ast.AST] = []
    for name in _FIELDS[type(node)]:
        value = getattr(node, name, None)
        if type(value) is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def descendants(node: ast.AST) -> list[ast.AST]:
    """A node and all under it: ast.walk, without contexts and operators, and many times as fast."""
    found = [node]
    for one in found:
        found += children(one)
    return found


class Source:
    """A file that parsed."""

    def __init__(self, path: str, data: bytes, tree: ast.Module) -> None:
        self.path = path
        self.skipped = len(BOM) if data.startswith(BOM) else 0
        self.data = data
        self.tree = tree
        self.parents: dict[ast.AST, ast.AST] = {}
        self.nodes: dict[type[ast.AST], list[Any]] = defaultdict(list)
        self._offsets = _line_offsets(data)
        self._walk()

    @property
    def editable(self) -> bool:
        """Whether the tree's columns are this file's bytes: it is UTF-8."""
        for line in self.data.split(b"\n", 2)[:2]:
            found = _COOKIE.match(line)
            if found:
                return found[1].lower().replace(b"_", b"-") in (b"utf-8", b"utf8", b"ascii", b"us-ascii")
        return True

    def _walk(self) -> None:
        parents, nodes = self.parents, self.nodes
        order: list[ast.AST] = [self.tree]
        for node in order:
            kind = type(node)
            nodes[kind].append(node)
            for name in _FIELDS[kind]:
                value = getattr(node, name, None)
                if type(value) is list:
                    for item in value:
                        if isinstance(item, ast.AST):
                            parents[item] = node
                            order.append(item)
                elif isinstance(value, ast.AST):
                    parents[value] = node
                    order.append(value)

    def all(self, kind: type[N]) -> list[N]:
        return self.nodes.get(kind, [])

    def up(self, node: ast.AST) -> ast.AST:
        """The parent; the module is its own."""
        return self.parents.get(node, node)

    def ancestors(self, node: ast.AST) -> list[ast.AST]:
        """From the parent to the module."""
        found = []
        while node in self.parents:
            node = self.parents[node]
            found.append(node)
        return found

    def inside(self, node: ast.AST, *kinds: type[ast.AST]) -> ast.AST | None:
        """The nearest ancestor of some classes."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, kinds):
                return node
        return None

    def start(self, node: Any) -> int:
        return self._at(node.lineno, node.col_offset)

    def end(self, node: Any) -> int:
        return self._at(node.end_lineno, node.end_col_offset)

    def _at(self, line: int, column: int) -> int:
        return self._offsets[line - 1] + column + (self.skipped if line == 1 else 0)

    def line_start(self, line: int) -> int:
        """Of a line from 1; the end of the file for the one after the last."""
        return self._offsets[min(line - 1, len(self._offsets) - 1)]

    def text(self, node: Any) -> str:
        return self.data[self.start(node) : self.end(node)].decode("utf-8", "replace")

    def line(self, number: int) -> str:
        return self.data[self.line_start(number) : self.line_start(number + 1)].decode("utf-8", "replace").strip()


def _line_offsets(data: bytes) -> list[int]:
    offsets = [0]
    for line in data.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets
