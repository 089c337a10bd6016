"""Runs a program that was written as plain data (porting/bundles/aten.py), with PyTorch alone, of 2.5 or any later version.

Copied beside the program when a port is made, so it imports nothing but PyTorch and the standard library.
"""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

FORMAT = 1


class Missing(NotImplementedError):
    """An operator that this PyTorch does not have."""


class Program:
    """A program on one device. Called with its tensors positionally, it returns a tuple."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Read a program; everything it holds goes to `device`. Raises ValueError for a file that is none, and Missing for an
        operator that this PyTorch has not."""
        self._device = device
        try:
            with zipfile.ZipFile(str(path)) as archive:
                data = json.loads(archive.read("program.json"))
                if data["format"] != FORMAT:
                    raise ValueError(f"{path} has format {data['format']}; this reads {FORMAT}")
                tensors = {name: self._tensor(archive.read(name), about) for name, about in data["tensors"].items()}
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"{path} is no program: {error}") from None
        nodes = data["nodes"]
        self._inputs = [node["name"] for node in nodes if node["op"] == "input"]
        self._held = {node["name"]: tensors[node["tensor"]] for node in nodes if node["op"] == "tensor"}
        self._output = next(self._arguments(node["args"]) for node in nodes if node["op"] == "output")
        calls = [node for node in nodes if node["op"] == "call"]
        self._calls = [
            (node["name"], function(node["function"]), self._arguments(node["args"]), self._named(node["kwargs"]))
            for node in calls
        ]
        self._done = self._last_uses()

    def __call__(self, *inputs: Any) -> Tuple[Any, ...]:
        values: Dict[str, Any] = {**self._held, **dict(zip(self._inputs, inputs))}  # noqa: B905 -- Python 3.9
        for (name, call, args, kwargs), done in zip(self._calls, self._done):  # noqa: B905
            values[name] = call(*_filled(args, values), **{key: _filled(arg, values) for key, arg in kwargs.items()})
            for each in done:
                del values[each]
        return tuple(_filled(self._output, values))

    def _last_uses(self) -> List[List[str]]:
        """By call: what is used for the last time there."""
        kept = {*self._held, *_names(self._output)}
        last: Dict[str, int] = {}
        for number, (name, _, args, kwargs) in enumerate(self._calls):
            last[name] = number
            last.update(dict.fromkeys(_names([args, list(kwargs.values())]), number))
        done: List[List[str]] = [[] for _ in self._calls]
        for name, number in last.items():
            if name not in kept:
                done[number].append(name)
        return done

    def _tensor(self, data: bytes, about: Dict[str, Any]) -> Any:
        import torch

        dtype = getattr(torch, about["dtype"])
        flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return flat.reshape(about["shape"]).to(self._device)

    def _named(self, kwargs: Dict[str, Any]) -> Dict[str, Any]:
        return {key: self._argument(value) for key, value in kwargs.items()}

    def _arguments(self, values: Sequence[Any]) -> List[Any]:
        return [self._argument(value) for value in values]

    def _argument(self, value: Any) -> Any:
        """An argument as it was, a node as Name; devices are the one that the program is on."""
        import torch

        if isinstance(value, list):
            return self._arguments(value)
        if not isinstance(value, dict):
            return value
        ((kind, said),) = value.items()
        if kind == "node":
            return Name(said)
        if kind == "device":
            return torch.device(self._device)
        if kind in ("dtype", "layout", "memory_format"):
            return getattr(torch, said)
        if kind == "float":
            return float(said)
        if kind == "complex":
            return complex(*said)
        if kind == "slice":
            return slice(*self._arguments(said))
        raise ValueError(f"an argument of kind {kind} is not known")


class Name(str):
    """The name of a node, where its value is to be."""


def function(name: str) -> Any:
    """What a node calls, `aten.add.Tensor` or `operator.mul`. Raises Missing."""
    import torch

    head, *path = name.split(".")
    try:
        if head in ("operator", "math") or (head == "torch" and path[0].startswith("sym_")):
            found: Any = importlib.import_module(head)
        else:
            found = getattr(torch.ops, head)
        for part in path:
            found = getattr(found, part)
    except AttributeError:
        raise Missing(f"torch {torch.__version__} has no operator {name}") from None
    return found


def _filled(value: Any, values: Dict[str, Any]) -> Any:
    """An argument with values in place of names."""
    if isinstance(value, Name):
        return values[value]
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, slice):
        return slice(*(_filled(part, values) for part in (value.start, value.stop, value.step)))
    return value


def _names(value: Any) -> List[str]:
    if isinstance(value, Name):
        return [str(value)]
    if isinstance(value, slice):
        value = [value.start, value.stop, value.step]
    return [name for item in value for name in _names(item)] if isinstance(value, list) else []
