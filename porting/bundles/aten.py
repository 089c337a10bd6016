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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FORMAT = 1
PROGRAM = "program.json"
# Checks of what tracing assumed. They are left out, as guards are: which sizes are right is found by running them.
CHECKS = ("aten._assert_tensor_metadata", "aten._assert_scalar", "aten._assert_async", "aten.sym_constrain_range")
_MODULES: Mapping[Any, str] = {operator: "operator", math: "math"}


class NotPlain(Exception):
    """A program with something in it that this form has no word for. A failure of this form, not of what was handed in: there may
    be a word for all that another route captures."""


def save(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program. Takes its tensors positionally and returns a flat tuple, as it does. Raises NotPlain."""
    nodes, tensors = entries(program.module(check_guards=False))
    for entry in nodes:
        if entry.get("function") == "aten.view.default":  # strides are the device's own
            entry["function"] = "aten.reshape.default"
    write(path, nodes, tensors)


def write(path: Path, nodes: Sequence[Mapping[str, Any]], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a file of entries and the tensors they name."""
    about = {
        member: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for member, tensor in tensors.items()
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(PROGRAM, json.dumps({"format": FORMAT, "tensors": about, "nodes": nodes}))
        for member, tensor in tensors.items():
            with archive.open(member, "w", force_zip64=True) as file:
                file.write(_bytes(tensor))


def entries(module: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The nodes of a captured program's module as data, and the tensors that it holds, by member. Raises NotPlain."""
    tensors: dict[str, Any] = {}
    names: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    return [entry for node in module.graph.nodes if (entry := _entry(module, node, tensors, names))], tensors


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
        "function": name,
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


# ---- back to a program --------------------------------------------------------------------------------------------


def module_of(nodes: Sequence[Mapping[str, Any]], tensors: Mapping[str, torch.Tensor]) -> torch.fx.GraphModule:
    """The module that entries describe: it takes its tensors positionally and returns a tuple. Raises NotPlain."""
    import torch

    root, graph, made = torch.nn.Module(), torch.fx.Graph(), dict[str, Any]()
    for number, entry in enumerate(nodes):
        if entry["op"] == "input":
            made[entry["name"]] = graph.placeholder(f"x{number}")
        elif entry["op"] == "tensor":
            root.register_buffer(f"w{number}", tensors[entry["tensor"]])
            made[entry["name"]] = graph.get_attr(f"w{number}")
        elif entry["op"] == "call":
            kwargs = {key: _decoded(arg, made) for key, arg in entry["kwargs"].items()}
            made[entry["name"]] = graph.call_function(_called(entry["function"]), tuple(_decoded(entry["args"], made)), kwargs)
        else:
            graph.output(tuple(_decoded(entry["args"], made)))
    return torch.fx.GraphModule(root, graph)


def _called(name: str) -> Any:
    """The function that `_function` named."""
    import torch

    head, *path = name.split(".")
    holders = {prefix: holder for holder, prefix in (*_MODULES.items(), (torch, "torch"))}
    found = holders.get(head, None if head in holders else getattr(torch.ops, head, None))
    for part in path:
        found = getattr(found, part, None)
    if found is None:
        raise NotPlain(f"there is no operator {name}.")
    return found


def _decoded(value: Any, made: Mapping[str, Any]) -> Any:
    """What `_encoded` wrote, with nodes by their names."""
    import torch

    if isinstance(value, list):
        return [_decoded(item, made) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, said),) = value.items()
    if kind == "slice":
        return slice(*(_decoded(part, made) for part in said))
    plain = {"node": made.get, "device": torch.device, "float": float, "complex": lambda pair: complex(*pair)}
    return plain[kind](said) if kind in plain else getattr(torch, said)


def load(path: Path) -> torch.fx.GraphModule:
    """The module of a file that `save` wrote."""
    import torch

    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read(PROGRAM))
        tensors = {}
        for member, about in data["tensors"].items():
            raw, dtype = bytearray(archive.read(member)), getattr(torch, about["dtype"])
            flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            tensors[member] = flat.reshape(about["shape"])
    return module_of(data["nodes"], tensors)


def array_of(tensor: torch.Tensor) -> Any:
    """A tensor as an array in host memory; bfloat16 as ml_dtypes.bfloat16."""
    import torch

    host = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if host.dtype is not torch.bfloat16:
        return host.numpy()
    import ml_dtypes

    return host.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def tensor_of(array: Any) -> torch.Tensor:
    """An array as a tensor of its own memory, of the same dtype."""
    import numpy as np
    import torch

    own = np.array(array, order="C")
    if str(own.dtype) == "bfloat16":
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)
