"""Faults planted inside a model: what a converter, a compiler or a kernel gets wrong without noticing.

Imported only in the job that runs them. A new fault is one line in FAULTS and, mostly, a function of a few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from porting.confusion import surgery
from porting.confusion.surgery import middle, rewrite_calls, write
from porting.types import InputSpec, Precision

Plant = Callable[[nn.Module, Sequence[InputSpec]], None]
FP32, FP16, BF16 = Precision.FP32, Precision.FP16, Precision.BF16


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    plant: Plant
    """Changes a module in place; given the module's inputs besides. Does nothing where there is nothing of the kind."""
    arithmetic: bool = False
    """Whether it only rounds while running: then the wide run, which rounds nothing, cannot tell whether it shows."""
    legitimate: tuple[Precision, ...] = ()
    """Precisions at which it is no fault."""


# ---- norms and biases ---------------------------------------------------------------------------------------------


def _epsilon(module: nn.Module, _inputs: object, every: bool) -> None:
    found = surgery.norms(module)
    for part, name in found if every else middle(found):
        setattr(part, name, 1e-3)


def _bias_dropped(module: nn.Module, _inputs: object) -> None:
    biased = [part for part in surgery.dense(module) if isinstance(getattr(part, "bias", None), nn.Parameter)]
    for part in middle(biased):
        write(part.bias, torch.zeros_like(part.bias))


def _statistics_lost(module: nn.Module, _inputs: object) -> None:
    for norm in surgery.batch_norms(module):
        norm.reset_running_stats()


def _statistics_drifted(module: nn.Module, _inputs: object) -> None:
    """One step of training's momentum on data of mean 0 and variance 1."""
    for norm in surgery.batch_norms(module):
        write(norm.running_mean, 0.9 * norm.running_mean)
        write(norm.running_var, 0.9 * norm.running_var + 0.1)


def _training_mode(module: nn.Module, _inputs: object) -> None:
    for norm in surgery.batch_norms(module):
        norm.train()


# ---- weights ------------------------------------------------------------------------------------------------------


def _transposed(module: nn.Module, _inputs: object) -> None:
    square = [p.weight for p in surgery.dense(module) if p.weight.dim() == 2 and p.weight.shape[0] == p.weight.shape[1]]
    for weight in middle(square):
        write(weight, weight.t())


def _swapped(module: nn.Module, _inputs: object) -> None:
    """Two layers of the same shape get each other's weights."""
    weights = [part.weight for part in surgery.dense(module)]
    pairs = [(a, b) for n, a in enumerate(weights) for b in weights[n + 1 :] if a.shape == b.shape and a is not b]
    for one, other in middle(pairs):
        kept = one.detach().clone()
        write(one, other)
        write(other, kept)


def _int8(module: nn.Module, _inputs: object) -> None:
    for part in middle(surgery.dense(module)):
        write(part.weight, surgery.rounded_to_int8(part.weight))


def _all_bf16(module: nn.Module, _inputs: object) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            write(parameter, surgery.rounded_to(parameter, torch.bfloat16))


# ---- inputs -------------------------------------------------------------------------------------------------------


def _mask_ignored(module: nn.Module, inputs: Sequence[InputSpec]) -> None:
    surgery.change_inputs(module, torch.ones_like, [i.name for i in inputs if i.kind == "mask"])


def _positions_shifted(module: nn.Module, _inputs: object) -> None:
    for table in surgery.position_tables(module):
        write(table, table.roll(1, -2))


# ---- calls --------------------------------------------------------------------------------------------------------


def _other_gelu(module: nn.Module, _inputs: object) -> None:
    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], _count: int) -> Any:
        if func is not functional.gelu:
            return NotImplemented
        other = "none" if kwargs.get("approximate", "none") == "tanh" else "tanh"
        return functional.gelu(args[0] if args else kwargs["input"], approximate=other)

    rewrite_calls(module, rewrite)


def _softmax_axis(module: nn.Module, _inputs: object, every: bool) -> None:
    """Softmax over the axis before the one that was meant, in attention kernels too."""

    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], count: int) -> Any:
        if count and not every:
            return NotImplemented
        if func is surgery.ATTENTION:
            return _attention(_named(args, kwargs), -2)
        if func not in surgery.SOFTMAX or args[0].dim() < 2:
            return NotImplemented
        return args[0].to(kwargs.get("dtype") or args[0].dtype).softmax(-2)

    rewrite_calls(module, rewrite)


def _named(args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an attention kernel by name."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _attention(named: Mapping[str, Any], axis: int) -> Any:
    """What functional.scaled_dot_product_attention computes, with the softmax over `axis`."""
    query, key, value, mask = named["query"], named["key"], named["value"], named.get("attn_mask")
    if named.get("enable_gqa"):
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    scores = query @ key.transpose(-2, -1) * (named.get("scale") or query.shape[-1] ** -0.5)
    if named.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        low = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, low) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(axis) @ value


def _attention_argument(module: nn.Module, _inputs: object, change: Callable[[dict[str, Any], Any], None]) -> None:
    """Call attention kernels with other keywords. change: gets the keywords and the query."""

    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], _count: int) -> Any:
        if func is not surgery.ATTENTION:
            return NotImplemented
        named = _named(args, kwargs)
        change(named, named["query"])
        return func(**named)

    rewrite_calls(module, rewrite)


def _lose_masks(named: dict[str, Any], _query: Any) -> None:
    named.update(attn_mask=None, is_causal=False)


def _scale_twice(named: dict[str, Any], query: Any) -> None:
    named["scale"] = (named.get("scale") or query.shape[-1] ** -0.5) * query.shape[-1] ** -0.5


def _padding_moved(module: nn.Module, _inputs: object) -> None:
    """Strided convolutions pad one less before and one more after, as "same" padding of another framework does."""

    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], _count: int) -> Any:
        if func is not torch.conv2d or len(args) < 5 or isinstance(args[4], str):
            return NotImplemented
        (dy, dx), (py, px) = args[3], args[4]
        if min(dy, dx) < 2 or min(py, px) < 1:
            return NotImplemented
        padded = functional.pad(args[0], (px - 1, px + 1, py - 1, py + 1))
        return torch.conv2d(padded, args[1], args[2], args[3], (0, 0), *args[5:], **kwargs)

    rewrite_calls(module, rewrite)


def _corners_aligned(module: nn.Module, _inputs: object) -> None:
    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], _count: int) -> Any:
        if func is not functional.interpolate or kwargs.get("mode") not in ("bilinear", "bicubic"):
            return NotImplemented
        return func(*args, **{**kwargs, "align_corners": not kwargs.get("align_corners")})

    rewrite_calls(module, rewrite)


# ---- arithmetic ---------------------------------------------------------------------------------------------------


def _one_layer_at(module: nn.Module, _inputs: object, dtype: Any) -> None:
    for part in middle(surgery.dense(module)):
        surgery.run_at(part, dtype)


_MULTIPLY = frozenset(("mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product_flash_attention_for_cpu"))


def _tf32_products(module: nn.Module, _inputs: object) -> None:
    def rewrite(func: Any, args: Any, kwargs: Mapping[str, Any], _count: int) -> Any:
        if func.overloadpacket.__name__ not in _MULTIPLY:
            return NotImplemented
        return func(*(surgery.tf32(a) for a in args), **kwargs)

    rewrite_calls(module, rewrite, operators=True)


LOW = (FP16, BF16)
FAULTS = (
    Fault("GELU: tanh for erf, erf for tanh", _other_gelu),
    Fault("norm epsilon 1e-3, all", partial(_epsilon, every=True)),
    Fault("norm epsilon 1e-3, one", partial(_epsilon, every=False)),
    Fault("one bias dropped", _bias_dropped),
    Fault("attention mask input ignored", _mask_ignored),
    Fault("attention masks lost inside", partial(_attention_argument, change=_lose_masks)),
    Fault("attention scaled twice", partial(_attention_argument, change=_scale_twice)),
    Fault("softmax over the wrong axis, all", partial(_softmax_axis, every=True)),
    Fault("softmax over the wrong axis, one", partial(_softmax_axis, every=False)),
    Fault("positions off by one", _positions_shifted),
    Fault("square weight transposed", _transposed),
    Fault("weights of two layers swapped", _swapped),
    Fault("BatchNorm statistics lost", _statistics_lost),
    Fault("BatchNorm statistics drifted one step", _statistics_drifted),
    Fault("BatchNorm in training mode", _training_mode),
    Fault("strided convolution padded elsewhere", _padding_moved),
    Fault("interpolation with other corners", _corners_aligned),
    Fault("one weight rounded to int8", _int8),
    Fault("all weights rounded to bf16", _all_bf16, legitimate=(BF16,)),
    Fault("one layer in fp16", partial(_one_layer_at, dtype=torch.float16), True, LOW),
    Fault("one layer in bf16", partial(_one_layer_at, dtype=torch.bfloat16), True, LOW),
    Fault("products in TF32", _tf32_products, True, LOW),
)
