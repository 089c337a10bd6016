"""A program respelt for pnnx, which knows PyTorch's usual operators, but not what an exporter adds. Its values stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from ._flags import Numbers

if TYPE_CHECKING:
    import torch

LOWEST = 3e38
"""Taken from what an attention weighs by, it leaves nothing of it: near the end of what float32 and bfloat16 hold."""


def respell(module: torch.fx.GraphModule) -> None:
    """Change the graph of an exported program's module in place.

    ncnn holds numbers as floats, so integers and flags become floats where they are computed with, and an attention mask of
    flags becomes the sums that it stands for. Aliases and casts to what a tensor is already go. Call it without gradients:
    what depends on no input is computed.
    """
    import torch

    aten = torch.ops.aten
    casts = (aten.to.dtype, aten.to.dtype_layout, aten._to_copy.default, aten.type_as.default)
    arithmetic = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.pow.Tensor_Tensor)
    numbers = Numbers(module.graph)
    for node in list(module.graph.nodes):
        numbers.constant(node)  # in order, so that no chain is walked at once
        if node.target is aten.alias.default or (node.target in casts and _dtype(node) is _dtype(node.args[0])):
            _replace(node, node.args[0])
        elif node.target in casts and _dtype(node) is torch.float32:
            _replace(node, numbers.as_float(node.args[0], node))
        elif node.target in arithmetic and _dtype(node) is torch.float32:
            for value in node.all_input_nodes:
                if _dtype(value) not in (None, torch.float32):
                    node.replace_input_with(value, numbers.as_float(value, node))
            _take_once(node, numbers)
        elif node.target is aten.scaled_dot_product_attention.default:
            _spell_out_mask(node, numbers)
        elif node.target is aten.cat.default:
            _spell_out_token(node, numbers)
    module.recompile()


def _dtype(node: torch.fx.Node) -> Optional[torch.dtype]:
    """The dtype of what a node makes; None where it is no tensor."""
    return getattr(node.meta.get("val"), "dtype", None)


def _replace(node: torch.fx.Node, other: torch.fx.Node) -> None:
    other.meta.setdefault("val", node.meta.get("val"))
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)


def _spell_out_mask(attention: torch.fx.Node, numbers: Numbers) -> None:
    """Drop an attention's mask of flags that hides nothing; of another, add the lowest number where it is false.

    The answer is the same where a query is left anything to look at. One that is not, gets the mean of all values. The query is
    scaled ahead, or pnnx would take the attention for its MultiHeadAttention, whose mask in ncnn is the first item's for all.
    """
    import torch

    mask = attention.args[3] if len(attention.args) > 3 else attention.kwargs.get("attn_mask")
    if mask is None or _dtype(mask) is not torch.bool:
        return
    known = numbers.constant(mask)
    if known is not None and bool(known.all()):
        attention.args, attention.kwargs = attention.args[:3], {**_by_name(attention), "attn_mask": None}
        return
    shown = numbers.of(mask, attention)
    if shown is not None:
        with attention.graph.inserting_before(attention):
            hidden = attention.graph.call_function(torch.ops.aten.sub.Scalar, (shown, 1.0))
            sums = attention.graph.call_function(torch.ops.aten.mul.Scalar, (hidden, LOWEST))
            query = attention.graph.call_function(torch.ops.aten.mul.Scalar, (attention.args[0], _scale(attention)))
        attention.replace_input_with(mask, sums)
        attention.args, attention.kwargs = (query, *attention.args[1:]), {**attention.kwargs, "scale": 1.0}


def _scale(attention: torch.fx.Node) -> float:
    """What the products of query and key are multiplied by."""
    said = attention.kwargs.get("scale")
    return float(attention.args[0].meta["val"].shape[-1] ** -0.5 if said is None else said)


def _spell_out_token(cat: torch.fx.Node, numbers: Numbers) -> None:
    """A constant put before or behind every item of a batch, as a class token is: the sum of both, each padded with zeros.

    pnnx keeps the batch of such a constant, which ncnn's Concat then takes for an axis more, and writes past its memory.
    """
    import torch

    parts, axis = list(cat.args[0]), cat.args[1] if len(cat.args) > 1 else 0
    rank, known = cat.meta["val"].dim(), {part: numbers.constant(part) for part in parts}
    tokens = {part: value for part, value in known.items() if value is not None}
    if axis % rank == 0 or len(tokens) in (0, len(parts)) or not all(_is_repeated(value) for value in tokens.values()):
        return
    total, start, size = None, 0, cat.meta["val"].shape[axis]
    with cat.graph.inserting_before(cat):
        for part in parts:
            end = start + part.meta["val"].shape[axis]
            value = cat.graph.call_function(torch.ops.aten.slice.Tensor, (part, 0, 0, 1)) if part in tokens else part
            widths = [0, 0] * (rank - 1 - axis % rank) + [start, size - end]
            padded = cat.graph.call_function(torch.ops.aten.constant_pad_nd.default, (value, widths, 0.0))
            total = cat.graph.call_function(torch.ops.aten.add.Tensor, (total, padded)) if total else padded
            start = end
    _replace(cat, total)


def _take_once(node: torch.fx.Node, numbers: Numbers) -> None:
    """Take a constant that is the same for every item of a batch, as positions are, from the first: pnnx knows no batch of it."""
    import torch

    shape = _shape(node)
    whole = [value for value in node.all_input_nodes if numbers.constant(value) is None and _shape(value)[:1] == shape[:1]]
    if not any(len(_shape(value)) == len(shape) for value in whole):
        return  # nothing else would make the batch
    for value in node.all_input_nodes:
        known = numbers.constant(value)
        if known is not None and known.dim() == len(shape) > 1 and _is_repeated(known):
            with node.graph.inserting_before(node):
                node.replace_input_with(value, node.graph.call_function(torch.ops.aten.slice.Tensor, (value, 0, 0, 1)))


def _shape(node: torch.fx.Node) -> Tuple[int, ...]:
    return tuple(getattr(node.meta.get("val"), "shape", ()))


def _is_repeated(value: torch.Tensor) -> bool:
    """Whether a tensor is floating and holds the same in every item of a batch of several."""
    return value.is_floating_point() and value.shape[0] > 1 and bool((value == value[:1]).all())


def _by_name(attention: torch.fx.Node) -> Dict[str, Any]:
    """What an attention is given behind query, key and value."""
    names = ("attn_mask", "dropout_p", "is_causal")
    return {**dict(zip(names, attention.args[3:])), **attention.kwargs}  # noqa: B905 -- `strict` came with 3.10
