"""Rules about what a program needs besides PyTorch: Triton kernels, CUDA sources that it builds, packages, tools, variables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from porting.codemod import kernels
from porting.codemod.collect import BRANDS, Collector
from porting.codemod.finding import ACCEL, Safety
from porting.codemod.names import Names
from porting.codemod.project import Project
from porting.codemod.source import descendants
from porting.codemod.words import TOOL, TUNING, VARIABLE, alternatives, package_of

_BUILDS = ("torch.utils.cpp_extension.CUDAExtension", "torch.utils.cpp_extension.load_inline", "torch.utils.cpp_extension.load",
           "torch.utils.ffi.create_extension")  # fmt: skip
_BUILDERS = tuple(name.rpartition(".")[2] for name in _BUILDS)
_NAMED = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in (TUNING, VARIABLE, TOOL)))
_ASKS = ("available", "find_spec", "has_", "version", "TYPE_CHECKING", "is_", "use_", "HAS_")


def find(c: Collector) -> None:
    """Put down what a file needs of CUDA's world."""
    for statement in (*c.source.all(ast.Import), *c.source.all(ast.ImportFrom)):
        _import(c, statement)
    compiled = [function for function in c.source.all(ast.FunctionDef) if _is_kernel(c, function)]
    launched = _by_name(c) if compiled else {}
    for function in compiled:
        _triton(c, function, launched.get(function.name, []))
    take_up(c.project, c.names, c.source.path, c.source.all(ast.Call))
    for call in c.source.all(ast.Call):
        _build(c, call)
    if b"CUDAExtension" in c.source.data:
        for node in (*c.source.all(ast.Name), *c.source.all(ast.Attribute)):
            _handed_on(c, node)
    for constant in c.source.all(ast.Constant):
        _word(c, constant)


def _import(c: Collector, node: Any) -> None:
    modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [] if node.level else [node.module or ""]
    for module in modules:
        package = package_of(module)
        if not package or c.project.module(module.partition(".")[0]) is not None:
            continue
        guarded = is_guarded(c, node)
        instead = alternatives(package)
        why = "guarded: the program goes on without it" if guarded else "unguarded: the program ends where it is missing"
        details = {"package": package, "guarded": guarded, "alternatives": instead}
        c.add("PRT403", node, safety=Safety.REPORT, why=f"{why}; instead: {instead['anywhere']}", details=details)


def is_guarded(c: Collector, node: ast.AST) -> bool:
    """Whether an import may fail without ending the program at once: in a try, under a question, or in a function."""
    child: ast.AST = node
    for parent in c.source.ancestors(node):
        if isinstance(parent, ast.Try) and child in parent.body:
            return True
        if isinstance(parent, ast.If) and any(word in c.source.text(parent.test) for word in _ASKS):
            return True
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return True
        child = parent
    return False


def _is_kernel(c: Collector, function: ast.FunctionDef) -> bool:
    decorated = [c.names.resolve(d.func if isinstance(d, ast.Call) else d) for d in function.decorator_list]
    return any(d in ("triton.jit", "triton.runtime.jit") for d in decorated)


def _by_name(c: Collector) -> Mapping[str, list[str]]:
    """Places where functions of the file are called, with a grid or without, by their names."""
    found: dict[str, list[str]] = {}
    for call in c.source.all(ast.Call):
        func = call.func.value if isinstance(call.func, ast.Subscript) else call.func
        if isinstance(func, ast.Name):
            found.setdefault(func.id, []).append(f"{c.source.path}:{call.lineno}")
    return found


def _triton(c: Collector, function: ast.FunctionDef, sites: Sequence[str]) -> None:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    nodes = descendants(function)
    parts = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    details = kernels.described(function.name, ", ".join(a.arg for a in function.args.args), lines, sorted(parts), sites)
    c.add("PRT402", function, why=kernels.told(details), details=details)
    for node in nodes:
        if isinstance(node, ast.Call) and c.names.resolve(node.func).endswith("inline_asm_elementwise"):
            c.add("PRT406", node)


def take_up(project: Project, names: Names, path: str, calls: Iterable[ast.Call]) -> None:
    """Remember what a file calls, and which functions of other files with a grid."""
    called = project.called.setdefault(path, [])
    for call in calls:
        func = call.func
        if isinstance(func, ast.Subscript) and (dotted := names.resolve(func.value)):
            project.launches.setdefault(dotted, []).append(f"{path}:{call.lineno}")
        called.append((called_name(call), call.lineno))


def called_name(call: ast.Call) -> str:
    """What is called, by its last name."""
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _build(c: Collector, call: ast.Call) -> None:
    dotted = c.names.resolve_one_of(call.func, _BUILDERS)
    if dotted not in _BUILDS:
        return
    text, why = c.source.text(call), ""
    if dotted.endswith(".load") and ".cu" not in text and "cuda" not in text.lower():
        if not _unseen(call):
            return
        why = "which sources it builds is not seen"
    functions = [k.value for k in call.keywords if k.arg in ("functions", "name")]
    named = [n.value for f in functions for n in ast.walk(f) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    c.add("PRT404", call, why=why, details={"names": named, "guarded": is_guarded(c, call)})


def _unseen(call: ast.Call) -> bool:
    """Whether the sources that torch.utils.cpp_extension.load is given are not written there."""
    given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg in ("sources", None))]
    return any(not isinstance(n, (ast.Constant, ast.List, ast.Tuple, ast.Load)) for one in given for n in ast.walk(one))


def _handed_on(c: Collector, node: Any) -> None:
    """CUDAExtension under another name: extension = CUDAExtension."""
    up = c.source.up(node)
    if isinstance(up, (ast.Attribute, ast.Import, ast.ImportFrom)) or (isinstance(up, ast.Call) and up.func is node):
        return
    if c.names.resolve(node) == _BUILDS[0]:
        c.add("PRT404", node, details={"names": [], "guarded": is_guarded(c, node)})


def _inline(c: Collector, node: Any) -> None:
    """CUDA in a string of the program, as load_inline takes it, and the functions of it that Python gets."""
    first = node.lineno
    found = kernels.find(c.source.path, node.value)
    for finding in found:
        c.findings.append(replace(finding, line=finding.line + first - 1))
        c.places.append(node)
    c.project.native.add(c.source.path, node.value, first)
    for call in c.source.all(ast.Call) if found else ():
        if c.names.resolve(call.func).endswith("cpp_extension.load_inline"):
            for word in (n for k in call.keywords if k.arg == "functions" for n in ast.walk(k.value)):
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    c.project.native.bind(word.value, word.value)


def _word(c: Collector, node: Any) -> None:
    value = node.value
    if isinstance(value, str) and "__global__" in value:
        _inline(c, node)
    if not isinstance(value, str) or len(value) > 400 or not _NAMED.match(value) or isinstance(c.source.up(node), ast.Expr):
        return
    if value == "CUDA_VISIBLE_DEVICES":
        c.add("PRT260", node, [c.replace(node, f"{ACCEL}.visible_devices")])
    elif TUNING.fullmatch(value):
        c.add("PRT260", node, safety=Safety.KEEP, why="it tunes CUDA or NCCL, and does nothing elsewhere")
    elif VARIABLE.fullmatch(value):
        c.add("PRT260", node, why="the program looks for CUDA's own files")
    elif TOOL.match(value) and not BRANDS.search(value):
        c.add("PRT270", node)
