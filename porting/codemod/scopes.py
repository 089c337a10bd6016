"""Scopes of a file: what binds a name in a function or in the module, and what sets an attribute of self in a class."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from porting.codemod.source import children, descendants

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def within(scope: ast.AST, nested: bool) -> Iterable[ast.AST]:
    """Nodes of a scope, without those of functions and classes inside of it unless `nested`."""
    waiting = children(scope)
    while waiting:
        node = waiting.pop()
        yield node
        if nested or not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            waiting += children(node)


def bindings(scope: ast.AST) -> Mapping[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    if isinstance(scope, FUNCTIONS):
        given = scope.args
        for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if arg is not None:
                found.setdefault(arg.arg, []).append(arg)
    for node in within(scope, nested=False):
        for target in targets(node):
            for name in descendants(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    found.setdefault(name.id, []).append(node)
    return found


def targets(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Assign):
        return list(node.targets)
    if isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension)):
        return [node.target]
    if isinstance(node, ast.withitem) and node.optional_vars is not None:
        return [node.optional_vars]
    return []


def class_bindings(owner: ast.ClassDef) -> Mapping[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    for node in descendants(owner):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if node.func.attr in ("register_buffer", "register_parameter") and isinstance(first, ast.Constant):
                found.setdefault(f"self.{first.value!s}", []).append(node)
        for target in targets(node):
            for name in descendants(target):
                if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "self":
                    found.setdefault(f"self.{name.attr}", []).append(node)
    return found
