"""Rules about torch.cuda: its functions and classes, amp, nvtx, tensor types, and imports from it."""

from __future__ import annotations

import ast
import re
from typing import Any

from porting.codemod.collect import Collector
from porting.codemod.finding import ACCEL, Safety, table

MODULE = "\1"
"""Stands in the text of an edit for the module that the helper is imported as."""
_TYPE = re.compile(r"(?:Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool)(?:Tensor|Storage)")
_TAKE_TYPES = ("type", "set_default_tensor_type")
_FROM = re.compile(rb"from\s+([\w.]+)\s+import\b")


def find(c: Collector) -> None:
    """Put down what a file does with torch.cuda."""
    edited = _imports(c)
    brought = {name for name, meaning in c.names.known.items() if meaning.startswith("torch.cuda")} - edited
    names = [n for n in c.source.all(ast.Name) if n.id in brought] if brought else []
    rebound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    attributes = [n for n in c.source.all(ast.Attribute) if n.attr == "cuda" and c.names.resolve(n) == "torch.cuda"]
    for node in attributes:
        _use(c, node, "", f"{ACCEL}")
    for name in names:
        if isinstance(name.ctx, ast.Load):
            tail = c.names.known[name.id].removeprefix("torch.cuda").lstrip(".")
            _use(c, name, tail, ACCEL + (f".{tail}" if tail else ""), doubtful=name.id in rebound)
    if any(word in c.source.data for word in (b"backends", b"cudnn", b"version")):
        for switch in c.source.all(ast.Attribute):
            _switch(c, switch)


def _use(c: Collector, node: Any, tail: str, text: str, doubtful: bool = False) -> None:
    """One use of torch.cuda, or of a part of it that has a name here. tail: that part; text: what replaces the node."""
    outer, path, replaced = node, [p for p in tail.split(".") if p], node
    while isinstance(up := c.source.up(outer), ast.Attribute):
        outer = up
        path.append(up.attr)
        if path[0] in table("api")["parts"] and len(path) == 2:
            path.pop(0)
            replaced, text = outer.value, ACCEL
    rule, safety, why = classify(path)
    if isinstance(getattr(outer, "ctx", None), (ast.Store, ast.Del)):
        c.add("PRT311", outer, why="torch.cuda itself is changed")
        return
    up = c.source.up(outer)
    if rule == "PRT301" and isinstance(up, ast.Call) and outer in up.args and _last(up.func) in _TAKE_TYPES:
        safety, why = Safety.REPORT, f"{_last(up.func)}() takes PyTorch's own types alone"
    if not path and _default_module(c, up, outer):
        safety, why = Safety.KEEP, "what is asked for comes first: torch has the accelerator's module by its name"
    if doubtful and safety is Safety.SAFE:
        safety, why = Safety.CARE, "the name is bound to something else, too"
    edits = [] if safety in (Safety.REPORT, Safety.KEEP) else [c.replace(replaced, text)]
    c.add(rule, outer, edits, safety, why)


def _default_module(c: Collector, call: ast.AST, node: ast.AST) -> bool:
    """Whether torch.cuda is what getattr(torch, name, torch.cuda) gives where torch has no such module."""
    asks = isinstance(call, ast.Call) and _last(call.func) == "getattr" and call.args[2:] == [node]
    return isinstance(call, ast.Call) and asks and c.names.resolve(call.args[0]) == "torch"


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def classify(path: list[str]) -> tuple[str, Safety, str]:
    """The rule, the class and the reason for a name under torch.cuda, given as its parts."""
    api = table("api")
    if not path:
        return "PRT311", Safety.CARE, ""
    first, last = path[0], path[-1]
    if first == "amp":
        known = len(path) == 1 or (last in api["amp"] and len(path) == 2)
        return (
            "PRT101",
            Safety.SAFE if known else Safety.REPORT,
            "" if known else "a part of torch.cuda.amp that the helper lacks",
        )
    if first == "nvtx":
        known = len(path) == 1 or last in api["nvtx"]
        return "PRT115", Safety.SAFE if known else Safety.REPORT, ""
    if _TYPE.fullmatch(first):
        return "PRT301", Safety.CARE, ""
    if first in api["safe"]:
        return "PRT110", Safety.SAFE, ""
    if first in api["care"]:
        return "PRT111", Safety.CARE, ""
    if first in api["capability"]:
        return "PRT112", Safety.SAFE, ""
    return ("PRT112" if first in api["architecture"] else "PRT310"), Safety.REPORT, ""


def _imports(c: Collector) -> set[str]:
    """Put imports from torch.cuda down. Returns the names that edited imports bind."""
    bound: set[str] = set()
    for node in c.source.all(ast.ImportFrom):
        if node.level or not node.module or not (node.module == "torch.cuda" or node.module.startswith("torch.cuda.")):
            continue
        tail = [
            p for p in node.module.split(".")[2:] if p not in table("api")["parts"] and p not in ("autocast_mode", "grad_scaler")
        ]
        judged = [classify([*tail, alias.name]) for alias in node.names]
        bound.update(alias.asname or alias.name for alias in node.names)
        worst = max((safety for _, safety, _ in judged), key=lambda s: s.rank)
        if any(alias.name == "*" for alias in node.names):
            c.add("PRT116", node, why="a star import: what it brings is not seen")
            continue
        match = _FROM.match(c.source.data, c.source.start(node))
        if worst is Safety.REPORT or match is None:
            names = ", ".join(alias.name for alias, (_, safety, _) in zip(node.names, judged, strict=True) if safety is worst)
            c.add("PRT116", node, why=f"no accelerator-independent {names}")
            continue
        c.add("PRT116", node, [c.replace_span(match.start(1), match.end(1), MODULE)], worst, imports_itself=True)
    return bound


def _switch(c: Collector, node: Any) -> None:
    """torch.backends.cudnn.X and torch.backends.cuda.X.Y, at their outermost attribute."""
    if isinstance(c.source.up(node), ast.Attribute):
        return
    dotted = c.names.resolve(node)
    if dotted.startswith(("torch.backends.cudnn.", "torch.backends.cuda.")):
        c.add("PRT120", node)
    elif dotted in ("torch.version.cuda", "torch.version.hip"):
        c.add("PRT112", node, safety=Safety.KEEP, why="None where PyTorch was built without it")
