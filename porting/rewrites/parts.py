"""A model in parts: operators that a target does not take are the host's, and what lies between them the target's.

A part is a model file of its own. What follows from weights alone is in every part that reads it, so that a stack which asks for
constants gets constants. Nothing is run or judged here.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porting.errors import ModelError
from porting.serialization import Json, to_json
from porting.types import TensorSpec


@dataclass(frozen=True)
class Part:
    """A model file, and whose it is."""

    path: str
    inputs: tuple[TensorSpec, ...]
    """Of the model's inputs, and of what parts before it made."""
    outputs: tuple[TensorSpec, ...]
    hosted: bool
    """Whether the host runs it."""
    operators: tuple[str, ...]
    """Of its nodes, constants not counted."""


def job(payload: Json, _clock: Any, _adapter: Any) -> Json:
    """Split the file `model` into `folder`; `hosted`: operators. Returns the parts."""
    return [to_json(part) for part in split(Path(payload["model"]), payload["hosted"], Path(payload["folder"]))]


def split(path: Path, hosted: Collection[str], folder: Path) -> list[Part]:
    """Write the parts of an ONNX file, in the order to run them; one part where the file has none of the operators. Weights
    that lie beside the file come along. Raises ModelError where a value between two parts is of no known type."""
    splitter = _Splitter(path, frozenset(hosted))
    folder.mkdir(parents=True, exist_ok=True)
    for data in splitter.data_files():
        shutil.copyfile(path.parent / data, folder / data)  # no link: onnx.load refuses them
    return [splitter.write(stage, folder / f"part{number}.onnx") for number, stage in enumerate(splitter.stages())]


class _Splitter:
    """Stages alternate: even ones are the target's, odd ones the host's. A node is in the first where all it reads is there."""

    def __init__(self, path: Path, hosted: frozenset[str]) -> None:
        from porting.diagnose.graph import Graph

        self.graph = Graph(path)
        self.hosted = hosted
        self._stage: dict[int, int] = {}
        self._types = _Types(self.graph.model)
        for number in range(len(self.graph)):
            if not self._constant(number):
                self._stage[number] = self._stage_of(number)

    def stages(self) -> list[int]:
        return sorted(set(self._stage.values()))

    def data_files(self) -> set[str]:
        """Files beside the model that hold weights."""
        tensors = self.graph.weights.values()
        return {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}

    def write(self, stage: int, path: Path) -> Part:
        """Write a stage as a model."""
        from onnx import helper

        graph, model = self.graph, self.graph.model
        numbers = [number for number, of in self._stage.items() if of == stage]
        inputs, outputs = self._crossing(numbers)
        if stage == max(self._stage.values()):
            outputs += [name for name in graph.outputs if name in graph.constants]
        fixed = self._fixed([*(name for number in numbers for name in graph.reads[number]), *outputs])
        nodes = [graph.nodes[number] for number in sorted({*numbers, *(graph.maker[n] for n in fixed if n in graph.maker)})]
        weights = [graph.weights[name] for name in fixed if name in graph.weights]
        within = {name for node in nodes for name in node.output} - {*outputs}
        part = helper.make_graph(
            nodes,
            path.stem,
            [self._types.info(name) for name in inputs],
            [self._types.info(name) for name in outputs],
            weights,
            value_info=[info for info in model.graph.value_info if info.name in within],
        )
        made = helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version, functions=model.functions)
        made.metadata_props.extend(model.metadata_props)
        path.write_bytes(made.SerializeToString())
        operators = tuple(graph.nodes[number].op_type for number in numbers)
        return Part(
            str(path), tuple(map(self._types.spec, inputs)), tuple(map(self._types.spec, outputs)), bool(stage % 2), operators
        )

    def _constant(self, number: int) -> bool:
        return all(name in self.graph.constants for name in self.graph.used(number))

    def _stage_of(self, number: int) -> int:
        made_by = (self.graph.maker.get(name) for name in self.graph.reads[number])
        before = max((self._stage[maker] for maker in made_by if maker in self._stage), default=0)
        host = int(not self.hosted.isdisjoint(_operators(self.graph.nodes[number])))
        return before if before % 2 == host else before + 1

    def _crossing(self, numbers: Sequence[int]) -> tuple[list[str], list[str]]:
        """What a stage takes of others and of the model's inputs, and what it leaves to others and the model's outputs."""
        graph, own = self.graph, set(numbers)
        made = [name for number in numbers for name in graph.used(number)]
        read = dict.fromkeys(name for number in numbers for name in graph.reads[number])
        inputs = [name for name in read if name not in graph.constants and graph.maker.get(name) not in own]
        outputs = [name for name in made if name in graph.outputs or not own.issuperset(graph.readers.get(name, ()))]
        return inputs, outputs

    def _fixed(self, names: Sequence[str]) -> list[str]:
        """Those that follow from weights alone, and all that they follow from."""
        found: dict[str, None] = {}
        waiting = [name for name in names if name in self.graph.constants]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += self.graph.reads[self.graph.maker[name]] if name in self.graph.maker else []
        return list(found)


class _Types:
    """Dtypes and shapes of values, as the file says or as they follow from it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._said = {info.name: info for info in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
        self._inferred = False

    def info(self, name: str) -> Any:
        """Raises ModelError."""
        if not self._typed(name) and not self._inferred:
            import onnx

            self._inferred = True
            graph = onnx.shape_inference.infer_shapes(self._model, data_prop=True).graph
            self._said |= {info.name: info for info in graph.value_info if not self._typed(info.name)}
        if not self._typed(name):
            raise ModelError(f"the model cannot be cut at {name}: the file does not say of what type it is.")
        return self._said[name]

    def spec(self, name: str) -> TensorSpec:
        from onnx import TensorProto, helper

        tensor = self.info(name).type.tensor_type
        bfloat16 = tensor.elem_type == TensorProto.BFLOAT16
        dtype = "bfloat16" if bfloat16 else str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        dims = enumerate(tensor.shape.dim)
        return TensorSpec(
            name, dtype, tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or f"{name}_{n}" for n, d in dims)
        )

    def _typed(self, name: str) -> bool:
        info = self._said.get(name)
        return info is not None and bool(info.type.tensor_type.elem_type) and info.type.tensor_type.HasField("shape")


def _operators(node: Any) -> Iterator[str]:
    """A node's operator, and those of its bodies."""
    yield node.op_type
    for attribute in node.attribute:
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in body.node:
                yield from _operators(inner)
