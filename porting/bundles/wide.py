"""A really wide eager run: float64 arithmetic operator by operator, weights held once in their own precision.

Plain `module.double()` is not that: many models cast to float32 inside. Here every operator that computes gets its
floating-point operands widened, and every dtype it is asked to produce. Pure data movement is left as it is: it is
exact at any precision, and widening a table before a row is looked up would double the memory of a model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Operators that only move, view or pick elements.
# fmt: off
_MOVEMENT = frozenset((
    "alias", "as_strided", "chunk", "detach", "embedding", "expand", "expand_as", "gather", "index_select", "lift_fresh",
    "movedim", "narrow", "permute", "reshape", "_reshape_alias", "select", "slice", "split", "split_with_sizes", "squeeze",
    "swapaxes", "t", "transpose", "unbind", "unflatten", "unfold", "_unsafe_view", "unsqueeze", "view", "view_as",
))
_PICKED = frozenset(("embedding", "gather", "index_select"))
"""Of these, operators whose result is new memory: it is widened instead of the table, since others may be written into it."""
# fmt: on


@contextlib.contextmanager
def widened() -> Iterator[None]:
    """Within it, floating-point operators of any module compute in float64. Convert results with `.double()` at the end."""
    import torch

    before = torch.get_default_dtype()
    fastpath = torch.backends.mha.get_fastpath_enabled()
    onednn = torch._C._get_mkldnn_enabled()
    check_input = torch.nn.RNNBase.check_input
    torch.set_default_dtype(torch.float64)
    torch.backends.mha.set_fastpath_enabled(False)  # the fused encoder layer refuses mixed dtypes,
    torch.nn.RNNBase.check_input = lambda *_: None  # and so do the recurrent layers,
    torch._C._set_mkldnn_enabled(False)  # and oneDNN's
    try:
        with torch.no_grad(), _functions(), _flex_attention(), _operators():
            yield
    finally:
        torch.set_default_dtype(before)
        torch.backends.mha.set_fastpath_enabled(fastpath)
        torch.nn.RNNBase.check_input = check_input
        torch._C._set_mkldnn_enabled(onednn)


@contextlib.contextmanager
def _flex_attention() -> Iterator[None]:
    """flex_attention compiles itself, which torch 2.13 does not do under a dispatch mode: it runs as it is written."""
    from torch.nn.attention import flex_attention

    before = flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG
    flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = True
    try:
        yield
    finally:
        flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = before


def _functions() -> contextlib.AbstractContextManager[Any]:
    """Convolutions, and a few more, compare the dtypes of their operands before any operator is dispatched."""
    import torch
    from torch.overrides import TorchFunctionMode

    low = _low()
    strict = {getattr(torch, f"conv{kind}{n}d") for kind in ("", "_transpose") for n in (1, 2, 3)}
    strict |= {torch.bilinear, torch.prelu, torch.nn.functional.scaled_dot_product_attention}

    class WidenStrict(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in strict:
                return func(*_wide(args, low), **_wide(kwargs or {}, low))
            return func(*args, **(kwargs or {}))

    return WidenStrict()


def _low() -> tuple[torch.dtype, ...]:
    import torch

    return (torch.float32, torch.float16, torch.bfloat16)


def _operators() -> contextlib.AbstractContextManager[Any]:
    from torch._ops import HigherOrderOperator
    from torch.utils._python_dispatch import TorchDispatchMode

    low = _low()

    class Widen(TorchDispatchMode):  # type: ignore[misc]
        supports_higher_order_operators = True

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if isinstance(func, HigherOrderOperator):  # what it calls inside is not seen here; this one keeps to its operands
                return func(*_wide(args, low), **_wide(kwargs, low)) if func.name() == "flex_attention" else NotImplemented
            name = func.overloadpacket.__name__
            if name in _MOVEMENT or _writes_low(func, args, kwargs, low):
                result = func(*args, **kwargs)
                return _wide(result, low) if name in _PICKED else result
            return func(*_wide(args, low), **_wide(kwargs, low))

    return Widen()


def _writes_low(func: Any, args: Any, kwargs: Any, low: tuple[torch.dtype, ...]) -> bool:
    """Whether the operator writes into a narrow tensor it was given: that tensor has to stay the one that is written."""
    import torch

    for place, schema in enumerate(func._schema.arguments):
        arg = args[place] if place < len(args) else kwargs.get(schema.name)
        written = schema.alias_info is not None and schema.alias_info.is_write
        if written and isinstance(arg, torch.Tensor) and arg.dtype in low:
            return True
    return False


def _wide(value: Any, low: tuple[torch.dtype, ...]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype in low else value
    if isinstance(value, torch.dtype):
        return torch.float64 if value in low else value
    if isinstance(value, (list, tuple)):
        return type(value)(_wide(v, low) for v in value)
    if isinstance(value, dict):
        return {k: _wide(v, low) for k, v in value.items()}
    return value
