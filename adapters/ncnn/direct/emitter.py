"""Tensors of PyTorch, of any number of axes, in ncnn's blobs of four: what every operator is written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .._network import UnsupportedError
from .writer import MOST_AXES, NOTHING, Blob, Setting, Shape, Writer, floats, size

if TYPE_CHECKING:
    import torch

LOWEST = 3e38
"""In the place of infinity, which times 0 is no number: near the end of what float32 and bfloat16 hold."""
ADD, SUB, MUL, DIV, MAX, MIN, POW, RSUB, RDIV = range(9)
ABS, NEG, FLOOR, CEIL = range(4)
SUM, MEAN, LARGEST, SMALLEST, PRODUCT = 0, 3, 4, 5, 6
_ORDERS = {
    2: ("WH", "HW"),
    3: ("WHC", "HWC", "WCH", "CWH", "HCW", "CHW"),
    4: (
        "WHDC", "HWDC", "WDHC", "DWHC", "HDWC", "DHWC", "WHCD", "HWCD", "WCHD", "CWHD", "HCWD", "CHWD", "WDCH", "DWCH", "WCDH",
        "CWDH", "DCWH", "CDWH", "HDCW", "DHCW", "HCDW", "CHDW", "DCHW", "CDHW",
    ),
}  # fmt: skip
"""Permute's orders by the number of axes, the innermost axis first, as ncnn numbers them."""
_LETTERS = {2: "HW", 3: "CHW", 4: "CDHW"}


@dataclass(frozen=True)
class Value:
    """A tensor: elements in C order, in a blob of whatever axes."""

    blob: Blob
    shape: Shape
    index: Optional[Blob] = None
    """The same elements as int32, where an input holds them; only Embed reads those."""


Operand = Union[Value, float, int]
Way = Callable[..., Any]
"""How an operator is emitted: it takes the emitter and the operator's arguments, tensors as values, and gives one or a list."""


class Emitter:
    """Adds what makes a tensor out of others to a network. Integers and flags are floats here: true is 1, false is 0."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.constants: Dict[Any, Any] = {}
        """Values of the graph's nodes that depend on no input."""
        self.absorbed: Set[Any] = set()
        """Nodes that a layer before them has done already."""
        self.node: Any = None
        """The node of the graph that is emitted now."""
        self.exact = False
        """Whether it gives integers or flags."""

    @property
    def shape(self) -> Shape:
        """Of what the node gives."""
        return shape_of(self.node)

    @property
    def dtype(self) -> torch.dtype:
        """Of what the node gives."""
        return self.node.meta["val"].dtype

    @property
    def given(self) -> torch.dtype:
        """Of what the node is given first."""
        return self.node.args[0].meta["val"].dtype

    def known(self, node: Any) -> Any:
        """The tensor that a node stands for whatever the inputs are; None of one that depends on them, and of what is no node."""
        return self.constants.get(node) if hasattr(node, "op") else None

    # ---- shapes

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements as another tensor; nothing is added until some layer needs the blob so."""
        return Value(value.blob, tuple(shape), value.index)

    def mat(self, value: Value, shape: Shape) -> Blob:
        """The elements of a tensor as a blob of these axes."""
        return self.writer.reshape(value.blob, shape)

    def permute(self, value: Value, order: Sequence[int]) -> Value:
        """The axes in another order: the smallest number of axes that says it, in steps where ncnn has too few."""
        shape = tuple(value.shape[axis] for axis in order)
        runs = _runs([axis for axis in order if value.shape[axis] != 1], [n for n, s in enumerate(value.shape) if s != 1])
        if len(runs) < 2:
            return self.reshape(value, shape)
        sizes = [size([value.shape[axis] for axis in run]) for run in runs]
        by_place = sorted(range(len(runs)), key=lambda number: runs[number][0])
        blob = value.blob
        places = list(by_place)  # where the axes are now, by their number in `order`
        if len(runs) <= MOST_AXES:
            given = tuple(sizes[number] for number in places)
            blob = self._permuted(self.writer.reshape(blob, given), [places.index(number) for number in range(len(runs))])
            return Value(blob, shape)
        for wanted in range(len(runs)):
            found = places.index(wanted)
            if found == wanted:
                continue
            parts = places[:wanted], places[wanted:found], [wanted], places[found + 1 :]
            given = tuple(size([sizes[number] for number in part]) for part in parts)
            blob = self._permuted(self.writer.reshape(blob, given), [0, 2, 1, 3])
            places = [*parts[0], wanted, *parts[1], *parts[3]]
        return Value(blob, shape)

    def _permuted(self, blob: Blob, order: Sequence[int]) -> Blob:
        letters = _LETTERS[len(order)]
        name = "".join(letters[axis] for axis in reversed(order))
        shape = tuple(blob.shape[axis] for axis in order)
        return self.writer.layer("Permute", [blob], shape, {0: _ORDERS[len(order)].index(name)}, exact=self.exact)

    def last(self, value: Value, axes: Sequence[int]) -> Tuple[Value, Shape]:
        """The tensor with these axes behind the others, and the sizes of the others."""
        rank = len(value.shape)
        behind = [axis % rank for axis in axes]
        before = [axis for axis in range(rank) if axis not in behind]
        return self.permute(value, [*before, *behind]), tuple(value.shape[axis] for axis in before)

    def around(self, value: Value, axis: int) -> Tuple[Blob, int]:
        """The tensor as a blob of three axes, the middle one being `axis`; and the size of that."""
        axis %= max(len(value.shape), 1)
        shape = value.shape or (1,)
        parts = size(shape[:axis]), shape[axis], size(shape[axis + 1 :])
        return self.mat(value, parts), shape[axis]

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """Repeated along axes of size 1, and along new ones in front."""
        wanted = tuple(shape)
        if wanted == value.shape:
            return value
        have = (1,) * (len(wanted) - len(value.shape)) + value.shape
        blob = value.blob
        done = list(have)
        axis = 0
        while axis < len(wanted):
            end = axis
            while end < len(wanted) and have[end] == 1 and wanted[end] != 1:
                end += 1
            if end == axis:
                axis += 1
                continue
            tiles = size(wanted[axis:end])
            before, behind = size(done[:axis]), size(done[end:])
            blob = self.writer.reshape(blob, (before, 1, behind))
            blob = self.writer.layer("Tile", [blob], (before, tiles, behind), {0: 1, 1: tiles}, exact=self.exact)
            done[axis:end] = wanted[axis:end]
            axis = end
        return Value(blob, wanted)

    def slice(self, value: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
        """Places `start`, `start + step` and so on before `end` of an axis; 0 <= start < end <= size."""
        axis %= len(value.shape)
        count = -(-(end - start) // step)
        shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
        if step == 1:
            return self._cropped(value, axis, start, end)
        whole = start + count * step
        if whole > value.shape[axis]:
            value = self.pad(value, axis, 0, whole - value.shape[axis], 0.0)
        value = self._cropped(value, axis, start, whole)
        split = self.reshape(value, (*value.shape[:axis], count, step, *value.shape[axis + 1 :]))
        return self.reshape(self._cropped(split, axis + 1, 0, 1), shape)

    def _cropped(self, value: Value, axis: int, start: int, end: int) -> Value:
        shape = (*value.shape[:axis], end - start, *value.shape[axis + 1 :])
        if start == 0 and end == value.shape[axis]:
            return value
        blob, _ = self.around(value, axis)
        given = blob.shape[0], end - start, blob.shape[2]
        return Value(self.writer.layer("Crop", [blob], given, {9: [start], 10: [end], 11: [1]}, exact=self.exact), shape)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Put together along an axis that all have."""
        values = [value for value in values if 0 not in value.shape]
        if len(values) == 1:
            return values[0]
        axis %= len(values[0].shape)
        blobs = [self.around(value, axis)[0] for value in values]
        total = sum(value.shape[axis] for value in values)
        given = blobs[0].shape[0], total, blobs[0].shape[2]
        shape = (*values[0].shape[:axis], total, *values[0].shape[axis + 1 :])
        return Value(self.writer.layer("Concat", blobs, given, {0: 1}, exact=self.exact), shape)

    def pad(self, value: Value, axis: int, before: int, behind: int, with_: float) -> Value:
        """More places in front of and behind an axis, fewer where the number is negative."""
        axis %= len(value.shape)
        if before < 0 or behind < 0:
            value = self._cropped(value, axis, max(-before, 0), value.shape[axis] - max(-behind, 0))
        shape = value.shape
        ends = [
            self.full((*shape[:axis], number, *shape[axis + 1 :]), with_) if number > 0 else None for number in (before, behind)
        ]
        parts = [ends[0], value, ends[1]]
        return self.concat([part for part in parts if part is not None], axis)

    # ---- constants

    def constant(self, tensor: torch.Tensor) -> Value:
        """A tensor that is stored, infinity as the largest number there is room for."""
        import torch

        shape = tuple(tensor.shape)
        if tensor.is_complex():
            raise UnsupportedError("ncnn has no complex numbers")
        if not tensor.numel():
            return empty(shape)
        held = tensor.detach().to(torch.float64).clamp(-LOWEST, LOWEST).to(torch.float32).numpy()
        return Value(self.writer.constant(held, (max(held.size, 1),), not tensor.is_floating_point()), shape)

    def full(self, shape: Sequence[int], number: float) -> Value:
        import torch

        return self.constant(torch.full(tuple(shape), float(number)))

    # ---- arithmetic

    def unary(self, operation: int, value: Value) -> Value:
        return self.same("UnaryOp", value, {0: operation})

    def same(self, kind: str, value: Value, settings: Optional[Mapping[int, Setting]] = None) -> Value:
        """A layer that works on every element by itself."""
        blob = self.writer.layer(kind, [value.blob], value.blob.shape, settings, exact=self.exact)
        return Value(blob, value.shape)

    def binary(self, operation: int, left: Operand, right: Operand) -> Value:
        """Element by element, each repeated to the other's shape."""
        if not isinstance(left, Value):
            left, right, operation = right, left, {SUB: RSUB, DIV: RDIV, RSUB: SUB, RDIV: DIV, POW: 9}.get(operation, operation)
        assert isinstance(left, Value)
        if not isinstance(right, Value):
            number = max(min(float(right), LOWEST), -LOWEST)
            return self.same("BinaryOp", left, {0: operation, 1: 1, 2: number})
        if left.shape == right.shape and left.blob.shape == right.blob.shape:
            return Value(
                self.writer.layer("BinaryOp", [left.blob, right.blob], left.blob.shape, {0: operation}, exact=self.exact),
                left.shape,
            )
        shape, (one, other) = _broadcast(left.shape, right.shape)
        if max(len(one), len(other)) > MOST_AXES:
            left, right = self.expand(left, shape), self.expand(right, shape)
            one = other = (size(shape),)
        given = tuple(max(a, b) for a, b in zip(one, other))  # noqa: B905 -- `strict` came with 3.10
        blobs = [self.mat(left, one), self.mat(right, other)]
        return Value(self.writer.layer("BinaryOp", blobs, given, {0: operation}, exact=self.exact), shape)

    def add(self, left: Operand, right: Operand) -> Value:
        return self.binary(ADD, left, right)

    def sub(self, left: Operand, right: Operand) -> Value:
        return self.binary(SUB, left, right)

    def mul(self, left: Operand, right: Operand) -> Value:
        return self.binary(MUL, left, right)

    def clip(self, value: Value, low: Optional[float], high: Optional[float]) -> Value:
        settings = {
            0: -LOWEST if low is None else max(float(low), -LOWEST),
            1: LOWEST if high is None else min(float(high), LOWEST),
        }
        return self.same("Clip", value, settings)

    # ---- flags

    def greater(self, left: Operand, right: Operand) -> Value:
        """1 where left > right, else 0: what is left over 0 of a difference, cut at 1, is rounded up."""
        return self.unary(CEIL, self.clip(self.sub(left, right), 0.0, 1.0))

    def unequal(self, left: Operand, right: Operand) -> Value:
        return self.unary(CEIL, self.clip(self.unary(ABS, self.sub(left, right)), 0.0, 1.0))

    def equal(self, left: Operand, right: Operand) -> Value:
        return self.inverse(self.unequal(left, right))

    def inverse(self, flags: Value) -> Value:
        return self.sub(1.0, flags)

    def where(self, flags: Value, yes: Operand, no: Operand) -> Value:
        """What is not taken counts nothing: it is multiplied by 0, so that it must not be infinite."""
        taken = self.mul(flags, _finite(yes))
        if no == 0.0 and not isinstance(no, Value):
            return taken
        return self.add(taken, self.mul(self.inverse(flags), _finite(no)))

    # ---- rows

    def reduce(self, operation: int, value: Value, axes: Sequence[int], keep: bool) -> Value:
        """Sum, mean, largest, smallest or product over axes; all of them where none is named."""
        rank = len(value.shape)
        gone = sorted({axis % max(rank, 1) for axis in axes}) if len(axes) else list(range(rank))
        shape = tuple(1 if axis in gone else n for axis, n in enumerate(value.shape) if keep or axis not in gone)
        if not rank or all(value.shape[axis] == 1 for axis in gone):
            return self.reshape(value, shape)
        moved, before = self.last(value, gone)
        blob = self.mat(moved, (size(before), size(value.shape) // size(before)))
        settings: Dict[int, Setting] = {0: operation, 1: 0, 3: [1], 4: 0, 5: 1}
        return Value(self.writer.layer("Reduction", [blob], (size(before),), settings, exact=self.exact), shape)

    def rows(self, kind: str, value: Value, axis: int, settings: Mapping[int, Setting], weights: Sequence[bytes] = ()) -> Value:
        """A layer that works along the rows of a matrix, along an axis."""
        if not value.shape:
            value = self.reshape(value, (1,))
        rank = len(value.shape)
        moved, before = self.last(value, [axis])
        blob = self.mat(moved, (size(before), value.shape[axis % rank]))
        made = Value(self.writer.layer(kind, [blob], blob.shape, settings, weights, self.exact), moved.shape)
        order = list(range(rank - 1))
        order.insert(axis % rank, rank - 1)
        return self.permute(made, order)

    def product(self, left: Value, right: Value) -> Value:
        """The matrix product of the last two axes; what is in front of them is the same in both, or one has nothing there."""
        front = left.shape[:-2] if len(left.shape) >= len(right.shape) else right.shape[:-2]
        shape = (*front, left.shape[-2], right.shape[-1])
        if not size(front) > 1:
            one, other, given = left.shape[-2:], right.shape[-2:], shape[-2:]
        else:
            one, other = ((size(value.shape[:-2]), *value.shape[-2:]) for value in (left, right))
            given = size(front), *shape[-2:]
        blobs = [self.mat(left, tuple(one)), self.mat(right, tuple(other))]
        return Value(self.writer.layer("MatMul", blobs, given, exact=self.exact), shape)

    def linear(self, value: Value, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> Value:
        """Rows times a stored matrix, [in, out], and a stored row added."""
        outputs = weight.shape[1]
        blob = self.mat(value, (size(value.shape[:-1]), value.shape[-1]))
        settings: Dict[int, Setting] = {
            2: 0,
            3: 1,
            4: 0,
            5: 1,
            6: 1,
            7: 0,
            8: outputs,
            9: weight.shape[0],
            10: -1 if bias is None else 4,
        }
        held = floats(weight.detach().float().t().contiguous().numpy())
        if bias is not None:
            held += floats(bias.detach().float().numpy())
        made = self.writer.layer("Gemm", [blob], (blob.shape[0], outputs), settings, held, self.exact)
        return Value(made, (*value.shape[:-1], outputs))

    def one_hot(self, index: Value, count: int) -> Value:
        """Along a new last axis of `count` places, 1 at the place that the index names, else 0."""
        import torch

        places = self.constant(torch.arange(count))
        return self.equal(self.reshape(index, (*index.shape, 1)), places)

    def take(self, value: Value, axis: int, index: Value) -> Value:
        """What stands along an axis at places that are computed: a product with a matrix of zeros and ones."""
        rank = len(value.shape)
        axis %= rank
        order = [axis, *(other for other in range(rank) if other != axis)]
        rows = self.permute(value, order)
        flat = self.reshape(rows, (value.shape[axis], size(rows.shape[1:])))
        chosen = self.product(self.one_hot(self.reshape(index, (size(index.shape),)), value.shape[axis]), flat)
        wide = self.reshape(chosen, (size(index.shape), *rows.shape[1:]))
        back = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        moved = self.permute(wide, back)
        return self.reshape(moved, (*value.shape[:axis], *index.shape, *value.shape[axis + 1 :]))

    def take_known(self, value: Value, axis: int, places: Sequence[int]) -> Value:
        """What stands along an axis at places that are known: as runs, or by a product where there would be many."""
        import torch

        axis %= len(value.shape)
        parts = _strides(places)
        if len(parts) > MOST_RUNS:
            return self.take(value, axis, self.constant(torch.tensor(list(places))))
        return self.concat([self.slice(value, axis, start, end) for start, end in parts], axis)

    def first_of(self, flags: Value, axis: int) -> Value:
        """The first place along an axis where a flag is set, the axis gone; its size where none is."""
        import torch

        count = flags.shape[axis]
        shape = [1] * len(flags.shape)
        shape[axis] = count
        places = self.constant(torch.arange(count).reshape(shape) - count)
        return self.add(self.reduce(SMALLEST, self.mul(flags, places), [axis], False), float(count))


def shape_of(node: Any) -> Shape:
    """The sizes of what a node of the graph gives, as numbers."""
    return tuple(int(count) for count in node.meta["val"].shape)


def empty(shape: Shape) -> Value:
    """A tensor without elements, which no layer reads."""
    return Value(Blob(NOTHING, shape), shape)


MOST_RUNS = 32
"""Pieces that known places are put together from."""


def _finite(value: Operand) -> Operand:
    return value if isinstance(value, Value) else max(min(float(value), LOWEST), -LOWEST)


def _runs(order: Sequence[int], present: Sequence[int]) -> List[List[int]]:
    """Axes that stay neighbours, together. present: the axes there are, in their order."""
    place = {axis: number for number, axis in enumerate(present)}
    runs: List[List[int]] = []
    for axis in order:
        if runs and place[axis] == place[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _broadcast(left: Shape, right: Shape) -> Tuple[Shape, Tuple[Shape, Shape]]:
    """The shape of both together, and each one's with neighbouring axes that are repeated alike as one."""
    rank = max(len(left), len(right))
    one, other = ((1,) * (rank - len(shape)) + tuple(shape) for shape in (left, right))
    shape = tuple(b if a == 1 else a for a, b in zip(one, other))  # noqa: B905
    groups: List[List[int]] = []
    before: Any = None
    for a, b in zip(one, other):  # noqa: B905
        kind = "both" if a == b else "left" if b == 1 else "right"
        if a == b == 1:
            continue
        if kind == before:
            groups[-1][0] *= a
            groups[-1][1] *= b
        else:
            groups.append([a, b])
        before = kind
    groups = groups or [[1, 1]]
    return shape, (tuple(a for a, _ in groups), tuple(b for _, b in groups))


def _strides(places: Sequence[int]) -> List[Tuple[int, int]]:
    """Known places as runs, each from a start to behind an end."""
    runs: List[Tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = runs[-1][0], place + 1
        else:
            runs.append((place, place + 1))
    return runs
