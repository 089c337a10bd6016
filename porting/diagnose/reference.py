"""Reference tensors: every value of a graph, computed by the clean runtime segment by segment and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.diagnose.cut import Piece
from porting.diagnose.graph import Graph
from porting.diagnose.probe import Lab
from porting.errors import ModelError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

SEGMENT_BYTES = 64 << 20
"""Of the values that one segment makes, by what the file says of their shapes."""


class Tensors:
    """Values by name in a folder, one file each, mapped when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Array] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"

    def __contains__(self, name: str) -> bool:
        return name in self._open or self._file(name).exists()

    def __getitem__(self, name: str) -> Array:
        import numpy as np

        if name not in self._open:
            array = np.load(self._file(name), mmap_mode="r", allow_pickle=False)
            if array.dtype.kind == "V":  # numpy knows bfloat16 as two bytes
                import ml_dtypes

                array = array.view(ml_dtypes.bfloat16)
            self._open[name] = array
        return self._open[name]

    def __setitem__(self, name: str, array: Array) -> None:
        import numpy as np

        part = self._file(name).with_suffix(".part")
        with open(part, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(part, self._file(name))


def build(
    graph: Graph, inputs: Mapping[str, Array], lab: Lab, folder: Path, sizes: Mapping[str, int], tell: Callable[[str], None]
) -> Tensors:
    """Compute every value that is read or returned, given the graph's inputs. lab: of the clean runtime. sizes: of symbolic axes.

    What is there from an earlier try is kept. Raises ModelError where the clean runtime cannot run the model.
    """
    values = Tensors(folder)
    for name in graph.inputs:
        if name not in values:
            if name not in inputs:
                raise ModelError(f"the case has no input {name}.")
            values[name] = inputs[name]
    segments = _segments(graph, sizes)
    for number, segment in enumerate(segments):
        if all(name in values for node in segment for name in graph.used(node)):
            continue
        tell(f"reference values, part {number + 1} of {len(segments)}")
        _compute(graph, values, segment, lab)
    return values


def _segments(graph: Graph, sizes: Mapping[str, int]) -> list[list[int]]:
    """Nodes in order, in parts whose values are of bounded size."""
    known = graph.estimates(sizes)
    parts: list[list[int]] = []
    room = 0
    for number in range(len(graph)):
        size = sum(known.get(name, 1 << 16) for name in graph.used(number))
        if not parts or room < size:
            parts.append([])
            room = SEGMENT_BYTES
        parts[-1].append(number)
        room -= size
    return parts


def _compute(graph: Graph, values: Tensors, segment: Sequence[int], lab: Lab) -> None:
    made = {name for number in segment for name in graph.nodes[number].output}
    wanted = dict.fromkeys(name for number in segment for name in graph.reads[number] if name not in made)
    weights = {name: graph.weight(name) for name in wanted if name in graph.weights}
    feeds = {name: values[name] for name in wanted if name not in weights}
    outputs = {name: name for number in segment for name in graph.used(number)}
    piece = Piece([_bare(graph.nodes[number]) for number in segment], feeds, weights, outputs, graph.model)
    (ending,) = lab.run([lab.piece(piece)], patient=True)
    found = ending.read()
    if not ending.ok or found is None:
        hint = "Where the clean runtime cannot run the exported model, nothing can be held against it."
        raise ModelError(f"onnxruntime itself cannot run the model: {ending.message}.", hint)
    for name, array in found.items():
        values[name] = array


def _bare(node: Any) -> Any:
    from onnx import NodeProto

    bare = NodeProto()
    bare.CopyFrom(node)
    del bare.metadata_props[:]
    return bare
