"""Recurrent operators as the modules of PyTorch that they come from: pnnx knows those alone."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, List, Sequence

from .._constants import attribute

if TYPE_CHECKING:
    import torch


def as_modules(module: torch.fx.GraphModule) -> None:
    """Put a module in the place of every `aten.gru.input` and `aten.lstm.input` of a program's graph."""
    import torch

    aten = torch.ops.aten
    kinds = {aten.gru.input: torch.nn.GRU, aten.lstm.input: torch.nn.LSTM}
    for node in list(module.graph.nodes):
        if node.target in kinds:
            _replace(module, node, kinds[node.target])


def _replace(module: torch.fx.GraphModule, node: torch.fx.Node, kind: Any) -> None:
    """`node` takes (x, state, weights, has_biases, layers, dropout, train, bidirectional, batch_first) and returns its outputs
    side by side; a module takes the state of an LSTM, and returns it, as a pair. One with projections stays."""
    x, state, names, biased, layers, _, _, both_ways, batch_first = node.args
    if any(name.op != "get_attr" for name in names) or len(names) != layers * (1 + both_ways) * (4 if biased else 2):
        return
    weights = [attribute(name.graph.owning_module, name.target) for name in names]
    hidden, size = weights[1].shape[1], weights[0].shape[1]
    made = kind(size, hidden, layers, bias=biased, batch_first=batch_first, bidirectional=both_ways).eval()
    _give(made, weights)
    module.add_submodule(f"_{node.name}", made)
    states = tuple(state) if isinstance(state, (list, tuple)) else state
    get = operator.getitem
    with module.graph.inserting_before(node):
        call = module.graph.call_module(f"_{node.name}", (x, states))
        parts = [module.graph.call_function(get, (call, number)) for number in (0, 1)]
        if isinstance(states, tuple):
            parts[1:] = [module.graph.call_function(get, (parts[1], number)) for number in (0, 1)]
    for user in list(node.users):
        part = parts[user.args[1]]
        part.meta["val"] = user.meta.get("val")
        user.replace_all_uses_with(part)
        module.graph.erase_node(user)
    module.graph.erase_node(node)


def _give(made: Any, weights: Sequence[torch.Tensor]) -> None:
    """Set a module's weights, which its operator takes in the module's own order."""
    import torch

    own: List[torch.nn.Parameter] = [weight for layer in made.all_weights for weight in layer]
    with torch.no_grad():
        for weight, value in zip(own, weights):  # noqa: B905 -- `strict` came with 3.10
            weight.copy_(value)
