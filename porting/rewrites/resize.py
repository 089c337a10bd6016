"""Resizing with antialiasing, as products with two matrices: stacks that know the operator may leave the antialiasing out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CUBIC = -0.5
"""Of the cubic filter, as PyTorch has it where it antialiases."""


def ways() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator that resizes with antialiasing."""
    import torch

    aten = torch.ops.aten
    found = {}
    for name, weight in (("bilinear", _triangle), ("bicubic", _cubic)):
        found[getattr(aten, f"_upsample_{name}2d_aa").vec] = _by_factors(weight)
        found[getattr(aten, f"_upsample_{name}2d_aa").default] = _by_sizes(weight)
    return found


def _by_factors(weight: Callable[[Any], Any]) -> Callable[..., Any]:
    def way(image: Any, sizes: Sequence[Any] | None, align_corners: bool, factors: Sequence[float] | None) -> Any:
        import torch

        if align_corners:
            return NotImplemented
        wanted = sizes or [torch.sym_int(size * factor) for size, factor in zip(image.shape[-2:], factors or (), strict=True)]
        return _resized(image, wanted, factors or (None, None), weight)

    return way


def _by_sizes(weight: Callable[[Any], Any]) -> Callable[..., Any]:
    def way(image: Any, sizes: Sequence[Any], align_corners: bool, down: float | None = None, across: float | None = None) -> Any:
        return NotImplemented if align_corners else _resized(image, sizes, (down, across), weight)

    return way


def _resized(image: Any, sizes: Sequence[Any], factors: Sequence[float | None], weight: Callable[[Any], Any]) -> Any:
    down, across = (
        _matrix(old, new, factor, weight).to(image.dtype)
        for old, new, factor in zip(image.shape[-2:], sizes, factors, strict=True)
    )
    return down @ (image @ across.transpose(0, 1))


def _matrix(old: Any, new: Any, factor: float | None, weight: Callable[[Any], Any]) -> Any:
    """What each of `new` places takes of each of `old`: a filter around where it lies, as wide as the step between places."""
    import torch

    step = 1 / factor if factor else old / new
    centres = (torch.arange(new, dtype=torch.float32) + 0.5) * step
    apart = torch.arange(old, dtype=torch.float32) + 0.5 - centres[:, None]
    shares = weight(apart / max(step, 1.0))
    return shares / shares.sum(-1, keepdim=True)


def _triangle(apart: Any) -> Any:
    return (1 - apart.abs()).clamp(min=0)


def _cubic(apart: Any) -> Any:
    import torch

    x = apart.abs()
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
