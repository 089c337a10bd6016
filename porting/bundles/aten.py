"""An exported program as plain data, which any PyTorch from 2.5 on can run.

The file that torch.export writes is read by few other versions than the one that wrote it, and makers' plugins pin versions of
PyTorch that are years old. This is a zip archive, nothing compressed: `program.json` with the nodes in order, and a member of raw
bytes for every tensor. What runs it is adapters/_aten.py, with PyTorch alone.
"""

from __future__ import annotations

import json
import math
import operator
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.errors import ModelError

if TYPE_CHECKING:
    import torch

FORMAT = 1
PROGRAM = "program.json"
# Checks of what tracing assumed. They are left out, as guards are: which sizes are right is found by running them.
CHECKS = ("aten._assert_tensor_metadata", "aten._assert_scalar", "aten._assert_async", "aten.sym_constrain_range")
_MODULES: Mapping[Any, str] = {operator: "operator", math: "math"}


class NotPlain(ModelError):
    """A program with something in it that this form has no word for."""


def save(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program. Takes its tensors positionally and returns a flat tuple, as it does. Raises NotPlain."""
    module = program.module(check_guards=False)
    tensors: dict[str, Any] = {}
    names: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    nodes = [entry for node in module.graph.nodes if (entry := _entry(module, node, tensors, names))]
    about = {
        member: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for member, tensor in tensors.items()
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(PROGRAM, json.dumps({"format": FORMAT, "tensors": about, "nodes": nodes}))
        for member, tensor in tensors.items():
            with archive.open(member, "w", force_zip64=True) as file:
                file.write(_bytes(tensor))


def _entry(module: Any, node: Any, tensors: dict[str, Any], names: dict[Any, str]) -> dict[str, Any] | None:
    """One node as data; None for what need not be run."""
    if node.op == "placeholder":
        return {"name": node.name, "op": "input"}
    if node.op == "get_attr":
        return {"name": node.name, "op": "tensor", "tensor": _member(_attribute(module, node.target), tensors, names)}
    if node.op == "output":
        from torch.utils import _pytree

        return {"name": "output", "op": "output", "args": [_encoded(leaf) for leaf in _pytree.tree_leaves(node.args[0])]}
    if node.op != "call_function":
        raise NotPlain(f"the exported program has a {node.op} of {node.target}.")
    name = _function(node.target)
    if name.startswith(CHECKS):
        return None
    return {
        "name": node.name,
        "op": "call",
        "function": "aten.reshape.default" if name == "aten.view.default" else name,  # strides are the device's own
        "args": [_encoded(arg) for arg in node.args],
        "kwargs": {key: _encoded(arg) for key, arg in node.kwargs.items()},
    }


def _function(target: Any) -> str:
    """`aten.add.Tensor`, `operator.mul`, `torch.sym_max`. Raises NotPlain."""
    import torch

    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    name = str(getattr(target, "__name__", target))
    if getattr(torch, name, None) is target and not name.startswith("sym_"):
        raise NotPlain(f"the exported program calls torch.{name}, which is no operator.")
    for holder, prefix in (*_MODULES.items(), (torch, "torch")):
        if getattr(holder, name, None) is target:
            return f"{prefix}.{name}"
    raise NotPlain(f"the exported program calls {name}, which is no operator: control flow of its own.")


def _member(tensor: Any, tensors: dict[str, Any], names: dict[Any, str]) -> str:
    """The member that a tensor is written to: one for all attributes that are the same memory."""
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise NotPlain("the exported program holds another program: control flow of its own.")
    place = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
    member = names.get(place) if tensor.numel() else None
    if member is None:
        member = f"tensors/{len(tensors)}"
        tensors[member] = tensor.detach()
        names[place] = member
    return member


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def _bytes(tensor: Any) -> memoryview:
    import torch

    return memoryview(tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy())


def _encoded(value: Any) -> Any:
    """An argument as JSON. A node is {"node": name}; whatever JSON has no word for has a key that names its type."""
    import torch

    if isinstance(value, torch.fx.Node):
        return {"node": value.name}
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    for kind, word in _words():
        if isinstance(value, kind):
            return {word: str(value).removeprefix("torch.")}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, slice):
        return {"slice": [_encoded(part) for part in (value.start, value.stop, value.step)]}
    raise NotPlain(f"the exported program has an argument of type {type(value).__name__}.")


def _words() -> Iterator[tuple[type, str]]:
    import torch

    kinds: Mapping[type, str] = {
        torch.dtype: "dtype",
        torch.device: "device",
        torch.layout: "layout",
        torch.memory_format: "memory_format",
    }
    yield from kinds.items()
