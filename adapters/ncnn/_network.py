"""The text that pnnx writes about a network: its layers, its tensors' dtypes, its batch axes, and what it could not express.

An ncnn blob has a size of elements and no dtype: whether four bytes are an integer or a float is decided by the layer that
reads them. Only Embed reads integers. So every integer that enters a network is followed to its readers here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Sequence, Set, Tuple

MAGIC = "7767517"
NO_BATCH = 233
"""What ncnn and pnnx write where a tensor has no batch axis."""

INTEGER_READERS = frozenset(("Embed",))
MOVERS = frozenset(
    ("Concat", "Crop", "ExpandDims", "Flatten", "Flip", "Noop", "Permute", "Reshape", "Slice", "Split", "Squeeze", "Tile")
)
"""Layers that copy elements of four bytes without reading them."""
SOURCES = frozenset(("Input", "MemoryData"))
KEEP_BITS = "31=7"
"""A layer's feature mask that switches fp16 and bf16 off there: ncnn would lower an integer's bits as if they were a float's."""

INT, FLOAT = "int32", "float32"


class UnsupportedError(RuntimeError):
    """ncnn has no layer for an operator, or pnnx says that it cannot express it."""


class DtypeError(RuntimeError):
    """A tensor would have to be integer and floating at once."""


@dataclass(frozen=True)
class Layer:
    """One line of a .param file."""

    kind: str
    name: str
    bottoms: Tuple[str, ...]
    tops: Tuple[str, ...]
    settings: str
    """The rest of the line, `0=4 1=1`."""


def read_layers(text: str) -> List[Layer]:
    """The layers of a .param file, in its order. Raises ValueError where it is none."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise ValueError("not the text of an ncnn network")
    return [_layer(line) for line in lines[2:] if line.strip()]


def _layer(line: str) -> Layer:
    kind, name, bottoms, tops, *rest = line.split()
    middle, end = int(bottoms), int(bottoms) + int(tops)
    return Layer(kind, name, tuple(rest[:middle]), tuple(rest[middle:end]), " ".join(rest[end:]))


def write_layers(layers: Sequence[Layer]) -> str:
    """The text of a .param file."""
    blobs = {top for layer in layers for top in layer.tops}
    return "\n".join((MAGIC, f"{len(layers)} {len(blobs)}", *map(_line, layers), ""))


def _line(layer: Layer) -> str:
    counts = (str(len(layer.bottoms)), str(len(layer.tops)))
    return " ".join((layer.kind, layer.name, *counts, *layer.bottoms, *layer.tops, layer.settings)).rstrip()


def batch_axes(script: str) -> Dict[str, int]:
    """By blob, `in0` or `out0`, the batch axis that pnnx found, in the words of the script that it writes beside a network."""
    pattern = r'ex\.input\("(in\d+)".*batch_index=(\d+)\)|(out\d+)\.numpy\(batch_index=(\d+)\)'
    return {found[1] or found[3]: int(found[2] or found[4]) for found in re.finditer(pattern, script)}


def integer_constants(graph: str) -> Set[str]:
    """Names of the constants in a .pnnx.param file that hold integers or flags; ncnn's text does not tell."""
    return set(re.findall(r"^pnnx\.Attribute\s+(\S+).*@data=\([\d,]*\)(?:i|u|bool)", graph, re.MULTILINE))


_COMPLAINT = re.compile(r"not supported|\bunsupported\b|is unknown|not possible|can not resolve|exceeds", re.IGNORECASE)


def complaints(printed: str) -> List[str]:
    """Lines in which pnnx says that what it writes is not what it was given, each once. It goes on and exits with 0."""
    return list(dict.fromkeys(line.strip() for line in printed.splitlines() if _COMPLAINT.search(line)))


def ignored(printed: str) -> Dict[str, List[str]]:
    """By operator, the parameters that pnnx ignored: it wrote the operator down without them."""
    found: Dict[str, List[str]] = {}
    for kind, parameter in re.findall(r"^ignore (\S+) \S+ param (.*)$", printed, re.MULTILINE):
        known = found.setdefault(kind, [])
        if parameter not in known:
            known.append(parameter)
    return found


# ---- integers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A network of which every blob is known to be integer or floating, and where the batch is."""

    layers: Tuple[Layer, ...]
    dtypes: Mapping[str, str]
    """`int32` or `float32`, by blob."""
    batch: Mapping[str, int]
    """Batch axis of the inputs and outputs, by blob; NO_BATCH where there is none."""


def assign_dtypes(layers: Sequence[Layer], integers: Set[str], batch: Mapping[str, int]) -> Network:
    """Find out which blobs are integers, and keep reduced precision off the layers that move them.

    integers: names of inputs and constants that are declared integer. An input of them that no layer reads as integer is fed
    as float32. Raises DtypeError where an index is computed, or one tensor is read both ways.
    """
    wanted = _wanted(layers)
    dtypes: Dict[str, str] = {}
    typed: List[Layer] = []
    for layer in layers:
        kind = _made(layer, wanted, integers, dtypes)
        for top in layer.tops:
            other = wanted.get(top, set()) - {kind}
            if other:
                raise DtypeError(f"{layer.kind} {layer.name} gives {kind}, which {_readers(layers, top)} reads as {other.pop()}")
            dtypes[top] = kind
        typed.append(replace(layer, settings=f"{layer.settings} {KEEP_BITS}".strip()) if kind == INT else layer)
    return Network(tuple(typed), dtypes, batch)


def _wanted(layers: Sequence[Layer]) -> Dict[str, Set[str]]:
    """By blob, as what the layers read it that it goes to, directly or through layers that only move it."""
    wanted: Dict[str, Set[str]] = {}
    for layer in reversed(layers):
        if layer.kind in MOVERS:
            read = set().union(*(wanted.get(top, set()) for top in layer.tops))
        else:
            read = {INT if layer.kind in INTEGER_READERS else FLOAT}
        for bottom in layer.bottoms:
            wanted.setdefault(bottom, set()).update(read)
    return wanted


def _made(layer: Layer, wanted: Mapping[str, Set[str]], integers: Set[str], dtypes: Mapping[str, str]) -> str:
    """What a layer's tops are."""
    if layer.kind in MOVERS:
        return INT if any(dtypes.get(bottom) == INT for bottom in layer.bottoms) else FLOAT
    if layer.kind == "MemoryData":
        return INT if layer.name in integers else FLOAT
    if layer.kind == "Input" and layer.name in integers:
        return FLOAT if FLOAT in wanted.get(layer.tops[0], set()) else INT
    return FLOAT


def _readers(layers: Sequence[Layer], blob: str) -> str:
    return ", ".join(f"{layer.kind} {layer.name}" for layer in layers if blob in layer.bottoms)
