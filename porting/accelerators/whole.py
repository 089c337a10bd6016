"""Operators that PyTorch takes apart for everyone, and a maker has whole: gru.input, softmax.int, scaled_dot_product_attention.

PyTorch takes them apart above the device, which would never see them. A plugin registers its own kernel and its own derivative
there, and so does a stand-in: both are computed on the host, as one operator each way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, FrozenSet, List, Tuple

if TYPE_CHECKING:
    from porting.accelerators.standin import StandIn


def register(device: StandIn, names: FrozenSet[str]) -> List[Any]:
    """Register every such operator of a list. Returns what has to be kept alive."""
    import torch

    library = torch.library.Library("aten", "IMPL")
    for operator in _taken_apart(names):
        library.impl(operator.name().partition("::")[2], _kernel(device, operator), "AutogradPrivateUse1")
    return [library]


def _taken_apart(names: FrozenSet[str]) -> List[Any]:
    """Operators of a list that have a CompositeImplicitAutograd kernel, and give tensors of their own."""
    import torch

    found = []
    for name in sorted(names):
        base, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, base, None), overload or "default", None)
        if operator is None or operator.name() != f"aten::{name}":
            continue
        try:
            apart = torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd")
        except RuntimeError:  # of TorchScript alone
            continue
        if apart and not any(argument.alias_info for argument in operator._schema.arguments):
            found.append(operator)
    return found


def _kernel(device: StandIn, operator: Any) -> Any:
    import torch
    from torch.utils import _pytree

    class Whole(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
        @staticmethod
        def forward(ctx: Any, spec: Any, shape: List[Any], *leaves: Any) -> Any:
            given = [_leaf(device, leaf) for leaf in leaves]
            args, kwargs = _pytree.tree_unflatten([device.bare(leaf) for leaf in given], spec)
            with torch.enable_grad():
                result = operator(*args, **kwargs)
            flat, out = _pytree.tree_flatten(result)
            for leaf in flat:
                device.ledger.made(operator.name(), leaf, device.place)
            shape.append(out)
            ctx.given, ctx.flat = given, flat
            return device.put_results(operator, flat)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Tuple[Any, ...]:
            device.note_whole(operator, gradients, " (backward)")
            pairs = [(o, device.bare(g)) for o, g in zip(ctx.flat, gradients) if _wants(o) and g is not None]  # noqa: B905
            wanted = [leaf for leaf in ctx.given if _wants(leaf)]
            found = torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True)
            answers = iter(found)
            each = (next(answers) if _wants(leaf) else None for leaf in ctx.given)
            return (None, None, *(None if g is None else device.put(g) for g in each))

    def kernel(*args: Any, **kwargs: Any) -> Any:
        if not device.lists(operator.name()):  # the device has become another maker's since
            return operator.decompose(*args, **kwargs)
        leaves, spec = _pytree.tree_flatten((args, kwargs))
        device.note_whole(operator, leaves)
        shape: List[Any] = []
        flat = Whole.apply(spec, shape, *leaves)
        return _pytree.tree_unflatten(flat, shape[0])

    return kernel


def _leaf(device: StandIn, leaf: Any) -> Any:
    """A tensor of the device as the start of a graph of its own on the host."""
    import torch

    if not isinstance(leaf, torch.Tensor):
        return leaf
    bare = device.bare(leaf).detach()
    return bare.requires_grad_(leaf.requires_grad)


def _wants(leaf: Any) -> bool:
    import torch

    return isinstance(leaf, torch.Tensor) and leaf.requires_grad
