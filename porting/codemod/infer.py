"""What an expression is known to be: a tensor or a module of PyTorch's, or an object of the tree's own classes.

Proofs are local: imports, constructors, annotations, every binding of a name in its function, attributes that are set in the
class and its bases, and methods that only a tensor or only a module has. What none of them reaches is unknown, never guessed.
"""

from __future__ import annotations

import ast
from typing import Any

from porting.codemod.classes import DEPTH, PLACED, Here, Kind, Methods, annotated, gives_tensor, under, vocabulary
from porting.codemod.names import Names
from porting.codemod.project import Module, Project
from porting.codemod.scopes import FUNCTIONS, bindings, class_bindings, within
from porting.codemod.source import Source


class Inference:
    """Asked about expressions of one file."""

    def __init__(self, source: Source, names: Names, project: Project, module: str) -> None:
        self._source = source
        self._names = names
        self._project = project
        self._own: dict[str, ast.AST] = {n.name: n for n in source.all(ast.ClassDef)}
        self._own.update({n.name: n for n in source.all(ast.FunctionDef)})
        self._asked: dict[ast.AST, Kind | None] = {}
        self._scopes: dict[ast.AST, dict[str, list[ast.AST]]] = {}
        self._uses: dict[ast.AST, dict[str, set[str]]] = {}
        self._methods = Methods(project)
        self._here = Here(names, self._own, module)

    def kind(self, node: ast.AST, depth: int = 0) -> Kind | None:
        """What an expression is; None where that is not proven."""
        if node in self._asked:
            return self._asked[node]
        if depth > DEPTH:
            return None
        self._asked[node] = None  # a definition by itself proves nothing
        found: Kind | None = None
        if isinstance(node, ast.Call):
            found = self._call(node, depth + 1)
        elif isinstance(node, ast.Name):
            found = self._name(node, depth + 1)
        elif isinstance(node, ast.Attribute):
            found = self._attribute(node, depth + 1)
        elif isinstance(node, (ast.Subscript, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Await, ast.NamedExpr)):
            found = self._operation(node, depth + 1)
        self._asked[node] = found
        return found

    # ---- calls

    def _call(self, node: ast.Call, depth: int) -> Kind | None:
        dotted = self._names.resolve(node.func)
        if dotted:
            found = self._by_name(dotted, node, depth)
            if found:
                return found
        if isinstance(node.func, ast.Name):
            own = self._own.get(node.func.id)
            if own is not None and node.func.id not in self._names.known:
                return self._made_by(self._here, own, depth)
        if isinstance(node.func, ast.Attribute):
            own = self._source.inside(node, ast.ClassDef)
            if isinstance(own, ast.ClassDef) and isinstance(node.func.value, ast.Name) and node.func.value.id == "self":
                return self._methods.method(self._here, own, node.func.attr) or self._method(node.func, depth)
            return self._method(node.func, depth)
        return None

    def _by_name(self, dotted: str, node: ast.Call, depth: int) -> Kind | None:
        known = vocabulary()
        root, _, last = dotted.rpartition(".")
        if gives_tensor(dotted):
            return Kind.TENSOR
        if dotted in known["module_calls"] or (under(dotted, known["module_roots"]) and "functional" not in dotted):
            return Kind.MODULE if not dotted.startswith("torch.nn.init.") and "utils" not in dotted else None
        if dotted.startswith("transformers.") and last in ("from_pretrained", "from_config") and "Model" in root:
            return Kind.MODULE
        if dotted == "torch.compile" and node.args:
            return self.kind(node.args[0], depth)
        place = self._project.find(dotted)
        if place:
            module, name = place
            return self._made_by(module, module.classes.get(name) or module.functions[name], depth)
        return None

    def _made_by(self, where: Module | Here, definition: ast.AST, depth: int) -> Kind | None:
        """What calling a class or a function of the tree gives."""
        if isinstance(definition, ast.ClassDef):
            return self._methods.instance(where, definition)
        if isinstance(definition, ast.FunctionDef) and depth < DEPTH:
            return self._methods.returned(where, definition)
        return None

    def _method(self, func: ast.Attribute, depth: int) -> Kind | None:
        known, name = vocabulary(), func.attr
        receiver = self.kind(func.value, depth)
        if name in known["same"]:
            if name == "type" or receiver in PLACED:
                return receiver
            return None
        if receiver is Kind.TENSOR:
            return None if name in known["not_from_tensor"] else Kind.TENSOR
        if name in ("eval", "train") and receiver is not Kind.OWN:
            return Kind.MODULE
        if receiver is None and name in known["tensor_methods"] and name not in known["not_from_tensor"]:
            return Kind.TENSOR if name not in ("long", "log", "exp", "repeat", "flatten", "reshape", "t", "copy_") else None
        return None

    # ---- names and attributes

    def _name(self, node: ast.Name, depth: int) -> Kind | None:
        if node.id == "self":
            return self._self(node)
        scope = self._source.inside(node, *FUNCTIONS) or self._source.tree
        found = self._in_scope(node.id, scope, depth)
        if found is None and scope is not self._source.tree:
            outer = self._source.inside(scope, *FUNCTIONS) or self._source.tree
            if node.id not in self._bindings(scope):
                found = self._in_scope(node.id, outer, depth)
        return found

    def _in_scope(self, name: str, scope: ast.AST, depth: int) -> Kind | None:
        bound = self._bindings(scope).get(name, [])
        kinds = {self._binding(b, name, depth) for b in bound if not self._moves_itself(b, name)}
        if kinds and kinds <= set(PLACED):
            return kinds.pop() if len(kinds) == 1 else Kind.EITHER
        if Kind.OWN in kinds:
            return Kind.OWN
        return self._evidence(name, scope) if bound else None

    def _binding(self, node: ast.AST, name: str, depth: int) -> Kind | None:
        if isinstance(node, ast.arg):
            return self._annotated(node.annotation)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            if isinstance(node, ast.AnnAssign) and (kind := self._annotated(node.annotation)):
                return kind
            return self._unpacked(node, name, depth)
        if isinstance(node, ast.AugAssign):
            return self.kind(node.value, depth)
        return None

    def _unpacked(self, node: Any, name: str, depth: int) -> Kind | None:
        """The value of a name on the left of an assignment, which may be a tuple on both sides."""
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name) and target.id == name:
                return self.kind(node.value, depth)
            if isinstance(target, (ast.Tuple, ast.List)) and isinstance(node.value, (ast.Tuple, ast.List)):
                for one, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(one, ast.Name) and one.id == name:
                        return self.kind(value, depth)
        return None

    def _moves_itself(self, node: ast.AST, name: str) -> bool:
        """Whether a binding is `x = x.cuda()` or of its kind, which leaves x what it was."""
        value = getattr(node, "value", None)
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in vocabulary()["same"]:
            value = value.func.value
            if isinstance(value, ast.Name) and value.id == name:
                return True
        return False

    def _annotated(self, annotation: ast.AST | None) -> Kind | None:
        if annotation is None:
            return None
        said = annotated(self._names, annotation)
        if said:
            return said
        if isinstance(annotation, ast.Name) and annotation.id in self._own:
            own = self._own[annotation.id]
            if isinstance(own, ast.ClassDef):
                return self._methods.instance(self._here, own)
        return None

    def _self(self, node: ast.AST) -> Kind | None:
        owner = self._source.inside(node, ast.ClassDef)
        if not isinstance(owner, ast.ClassDef):
            return None
        return self._methods.instance(self._here, owner)

    def _attribute(self, node: ast.Attribute, depth: int) -> Kind | None:
        if node.attr in ("data", "grad", "T", "weight", "bias") and self.kind(node.value, depth) in (Kind.TENSOR, Kind.MODULE):
            return Kind.TENSOR
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            owner = self._source.inside(node, ast.ClassDef)
            if isinstance(owner, ast.ClassDef):
                return self._set_on_self(owner, node.attr, depth)
        return self._evidence_of(ast.dump(node), self._source.inside(node, *FUNCTIONS) or self._source.tree)

    def _set_on_self(self, owner: ast.ClassDef, name: str, depth: int) -> Kind | None:
        values = self._bindings(owner).get(f"self.{name}", [])
        kinds: set[Kind | None] = set()
        for value in values:
            if isinstance(value, ast.Call):  # register_buffer, register_parameter
                kinds.add(Kind.TENSOR)
            elif not self._moves_attribute(value, name):
                kinds.add(self._attribute_value(value, name, depth))
        if kinds and kinds <= set(PLACED):
            return kinds.pop() if len(kinds) == 1 else Kind.EITHER
        if Kind.OWN in kinds:
            return Kind.OWN
        return self._evidence(f"self.{name}", owner)

    def _attribute_value(self, node: Any, name: str, depth: int) -> Kind | None:
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Attribute) and target.attr == name and getattr(node, "value", None) is not None:
                return self.kind(node.value, depth)
        return None

    def _moves_attribute(self, node: Any, name: str) -> bool:
        value = getattr(node, "value", None)
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in vocabulary()["same"]:
            value = value.func.value
            if isinstance(value, ast.Attribute) and value.attr == name:
                return True
        return isinstance(value, ast.Constant) and value.value is None

    # ---- operations

    def _operation(self, node: Any, depth: int) -> Kind | None:
        if isinstance(node, ast.Subscript):
            kind = self.kind(node.value, depth)
            return kind if kind is Kind.TENSOR else None
        if isinstance(node, ast.BinOp):
            return Kind.TENSOR if Kind.TENSOR in (self.kind(node.left, depth), self.kind(node.right, depth)) else None
        if isinstance(node, ast.IfExp):
            both = {self.kind(node.body, depth), self.kind(node.orelse, depth)}
            return both.pop() if len(both) == 1 else Kind.EITHER if both <= set(PLACED) else None
        inner: ast.AST = getattr(node, "operand", None) or node.value
        return self.kind(inner, depth)

    # ---- scopes and evidence

    def _bindings(self, scope: ast.AST) -> dict[str, list[ast.AST]]:
        """What binds names in a function or the module; in a class what sets attributes of self."""
        if scope not in self._scopes:
            self._scopes[scope] = dict(class_bindings(scope) if isinstance(scope, ast.ClassDef) else bindings(scope))
        return self._scopes[scope]

    def _evidence(self, name: str, scope: ast.AST) -> Kind | None:
        return _judge(self._attributes_used(scope).get(name, set()))

    def _evidence_of(self, dump: str, scope: ast.AST) -> Kind | None:
        return _judge(self._attributes_used(scope).get(dump, set()))

    def _attributes_used(self, scope: ast.AST) -> dict[str, set[str]]:
        """Attributes that are asked of each name, of self's attributes, and of longer chains, within a scope."""
        if scope not in self._uses:
            found: dict[str, set[str]] = {}
            for node in within(scope, nested=isinstance(scope, ast.ClassDef)):
                if isinstance(node, ast.Attribute):
                    key = _key(_moved(node.value))
                    if key:
                        found.setdefault(key, set()).add(node.attr)
            self._uses[scope] = found
        return self._uses[scope]


def _judge(used: set[str]) -> Kind | None:
    known = vocabulary()
    tensor = bool(used & known["tensor_methods"])
    module = bool(used & known["module_methods"])
    return None if tensor == module else Kind.TENSOR if tensor else Kind.MODULE


def _moved(node: ast.AST) -> ast.AST:
    """What is asked for an attribute, where that is only moved or cast before: x of x.cpu().state_dict."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("cpu", "cuda", "to"):
        node = node.func.value
    return node


def _key(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return f"self.{node.attr}"
        return ast.dump(node)
    return ""
