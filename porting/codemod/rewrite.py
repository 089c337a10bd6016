"""From findings to changed files: which edits are made, how a file imports the helper, and that the result still parses."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from porting.codemod import helper
from porting.codemod.cuda_api import MODULE
from porting.codemod.finding import ACCEL, Edit, Finding, Safety
from porting.codemod.helper import Placement
from porting.codemod.notebooks import Notebook
from porting.codemod.scan import Scanned
from porting.codemod.source import BOM, parse

_IMPORTED = re.compile(
    rb"^(?:from[ \t]+(?P<package>[\w.]+)[ \t]+)?import[ \t]+porting_accel(?:[ \t]+as[ \t]+(?P<alias>\w+))?[ \t]*\r?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Change:
    """One file."""

    path: str
    before: bytes
    after: bytes
    findings: tuple[Finding, ...]


@dataclass
class Rewriting:
    """What would be done to a tree."""

    root: Path
    changes: list[Change] = field(default_factory=list)
    helpers: dict[str, bytes] = field(default_factory=dict)
    """Copies of the helper that have to be made, by path."""
    refused: list[Finding] = field(default_factory=list)
    """Findings whose edits would have overlapped others, or not have parsed."""
    left: Counter[Safety] = field(default_factory=Counter)
    """Findings that nobody asked to be edited, or that cannot be: those with a gap in the proof, and those for a person."""


def wanted(findings: Iterable[Finding], rules: Collection[str] = (), care: bool = False) -> list[Finding]:
    """Findings whose edits are to be made. rules: these alone, where there are any. care: those with a gap in the proof, too."""
    allowed = (Safety.SAFE, Safety.CARE) if care else (Safety.SAFE,)
    return [f for f in findings if f.edits and f.safety in allowed and (not rules or f.rule in rules)]


def plan(scanned: Scanned, rules: Collection[str] = (), care: bool = False, module: str = "") -> Rewriting:
    """What to do to a tree that was scanned. module: the helper's dotted name, where a person has chosen one."""
    rewriting = Rewriting(scanned.root)
    by_path: dict[str, list[Finding]] = {}
    for finding in wanted(scanned.findings, rules, care):
        by_path.setdefault(finding.path, []).append(finding)
    asked = {id(f) for findings in by_path.values() for f in findings}
    left = [f for f in scanned.findings if id(f) not in asked and (not rules or f.rule in rules)]
    rewriting.left.update(f.safety for f in left if f.safety in (Safety.CARE, Safety.REPORT))
    text = helper.text().encode()
    for path, findings in by_path.items():
        data = (scanned.root / path).read_bytes()
        placement = helper.place(scanned.root, path, data, module)
        after, made = changed(path, data, findings, placement)
        rewriting.refused += [f for f in findings if f not in made]
        if made:
            rewriting.changes.append(Change(path, data, after, tuple(made)))
            for copy in placement.copies if path.endswith((".py", ".ipynb")) else ():
                if not (scanned.root / copy).is_file():
                    rewriting.helpers[copy] = text
    return rewriting


def changed(path: str, data: bytes, findings: Iterable[Finding], placement: Placement) -> tuple[bytes, list[Finding]]:
    """A file with the edits of findings made, and the findings whose edits were."""
    made: list[Finding] = []
    edits: list[Edit] = []
    for finding in findings:
        if not any(_overlap(one, other) for one in finding.edits for other in edits):
            made.append(finding)
            edits += finding.edits
    try:
        if path.endswith(".py"):
            after = _spliced(data, _finished(data, edits, made, placement))
            parse(after)
        elif path.endswith(".ipynb"):
            after = _notebook(data, edits, made, placement)
        else:
            after = _spliced(data, edits)
    except (SyntaxError, ValueError):
        return data, []
    return after, made


def _notebook(data: bytes, edits: list[Edit], made: list[Finding], placement: Placement) -> bytes:
    """Edits of a notebook are of its program's bytes. Raises SyntaxError or ValueError where the result would not parse."""
    book = Notebook(data)
    placed = [replace(f, line=book.line_of(f)) for f in made]
    finished = _finished(book.program, edits, placed, placement)
    after = book.changed(finished)
    parse(Notebook(after).program)
    return after


def _overlap(one: Edit, other: Edit) -> bool:
    return one.start < other.end and other.start < one.end


def _finished(data: bytes, edits: list[Edit], made: list[Finding], placement: Placement) -> list[Edit]:
    """Edits with the names that the file has for the helper, and the one that imports it."""
    tree = parse(data)
    needs = [f for f in made if not f.imports_itself]
    earlier = next(_IMPORTED.finditer(data), None)
    alias = (earlier["alias"] or b"porting_accel").decode() if earlier else _free_alias(data)
    if needs:
        at = _import_offset(data, tree, needs)
        if earlier is None or earlier.start() > at:
            end = b"\r\n" if b"\r\n" in data else b"\n"
            whole = at == 0 or data[at - 1 : at] in (b"\n", b"") or (at == len(BOM) and data.startswith(BOM))
            statement = placement.statement(alias).encode() + end
            edits = [*edits, Edit(at, at, (statement if whole else end + statement).decode())]
    return [replace(e, new=e.new.replace(ACCEL, alias).replace(MODULE, placement.module)) for e in edits]


def _spliced(data: bytes, edits: Iterable[Edit]) -> bytes:
    for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        data = data[: edit.start] + edit.new.encode() + data[edit.end :]
    return data


def _free_alias(data: bytes) -> str:
    """`accel`, or the helper's own name where the file has that word for something else."""
    return helper.NAME if re.search(rb"(?<![\w.])accel(?!\w)", data) else "accel"


def _import_offset(data: bytes, tree: ast.Module, findings: list[Finding]) -> int:
    """Where the import of the helper goes: behind the imports that come before the first statement which uses it."""
    first = min(f.line for f in findings)
    line = 0
    for statement in tree.body:
        end = statement.end_lineno or 0
        if end >= first:
            break
        docstring = statement is tree.body[0] and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if docstring or isinstance(statement, (ast.Import, ast.ImportFrom)):
            line = end
    lines = data.splitlines(keepends=True)
    if line == 0:  # behind a first line that is for the system, and comments about the encoding or a licence
        while line < len(lines) and lines[line].lstrip(BOM).startswith(b"#") and line + 1 < first:
            line += 1
        if line == 0:
            return len(BOM) if data.startswith(BOM) else 0
    return sum(map(len, lines[:line]))
