"""Finds which integer inputs index a table (an embedding), so that ids are drawn inside it. By watching one run of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Operators whose result holds the same ids in another form.
_SAME_IDS = frozenset((
    "aten::_to_copy", "aten::clone", "aten::view", "aten::_unsafe_view", "aten::reshape", "aten::unsqueeze", "aten::squeeze",
    "aten::expand", "aten::transpose", "aten::t", "aten::permute", "aten::slice", "aten::select", "aten::alias", "aten::detach",
    "aten::contiguous", "aten::to", "aten::flatten",
))  # fmt: skip

# Operator -> (which argument is the table, which the ids, along which axis)
_LOOKUPS: Mapping[str, tuple[int, int]] = {
    "aten::embedding": (0, 1),
    "aten::_embedding_bag": (0, 1),
    "aten::_embedding_bag_forward_only": (0, 1),
    "aten::index_select": (0, 2),
    "aten::index": (0, 1),
}


def table_sizes(run: Callable[[], object], examples: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Run once and return the rows of the smallest table that each integer input indexes; inputs that index none are left out.

    run: calls the model on `examples`, the very same tensors.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    integers = {name: t for name, t in examples.items() if t.dtype in (torch.int64, torch.int32, torch.int16, torch.uint8)}
    owners = {t.untyped_storage().data_ptr(): name for name, t in integers.items() if t.numel()}
    found: dict[str, int] = {}
    alive: list[torch.Tensor] = []  # a freed tensor's address could be another's later

    class Watch(TorchDispatchMode):  # type: ignore[misc]  # torch's types are not followed
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            result = func(*args, **(kwargs or {}))
            name = func.name().split(".")[0]
            if name in _SAME_IDS and isinstance(result, torch.Tensor) and (owner := _owner(owners, args[0])):
                owners[result.untyped_storage().data_ptr()] = owner
                alive.append(result)
            elif name in _LOOKUPS:
                _note(name, args, owners, found)
            return result

    with torch.no_grad(), Watch():
        run()
    return found


def _owner(owners: Mapping[int, str], value: object) -> str | None:
    import torch

    if not isinstance(value, torch.Tensor) or value.is_floating_point() or not value.numel():
        return None
    return owners.get(value.untyped_storage().data_ptr())


def _note(name: str, args: tuple[Any, ...], owners: Mapping[int, str], found: dict[str, int]) -> None:
    table, ids = (args[i] for i in _LOOKUPS[name])
    if name == "aten::index":
        ids = ids[0] if ids else None
    axis = args[1] if name == "aten::index_select" else 0
    owner = _owner(owners, ids)
    if owner and table.dim():
        rows = int(table.shape[axis])
        found[owner] = min(rows, found.get(owner, rows))
