"""Changes to a captured program: it is run operator by operator while it is captured again, some of them done otherwise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from porting.rewrites import bits, resize, scatter, spread, volume

if TYPE_CHECKING:
    import torch
    from torch import nn

Capture = Callable[[Any], Any]
"""Captures a module as the one before was."""


def rewritten(program: torch.export.ExportedProgram, words: Sequence[str], capture: Capture) -> tuple[Any, tuple[str, ...]]:
    """The program with changes made, and the words of those that found something to change."""
    done: list[str] = []
    table = operators([word for word in words if word in _TABLES])
    counts: Counter[str] = Counter()
    if table and any(node.target in table for node in program.graph.nodes):
        program = capture(_running(program.module(check_guards=False), table, counts))
        done += [word for word in words if counts[word]]
    if "picks=counted" in words:
        from porting.rewrites.picks import counted, has_picks

        if has_picks(program):
            program = capture(counted(program))
            done.append("picks=counted")
    if "complex=pairs" in words:
        from porting.rewrites.pairs import has_complex, paired

        if has_complex(program):
            program = capture(paired(program.module(check_guards=False)))
            done.append("complex=pairs")
    if "int64=int32" in words:
        from porting.rewrites.narrow import has_int64, narrowed

        if has_int64(program):
            program = capture(narrowed(program.module(check_guards=False)))
            done.append("int64=int32")
    if "decompose=core" in words:
        program = program.run_decompositions()
        done.append("decompose=core")
    return program, tuple(done)


def _running(module: nn.Module, table: Mapping[Any, tuple[str, Callable[..., Any]]], counts: Counter[str]) -> nn.Module:
    import torch
    from torch import nn

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            word, way = table.get(target, ("", None))
            answer = NotImplemented if way is None else way(*args, **kwargs)
            if answer is NotImplemented:
                return super().call_function(target, args, kwargs)
            counts[word] += 1
            return answer

    class Running(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            return Run(self.inner).run(*tensors)

    return Running()


def operators(words: Iterable[str]) -> dict[Any, tuple[str, Callable[..., Any]]]:
    """What is done in the place of an operator, and by which word, for every operator that the words speak of. A way may answer
    NotImplemented for a call that is to stay as it is."""
    return {overload: (word, way) for word in words for overload, way in _TABLES[word]().items()}


# ---- the ways -----------------------------------------------------------------------------------------------------


def _attention() -> dict[Any, Callable[..., Any]]:
    import torch

    return {torch.ops.aten.scaled_dot_product_attention.default: attention}


def attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, _dropout: float = 0.0, is_causal: bool = False, **more: Any
) -> Any:
    """Scaled dot-product attention by single operators; a row whose keys are all masked answers zero, as PyTorch's does."""
    import torch

    scale, groups = more.get("scale"), more.get("enable_gqa", False)
    if groups:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = (query @ key.transpose(-2, -1)) * (scale if scale is not None else 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        rows, columns = torch.arange(query.shape[-2]), torch.arange(key.shape[-2])
        attn_mask = rows[:, None] >= columns[None, :]
    if attn_mask is None:
        return torch.softmax(scores, -1) @ value
    lowest = torch.finfo(scores.dtype).min
    if attn_mask.dtype == torch.bool:
        scores = torch.where(attn_mask, scores, lowest)
        some = attn_mask.any(-1, keepdim=True)
    else:
        scores = scores + attn_mask
        some = (scores >= lowest).any(-1, keepdim=True)
        scores = torch.clamp(scores, min=lowest)
    return torch.where(some, torch.softmax(scores, -1), 0.0) @ value


def _masked_scatter() -> dict[Any, Callable[..., Any]]:
    import torch

    def gathered(tensor: Any, mask: Any, source: Any) -> Any:
        mask, tensor = torch.broadcast_tensors(mask, tensor)
        flat = mask.reshape(-1)
        place = torch.clamp(torch.cumsum(flat.to(torch.int64), 0) - 1, min=0)
        values = source.reshape(-1)[torch.clamp(place, max=source.numel() - 1)]
        return torch.where(mask, values.reshape(tensor.shape), tensor)

    return {torch.ops.aten.masked_scatter.default: gathered}


def _view() -> dict[Any, Callable[..., Any]]:
    import torch

    aten = torch.ops.aten
    return {aten.view.default: torch.reshape, aten._unsafe_view.default: torch.reshape}


def _pad() -> dict[Any, Callable[..., Any]]:
    import torch

    def joined(tensor: Any, pad: Sequence[Any], mode: str = "constant", **_: Any) -> Any:
        if mode != "circular" or any(isinstance(amount, int) and amount < 0 for amount in pad):
            return NotImplemented
        for number, (left, right) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
            axis, size = -1 - number, tensor.shape[-1 - number]
            tensor = torch.cat([tensor.narrow(axis, size - left, left), tensor, tensor.narrow(axis, 0, right)], axis)
        return tensor

    return {torch.ops.aten.pad.default: joined}


def _squeeze() -> dict[Any, Callable[..., Any]]:
    import torch

    def checked(tensor: Any, axis: int) -> Any:
        size = tensor.shape[axis]
        return tensor if isinstance(size, int) and size != 1 else NotImplemented

    return {torch.ops.aten.squeeze.dim: checked}


def _empty() -> dict[Any, Callable[..., Any]]:
    import torch

    def skipped(target: Any, *_: Any) -> Any:
        return target if any(isinstance(size, int) and size == 0 for size in target.shape) else NotImplemented

    return {torch.ops.aten.copy_.default: skipped}


def _softplus() -> dict[Any, Callable[..., Any]]:
    import torch

    def series(x: Any, beta: float = 1.0, _threshold: float = 20.0) -> Any:
        """The larger of x and 0, and log(1 + u) for u = exp(-|x|): twice the inverse hyperbolic tangent of u / (2 + u), at most a
        third, whose series is exact to float32 after eight terms."""
        scaled = x * beta
        small = torch.exp(-scaled.abs())
        part = small / (2 + small)
        square, total = part * part, torch.zeros_like(part)
        for odd in range(15, 0, -2):
            total = total * square + 1 / odd
        return (torch.relu(scaled) + 2 * part * total) / beta

    return {torch.ops.aten.softplus.default: series}


def _tanh() -> dict[Any, Callable[..., Any]]:
    import torch

    def fraction(x: Any) -> Any:
        """Near 0 Lambert's continued fraction, exact to float32 after five terms; farther out by exp, which loses none there."""
        square, size = x * x, x.abs()
        under = torch.full_like(x, 9.0)
        for odd in (7, 5, 3, 1):
            under = odd + square / under
        far = torch.sign(x) * (1 - 2 / (torch.exp(2 * size) + 1))
        return torch.where(size < 0.7, x / under, far)

    return {torch.ops.aten.tanh.default: fraction}


def _einsum() -> dict[Any, Callable[..., Any]]:
    import torch

    return {torch.ops.aten.einsum.default: _contraction}


def _contraction(equation: str, operands: Sequence[Any], **_: Any) -> Any:
    """An einsum of two tensors without repeated indices as one product of matrices."""
    given, _arrow, wanted = equation.replace(" ", "").partition("->")
    names = given.split(",")
    if len(operands) != 2 or not wanted or "." in equation or any(len(set(name)) < len(name) for name in names):
        return NotImplemented
    (one, other), sizes = (
        names,
        {c: s for name, x in zip(names, operands, strict=True) for c, s in zip(name, x.shape, strict=True)},
    )
    batch = [c for c in one if c in other and c in wanted]
    inner = [c for c in one if c in other and c not in wanted]
    left, right = [c for c in one if c not in other], [c for c in other if c not in one]
    if not set(left + right) <= set(wanted):
        return NotImplemented

    def matrix(tensor: Any, name: str, rows: Sequence[str], columns: Sequence[str]) -> Any:
        order = [name.index(c) for c in (*batch, *rows, *columns)]
        shape = [*(sizes[c] for c in batch), *(math.prod(sizes[c] for c in group) for group in (rows, columns))]
        return tensor.permute(order).reshape(shape)

    product = matrix(operands[0], one, left, inner) @ matrix(operands[1], other, inner, right)
    made = [*batch, *left, *right]
    return product.reshape([sizes[c] for c in made]).permute([made.index(c) for c in wanted])


def _triangle() -> dict[Any, Callable[..., Any]]:
    import torch

    def triangle(tensor: Any, diagonal: int, lower: bool) -> Any:
        rows, columns = torch.arange(tensor.shape[-2])[:, None], torch.arange(tensor.shape[-1])[None, :]
        inside = columns - rows <= diagonal if lower else columns - rows >= diagonal
        return torch.where(inside, tensor, torch.zeros((), dtype=tensor.dtype))

    return {
        torch.ops.aten.tril.default: lambda tensor, diagonal=0: triangle(tensor, diagonal, True),
        torch.ops.aten.triu.default: lambda tensor, diagonal=0: triangle(tensor, diagonal, False),
    }


def _is_all_true() -> dict[Any, Callable[..., Any]]:
    import torch

    return {torch.ops.aten._is_all_true.default: lambda tensor: torch.all(tensor)}


def _searchsorted() -> dict[Any, Callable[..., Any]]:
    import torch

    aten = torch.ops.aten

    def counted(edges: Any, values: Any, right: bool, narrow: bool) -> Any:
        """edges: [..., n] in order; values: [..., m]. How many edges stand before each value, as int64 or int32."""
        one, other = edges[..., None, :], values[..., :, None]
        before = one <= other if right else one < other
        return before.sum(-1, dtype=torch.int32 if narrow else torch.int64)

    def search(edges: Any, values: Any, **how: Any) -> Any:
        if how.get("sorter") is not None or not values.ndim:
            return NotImplemented
        return counted(edges, values, how.get("right", False) or how.get("side") == "right", how.get("out_int32", False))

    def bucket(values: Any, edges: Any, **how: Any) -> Any:
        return counted(edges, values.reshape(-1), how.get("right", False), how.get("out_int32", False)).reshape(values.shape)

    return {aten.searchsorted.Tensor: search, aten.bucketize.Tensor: bucket}


def _isin() -> dict[Any, Callable[..., Any]]:
    import torch

    def compared(elements: Any, among: Any, *, invert: bool = False, **_: Any) -> Any:
        """elements: [...]; among: of any shape. Whether each element is one of them."""
        found = (elements[..., None] == among.reshape(-1)).any(-1)
        return ~found if invert else found

    return {torch.ops.aten.isin.Tensor_Tensor: compared}


def _sort() -> dict[Any, Callable[..., Any]]:
    import torch

    aten = torch.ops.aten

    def plain(tensor: Any, dim: int = -1, descending: bool = False, **_: Any) -> Any:
        return aten.sort.default(tensor, dim, descending)

    def order(tensor: Any, dim: int = -1, descending: bool = False, **_: Any) -> Any:
        return aten.sort.default(tensor, dim, descending)[1]

    return {aten.sort.stable: plain, aten.argsort.default: order, aten.argsort.stable: order}


def _narrowed(value: Any) -> Any:
    import torch
    from torch.utils._pytree import tree_map

    return tree_map(lambda leaf: torch.float32 if leaf is torch.float64 else leaf, value)


def _float64() -> dict[Any, Callable[..., Any]]:
    """Operators that make a tensor of a dtype, or turn one into another."""
    import torch
    from torch.utils._pytree import tree_leaves

    aten = torch.ops.aten

    def narrowing(overload: Any) -> Callable[..., Any]:
        def way(*args: Any, **kwargs: Any) -> Any:
            wide = any(leaf is torch.float64 for leaf in tree_leaves((args, kwargs)))
            return overload(*_narrowed(args), **_narrowed(kwargs)) if wide else NotImplemented

        return way

    names = (
        aten.arange.default, aten.arange.start, aten.arange.start_step, aten.linspace.default, aten.logspace.default,
        aten.zeros.default, aten.ones.default, aten.full.default, aten.empty.memory_format, aten.scalar_tensor.default,
        aten.zeros_like.default, aten.ones_like.default, aten.full_like.default, aten.to.dtype, aten.to.dtype_layout,
        aten._to_copy.default, aten._assert_tensor_metadata.default, aten.sum.dim_IntList, aten.cumsum.default, aten.mean.dim,
    )  # fmt: skip
    return {overload: narrowing(overload) for overload in names}


_TABLES: dict[str, Callable[[], dict[Any, Callable[..., Any]]]] = {
    "attention=composed": _attention,
    "masked_scatter=gathered": _masked_scatter,
    "float64=float32": _float64,
    "view=reshape": _view,
    "squeeze=checked": _squeeze,
    "empty=skipped": _empty,
    "is_all_true=all": _is_all_true,
    "antialias=products": resize.ways,
    "bicubic=products": resize.bicubic,
    "pool=products": resize.pooling,
    "volumes=frames": volume.ways,
    "fold=convolution": spread.folds,
    "conv_transpose=spread": spread.convolutions,
    "pad=joined": _pad,
    "softplus=series": _softplus,
    "tanh=fraction": _tanh,
    "scatter=products": scatter.ways,
    "bags=products": scatter.bags,
    "bits=numbers": bits.ways,
    "einsum=products": _einsum,
    "triangle=compared": _triangle,
    "searchsorted=counted": _searchsorted,
    "isin=compared": _isin,
    "sort=plain": _sort,
}
PROGRAM = (*_TABLES, "picks=counted", "complex=pairs", "int64=int32", "decompose=core")
"""Every change to a program."""
