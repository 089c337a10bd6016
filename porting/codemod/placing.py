"""Rules about tensors and modules that are put on a device, or asked where they are: .cuda(), is_cuda, torch.load."""

from __future__ import annotations

import ast
import re
from typing import Any

from porting.codemod.classes import Kind
from porting.codemod.collect import Collector
from porting.codemod.finding import ACCEL, Edit, Safety, table


def find(c: Collector) -> None:
    """Put down what a file places on CUDA."""
    for call in c.source.all(ast.Call):
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr == "cuda" and not c.names.resolve(func).startswith("torch."):
            _cuda(c, call)
            continue
        dotted = c.names.resolve_one_of(func, ("load", "DataParallel"))
        if dotted == "torch.load":
            _load(c, call)
        elif dotted in ("torch.nn.DataParallel", "torch.nn.parallel.DataParallel"):
            c.add("PRT330", call)
    own = {n.attr for n in c.source.all(ast.Attribute) if n.attr == "is_cuda" and isinstance(n.ctx, ast.Store)}
    for node in c.source.all(ast.Attribute):
        if node.attr == "is_cuda" and isinstance(node.ctx, ast.Load) and not c.names.resolve(node):
            _is_cuda(c, node, bool(own))


def _cuda(c: Collector, call: Any) -> None:
    receiver = call.func.value
    kind = c.infer.kind(receiver) or _by_use(c, call)
    if isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Name) and receiver.func.id == "super":
        c.add("PRT201", call, safety=Safety.REPORT, why="a class's own cuda() calls the one above")
        return
    if kind is Kind.OWN:
        c.add("PRT201", call, safety=Safety.KEEP, why="its class has a cuda() or to() of its own")
        return
    edits = _cuda_edits(c, call)
    if edits is None:
        c.add("PRT201", call, why="arguments that .to() does not take")
    elif kind is None:
        c.add("PRT201", call, edits, Safety.CARE, "it is not proven that this is a tensor or a module")
    else:
        c.add("PRT201", call, edits, Safety.SAFE, f"{kind.value}")


def _by_use(c: Collector, call: Any) -> Kind | None:
    """What the receiver is by what is done around the call: only tensors are sliced along several axes, and only tensors have the
    methods that are called on the result."""
    receiver = call.func.value
    index = receiver.slice if isinstance(receiver, ast.Subscript) else None
    if isinstance(index, ast.Tuple) and any(isinstance(part, ast.Slice) for part in index.elts):
        return Kind.TENSOR
    up = c.source.up(call)
    if isinstance(up, ast.Attribute) and up.attr in table("kinds")["tensor_methods"]:
        return Kind.TENSOR
    if isinstance(up, ast.Attribute) and up.attr in table("kinds")["module_methods"]:
        return Kind.MODULE
    return None


def _cuda_edits(c: Collector, call: Any) -> list[Edit] | None:
    """x.cuda(...) as x.to(...): the name, and what has to be added to the arguments. None where they cannot be told apart."""
    source = c.source
    after = source.end(call.func)
    paren = re.compile(rb"\s*\(").match(source.data, after)
    keywords = {k.arg: k for k in call.keywords}
    if paren is None or None in keywords or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    if len(call.args) > 2 or not set(keywords) <= {"device", "non_blocking", "memory_format"}:
        return None
    edits = [Edit(after - len("cuda"), after, "to")]
    device = call.args[0] if call.args else keywords["device"].value if "device" in keywords else None
    if device is None:
        edits.append(Edit(paren.end(), paren.end(), f"{ACCEL}.type" + (", " if call.keywords else "")))
    else:
        edits += [
            Edit(source.start(device), source.start(device), f"{ACCEL}.at("),
            Edit(source.end(device), source.end(device), ")"),
        ]
    if len(call.args) == 2:
        edits.append(Edit(source.start(call.args[1]), source.start(call.args[1]), "non_blocking="))
    return edits


def _is_cuda(c: Collector, node: Any, own: bool) -> None:
    value = node.value
    edits = [
        Edit(c.source.start(value), c.source.start(value), f"{ACCEL}.is_on("),
        Edit(c.source.end(value), c.source.end(node), ")"),
    ]
    if not c.source.data[c.source.end(value) : c.source.end(node)].lstrip().startswith(b"."):
        edits = []  # the receiver stands in parentheses
    if own or (isinstance(value, ast.Name) and value.id == "self" and c.infer.kind(value) is None):
        c.add("PRT202", node, edits, Safety.CARE, "an attribute of that name may be the class's own")
    else:
        c.add("PRT202", node, edits)


def _load(c: Collector, call: Any) -> None:
    if len(call.args) != 1 or any(k.arg in (None, "map_location") for k in call.keywords):
        return
    if isinstance(call.args[0], ast.Starred):
        return
    source = c.source
    last = max([source.end(a) for a in call.args] + [source.end(k.value) for k in call.keywords])
    close = source.end(call) - 1
    between = re.sub(rb"#[^\n]*", b"", source.data[last:close])
    if b")" in between:  # the last argument stands in parentheses
        comma = "" if b"," in between else ", "
        c.add("PRT230", call, [Edit(close, close, f"{comma}map_location={ACCEL}.map_location")])
    else:
        c.add("PRT230", call, [Edit(last, last, f", map_location={ACCEL}.map_location")])
