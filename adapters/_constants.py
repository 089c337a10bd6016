"""What of a captured program depends on no input, and is the same at every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping

if TYPE_CHECKING:
    import torch

MOST_FOLDED = 1 << 24
"""Elements of a constant that is computed ahead."""


def known(module: torch.fx.GraphModule) -> Dict[torch.fx.Node, Any]:
    """The values of the nodes that depend on no input, computed in order. Call it without gradients."""
    import torch

    values: Dict[torch.fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = attribute(module, node.target)
        elif writes(node.target):
            for other in sharing(node, values):
                del values[other]
        elif node.op == "call_function" and follows(node.target) and all(given in values for given in node.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)
    return values


def fold(module: torch.fx.GraphModule) -> None:
    """Compute what depends on no input, once, and store what others read of it."""
    import torch

    values = known(module)
    made = [n for n, v in values.items() if n.op == "call_function" and isinstance(v, torch.Tensor) and v.numel() <= MOST_FOLDED]
    for number, node in enumerate(node for node in made if any(reader not in values for reader in node.users)):
        laid_out = values[node].detach().clone(memory_format=torch.contiguous_format)  # litert-torch mixes up transposed ones
        module.register_buffer(f"_folded_{number}", laid_out)
        with module.graph.inserting_before(node):
            stored = module.graph.get_attr(f"_folded_{number}")
        stored.meta = dict(node.meta)
        node.replace_all_uses_with(stored)
    for node in reversed(list(values)):
        if node.op == "call_function" and not node.users:  # checks among them, which have passed
            module.graph.erase_node(node)


def attribute(module: Any, path: Any) -> Any:
    """The buffer, parameter or other attribute that a path names."""
    value = module
    for name in str(path).split("."):
        value = getattr(value, name)
    return value


def writes(target: Any) -> bool:
    """Whether an operator may write to what it is given."""
    return bool(getattr(getattr(target, "_schema", None), "is_mutable", False))


def follows(target: Any) -> bool:
    """Whether an operator's answer follows from what it is given, and not from chance."""
    import torch

    return torch.Tag.nondeterministic_seeded not in getattr(target, "tags", ())


def sharing(node: torch.fx.Node, values: Mapping[torch.fx.Node, Any]) -> List[torch.fx.Node]:
    """Nodes whose known values share memory with what a node may write to: nothing is known of them any more."""
    import torch

    given = [values[other] for other in node.all_input_nodes if isinstance(values.get(other), torch.Tensor)]
    places = {value.untyped_storage().data_ptr() for value in given}
    tensors = [(other, value) for other, value in values.items() if isinstance(value, torch.Tensor)]
    return [other for other, value in tensors if value.untyped_storage().data_ptr() in places]
