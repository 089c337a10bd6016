"""What a port has changed: statements of the original that are others in it."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from porting.codemod.scan import looked_at
from porting.codemod.source import parse


@dataclass(frozen=True)
class Edit:
    """A statement that the port has changed, by its lines in the port."""

    path: str
    first: int
    last: int


def changed(original: Path, ported: Path) -> Iterator[Edit]:
    """Statements of the port that are not in the original, file by file; of notebooks and settings, which no run traces, lines.
    Files that only one of them has do not count."""
    for path in sorted(ported.rglob("*")):
        relative = path.relative_to(ported)
        before = original / relative
        if any(part.startswith(".") for part in relative.parts) or not looked_at(relative.as_posix()):
            continue
        if not path.is_file() or not before.is_file():
            continue
        old, new = before.read_bytes(), path.read_bytes()
        if old != new:
            yield from _statements(relative.as_posix(), old, new)


def _statements(path: str, old: bytes, new: bytes) -> Iterator[Edit]:
    before, after = (data.decode("utf-8", "replace").splitlines() for data in (old, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lines = [line + 1 for tag, _, _, j1, j2 in matcher.get_opcodes() if tag != "equal" for line in range(j1, j2)]
    tree = parse(new) if path.endswith(".py") else ast.Module([], [])
    spans = sorted({_span(line, tree) for line in lines})
    yield from (Edit(path, first, last) for first, last in spans)


def _span(line: int, tree: ast.Module) -> tuple[int, int]:
    """Lines of the smallest statement around a line; of one with a body only its head."""
    best = (line, line)
    size = 1 << 30
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        last = body[0].lineno - 1 if body and body[0].lineno > node.lineno else node.end_lineno or node.lineno
        if first <= line <= last and last - first < size:
            best, size = (first, last), last - first
    return best
