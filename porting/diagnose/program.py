"""An exported program as numbered calls of ATen operators: the counterpart of `Graph` for programs of PyTorch.

Calls are plain data (porting.bundles.aten). Sizes that the program computes are no calls but numbers, of the case that is looked
at. Nothing is run or judged here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles import aten
from porting.diagnose.graph import Graph, Source, Values, source_of
from porting.errors import ModelError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

GETITEM = "operator.getitem"
_RANDOM = re.compile(r"aten\.(rand|normal|bernoulli|multinomial|poisson|exponential|native_dropout)")


@dataclass(frozen=True)
class Call:
    """One call of an operator, with the names that a node of an ONNX graph has."""

    name: str
    op_type: str
    """`aten.linear.default`."""
    args: Any
    kwargs: Mapping[str, Any]
    output: tuple[str, ...]
    """Names of its tensors; empty for one of several that nobody reads."""
    several: bool = False
    """Whether it returns several tensors."""
    domain: str = field(default="", init=False)

    @property
    def input(self) -> tuple[str, ...]:
        """Names of what it reads, numbers among them."""
        return tuple(named([self.args, *self.kwargs.values()]))

    def renamed(self, names: Callable[[str], str], outputs: Callable[[str], str]) -> Call:
        """The same call with other names."""
        filled = _mapped(self.args, lambda name: {"node": names(name)})
        kwargs = {key: _mapped(arg, lambda name: {"node": names(name)}) for key, arg in self.kwargs.items()}
        made = tuple(outputs(name) if name else "" for name in self.output)
        return replace(self, args=filled, kwargs=kwargs, output=made)

    def at(self, numbers: Mapping[str, Any]) -> Call:
        """The same call with numbers in place of their names."""

        def put(name: str) -> Any:
            return numbers.get(name, {"node": name})

        return replace(self, args=_mapped(self.args, put), kwargs={k: _mapped(arg, put) for k, arg in self.kwargs.items()})

    def entries(self) -> Iterator[dict[str, Any]]:
        """As porting.bundles.aten writes it."""
        own = f"{self.name}__call" if self.several else self.output[0]
        yield {"name": own, "op": "call", "function": self.op_type, "args": self.args, "kwargs": dict(self.kwargs)}
        for number, name in enumerate(self.output if self.several else ()):
            if name:
                args = [{"node": own}, number]
                yield {"name": name, "op": "call", "function": GETITEM, "args": args, "kwargs": {}}

    def SerializeToString(self, deterministic: bool = True) -> bytes:  # noqa: ARG002 -- as protobuf has it
        """All of it as bytes, for digests."""
        return json.dumps([self.op_type, self.args, dict(self.kwargs), self.output], sort_keys=True).encode()


def functional(path: Path) -> Any:
    """The module of a saved program, in which nothing is written in place. Raises ModelError."""
    import torch

    try:
        program = torch.export.load(str(path))
        if any(_writes(node.target) for node in program.graph.nodes):
            program = program.run_decompositions({})
        return program.module(check_guards=False)
    except Exception as error:
        raise ModelError(f"{path} is no readable program: {error}") from error


def _writes(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return bool(schema and schema.is_mutable)


class ProgramGraph(Graph):
    """The calls of a saved program that make tensors. What it holds counts as weights."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is no program, or has control flow of its own."""
        self.path = path
        module = functional(path)
        entries, members = aten.entries(module)
        kinds = {node.name: node.meta.get("val") for node in module.graph.nodes}
        self._meta = {node.name: node.meta for node in module.graph.nodes}
        self.inputs = [entry["name"] for entry in entries if entry["op"] == "input"]
        held = {entry["name"]: entry["tensor"] for entry in entries if entry["op"] == "tensor"}
        self.weights = {name: members[member].detach() for name, member in held.items()}
        self.nodes = list(_calls(entries, kinds))
        """Those that make tensors."""
        self.outputs = [name for entry in entries if entry["op"] == "output" for name in named(entry["args"])]
        self.maker = {name: number for number, call in enumerate(self.nodes) for name in call.output if name}
        self.tensors = frozenset({*self.inputs, *self.weights, *self.maker})
        self.reads = [list(dict.fromkeys(name for name in call.input if name in self.tensors)) for call in self.nodes]
        self.readers: dict[str, list[int]] = {}
        for number, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, []).append(number)
        self.constants = self._constants()
        """Values that follow from weights alone."""
        self.names = frozenset({*self.inputs, *self.weights, *self.maker, *(call.name for call in self.nodes)})
        """Whatever a message may call a part of this program by."""

    def _constants(self) -> frozenset[str]:
        found = set(self.weights)
        for number, call in enumerate(self.nodes):
            if self.reads[number] and all(name in found for name in call.input):
                found.update(filter(None, call.output))
        return frozenset(found)

    def is_random(self, number: int) -> bool:
        return bool(_RANDOM.match(self.nodes[number].op_type))

    def weight(self, name: str) -> Array:
        array: Array = aten.array_of(self.weights[name])
        return array

    def size(self, number: int, values: Values) -> int:
        """Bytes of what a call reads and makes."""
        return sum(self.value(name, values).nbytes for name in {*self.reads[number], *self.used(number)})

    def kernel(self, number: int, values: Values) -> tuple[Any, ...]:
        """What makes two calls one kernel to a backend: operator, arguments, shapes, dtypes, which inputs are constant."""
        call = self.nodes[number]

        def of(name: str) -> Any:
            if name not in self.tensors:
                return name
            array = self.value(name, values)
            return [list(array.shape), str(array.dtype), name in self.constants]

        said = json.dumps([_mapped(call.args, of), {key: _mapped(arg, of) for key, arg in call.kwargs.items()}], sort_keys=True)
        return call.op_type, said, tuple(bool(name) for name in call.output)

    def source(self, number: int) -> Source:
        """The source line that a call is from."""
        meta = self._meta[self.nodes[number].name]
        modules = list((meta.get("nn_module_stack") or {}).values())
        return source_of(meta.get("stack_trace") or "", str(modules[-1][0]) if modules else "")


def _calls(entries: list[dict[str, Any]], kinds: Mapping[str, Any]) -> Iterator[Call]:
    """The calls that make tensors; one that returns several has those that are picked out of it as its outputs."""
    import torch

    picked: dict[str, dict[int, str]] = {}
    for entry in entries:
        if entry.get("function") == GETITEM and isinstance(kinds[entry["name"]], torch.Tensor):
            picked.setdefault(entry["args"][0]["node"], {})[entry["args"][1]] = entry["name"]
    for entry in entries:
        kind, name = kinds.get(entry["name"]), entry["name"]
        if entry["op"] != "call" or entry["function"] == GETITEM:
            continue
        if isinstance(kind, torch.Tensor):
            yield Call(name, entry["function"], entry["args"], entry["kwargs"], (name,))
        elif isinstance(kind, (list, tuple)) and name in picked:
            several = tuple(picked[name].get(number, "") for number in range(len(kind)))
            yield Call(name, entry["function"], entry["args"], entry["kwargs"], several, several=True)


def named(value: Any) -> Iterator[str]:
    """Names of nodes in an argument."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from named(item)
    elif isinstance(value, dict):
        ((kind, said),) = value.items()
        if kind == "node":
            yield said
        elif kind == "slice":
            yield from named(said)


def _mapped(value: Any, put: Callable[[str], Any]) -> Any:
    """An argument with something else in place of nodes."""
    if isinstance(value, (list, tuple)):
        return [_mapped(item, put) for item in value]
    if isinstance(value, dict):
        ((kind, said),) = value.items()
        return put(said) if kind == "node" else {kind: _mapped(said, put)} if kind == "slice" else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value
