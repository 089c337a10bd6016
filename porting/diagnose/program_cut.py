"""Any set of calls of a program as a program of its own, fed with reference tensors: the counterpart of porting.diagnose.cut."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porting.adapter import ExportedForm
from porting.bundles import aten
from porting.bundles.tensors import write_tensors
from porting.diagnose.cut import ALONE, INPUTS, Cutter, Piece
from porting.diagnose.graph import Graph, Values
from porting.errors import ModelError
from porting.types import Precision, TensorSpec


@dataclass(frozen=True)
class ProgramPiece(Piece):
    """A program that can be written, of fixed sizes. like: the form's kind, `pt2` or `aten`."""

    own_errors = "porting.diagnose.eager:own_errors"

    def write(self, folder: Path, precision: Precision) -> ExportedForm:
        """Write program and inputs into a new folder. Returns it as a form for an adapter. Raises ModelError where PyTorch
        itself does not capture it."""
        folder.mkdir(parents=True)
        path = folder / f"model.{self.like}"
        self.save(path)
        write_tensors(folder / INPUTS, self.feeds)
        inputs = tuple(TensorSpec(name, str(array.dtype), array.shape) for name, array in self.feeds.items())
        outputs = tuple(TensorSpec(name, *self.dtypes.get(name, ("float32", ()))) for name in self.outputs)
        return ExportedForm(self.like, precision, path, inputs, outputs, None, (folder / INPUTS,))

    def save(self, path: Path) -> None:
        """Write the program alone, its weights inside."""
        import torch

        entries = list(self._entries())
        held = {name: aten.tensor_of(array) for name, array in self.weights.items()}
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = aten.module_of(entries, held)
                example = tuple(aten.tensor_of(array) for array in self.feeds.values())
                program = torch.export.export(module, example, strict=False)
                torch.export.save(program, path) if self.like == "pt2" else aten.save(program, path)
        except Exception as error:
            called = ", ".join(dict.fromkeys(call.op_type for call in self.nodes))
            raise ModelError(f"PyTorch does not capture a part of the model by itself ({called}): {error}") from error

    def _entries(self) -> Iterator[dict[str, Any]]:
        yield from ({"name": name, "op": "input"} for name in self.feeds)
        yield from ({"name": name, "op": "tensor", "tensor": name} for name in self.weights)
        for call in self.nodes:
            yield from call.entries()
        yield {"name": "output", "op": "output", "args": [{"node": name} for name in self.outputs]}


class ProgramCutter(Cutter):
    """Cuts pieces out of a program, with the sizes of the case: numbers that it computes stand in the calls. kind: of the form
    that the target takes."""

    can_be_free = False

    def __init__(self, graph: Graph, values: Values, scalars: Mapping[str, Any], kind: str) -> None:
        """scalars: the numbers, by name."""
        super().__init__(graph, values)
        self._scalars, self._kind = scalars, kind

    def again(self, values: Values | None = None, free: bool = False) -> ProgramCutter:  # noqa: ARG002 -- there are no such
        return ProgramCutter(self.graph, self.values if values is None else values, self._scalars, self._kind)

    def _cut(self, nodes: Collection[int], marks: Collection[str], alone: bool) -> ProgramPiece:
        graph, numbers = self.graph, tuple(sorted(nodes))
        within = set() if alone else {name for number in numbers for name in graph.nodes[number].output}
        made = {name: name + ALONE if alone else name for number in numbers for name in graph.used(number)}
        new = [graph.nodes[number].at(self._scalars).renamed(lambda name: name, _output_names(made)) for number in numbers]
        leaving = [
            name
            for number in numbers
            for name in graph.used(number)
            if alone or name in graph.outputs or name in marks or set(graph.readers.get(name, ())) - set(numbers)
        ]
        outputs = {made[name]: name for name in leaving}
        wanted = dict.fromkeys(name for number in numbers for name in graph.reads[number] if name not in within)
        weights = {name: graph.value(name, self.values) for name in wanted if name in graph.constants}
        feeds = {name: self.values[name] for name in wanted if name not in weights}
        if not feeds:  # a program of constants alone is none
            feeds, weights = weights, {}
        dtypes = {name: (str(self.values[of].dtype), self.values[of].shape) for name, of in outputs.items()}
        words = f"program {self._kind} {'alone' if alone else 'together'} {numbers} {sorted(marks)}"
        key = hashlib.sha256(words.encode()).hexdigest()[:24]
        return ProgramPiece(new, feeds, weights, outputs, self._kind, numbers, key, dtypes)


def _output_names(made: Mapping[str, str]) -> Callable[[str], str]:
    return lambda name: made.get(name, "")
