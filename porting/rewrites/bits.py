"""Integers whose bits are taken apart, by whole numbers: few stacks have operators of bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def ways() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of and, or and xor of a number and a boolean, or of a number and the lowest bits. Two booleans
    are left as they are, since every stack has those, and so are two numbers of any bits."""
    import torch

    aten = torch.ops.aten

    def both(number: Any, flag: Any) -> Any:
        return torch.where(flag, number.remainder(2), 0)

    def either(number: Any, flag: Any) -> Any:
        return torch.where(flag, number - number.remainder(2) + 1, number)

    def one(number: Any, flag: Any) -> Any:
        return torch.where(flag, number - number.remainder(2) * 2 + 1, number)

    def apart(way: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def by_number(a: Any, b: Any) -> Any:
            if isinstance(b, int) and not isinstance(b, bool) and a.dtype is not torch.bool:
                return a.remainder(b + 1) if way is both and b > 0 and not b & (b + 1) else NotImplemented
            if not isinstance(b, torch.Tensor) or (a.dtype is torch.bool) is (b.dtype is torch.bool):
                return NotImplemented
            return way(a, b) if b.dtype is torch.bool else way(b, a)

        return by_number

    return {
        getattr(operator, overload): apart(way)
        for way, names in ((both, "__and__ bitwise_and"), (either, "__or__ bitwise_or"), (one, "__xor__ bitwise_xor"))
        for operator in (getattr(aten, name) for name in names.split())
        for overload in ("Tensor", "Scalar")
    }
