"""An ncnn network as it is written: layers, the blobs between them, and the weights that go behind them, in order."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import _network as networks

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Shape = Tuple[int, ...]
Setting = Union[int, float, Sequence[int], str]
NOTHING = ""
"""The name of a blob that is none, since it would have no elements."""
MOST_AXES = 4
"""What a blob has, the outermost first; a batch aside."""
AXES = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}
"""Keys of the sizes of Reshape and MemoryData, the outermost first, by the number of axes."""
IN_BATCH, OUT_BATCH = 12, 13
RAW = b"\0\0\0\0"
"""Before weights that are float32 as they stand."""


@dataclass(frozen=True)
class Blob:
    """What a layer gives: elements in C order."""

    name: str
    shape: Shape
    """Up to MOST_AXES sizes, the outermost first."""
    exact: bool = False
    """Whether it holds integers or flags, which fewer bits than 32 would not keep."""


class Writer:
    """Collects layers. Every method adds what it says and returns the new blob."""

    def __init__(self, narrow: bool) -> None:
        """narrow: whether the network is to run in fewer bits than 32."""
        self._narrow = narrow
        self._wide: Dict[str, Blob] = {}
        self._whole: Set[str] = set()
        """Blobs that have 32 bits whatever the network is run in."""
        self._layers: List[networks.Layer] = []
        self._weights: List[Tuple[bytes, ...]] = []
        """Of each layer."""
        self._reshaped: Dict[Tuple[str, Shape], Blob] = {}
        self._constants: Dict[Tuple[Shape, bytes], Blob] = {}

    # ---- layers

    def input(self, name: str, shape: Shape, exact: bool) -> Blob:
        self._whole.update([name] if exact else [])
        self._layers.append(networks.Layer("Input", name, (), (name,), networks.KEEP_BITS if exact else ""))
        self._weights.append(())
        return Blob(name, shape, exact)

    def layer(
        self, kind: str, given: Sequence[Blob], shape: Shape, settings: Optional[Mapping[int, Setting]] = None,
        weights: Iterable[bytes] = (), exact: bool = False, name: str = "",
    ) -> Blob:  # fmt: skip
        """Any layer of one output. shape: of what it gives, which nobody checks."""
        if any(blob.name == NOTHING for blob in given):
            raise networks.UnsupportedError("ncnn has no tensor without elements")
        if exact and self._narrow:
            given = [self._widened(blob) for blob in given]
        name = name or f"{kind.lower()}_{len(self._layers)}"
        words = [_setting(key, value) for key, value in sorted((settings or {}).items())]
        if exact:
            words.append(networks.KEEP_BITS)
            self._whole.add(name)
        self._layers.append(networks.Layer(kind, name, tuple(blob.name for blob in given), (name,), " ".join(words)))
        self._weights.append(tuple(weights))
        return Blob(name, shape, exact)

    def _widened(self, blob: Blob) -> Blob:
        """A blob in 32 bits, by a layer that knows no others: one that is told to keep to 32 bits reads fewer as if they were."""
        if blob.exact:
            return blob
        if blob.name not in self._wide:
            made = self._wide[blob.name] = self.layer("Power", [blob], blob.shape, {0: 1.0, 1: 1.0, 2: 0.0})
            self._whole.add(made.name)
        return self._wide[blob.name]

    def reshape(self, blob: Blob, shape: Shape) -> Blob:
        """The same elements in other axes."""
        if blob.shape == shape:
            return blob
        if (blob.name, shape) not in self._reshaped:
            sizes = dict(zip(AXES[len(shape)], shape))  # noqa: B905 -- `strict` came with 3.10
            self._reshaped[blob.name, shape] = self.layer("Reshape", [blob], shape, sizes, exact=blob.exact)
        return self._reshaped[blob.name, shape]

    def to_batch(self, blob: Blob, shape: Shape) -> Blob:
        """The first axis of `shape` as a batch, which layers are run over one by one; it is no axis any more."""
        if shape[0] == 1:
            return self.reshape(blob, shape[1:])
        return self.layer("Reshape", [blob], shape[1:], {**_sizes(shape), OUT_BATCH: 0}, exact=blob.exact)

    def from_batch(self, blob: Blob, number: int, shape: Shape) -> Blob:
        """Elements of a batch of `number` as one blob again, of these axes unless it is one already."""
        if number == 1:
            return blob
        plain = self.layer("Packing", [blob], blob.shape, {0: 1}, exact=blob.exact)
        return self.layer("Reshape", [plain], shape, {**_sizes(shape), IN_BATCH: 0}, exact=blob.exact)

    def constant(self, array: Array, shape: Shape, exact: bool) -> Blob:
        """Elements that are stored with the network; the same ones once."""
        import numpy as np

        data = np.ascontiguousarray(array, np.float32).tobytes()
        if (shape, data) not in self._constants:
            sizes = {**dict(zip(AXES[len(shape)], shape)), 21: 1}  # noqa: B905
            self._constants[shape, data] = self.layer("MemoryData", [], shape, sizes, [data], exact)
        return self._constants[shape, data]

    # ---- the files

    def network(self, outputs: Sequence[str]) -> Tuple[List[networks.Layer], bytes]:
        """The layers that the outputs need, with a Split behind every blob that is read more than once, and their weights."""
        needed = set(outputs)
        for layer in reversed(self._layers):
            if needed.intersection(layer.tops):
                needed.update(layer.bottoms)
        kept = [number for number, layer in enumerate(self._layers) if needed.intersection(layer.tops)]
        readers = Counter(bottom for number in kept for bottom in self._layers[number].bottoms)
        taken: Counter[str] = Counter()
        done: List[networks.Layer] = []
        for layer in (self._layers[number] for number in kept):
            bottoms = tuple(_copy(name, readers, taken) for name in layer.bottoms)
            done.append(replace(layer, bottoms=bottoms))
            done += [_split(top, readers[top], top in self._whole) for top in layer.tops if readers[top] > 1]
        return done, b"".join(part for number in kept for part in self._weights[number])


def _split(blob: str, readers: int, whole: bool) -> networks.Layer:
    copies = tuple(f"{blob}_{number}" for number in range(readers))
    return networks.Layer("Split", f"split_{blob}", (blob,), copies, networks.KEEP_BITS if whole else "")


def _copy(name: str, readers: Mapping[str, int], taken: Counter[str]) -> str:
    """The name under which the next reader of a blob gets it."""
    if readers[name] == 1:
        return name
    taken[name] += 1
    return f"{name}_{taken[name] - 1}"


def floats(value: Any, tagged: bool = True) -> List[bytes]:
    """Weights as they are stored. tagged: whether the layer reads what type they are, as it does of the first of its own."""
    import numpy as np

    return [*([RAW] if tagged else []), np.ascontiguousarray(value, np.float32).tobytes()]


def size(shape: Sequence[int]) -> int:
    """Elements of a shape."""
    return math.prod(shape)


def _sizes(shape: Shape) -> Dict[int, Setting]:
    if len(shape) in AXES:
        return dict(zip(AXES[len(shape)], shape))  # noqa: B905
    return {6: '"' + ",".join(str(number) for number in reversed(shape)) + '"'}


def _setting(key: int, value: Setting) -> str:
    if isinstance(value, (list, tuple)):
        return f"{-23300 - key}={len(value)}," + ",".join(str(part) for part in value)
    return f"{key}={float(value)!r}" if isinstance(value, float) else f"{key}={value}"
