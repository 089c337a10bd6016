"""One Python file: which rules look at it, and in what order."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from porting.codemod import collectives, cuda_api, extensions, guards, placing, prefilter, profiling, strings
from porting.codemod.collect import Collector
from porting.codemod.finding import Finding, Safety
from porting.codemod.names import Names
from porting.codemod.project import Project, module_parts
from porting.codemod.source import Source, descendants, parse, unparsable

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

HELPER = b"# porting: accel helper"
"""The first line of the helper, which is not looked at."""


def may_hold_something(data: bytes, named: Sequence[Profile] = ()) -> bool:
    """Whether the rules have to look at a file. named: the targets that it is held against."""
    return prefilter.may_hold_something(data, bool(named)) and not data.startswith(HELPER)


def check(path: str, data: bytes) -> list[Finding]:
    """What is to say of a file that the rules need not look at: that it does not parse."""
    error = None if data.startswith(HELPER) else unparsable(data)
    return [unreadable(path, error)] if error else []


def read(path: str, data: bytes, project: Project) -> list[Finding]:
    """The same, and what it calls is taken up."""
    try:
        nodes = descendants(parse(data))
    except (SyntaxError, ValueError) as error:
        return [unreadable(path, error)]
    names = Names(".".join(module_parts(path)), path.endswith("__init__.py"), project.star)
    names.add_all(node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)))
    extensions.take_up(project, names, path, (node for node in nodes if isinstance(node, ast.Call)))
    return []


def scan(path: str, data: bytes, project: Project, named: Sequence[Profile] = ()) -> list[Finding]:
    """What is found in a file, in the order of its lines. named: the targets that it is held against."""
    try:
        tree = parse(data)
    except (SyntaxError, ValueError) as error:
        return [unreadable(path, error)]
    source = Source(path, data, tree)
    module = ".".join(module_parts(path))
    names = Names(module, path.endswith("__init__.py"), project.star)
    names.add_all([*source.all(ast.Import), *source.all(ast.ImportFrom)])
    c = Collector(source, names, project, module)
    cuda_api.find(c)
    placing.find(c)
    strings.find(c)
    collectives.find(c)
    profiling.find(c)
    extensions.find(c)
    if named:
        from porting.codemod import targets

        targets.find(c, named)
    guards.hold_back(c)
    return sorted(c.findings, key=lambda f: (f.line, f.column, f.rule))


def unreadable(path: str, error: Exception) -> Finding:
    """A file that could not be read as what it says it is."""
    line = getattr(error, "lineno", None) or 1
    message = getattr(error, "msg", None) or str(error)
    return Finding("PRT900", path, line, 1, path, Safety.REPORT, f"line {line}: {message}")
