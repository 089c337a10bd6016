"""Conditions that ask for CUDA. One is edited only as surely as everything that it lets run: where something under it stays
CUDA's, it has to stay CUDA's condition, or another accelerator would run into what it was kept from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from porting.codemod.collect import Collector
from porting.codemod.finding import Finding, Safety
from porting.codemod.source import descendants
from porting.codemod.words import package_of

# Rules whose findings fail on another accelerator as long as they are not edited.
_FAIL = frozenset(
    ("PRT101", "PRT110", "PRT111", "PRT112", "PRT115", "PRT201", "PRT210", "PRT212", "PRT301", "PRT302", "PRT310", "PRT311")
)


# Rules whose findings are conditions, and words of functions that only ask.
_CONDITIONS = ("PRT110", "PRT202", "PRT211")
_MINE = re.compile(r"cuda|(?:^|_)gpu(?:_|$)", re.IGNORECASE)
_SOURCE = re.compile(r"\.cuh?$|^-?D?WITH_CUDA|cuda\w*\.(?:c|cc|cpp|h|o)$")
_ASKS = ("is_", "has_", "use_", "check_", "init_", "require")


def hold_back(c: Collector) -> None:
    """Lower the class of conditions to that of what they guard."""
    places = list(zip(c.findings, c.places, strict=True))
    for number, (finding, node) in enumerate(places):
        if finding.rule in _CONDITIONS and finding.edits and (kernel := _kernel(c, node)):
            c.findings[number] = replace(finding, safety=Safety.KEEP, edits=(), why=f"guards what is CUDA's own, {kernel}")
    places = list(zip(c.findings, c.places, strict=True))
    weak = [(f, n) for f, n in places if f.rule in _FAIL and f.safety in (Safety.CARE, Safety.REPORT)]
    if not weak:
        return
    for number, (finding, node) in enumerate(places):
        if finding.rule == "PRT110" and finding.safety is Safety.SAFE and finding.text.endswith("is_available"):
            guarded = [f for f, n in weak if any(_within(c, n, part) for part in _guarded(c, node))]
            if guarded:
                c.findings[number] = _lowered(finding, guarded)


def _kernel(c: Collector, node: Any) -> str:
    """What is of CUDA's own under a condition: the call of a function that has CUDA in its name, or of a kernel by its grid, the
    import of such a thing or of a package bound to CUDA, or what a build of CUDA sources is made of."""
    asserted = c.source.inside(node, ast.stmt)
    if isinstance(asserted, ast.Assert) and asserted.msg is not None:
        said = re.findall(r"\w+", c.source.text(asserted.msg).lower())
        return next((f"line {asserted.lineno}: {word}" for word in said if package_of(word)), "")
    compared = c.source.up(node)
    if isinstance(compared, ast.Compare) and any(isinstance(op, (ast.NotEq, ast.NotIn, ast.IsNot)) for op in compared.ops):
        return ""
    for part in _guarded(c, node):
        for inner in descendants(part):
            if isinstance(inner, ast.Call) and _of_cuda(c, inner):
                return f"line {inner.lineno}: {c.source.text(inner.func)[:40]}"
            if _brought(c, inner) or _built(inner):
                return f"line {inner.lineno}: {' '.join(c.source.text(inner).split())[:40]}"  # type: ignore[attr-defined]
    return ""


def _brought(c: Collector, node: ast.AST) -> bool:
    """Whether a statement imports something that is CUDA's by its name, or a package that is bound to CUDA."""
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return False
    module = c.names.base(node) if isinstance(node, ast.ImportFrom) else ""
    if module == "torch" or module.startswith("torch.") or any(a.name.startswith("torch.") for a in node.names):
        return False
    names = [module.rpartition(".")[2], *(part for alias in node.names for part in alias.name.split("."))]
    own = c.project.module((module or node.names[0].name).partition(".")[0]) is not None
    packages = [module] if module else [alias.name for alias in node.names]
    return any(map(_MINE.search, names)) or (not own and any(map(package_of, packages)))


def _built(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(_SOURCE.search(node.value))
    return (
        isinstance(node, (ast.Name, ast.Attribute)) and (node.id if isinstance(node, ast.Name) else node.attr) == "CUDAExtension"
    )


def _of_cuda(c: Collector, call: ast.Call) -> bool:
    func = call.func
    if isinstance(func, ast.Subscript):
        return True
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    known = "cuda" in name.lower() and name != "cuda" and not name.lower().lstrip("_").startswith(_ASKS)
    return known and not c.names.resolve(func).startswith("torch.")


def _lowered(finding: Finding, guarded: list[Finding]) -> Finding:
    worst = max(guarded, key=lambda f: f.safety.rank)
    where = f"line {worst.line}: {worst.text[:40]}"
    if worst.safety is Safety.CARE:
        return replace(finding, safety=Safety.CARE, why=f"guards what is not proven, {where}")
    return replace(finding, safety=Safety.KEEP, edits=(), why=f"guards what only CUDA has, {where}")


def _guarded(c: Collector, node: ast.AST) -> Iterator[Any]:
    """What runs only when a condition is true: at the place itself, and where a name that it is given to is asked."""
    yield from _under(c, node)
    for parent in c.source.ancestors(node):
        if isinstance(parent, (ast.Assign, ast.AnnAssign)):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            words = {t.id if isinstance(t, ast.Name) else t.attr for t in targets if isinstance(t, (ast.Name, ast.Attribute))}
            uses: list[ast.Name | ast.Attribute] = [*c.source.all(ast.Name), *c.source.all(ast.Attribute)]
            for use in uses:
                if (use.id if isinstance(use, ast.Name) else use.attr) in words and isinstance(use.ctx, ast.Load):
                    yield from _under(c, use)
        if isinstance(parent, ast.stmt):
            return


def _under(c: Collector, node: ast.AST) -> Iterator[Any]:
    child: ast.AST = node
    for parent in c.source.ancestors(node):
        if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            return
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And):
            yield from (value for value in parent.values if value is not child)
        if isinstance(parent, ast.IfExp) and parent.test is child:
            yield parent.body
        if isinstance(parent, (ast.If, ast.While)) and parent.test is child:
            yield from parent.body
        if isinstance(parent, ast.stmt):
            return
        child = parent


def _within(c: Collector, node: Any, part: Any) -> bool:
    return c.source.start(part) <= c.source.start(node) and c.source.end(node) <= c.source.end(part)
