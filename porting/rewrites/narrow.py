"""int64 as int32: a program is captured again with every integer of 64 bits that it takes or makes held in 32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def has_int64(program: torch.export.ExportedProgram) -> bool:
    """Whether any call of a program makes integers of 64 bits."""
    return any(node.op == "call_function" and _is_int64(node.meta.get("val")) for node in program.graph.nodes)


def _is_int64(value: Any) -> bool:
    import torch

    values = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(each, torch.Tensor) and each.dtype is torch.int64 for each in values)


def _narrow(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor) and value.dtype is torch.int64:
        return value.to(torch.int32)
    return torch.int32 if value is torch.int64 else value


def _wide(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor) and value.dtype is torch.int32:
        return value.to(torch.int64)
    return torch.int64 if value is torch.int32 else value


def narrowed(module: Any) -> Any:
    """A module that answers as a captured one, its inputs and outputs of the same dtypes, and computes in int32 where that one
    does in int64. An operator that takes indices of 64 bits alone is given those, cast."""
    import torch
    from torch import nn
    from torch.utils._pytree import tree_map

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        def placeholder(self, target: str, args: Any, kwargs: Any) -> Any:
            return _narrow(super().placeholder(target, args, kwargs))

        def get_attr(self, target: str, args: Any, kwargs: Any) -> Any:
            return _narrow(super().get_attr(target, args, kwargs))

        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            args, kwargs = tree_map(_narrow, (args, kwargs))
            name = str(getattr(target, "overloadpacket", "")).removeprefix("aten.")
            if name == "_assert_tensor_metadata":
                return None
            try:
                found = super().call_function(target, args, _with_dtype(target, name, args, kwargs))
            except (RuntimeError, IndexError):
                found = super().call_function(target, *tree_map(_wide, (args, kwargs)))
            return tree_map(_narrow, found)

    class Narrowed(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            outputs = next(node for node in module.graph.nodes if node.op == "output").args[0]
            self.wide = [isinstance(node, torch.fx.Node) and _is_int64(node.meta.get("val")) for node in outputs]

        def forward(self, *tensors: Any) -> Any:
            found = Run(self.inner).run(*tensors)
            return tuple(_wide(each) if is_wide else each for each, is_wide in zip(found, self.wide, strict=True))

    return Narrowed()


def _with_dtype(target: Any, name: str, args: Any, kwargs: Any) -> Any:
    """The arguments of a call by name, with a dtype where none is said and int64 would come."""
    import torch

    if not name or kwargs.get("dtype") is not None or all(argument.name != "dtype" for argument in target._schema.arguments):
        return kwargs
    counts = name == "arange" and not any(isinstance(value, float) for value in args)
    adds = name in ("sum", "cumsum", "prod") and not args[0].is_floating_point()
    return {**kwargs, "dtype": torch.int32} if counts or adds else kwargs
