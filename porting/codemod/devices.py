"""What the word 'cuda' is there for in a program, by where it stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from porting.codemod.collect import Collector, device_like, named_device, word_of
from porting.codemod.finding import Safety

_DEVICES = re.compile(r"(?:cpu|mps|xpu|meta|npu|hpu|mlu|xla|musa|gcu|sdaa|txda|mtia|cuda|auto)(?::\d+)?")
_PLACES = ("torch.device", "torch.Generator", "torch.set_default_device", "torch.get_device_module", "torch.load",
           "torch.jit.load",
           "torch.distributed.init_device_mesh", "torch.distributed.device_mesh.init_device_mesh")  # fmt: skip
_AUTOCASTS = ("autocast", "GradScaler", "custom_fwd", "custom_bwd", "is_autocast_enabled", "get_autocast_dtype",
              "is_autocast_available")  # fmt: skip
DEFAULTS = ("get", "getattr", "pop", "setdefault", "getenv")
COLLECTIONS = (ast.List, ast.Tuple, ast.Set)
_IMPLEMENTATION = re.compile(r"impl|backend|kernel|engine", re.IGNORECASE)
UNPROVEN = "not proven to be a device"


@dataclass(frozen=True)
class Place:
    """What a string is there for. put: `type`, `name`, or empty where nothing can replace it."""

    rule: str
    put: str
    safety: Safety
    why: str = ""


def place_of(c: Collector, node: Any) -> Place:
    """What a device's name is there for."""
    child: ast.AST = node
    parent = c.source.up(node)
    while isinstance(parent, (ast.IfExp, ast.BoolOp)):
        if isinstance(parent, ast.IfExp) and parent.body is child and _for_the_cpu(parent.test):
            return Place("PRT211", "name", Safety.SAFE)
        if isinstance(parent, ast.IfExp) and parent.test is not child and _chosen(c, parent, child):
            return Place("PRT210", "type", Safety.SAFE)
        if isinstance(parent, ast.BoolOp) and device_like(*(v for v in parent.values if v is not child)):
            return Place("PRT210", "type", Safety.SAFE)
        child, parent = parent, c.source.up(parent)
    if _own_word(c, parent):
        return Place("PRT211", "", Safety.KEEP, "a word beside those for other brands that are no devices of PyTorch's")
    if isinstance(parent, ast.Compare):
        return _of_nvidia(c, parent) or _compared(parent, child)
    if isinstance(parent, COLLECTIONS):
        return _in_collection(c, parent, child)
    if isinstance(parent, ast.keyword):
        return _keyword(c, parent)
    if isinstance(parent, ast.Call):
        return _argument(c, parent, child)
    if isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
        return _assigned(c, parent)
    if isinstance(parent, ast.arguments):
        return _default(parent, child)
    return _elsewhere(c, parent, child)


def _chosen(c: Collector, choice: ast.IfExp, child: ast.AST) -> bool:
    """Whether the other way of a choice is a device, too, or the choice asks for CUDA."""
    other = choice.orelse if choice.body is child else choice.body
    while isinstance(other, ast.IfExp):
        other = other.orelse
    if isinstance(other, ast.Constant) and isinstance(other.value, str) and _DEVICES.fullmatch(other.value):
        return True
    return any(c.names.resolve(n) == "torch.cuda.is_available" for n in ast.walk(choice.test) if isinstance(n, ast.Attribute))


def _own_word(c: Collector, parent: ast.AST) -> bool:
    """Whether a word is compared with, or given to, a name whose words are not PyTorch's."""
    if isinstance(parent, COLLECTIONS):
        parent = c.source.up(parent)
    if isinstance(parent, ast.Compare):
        return any(word_of(side) in c.own_words for side in (parent.left, *parent.comparators))
    targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target] if isinstance(parent, ast.AnnAssign) else []
    return any(word_of(target) in c.own_words for target in targets)


def _for_the_cpu(test: ast.AST) -> bool:
    """Whether a condition asks for the CPU's name, which the word then stands for: 'cuda' if device == 'cpu' else device."""
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) else []
    return any(isinstance(side, ast.Constant) and side.value == "cpu" for side in sides)


def _of_nvidia(c: Collector, compared: ast.AST) -> Place | None:
    """A comparison whose answer has NVIDIA in its name: it asks for the maker, and is right as it stands."""
    for parent in c.source.ancestors(compared):
        if isinstance(parent, ast.Assign) and any("nvidia" in word_of(t).lower() for t in parent.targets):
            return Place("PRT211", "", Safety.KEEP, "asks for NVIDIA by name")
        if isinstance(parent, ast.FunctionDef) and "nvidia" in parent.name.lower():
            return Place("PRT211", "", Safety.KEEP, "asks for NVIDIA by name")
        if isinstance(parent, ast.stmt) and not isinstance(parent, ast.Return):
            return None
    return None


def _compared(parent: ast.Compare, child: ast.AST) -> Place:
    others = [side for side in (parent.left, *parent.comparators) if side is not child]
    if device_like(*others):
        return Place("PRT211", "name", Safety.SAFE)
    word = next((word_of(side) for side in others if _IMPLEMENTATION.search(word_of(side))), "")
    if word:
        return _other(word)
    return Place("PRT211", "name", Safety.CARE, f"what it is compared with is {UNPROVEN}")


def _in_collection(c: Collector, parent: Any, child: Any) -> Place:
    up = c.source.up(parent)
    if isinstance(up, ast.Compare):
        return _compared(up, parent)
    if isinstance(up, ast.Subscript) and _annotates(c, up):
        return Place("PRT320", "", Safety.REPORT, "a type: it has to be a literal")
    name = _parametrized(c, parent, child)
    if name:
        return Place("PRT211", "name", Safety.SAFE) if named_device(name) else _other(name)
    devices = all(isinstance(e, ast.Constant) and isinstance(e.value, str) and _DEVICES.fullmatch(e.value) for e in parent.elts)
    call = up if isinstance(up, ast.Call) else c.source.up(up) if isinstance(up, ast.keyword) else None
    about = _about_devices(call) or (isinstance(up, ast.Assign) and device_like(*up.targets))
    if about and devices:
        return Place("PRT211", "name", Safety.SAFE)
    if devices and len(parent.elts) > 1:
        return Place("PRT211", "name", Safety.CARE, "a list of devices: what is done with it is not seen")
    return Place("PRT320", "", Safety.REPORT)


def _parametrized(c: Collector, row: Any, child: Any) -> str:
    """The parameter of a test that a value in a row of pytest.mark.parametrize goes to."""
    call = c.source.inside(row, ast.Call)
    while isinstance(call, ast.Call) and c.names.resolve(call.func) == "pytest.param":
        call = c.source.inside(call, ast.Call)
    if not isinstance(call, ast.Call) or last_name(call) != "parametrize" or not call.args or not isinstance(row, ast.Tuple):
        return ""
    first = call.args[0]
    names = first.value.split(",") if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    if isinstance(first, (ast.List, ast.Tuple)):
        names = [e.value for e in first.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return names[row.elts.index(child)].strip() if len(names) == len(row.elts) > 1 else ""


def _other(name: str) -> Place:
    """A word that goes to a parameter which is no device's."""
    if _IMPLEMENTATION.search(name):
        return Place("PRT405", "", Safety.REPORT, f"goes to {name!r}")
    return Place("PRT320", "", Safety.REPORT, f"goes to {name!r}")


def _about_devices(call: ast.AST | None) -> bool:
    """Whether a call says by a string or its receiver that it is about a device: an option, a parameter of a test."""
    if not isinstance(call, ast.Call):
        return False
    words = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    return any(named_device(word) for word in words) or (
        isinstance(receiver, (ast.Name, ast.Attribute)) and device_like(receiver)
    )


def _keyword(c: Collector, keyword: ast.keyword) -> Place:
    call = c.source.up(keyword)
    name = keyword.arg or ""
    if name == "device_type":
        return Place("PRT211", "name" if last_name(call) in _AUTOCASTS else "type", Safety.SAFE)
    if name == "map_location" or named_device(name):
        return Place("PRT210", "type", Safety.SAFE)
    if name == "default" and _about_devices(call):
        return Place("PRT210", "type", Safety.SAFE)
    return _other(name)


def last_name(call: ast.AST) -> str:
    """What is called, or a name, by its last part."""
    func = call.func if isinstance(call, ast.Call) else call
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _argument(c: Collector, call: ast.Call, child: Any) -> Place:
    dotted, last = c.names.resolve(call.func), last_name(call)
    if dotted in _PLACES or last in ("to", "to_empty", "init_device_mesh"):
        return Place("PRT210", "type", Safety.SAFE)
    if last in _AUTOCASTS and (not dotted or dotted.startswith("torch.")):
        return Place("PRT211", "name", Safety.SAFE)
    if last in ("startswith", "endswith") and isinstance(call.func, ast.Attribute):
        return _compared(ast.Compare(call.func.value, [], [child]), child)
    if last in DEFAULTS and call.args[0] is not child and _about_devices(call):
        return Place("PRT210", "type", Safety.SAFE)
    if dotted == "pytest.param":
        within = [n for n in c.source.ancestors(call) if isinstance(n, ast.Call)]
        return Place("PRT211", "name", Safety.SAFE if any(map(_about_devices, within)) else Safety.CARE, "a test's parameter")
    if last in ("replace", "split", "add_argument"):
        return Place("PRT320", "", Safety.REPORT)
    name = parameter(c, call, dotted, child)
    if name and named_device(name):
        return Place("PRT210", "type", Safety.SAFE)
    if name:
        return _other(name)
    return Place("PRT210", "type", Safety.CARE, "goes to a function that is not in this tree")


def parameter(c: Collector, call: ast.Call, dotted: str, child: Any) -> str:
    """The name of the parameter that a positional argument goes to, where the function is in the tree."""
    found = c.project.find(dotted) if dotted else None
    definition: ast.AST | None = None
    if found:
        definition = found[0].classes.get(found[1]) or found[0].functions.get(found[1])
    elif isinstance(call.func, ast.Name):
        own: Iterable[Any] = (*c.source.all(ast.FunctionDef), *c.source.all(ast.ClassDef))
        definition = next((n for n in own if n.name == call.func.id and c.source.up(n) is c.source.tree), None)
    bound = isinstance(definition, ast.ClassDef)
    if isinstance(definition, ast.ClassDef):
        definition = next((n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if not isinstance(definition, ast.FunctionDef) or child not in call.args:
        return ""
    names = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)][1 if bound else 0 :]
    index = call.args.index(child)
    return names[index] if index < len(names) and not any(isinstance(a, ast.Starred) for a in call.args) else ""


def _assigned(c: Collector, node: Any) -> Place:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if enumerates(c, node):
        return Place("PRT320", "", Safety.REPORT, "a value of an enumeration: it has to be a literal")
    if not device_like(*targets):
        return Place("PRT210", "type", Safety.CARE, f"the name it is given is {UNPROVEN}'s")
    if isinstance(c.source.up(node), ast.ClassDef):
        return Place("PRT213", "type", Safety.CARE)
    return Place("PRT210", "type", Safety.SAFE)


def enumerates(c: Collector, node: ast.AST) -> bool:
    """Whether a string is given to a name of an enumeration, which is told by its value."""
    owner = c.source.up(node)
    return isinstance(owner, ast.ClassDef) and any(last_name(base).endswith(("Enum", "Flag")) for base in owner.bases)


def _default(parent: ast.arguments, child: ast.AST) -> Place:
    positional = [*parent.posonlyargs, *parent.args]
    pairs: list[tuple[ast.arg, ast.expr | None]] = list(zip(reversed(positional), reversed(parent.defaults), strict=False))
    pairs += zip(parent.kwonlyargs, parent.kw_defaults, strict=True)
    name = next((arg.arg for arg, default in pairs if default is child), "")
    if named_device(name):
        return Place("PRT213", "type", Safety.CARE)
    return _other(name)


def _elsewhere(c: Collector, parent: ast.AST, child: ast.AST) -> Place:
    if isinstance(parent, ast.Return):
        function = c.source.inside(parent, ast.FunctionDef, ast.AsyncFunctionDef)
        returns = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)] if function else []
        others = [v.value for v in returns if isinstance(v, ast.Constant) and v is not child]
        about = named_device(getattr(function, "name", "")) or any(isinstance(v, str) and _DEVICES.fullmatch(v) for v in others)
        why = "" if about else f"what is returned is {UNPROVEN}"
        return Place("PRT210", "type", Safety.SAFE if about else Safety.CARE, why)
    if isinstance(parent, ast.Dict) and child in parent.values:
        key = parent.keys[parent.values.index(child)]
        if key is not None and device_like(key):
            return Place("PRT210", "type", Safety.SAFE)
        return Place("PRT320", "", Safety.REPORT)
    if isinstance(parent, ast.Dict):
        return Place("PRT211", "name", Safety.CARE, "a table by device")
    if isinstance(parent, ast.Subscript) and not _annotates(c, parent):
        return Place("PRT211", "name", Safety.CARE, "a table by device")
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Mod)) and parent.left is child:
        prefix = isinstance(child, ast.Constant) and str(child.value).endswith(":")
        follows = isinstance(parent.right, ast.Constant) and str(parent.right.value).startswith(":")
        if prefix or follows:
            return Place("PRT212", "type", Safety.SAFE)
    return Place("PRT320", "", Safety.REPORT)


def _annotates(c: Collector, node: ast.Subscript) -> bool:
    return c.names.resolve(node.value).endswith("Literal")
