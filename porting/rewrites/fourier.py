"""Fourier transforms of pairs: products with matrices of sines and cosines, for stacks without complex numbers and FFT."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from porting.rewrites.pairs import Pair, Unpaired

LONGEST = 1024
"""Of an axis whose matrices are held as constants; of a longer one they would weigh more than most models."""


def ways() -> Mapping[str, Callable[..., Any]]:
    """What is done in the place of an operator, by name."""
    found: dict[str, Callable[..., Any]] = {"_fft_r2c": _r2c, "_fft_c2c": _c2c, "_fft_c2r": _c2r}
    for ending, axes in (("", None), ("2", (-2, -1)), ("n", ())):
        found[f"fft_fft{ending}"] = _several(axes, False, _complex)
        found[f"fft_ifft{ending}"] = _several(axes, True, _complex)
        found[f"fft_rfft{ending}"] = _several(axes, False, _from_real)
        found[f"fft_irfft{ending}"] = _several(axes, True, _to_real)
    return found


def _several(axes: tuple[int, ...] | None, inverse: bool, way: Callable[..., Any]) -> Callable[..., Any]:
    """The public operator of one axis (axes: None), of the last two, or of any (empty), which takes sizes, axes and a norm."""

    def one(x: Any, n: Any = None, dim: int = -1, norm: str | None = None) -> Any:
        return way(x, [dim], [n], inverse, norm)

    def many(x: Any, s: Any = None, dim: Any = axes, norm: str | None = None) -> Any:
        last = range(-(len(s) if s is not None else x.ndim), 0)
        dims = list(last) if not dim else list(dim)
        return way(x, dims, list(s) if s is not None else [None] * len(dims), inverse, norm)

    return one if axes is None else many


def _complex(x: Any, dims: Sequence[int], sizes: Sequence[Any], inverse: bool, norm: str | None) -> Pair:
    for dim, size in zip(dims, sizes, strict=True):
        x = _transform(x, dim, size, inverse, norm)
    return _pair(x)


def _from_real(x: Any, dims: Sequence[int], sizes: Sequence[Any], inverse: bool, norm: str | None) -> Pair:
    """The last axis keeps half of what a real one has twice."""
    half = _transform(x, dims[-1], sizes[-1], inverse, norm, half=True)
    return _complex(half, dims[:-1], sizes[:-1], inverse, norm)


def _to_real(x: Any, dims: Sequence[int], sizes: Sequence[Any], inverse: bool, norm: str | None) -> Any:
    """Back, the last axis from its half: of `size` points, two less than twice the half's where that is not said."""
    pair = _pair(_complex(x, dims[:-1], sizes[:-1], inverse, norm) if len(dims) > 1 else x)
    dim = dims[-1] % pair.ndim
    size = sizes[-1] if sizes[-1] is not None else 2 * (pair.shape[dim] - 1)
    real, imaginary = (_last(part, dim, size // 2 + 1) for part in pair.parts)
    cosines, sines = _matrices(size, size // 2 + 1, real)
    weights = _weights(size, real)
    back = (real * weights) @ cosines.transpose(0, 1) - (imaginary * weights) @ sines.transpose(0, 1)
    return _scaled(back, size, inverse, norm).movedim(-1, dim)


def _r2c(x: Any, dims: Sequence[int], normalization: int, onesided: bool) -> Pair:
    way = _from_real if onesided else _complex
    return way(x, dims, [None] * len(dims), False, _NORMS[normalization])


def _c2c(x: Any, dims: Sequence[int], normalization: int, forward: bool) -> Pair:
    norm = _NORMS[normalization] if forward else _BACK[normalization]
    return _complex(x, dims, [None] * len(dims), not forward, norm)


def _c2r(x: Any, dims: Sequence[int], normalization: int, last_dim_size: Any) -> Any:
    return _to_real(x, dims, [*[None] * (len(dims) - 1), last_dim_size], True, _BACK[normalization])


_NORMS = {0: "backward", 1: "ortho", 2: "forward"}
"""Of a forward transform, by what the inner operators number: nothing, the root of n, n."""
_BACK = {0: "forward", 1: "ortho", 2: "backward"}


def _transform(x: Any, dim: int, size: Any, inverse: bool, norm: str | None, half: bool = False) -> Pair:
    """One axis. x: a pair, or real."""
    import torch

    ndim = x.ndim
    dim = dim % ndim
    size = x.shape[dim] if size is None else size
    parts = [_last(part, dim, size) for part in (x.parts if isinstance(x, Pair) else (x,))]
    cosines, sines = _matrices(size, size // 2 + 1 if half else size, parts[0])
    sines = sines if inverse else -sines
    real, imaginary = parts[0] @ cosines, parts[0] @ sines
    if len(parts) > 1:
        real, imaginary = real - parts[1] @ sines, imaginary + parts[1] @ cosines
    whole = [_scaled(part, size, inverse, norm).movedim(-1, dim) for part in (real, imaginary)]
    return Pair(torch.stack(whole, -1))


def _pair(x: Any) -> Pair:
    from porting.rewrites.pairs import as_pair

    return as_pair(x)


def _last(x: Any, dim: int, size: Any) -> Any:
    """The axis as the last one, cut or filled with zeros to a size."""
    import torch

    x = x.movedim(dim, -1)
    have = x.shape[-1]
    if isinstance(have, int) and isinstance(size, int) and have == size:
        return x
    if isinstance(have, int) and isinstance(size, int) and have > size:
        return x[..., :size]
    return torch.nn.functional.pad(x, (0, size - have)) if have is not size else x


def _matrices(size: Any, columns: Any, like: Any) -> tuple[Any, Any]:
    """Cosines and sines of 2 pi j k / size, [size, columns]: constants where the size is known, else computed by the model."""
    import numpy as np
    import torch

    if isinstance(size, int):
        if size > LONGEST:
            raise Unpaired(f"a Fourier transform of {size} points is not written as matrices")
        turns = 2 * math.pi / size * (np.outer(np.arange(size), np.arange(columns)) % size)
        return tuple(torch.tensor(f(turns), dtype=like.dtype) for f in (np.cos, np.sin))
    rows = torch.arange(size)
    angle = torch.remainder(rows[:, None] * torch.arange(columns)[None, :], size).to(like.dtype) * (2 * math.pi / size)
    return torch.cos(angle), torch.sin(angle)


def _weights(size: Any, like: Any) -> Any:
    """Of the half of an axis, how often each stands in the whole: once at both ends, twice between."""
    import torch

    place = torch.arange(size // 2 + 1)
    once = (place == 0) | (place * 2 == size)
    return torch.where(once, 1.0, 2.0).to(like.dtype)


def _scaled(x: Any, size: Any, inverse: bool, norm: str | None) -> Any:
    if norm == "ortho":
        return x * (size**-0.5 if isinstance(size, int) else 1 / math.sqrt(size))
    return x / size if inverse == (norm in (None, "backward")) else x
