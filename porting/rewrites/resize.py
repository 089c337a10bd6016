"""Resizing as products with two matrices: stacks that know the operator leave the antialiasing out, have another filter, or
average over the areas of one size alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CUBIC, CUBIC_PLAIN = -0.5, -0.75
"""Of the cubic filter, as PyTorch has it where it antialiases, and where it does not."""


def bicubic() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator that resizes by a cubic filter without antialiasing."""
    import torch

    def by_factors(image: Any, sizes: Sequence[Any] | None, corners: bool, factors: Sequence[float] | None) -> Any:
        wanted = sizes or [torch.sym_int(size * factor) for size, factor in zip(image.shape[-2:], factors or (), strict=True)]
        return by_sizes(image, wanted, corners, *(factors or ()))

    def by_sizes(image: Any, sizes: Sequence[Any], corners: bool, down: float | None = None, across: float | None = None) -> Any:
        rows, columns = (
            _taps(old, new, factor, corners).to(image.dtype)
            for old, new, factor in zip(image.shape[-2:], sizes, (down, across), strict=True)
        )
        return rows @ (image @ columns.transpose(0, 1))

    aten = torch.ops.aten
    return {aten.upsample_bicubic2d.vec: by_factors, aten.upsample_bicubic2d.default: by_sizes}


def _taps(old: Any, new: Any, factor: float | None, corners: bool) -> Any:
    """What each of `new` places takes of each of `old`: four beside one another, those outside being the one at the edge."""
    import torch

    place = torch.arange(new, dtype=torch.float32)
    if corners:
        centres = place * ((old - 1) / torch.sym_max(new - 1, 1))
    else:
        centres = (place + 0.5) * (1 / factor if factor else old / new) - 0.5
    first = centres.floor()
    source = torch.arange(old, dtype=torch.float32)
    matrix = torch.zeros(new, old)
    for tap in (-1, 0, 1, 2):
        at = torch.minimum((first + tap).clamp(min=0), source[-1])
        share = _cubic(centres - first - tap, CUBIC_PLAIN)
        matrix = matrix + torch.where(at[:, None] == source, share[:, None], 0.0)
    return matrix


def pooling() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of averages over as many areas as asked for, of a size that varies: taken apart by torch, they
    are the areas of the size at hand, whatever comes."""

    def way(image: Any, sizes: Sequence[int]) -> Any:
        if all(size == 1 for size in sizes) or not any(_varies(size) for size in image.shape[-2:]):
            return NotImplemented
        rows, columns = (_areas(old, new).to(image.dtype) for old, new in zip(image.shape[-2:], sizes, strict=True))
        return rows @ (image @ columns.transpose(0, 1))

    import torch

    return {torch.ops.aten.adaptive_avg_pool2d.default: way}


def _varies(size: Any) -> bool:
    import torch

    return isinstance(size, torch.SymInt) and not size.node.is_constant()


def _areas(old: Any, new: int) -> Any:
    """What each of `new` areas takes of each of `old` places: they begin and end at whole ones, and may share some."""
    import torch

    area, place = torch.arange(new)[:, None], torch.arange(old)
    within = ((place + 1) * new > area * old) & (place * new < (area + 1) * old)
    return within / within.sum(-1, keepdim=True)


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
    """What each of `new` places takes of each of `old`: a filter around where it lies, as wide as the step between places, and
    no less than one."""
    import torch

    step, width = (1 / factor, max(1 / factor, 1.0)) if factor else (old / new, torch.sym_max(old, new) / new)
    centres = (torch.arange(new, dtype=torch.float32) + 0.5) * step
    apart = torch.arange(old, dtype=torch.float32) + 0.5 - centres[:, None]
    shares = weight(apart / width)
    return shares / shares.sum(-1, keepdim=True)


def _triangle(apart: Any) -> Any:
    return (1 - apart.abs()).clamp(min=0)


def _cubic(apart: Any, sharp: float = CUBIC) -> Any:
    import torch

    x = apart.abs()
    near = ((sharp + 2) * x - (sharp + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * sharp
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
