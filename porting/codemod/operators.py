"""Custom kernels across the files of a tree: which operators bring them to Python, with what signature, and who calls those."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from porting.codemod import kernels
from porting.codemod.extensions import called_name, launch
from porting.codemod.finding import Finding
from porting.codemod.names import Names
from porting.codemod.native import Native, Operator
from porting.codemod.project import Project, module_parts
from porting.codemod.source import descendants, parse


def join(findings: list[Finding], project: Project, root: Path, paths: Iterable[str]) -> list[Finding]:
    """Findings with what the rest of the tree says of their kernels."""
    if not any(f.details and "kernel" in f.details for f in findings):
        return findings
    native = project.native
    reaching = native.reaching()
    wanted = {operator.name: operator for operators in reaching.values() for operator in operators}
    for operator in wanted.values():
        operator.signature = operator.signature or f"({native.signatures.get(operator.function, '')})"
    for name, place in _calls(project, root, paths, frozenset(wanted)):
        wanted[name].calls.append(place)
    if any(f.rule == "PRT402" for f in findings):
        _look_for_launches(project)
    launched = _launched(project)
    return [_joined(f, native, reaching, launched) if f.details and "kernel" in f.details else f for f in findings]


def _joined(
    finding: Finding, native: Native, reaching: Mapping[str, list[Operator]], launched: Mapping[tuple[str, str], list[str]]
) -> Finding:
    details = dict(finding.details or {})
    name = details["kernel"]
    if finding.rule == "PRT402":
        details["calls"] = sorted({*details["calls"], *launched.get((".".join(module_parts(finding.path)), name), ())})
    else:
        details["calls"] = native.launches.get(name, [])
        details["operators"] = [{"name": o.name, "signature": o.signature, "calls": o.calls} for o in reaching.get(name, ())]
    return replace(finding, details=details, why=kernels.told(details))


def _look_for_launches(project: Project) -> None:
    """Take up the launches of files that no rule has looked at. One that cannot be read has been told."""
    for path, data in project.later:
        try:
            nodes = list(descendants(parse(data)))
        except (SyntaxError, ValueError):
            continue
        names = Names(".".join(module_parts(path)), path.endswith("__init__.py"), project.star)
        names.add_all(node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)))
        for node in nodes:
            if isinstance(node, ast.Call):
                launch(project, names, path, node)


def _launched(project: Project) -> Mapping[tuple[str, str], list[str]]:
    """Places where functions of other files are called with a grid, by module and name."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for dotted, places in project.launches.items():
        there = project.find(dotted)
        if there:
            path = project.path(there[0].name)
            found[".".join(module_parts(path)), there[1]] += places
    return found


def _calls(project: Project, root: Path, paths: Iterable[str], names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Where Python calls something by one of some names, as an attribute or alone."""
    if not names:
        return
    several = b"|".join(sorted(name.encode() for name in names))
    pattern = re.compile(rb"\b(?<!def )(?:%b)[\s\\)]*\(" % several)
    for path in paths:
        if path.endswith(".py"):
            called = project.called[path] if path in project.called else _called(root / path, pattern)
            yield from ((name, f"{path}:{line}") for name, line in called if name in names)


def _called(path: Path, pattern: re.Pattern[bytes]) -> list[tuple[str, int]]:
    """The calls of a file with nothing of CUDA's in it. One that cannot be read has been told."""
    try:
        data = path.read_bytes()
        nodes = descendants(parse(data)) if pattern.search(data) else ()
        return [(called_name(node), node.lineno) for node in nodes if isinstance(node, ast.Call)]
    except (OSError, SyntaxError, ValueError):
        return []
