"""The tensor types of old, torch.cuda.FloatTensor and its kin: they make tensors of the card, know them, may be the default."""

from __future__ import annotations

from typing import Any, Dict

_NAMES = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")
_PREFIX = "torch.cuda."


def bring_back(torch: Any) -> None:
    """Put them in the place of those that a build for the CPU has, which only raise."""
    kinds = {f"{name}Tensor": _kind(torch, f"{name}Tensor") for name in _NAMES}
    for name, kind in kinds.items():
        setattr(torch.cuda, name, kind)
    _patch_default(torch, kinds)


def _kind(torch: Any, name: str) -> Any:
    host = getattr(torch, name)

    class Kind(type):
        def __instancecheck__(cls, other: Any) -> bool:
            return isinstance(other, torch.Tensor) and other.is_cuda and other.dtype == host.dtype

    class OfTheCard(metaclass=Kind):
        dtype, is_cuda, is_sparse, layout = host.dtype, True, False, torch.strided

        def __new__(cls, *args: Any, **_more: Any) -> Any:
            with torch.device("cpu"):
                return host(*(arg.cpu() if isinstance(arg, torch.Tensor) else arg for arg in args)).cuda()

    OfTheCard.__name__ = _PREFIX + name  # Tensor.type(kind) goes by it
    OfTheCard.__module__ = "torch.cuda"
    return OfTheCard


def _patch_default(torch: Any, kinds: Dict[str, Any]) -> None:
    """torch.set_default_tensor_type of such a type: C++ refuses it, and a default device is what it comes to."""
    original = torch.set_default_tensor_type

    def set_default_tensor_type(kind: Any) -> None:
        name = kind if isinstance(kind, str) else kind.__name__ if kind in kinds.values() else ""
        if name.startswith(_PREFIX):
            torch.set_default_dtype(kinds[name[len(_PREFIX) :]].dtype)
            torch.set_default_device("cuda")
        else:
            torch.set_default_device("cpu")
            original(kind)

    torch.set_default_tensor_type = set_default_tensor_type
