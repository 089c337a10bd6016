"""Tools for planting a fault in a module, in place: find the part, change its weights, or change what a call computes.

Imported only where torch is loaded anyway. Which faults there are is porting.confusion.faults'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

T = TypeVar("T")
Tensor = Any  # torch is not followed by the type checker

EPSILONS = ("eps", "variance_epsilon", "epsilon")
SOFTMAX = frozenset((functional.softmax, torch.softmax, torch.Tensor.softmax))
ATTENTION = functional.scaled_dot_product_attention


# ---- finding parts ------------------------------------------------------------------------------------------------


def middle(items: Sequence[T]) -> list[T]:
    """One of many, away from both ends; none of none."""
    return [items[len(items) // 2]] if items else []


def norms(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Normalisation layers with the name of their epsilon."""
    found = []
    for part in module.modules():
        name = next((n for n in EPSILONS if isinstance(getattr(part, n, None), float)), None)
        if name and "norm" in type(part).__name__.lower():
            found.append((part, name))
    return found


def dense(module: nn.Module) -> list[nn.Module]:
    """Layers that multiply with a matrix or convolve: those with a weight of two and more axes, embeddings left out."""
    return [part for part in module.modules() if _is_dense(part)]


def _is_dense(part: nn.Module) -> bool:
    weight = getattr(part, "weight", None)
    is_matrix = isinstance(weight, nn.Parameter) and weight.dim() >= 2 and weight.is_floating_point()
    return is_matrix and not isinstance(part, nn.Embedding) and not isinstance(part, torch.jit.ScriptModule)


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """BatchNorm layers that keep running statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [part for part in module.modules() if isinstance(part, kind) and part.track_running_stats]


def position_tables(module: nn.Module) -> Iterator[Tensor]:
    """Learned position embeddings, whether tables or plain parameters; positions lie along the axis before the last."""
    for name, parameter in module.named_parameters():
        if "pos" in name.lower() and parameter.dim() >= 2 and parameter.shape[-2] > 1 and "bias" not in name:
            yield parameter


# ---- changing weights ---------------------------------------------------------------------------------------------


def write(parameter: Tensor, value: Tensor) -> None:
    """Set a parameter's values in place, tied ones with it."""
    with torch.no_grad():
        parameter.copy_(value.clone())


def rounded_to(value: Tensor, dtype: Any) -> Tensor:
    return value.to(dtype).to(value.dtype)


def rounded_to_int8(value: Tensor) -> Tensor:
    """Symmetric, one scale for the whole tensor."""
    scale = value.abs().max() / 127
    return (value / scale).round() * scale


# ---- changing calls -----------------------------------------------------------------------------------------------

Rewrite = Callable[[Any, tuple[Any, ...], Mapping[str, Any], int], Any]
"""Gets function, arguments, keywords and how many calls it has rewritten in this run; NotImplemented leaves the call alone."""


def rewrite_calls(module: nn.Module, rewrite: Rewrite, operators: bool = False) -> None:
    """Let `rewrite` stand in for calls of torch functions while the module runs; operators: for the operators that these
    come down to."""
    mode = TorchDispatchMode if operators else TorchFunctionMode

    def changed(self: Any, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = rewrite(func, args, kwargs or {}, self.count)
        if answer is NotImplemented:
            return func(*args, **(kwargs or {}))
        self.count += 1
        return answer

    name = "__torch_dispatch__" if operators else "__torch_function__"
    kind = type("Rewriting", (mode,), {"count": 0, name: changed})
    inner = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with kind():
            return inner(*args, **kwargs)

    module.forward = forward


def change_inputs(module: nn.Module, change: Callable[[Tensor], Tensor], names: Sequence[str]) -> None:
    """Change the inputs of these names whenever the module is called."""

    def hook(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {name: change(value) if name in names else value for name, value in kwargs.items()}

    module.register_forward_pre_hook(hook, with_kwargs=True)


def run_at(part: nn.Module, dtype: Any) -> None:
    """Let one layer compute in `dtype`, whatever surrounds it."""
    before: list[Any] = []

    def narrow(_part: Any, args: Any) -> Any:
        before[:] = [args[0].dtype]
        return tuple(a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)

    part.to(dtype)
    part.register_forward_pre_hook(narrow)
    part.register_forward_hook(lambda _part, _args, answer: answer.to(before[0]))


def tf32(value: Any) -> Any:
    """A float32 tensor with the mantissa that TF32 multipliers keep: 10 bits, rounded to nearest."""
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
        return value
    bits = value.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
