"""Changes to a module before it is captured; each is undone when the export is over."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from porting.rewrites.experts import experts_all
from porting.rewrites.replay import data_replayed

if TYPE_CHECKING:
    import torch
    from torch import nn

Way = Callable[["nn.Module", "Sequence[torch.Tensor]"], contextlib.AbstractContextManager["nn.Module | None"]]
"""Takes a module and an example of its inputs; gives the changed module, or None where there is nothing to change."""


@contextlib.contextmanager
def changed(
    flat: nn.Module, words: Iterable[str], example: Sequence[torch.Tensor]
) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    """The module with changes made, and the words of those that found something to change. example: an input each, in order."""
    done: list[str] = []
    with contextlib.ExitStack() as undo:
        module = flat
        for word in words:
            made = undo.enter_context(MODEL[word](module, example))
            if made is not None:
                module = made
                done.append(word)
        yield module, tuple(done)


@contextlib.contextmanager
def _constants_folded(module: nn.Module, _: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    yield _folding()(module).eval() if _has_constants(module) else None


def _has_constants(module: Any) -> bool:
    import torch
    from torch.utils._pytree import tree_leaves

    inner = getattr(module, "constants", None)
    return any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(inner or {}))


def _folding() -> type[Any]:
    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import _disable_current_modes
    from torch.utils._pytree import tree_leaves

    makers = (torch.tensor, torch.as_tensor)
    symbols = (torch.SymInt, torch.SymFloat, torch.SymBool)

    class Now(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed
        """Computes at once what follows from real tensors alone; while a model is captured, all others are stand-ins."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            leaves = tree_leaves((args, kwargs))
            tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
            known = all(type(tensor) is torch.Tensor for tensor in tensors)
            if known and (tensors or func in makers) and not any(isinstance(leaf, symbols) for leaf in leaves):
                with _disable_current_modes():
                    return func(*args, **kwargs)
            return func(*args, **kwargs)

    class Folding(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *tensors: Any) -> Any:
            with Now():
                return self.inner(*tensors)

    return Folding


def _set(attribute: str, value: str) -> Way:
    """Sets an attribute of every configuration in the module that has it and says otherwise."""

    @contextlib.contextmanager
    def way(module: nn.Module, _: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
        found = {id(c): c for c in (getattr(part, "config", None) for part in module.modules()) if c is not None}
        before = [(config, getattr(config, attribute)) for config in found.values() if getattr(config, attribute, value) != value]
        try:
            for config, _ in before:
                setattr(config, attribute, value)
            yield module if before else None
        finally:
            for config, old in before:
                setattr(config, attribute, old)

    return way


@contextlib.contextmanager
def _attention_eager(module: nn.Module, example: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    """Configurations of transformers name their implementation; modules of timm say whether theirs is fused."""
    fused = [part for part in module.modules() if getattr(part, "fused_attn", False) is True]
    with _set("_attn_implementation", "eager")(module, example) as configured:
        try:
            for part in fused:
                part.fused_attn = False
            yield module if fused or configured is not None else None
        finally:
            for part in fused:
                part.fused_attn = True


@contextlib.contextmanager
def _module_kept(module: nn.Module, example: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    """A module that asks one of its own to move to a dtype gets it back as it is, where that is its dtype already."""
    import torch

    moves, kept = torch.nn.Module.to, 0

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal kept
        wanted = [value for value in (*args, *kwargs.values()) if value is not None]
        there = {tensor.dtype for tensor in (*self.parameters(), *self.buffers()) if tensor.is_floating_point()}
        if len(wanted) != 1 or not there <= {wanted[0]}:
            return moves(self, *args, **kwargs)
        kept += 1
        return self

    torch.nn.Module.to = to
    try:
        with torch.no_grad():
            module(*example)
        yield module if kept else None
    finally:
        torch.nn.Module.to = moves


@contextlib.contextmanager
def _mask_left_out(module: nn.Module, example: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    """A mask of transformers that hides nothing, of a model that was given none, is none: captured, such a model makes one that
    it does not make otherwise, and that may not be of the size that a layer has come to."""
    import torch

    masks: Any = sys.modules.get("transformers.masking_utils")
    left_out = 0
    if masks is None:
        yield None
        return
    asked = masks._ignore_bidirectional_mask_sdpa

    def hides_nothing(padding_mask: Any, kv_length: Any, local_attention_size: Any = None) -> Any:
        nonlocal left_out
        if padding_mask is not None or local_attention_size is not None:
            return asked(padding_mask, kv_length, local_attention_size)
        left_out += 1
        return True

    masks._ignore_bidirectional_mask_sdpa = hides_nothing
    try:
        with torch.no_grad():
            module(*example)
        yield module if left_out else None
    finally:
        masks._ignore_bidirectional_mask_sdpa = asked


MODEL: dict[str, Way] = {
    "constants=folded": _constants_folded,
    "experts=batched_mm": _set("_experts_implementation", "batched_mm"),
    "experts=all": experts_all,
    "module=kept": _module_kept,
    "attention=eager": _attention_eager,
    "data=replayed": data_replayed,
    "mask=left_out": _mask_left_out,
}
