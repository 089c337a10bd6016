"""A program put in words that LiteRT's interpreter has kernels for. Its values stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

from .._constants import fold

if TYPE_CHECKING:
    import torch


def prepare(module: torch.fx.GraphModule) -> None:
    """Change the graph of an exported program's module in place. Call it without gradients: what depends on no input is computed.

    A range of numbers that is left to the interpreter is STABLEHLO_IOTA there, and a sort is STABLEHLO_SORT, as the largest of
    one is, for neither of which it has a kernel.
    """
    import torch

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
