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
from porting.codemod.source import Source, parse, unparsable

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

HELPER = b"# porting: accel helper"
"""The first line of the helper, which is not looked at."""


def scan(path: str, data: bytes, project: Project, named: Sequence[Profile] = ()) -> list[Finding]:
    """What is found in a file, in the order of its lines. named: the targets that it is held against."""
    if data.startswith(HELPER):
        return []
    if not prefilter.may_hold_something(data, bool(named)):
        if prefilter.GRID in data:
            project.later.append((path, data))
        error = unparsable(data)
        return [unreadable(path, error)] if error else []
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
