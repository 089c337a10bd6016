"""What calling a class or a function of the tree gives, across its files: a tensor, a module, or an object of its own."""

from __future__ import annotations

import ast
import enum
import functools
import re
from collections.abc import Mapping, Sequence

from porting.codemod.finding import table
from porting.codemod.names import Names
from porting.codemod.project import Module, Project
from porting.codemod.scopes import bindings, within

DEPTH = 12
"""Steps from one expression to another that a proof may take."""


_TENSOR = re.compile(r"(?:Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool)?Tensor")


class Kind(enum.Enum):
    """What a value is."""

    TENSOR = "a tensor"
    MODULE = "a module"
    EITHER = "a tensor or a module"
    OWN = "an object of a class here that has a method of that name itself"


PLACED = (Kind.TENSOR, Kind.MODULE, Kind.EITHER)


@functools.lru_cache(maxsize=1)
def vocabulary() -> Mapping[str, frozenset[str]]:
    """The words of kinds.toml, by what they say."""
    return {name: frozenset(words) for name, words in table("kinds").items()}


class Here:
    """The file that is asked about, in the shape of a Module."""

    def __init__(self, names: Names, own: Mapping[str, ast.AST], module: str) -> None:
        self.name = module
        self.names = names
        self.classes = {n: d for n, d in own.items() if isinstance(d, ast.ClassDef)}
        self.functions = {n: d for n, d in own.items() if isinstance(d, ast.FunctionDef)}


class Methods:
    """What classes and functions of the tree give, across its files."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def instance(self, where: Module | Here, node: ast.ClassDef, depth: int = 0) -> Kind | None:
        """What an object of a class is: a module unless a class of the tree on the way has a `cuda` or `to` of its own."""
        if depth > DEPTH:
            return None
        if any(isinstance(n, ast.FunctionDef) and n.name in ("cuda", "to") for n in node.body):
            return Kind.OWN
        found: Kind | None = None
        for base in node.bases:
            kind = self._base(where, base, depth)
            if kind is Kind.OWN:
                return Kind.OWN
            found = found or kind
        return found

    def _base(self, where: Module | Here, base: ast.expr, depth: int) -> Kind | None:
        dotted = where.names.resolve(base)
        if dotted and under(dotted, vocabulary()["module_bases"]):
            return Kind.MODULE
        if dotted == "torch.Tensor":
            return Kind.TENSOR
        if isinstance(base, ast.Name) and base.id in where.classes:
            return self.instance(where, where.classes[base.id], depth + 1)
        place = self._project.find(dotted) if dotted else None
        if place and place[1] in place[0].classes:
            return self.instance(place[0], place[0].classes[place[1]], depth + 1)
        return None

    def method(self, where: Module | Here, owner: ast.ClassDef, name: str, depth: int = 0) -> Kind | None:
        """What a method of a class or of those above it gives."""
        for node in owner.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return None if node.decorator_list or depth > DEPTH else self.returned(where, node, owner, depth + 1)
        for base in owner.bases if depth < DEPTH else ():
            dotted = where.names.resolve(base)
            place = self._project.find(dotted) if dotted else None
            if isinstance(base, ast.Name) and base.id in where.classes:
                found = self.method(where, where.classes[base.id], name, depth + 1)
            elif place and place[1] in place[0].classes:
                found = self.method(place[0], place[0].classes[place[1]], name, depth + 1)
            else:
                found = None
            if found:
                return found
        return None

    def returned(
        self, where: Module | Here, node: ast.FunctionDef, owner: ast.ClassDef | None = None, depth: int = 0
    ) -> Kind | None:
        """What every return of a function is, as far as its annotation, or constructors and functions there, say it. owner: its
        class, where it is a method."""
        if (said := annotated(where.names, node.returns)) is not None:
            return said
        kinds = set()
        for inner in within(node, nested=False):
            if isinstance(inner, ast.Return) and inner.value is not None:
                kinds.add(self._constructed(where, node, inner.value, owner, depth))
        return kinds.pop() if len(kinds) == 1 else None

    def _constructed(
        self, where: Module | Here, function: ast.FunctionDef, value: ast.expr, owner: ast.ClassDef | None, depth: int
    ) -> Kind | None:
        if isinstance(value, ast.Name):
            bound = [n for n in bindings(function).get(value.id, []) if isinstance(n, ast.Assign)]
            kinds = {
                self._constructed(where, function, n.value, owner, depth) for n in bound if not isinstance(n.value, ast.Name)
            }
            return kinds.pop() if len(kinds) == 1 else None
        if not isinstance(value, ast.Call):
            return None
        dotted = where.names.resolve(value.func)
        if gives_tensor(dotted):
            return Kind.TENSOR
        func = value.func
        if isinstance(func, ast.Attribute) and func.attr in vocabulary()["same"] - {"type"} and isinstance(func.value, ast.Call):
            return self._constructed(where, function, func.value, owner, depth)
        if owner and isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "self":
            return self.method(where, owner, func.attr, depth)
        if dotted and under(dotted, vocabulary()["module_roots"]) and "functional" not in dotted and ".init." not in dotted:
            return Kind.MODULE
        if isinstance(value.func, ast.Name) and value.func.id in where.classes:
            return self.instance(where, where.classes[value.func.id])
        place = self._project.find(dotted) if dotted else None
        if place and place[1] in place[0].classes:
            return self.instance(place[0], place[0].classes[place[1]])
        return None


def under(dotted: str, roots: frozenset[str]) -> bool:
    return any(dotted == root or dotted.startswith(root + ".") for root in roots)


def gives_tensor(dotted: str) -> bool:
    """Whether a function of PyTorch's gives one tensor."""
    known = vocabulary()
    root, _, last = dotted.rpartition(".")
    if root == "torch.nn.functional":
        return last not in known["not_tensors"]
    return dotted in known["tensor_calls"] or (root == "torch" and last in known["tensors"])


def annotated(names: Names, annotation: ast.AST | None) -> Kind | None:
    """What an annotation says, as far as it names PyTorch's own classes; a union where all of it is of one kind."""
    if annotation is None:
        return None
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _one_kind(names, [annotation.left, annotation.right])
    if isinstance(annotation, ast.Subscript) and names.resolve(annotation.value) == "typing.Union":
        index = annotation.slice
        return _one_kind(names, index.elts if isinstance(index, ast.Tuple) else [index])
    if isinstance(annotation, ast.Subscript) and names.resolve(annotation.value) == "typing.Optional":
        return annotated(names, annotation.slice)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return Kind.TENSOR if annotation.value.rpartition(".")[2] == "Tensor" else None
    dotted = names.resolve(annotation)
    if dotted == "torch.nn.Parameter" or (dotted.startswith("torch.") and _TENSOR.fullmatch(dotted.removeprefix("torch."))):
        return Kind.TENSOR
    return Kind.MODULE if dotted and under(dotted, frozenset(("torch.nn",))) else None


def _one_kind(names: Names, parts: Sequence[ast.AST]) -> Kind | None:
    kinds = {annotated(names, p) for p in parts if not (isinstance(p, ast.Constant) and p.value is None)}
    return kinds.pop() if len(kinds) == 1 else None
