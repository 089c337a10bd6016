"""A program put in words that LiteRT's interpreter has kernels for. Its values stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

from .._constants import fold

if TYPE_CHECKING:
    import torch

# What the names of operators hold that transpose what they are given, or whose form in LiteRT does: images have channels last.
TRANSPOSING = (
    "permute",
    "transpose",
    "aten.t.",
    "movedim",
    "mm.",
    "matmul",
    "linear",
    "attention",
    "einsum",
    "conv",
    "pool",
    "sampl",
)


REPEATED = 4
"""Axes that may be repeated: a repeat becomes a BROADCAST_TO of twice as many, which has no more than eight."""
BROADCASTING = ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "maximum.default", "minimum.default", "where.self")
"""Operators of ATen that repeat rows by themselves, to the sizes of what is beside them."""


def prepare(module: torch.fx.GraphModule) -> None:
    """Change the graph of an exported program's module in place. Call it without gradients: what depends on no input is computed.

    A range of numbers that is left to the interpreter is STABLEHLO_IOTA there, and a sort is STABLEHLO_SORT, as the largest of
    one is, for neither of which it has a kernel. The converter has no word for the checks that it makes of a one_hot itself nor
    for a masked_scatter, and writes the transposition of what was repeated as if rows were repeated that lie in another order.
    """
    import torch

    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.one_hot.default and node.args[1] > 0:
            _as_comparison(node)
        elif node.target is torch.ops.aten.masked_scatter.default:
            _as_reads(node)
        elif node.target is torch.ops.aten.empty_like.default:
            node.target = torch.ops.aten.zeros_like.default  # litert-torch has no lowering for what PyTorch decomposes it to
        elif node.target is torch.ops.aten.pow.Tensor_Scalar and node.args[1] == 2:
            _as_square(node)
        elif node.op == "call_function" and node.target in _repetitions():
            _leave_to_readers(node)
            if _is_transposed(node) or (node.target is torch.ops.aten.repeat.default and len(node.args[1]) > REPEATED):
                _as_rows(node)
    fold(module)
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _sorts():
            _as_largest(node)
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.topk.default and _axis_of(node)[1] == 1:
            _as_it_is(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _sorts() -> Tuple[Any, ...]:
    import torch

    aten = torch.ops.aten
    return aten.sort.default, aten.sort.stable, aten.argsort.default, aten.argsort.stable


def _repetitions() -> Tuple[Any, ...]:
    import torch

    return torch.ops.aten.expand.default, torch.ops.aten.expand_as.default, torch.ops.aten.repeat.default


def _as_comparison(node: torch.fx.Node) -> None:
    """A one_hot as which of the classes an index is."""
    import torch

    aten, graph = torch.ops.aten, node.graph
    index, classes = node.args
    with graph.inserting_before(node):
        apart = graph.call_function(aten.unsqueeze.default, (index, -1))
        known = graph.call_function(aten.arange.default, (classes,))
        same = graph.call_function(aten.eq.Tensor, (apart, known))
        chosen = graph.call_function(aten.to.dtype, (same, torch.int64))
    chosen.meta = dict(node.meta)
    node.replace_all_uses_with(chosen)


def _as_reads(node: torch.fx.Node) -> None:
    """A masked_scatter: each place that is chosen reads the element of the source that as many chosen ones are before."""
    import torch

    aten, graph = torch.ops.aten, node.graph
    data, mask, source = node.args
    shape, count = list(node.meta["val"].shape), source.meta["val"].numel()
    if not all(isinstance(size, int) for size in (*shape, count)):  # of as many rows as the data tell, which none can have here
        return
    with graph.inserting_before(node):
        chosen = graph.call_function(aten.expand.default, (mask, shape))
        flat = graph.call_function(aten.reshape.default, (chosen, [-1]))
        before = graph.call_function(aten.cumsum.default, (graph.call_function(aten.to.dtype, (flat, torch.int64)), 0))
        place = graph.call_function(aten.clamp.default, (graph.call_function(aten.sub.Tensor, (before, 1)), 0, count - 1))
        row = graph.call_function(aten.reshape.default, (source, [-1]))
        read = graph.call_function(aten.reshape.default, (graph.call_function(aten.index_select.default, (row, 0, place)), shape))
        value = graph.call_function(aten.where.self, (chosen, read, data))
    value.meta = dict(node.meta)
    node.replace_all_uses_with(value)


def _as_square(node: torch.fx.Node) -> None:
    """A second power as a product, which may have more than the four axes that POW has."""
    import torch

    with node.graph.inserting_before(node):
        square = node.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], node.args[0]))
    square.meta = dict(node.meta)
    node.replace_all_uses_with(square)


def _leave_to_readers(node: torch.fx.Node) -> None:
    """Let those that read an expand read what it repeats, where something else that they read is of that shape already."""
    import torch

    if node.target is torch.ops.aten.repeat.default:
        return
    shape = str(node.meta["val"].shape)
    for reader in list(node.users):
        beside = [each for each in reader.all_input_nodes if each is not node]
        if any(str(reader.target).endswith(f"aten.{name}") for name in BROADCASTING) and any(
            str(each.meta["val"].shape) == shape for each in beside
        ):
            reader.replace_input_with(node, node.args[0])


def _is_transposed(node: torch.fx.Node) -> bool:
    """Whether what a node makes comes to an operator that may transpose it, through operators that take nothing else."""
    waiting, seen = list(node.users), set()
    while waiting:
        reader = waiting.pop()
        if any(word in str(reader.target) for word in TRANSPOSING):
            return True
        if reader not in seen and len(reader.all_input_nodes) == 1:
            waiting += reader.users
        seen.add(reader)
    return False


def _as_rows(node: torch.fx.Node) -> None:
    """An expand or a repeat as rows that are picked, along each axis by itself."""
    import torch

    graph, value = node.graph, node.args[0]
    shape, sizes = value.meta["val"].shape, node.meta["val"].shape
    with graph.inserting_before(node):
        if len(shape) < len(sizes):
            value = graph.call_function(
                torch.ops.aten.reshape.default, (value, [1] * (len(sizes) - len(shape)) + [*map(int, shape)])
            )
        for axis, size in enumerate((1,) * (len(sizes) - len(shape)) + tuple(shape)):
            if size != sizes[axis]:
                places = graph.call_function(torch.ops.aten.arange.default, (int(sizes[axis]),))
                if size > 1:
                    places = graph.call_function(torch.ops.aten.remainder.Scalar, (places, int(size)))
                else:
                    places = graph.call_function(torch.ops.aten.zeros_like.default, (places,))
                value = graph.call_function(torch.ops.aten.index_select.default, (value, axis, places))
    value.meta = dict(node.meta)
    node.replace_all_uses_with(value)


def _as_largest(node: torch.fx.Node) -> None:
    """A sort as the largest of all, which come in order, equals as they stood; the smallest first is that of the negatives."""
    import operator

    import torch

    aten, graph = torch.ops.aten, node.graph
    axis, count = _axis_of(node)
    descending = node.kwargs.get("descending", node.args[2] if len(node.args) > 2 else False)
    value = node.args[0]
    with graph.inserting_before(node):
        given = value if descending else graph.call_function(aten.neg.default, (value,))
        largest = graph.call_function(aten.topk.default, (given, count, axis))
        given.meta.setdefault("val", value.meta["val"])
        values, places = (graph.call_function(operator.getitem, (largest, part)) for part in (0, 1))
        values = values if descending else graph.call_function(aten.neg.default, (values,))
    if "argsort" in str(node.target):
        node.replace_all_uses_with(places)
        return
    _read_instead(node, values, places)


def _as_it_is(node: torch.fx.Node) -> None:
    """The largest of one is that one, at the first place."""
    import torch

    with node.graph.inserting_before(node):
        places = node.graph.call_function(torch.ops.aten.zeros_like.default, (node.args[0],), {"dtype": torch.int64})
    _read_instead(node, node.args[0], places)


def _axis_of(node: torch.fx.Node) -> Tuple[int, int]:
    """The axis that a sort or a topk is along, and its size."""
    place = 2 if "topk" in str(node.target) else 1
    axis = node.kwargs.get("dim", node.args[place] if len(node.args) > place else -1)
    shape = node.args[0].meta["val"].shape
    return axis, int(shape[axis]) if len(shape) else 1


def _read_instead(node: torch.fx.Node, *parts: Any) -> None:
    for reader in list(node.users):
        reader.replace_all_uses_with(parts[reader.args[1]])
