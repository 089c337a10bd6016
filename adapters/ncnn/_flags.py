"""Integers and flags as floats, for a backend that knows no other numbers: true is 1 and false is 0, `and` is a product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from .. import _constants as constants

if TYPE_CHECKING:
    import torch


class Numbers:
    """Writes nodes that compute flags a second time, as floats, in front of the nodes that need them."""

    def __init__(self, graph: torch.fx.Graph) -> None:
        self._graph = graph
        self._made: Dict[torch.fx.Node, Optional[torch.fx.Node]] = {}
        self._constants: Dict[torch.fx.Node, Any] = {}
        self._floats: Dict[torch.fx.Node, torch.fx.Node] = {}

    def of(self, flags: torch.fx.Node, before: torch.fx.Node) -> Optional[torch.fx.Node]:
        """Zeros and ones in the place of `flags`; None where it is computed in a way that has no words in floats."""
        if flags not in self._made:
            with self._graph.inserting_before(before):
                self._made[flags] = self._spell(flags, before)
        return self._made[flags]

    def as_float(self, value: torch.fx.Node, before: torch.fx.Node) -> torch.fx.Node:
        """An integer or a flag as float32."""
        import torch

        if value not in self._floats:
            with self._graph.inserting_before(before):
                stored = self._stored(value)
                made = self._graph.call_function(torch.ops.aten.mul.Scalar, (value, 1.0)) if stored is None else stored
            made.meta["val"] = value.meta["val"].float()
            self._floats[value] = made
        return self._floats[value]

    def _stored(self, value: torch.fx.Node) -> Optional[torch.fx.Node]:
        """A constant as a buffer of floats, since pnnx drops a product with 1.0 and keeps the integers; None of what is none."""
        known = self.constant(value)
        if known is None:
            return None
        name = f"_float_{len(self._floats)}"
        self._graph.owning_module.register_buffer(name, known.float())
        return self._graph.get_attr(name)

    def constant(self, node: torch.fx.Node) -> Any:
        """The value of a node that depends on no input; None of one that does. To be asked of nodes in the graph's order."""
        if node not in self._constants:
            self._constants[node] = (
                constants.attribute(self._graph.owning_module, node.target) if node.op == "get_attr" else self._computed(node)
            )
        return self._constants[node]

    def _computed(self, node: torch.fx.Node) -> Any:
        import torch

        known = {given: self.constant(given) for given in node.all_input_nodes}
        if constants.writes(node.target):
            self._constants.update(dict.fromkeys(constants.sharing(node, self._constants)))
            return None
        if not callable(node.target) or any(value is None for value in known.values()):
            return None
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
        return node.target(*args, **kwargs)

    def _spell(self, flags: torch.fx.Node, before: torch.fx.Node) -> Optional[torch.fx.Node]:
        import torch

        aten, call = torch.ops.aten, self._graph.call_function
        if flags.op == "placeholder" or self.constant(flags) is not None:
            return self.as_float(flags, before)
        if flags.target in (aten.to.dtype, aten.to.device, aten._to_copy.default):
            return self._unequal_to_zero(flags.all_input_nodes[0], before)
        given = [self.of(node, before) for node in self._that_matter(flags)]
        if not given or None in given:
            return None
        if flags.target in _ands():
            if len(given) == 1:
                return call(aten.expand.default, (given[0], list(flags.meta["val"].shape)))
            return call(aten.mul.Tensor, tuple(given))
        if flags.target in (aten.__or__.Tensor, aten.bitwise_or.Tensor, aten.logical_or.default):
            return call(aten.maximum.default, tuple(given))
        if flags.target in (aten.logical_not.default, aten.bitwise_not.default):
            return call(aten.rsub.Scalar, (given[0], 1.0))
        if flags.target is aten.index.Tensor:
            return call(aten.reshape.default, (given[0], list(flags.meta["val"].shape))) if self._only_reshapes(flags) else None
        moves = (aten.expand.default, aten.unsqueeze.default, aten.view.default, aten.reshape.default, aten.slice.Tensor)
        return call(flags.target, (given[0], *flags.args[1:]), flags.kwargs) if flags.target in moves else None

    def _that_matter(self, flags: torch.fx.Node) -> List[torch.fx.Node]:
        """The flags that a node is computed from. In an `and`, a constant that is true throughout does not matter."""
        import torch

        taken = [node for node in flags.all_input_nodes if node.meta["val"].dtype is torch.bool]
        if flags.target not in _ands():
            return taken
        known = {node: self.constant(node) for node in taken}
        return [node for node in taken if known[node] is None or not bool(known[node].all())]

    def _unequal_to_zero(self, value: torch.fx.Node, before: torch.fx.Node) -> Optional[torch.fx.Node]:
        """What of an integer tensor is not 0. A float between 0 and 1 would need a comparison."""
        import torch

        dtype = value.meta["val"].dtype
        if dtype is torch.bool:
            return self.of(value, before)
        if dtype.is_floating_point:
            return None
        aten, call = torch.ops.aten, self._graph.call_function
        return call(aten.clamp.default, (call(aten.abs.default, (self.as_float(value, before),)), 0.0, 1.0))

    def _only_reshapes(self, index: torch.fx.Node) -> bool:
        """Whether an indexing takes every element once and in order, as one by ranges along new axes does."""
        import torch

        source, indices = index.args[0], index.args[1]
        places = [self.constant(node) if node is not None else None for node in indices]
        if any(place is None for place in places):
            return False
        numbers = torch.arange(source.meta["val"].numel()).reshape(source.meta["val"].shape)
        taken = torch.ops.aten.index.Tensor(numbers, places)
        return bool(torch.equal(taken.flatten(), numbers.flatten()))


def _ands() -> Tuple[Any, ...]:
    import torch

    aten = torch.ops.aten
    return aten.__and__.Tensor, aten.bitwise_and.Tensor, aten.logical_and.default
