"""What the word 'nccl' is there for in a program, by where it stands."""

from __future__ import annotations

import ast
from typing import Any

from porting.codemod.collect import Collector
from porting.codemod.devices import DEFAULTS, UNPROVEN, Place, enumerates, last_name, parameter
from porting.codemod.finding import ACCEL, Safety

_ASKS = ("torch.distributed.is_nccl_available", "torch.distributed.distributed_c10d.is_nccl_available")


def find(c: Collector) -> None:
    """Put down where a file asks for NCCL. The question is edited where all that follows from it is the backend's name."""
    if b"is_nccl_available" not in c.source.data:
        return
    for call in c.source.all(ast.Call):
        if c.names.resolve(call.func) not in _ASKS:
            continue
        up = c.source.up(call)
        named = isinstance(up, ast.IfExp) and up.test is call and isinstance(up.body, ast.Constant) and up.body.value == "nccl"
        edits = [c.replace(call.func, f"{ACCEL}.is_dist_backend_available")] if named else []
        c.add("PRT220", call, edits, why="" if named else "what follows from the answer is not seen")


def place_of(c: Collector, node: Any) -> Place:
    """What the name is there for."""
    child: ast.AST = node
    parent = c.source.up(node)
    while isinstance(parent, (ast.IfExp, ast.BoolOp)):
        if isinstance(parent, ast.IfExp) and child is not parent.test and _is_gloo(parent):
            return Place("PRT220", "dist", Safety.SAFE)
        child, parent = parent, c.source.up(parent)
    if isinstance(parent, ast.Compare):
        others = [side for side in (parent.left, *parent.comparators) if side is not child]
        about = any("backend" in c.source.text(o).lower() for o in others)
        why = "" if about else f"what it is compared with is {UNPROVEN}'s backend"
        return Place("PRT220", "dist name", Safety.SAFE if about else Safety.CARE, why)
    if isinstance(parent, ast.keyword):
        call = c.source.up(parent)
        about = "backend" in (parent.arg or "") or (
            parent.arg == "default" and "backend" in c.source.text(call).split("default")[0]
        )
        return Place("PRT220", "dist", Safety.SAFE) if about else Place("PRT320", "", Safety.REPORT)
    if isinstance(parent, ast.Call):
        about = last_name(parent) in ("init_process_group", "new_group") or (
            last_name(parent) in DEFAULTS and "backend" in c.source.text(parent.args[0]).lower()
        )
        if about:
            return Place("PRT220", "dist", Safety.SAFE)
        about = "backend" in parameter(c, parent, c.names.resolve(parent.func), child)
        return Place("PRT220", "dist", Safety.SAFE if about else Safety.CARE, "" if about else "the function is not in this tree")
    if isinstance(parent, (ast.Assign, ast.AnnAssign)):
        if enumerates(c, parent):
            return Place("PRT320", "", Safety.REPORT, "a value of an enumeration: it has to be a literal")
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        field = isinstance(c.source.up(parent), ast.ClassDef)
        about = all("backend" in c.source.text(t).lower() for t in targets) and not field
        return Place(
            "PRT220", "dist", Safety.SAFE if about else Safety.CARE, "" if about else "a field, or a name that says nothing"
        )
    if isinstance(parent, ast.arguments):
        return Place("PRT213", "dist", Safety.CARE)
    return Place("PRT320", "", Safety.REPORT)


def _is_gloo(choice: ast.IfExp) -> bool:
    return any(isinstance(v, ast.Constant) and v.value in ("gloo", "mpi", "ccl", "hccl") for v in (choice.body, choice.orelse))
