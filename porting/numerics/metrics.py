"""Metrics: how far one output is from the truth. numpy only; what an error may amount to is porting.numerics.compare's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

METRICS = ("rel", "row", "peak")
"""The fields of `Errors` that are held against a limit."""
SENTINEL = 1e30
"""At least this large (or not finite) in the truth: a mask value, compared by sign and size only."""
SENTINEL_LOW = 1e4
"""What a mask value must at least come out as: the -1.8e308 of fp64 is -65504 in fp16."""


class Errors(NamedTuple):
    """Distance of one output from the truth; rel, row, peak and max_abs are inf when something is not comparable."""

    rel: float
    """L2 norm of the difference over the L2 norm of the truth."""
    row: float
    """The same for the worst row along the last axis; rows far below the rms count as a tenth of it."""
    peak: float
    """Largest difference over the rms of the truth."""
    max_abs: float
    """Largest difference, in the output's unit."""
    cosine: float
    """Reported, never a gate: it does not see a scale error."""
    nonfinite: int
    """Elements not finite where the truth is, or the other way round."""

    @property
    def sqnr_db(self) -> float:
        """Signal to quantisation noise ratio in dB; inf when equal."""
        return math.inf if self.rel == 0 else -20 * math.log10(self.rel) if self.rel < math.inf else -math.inf


EXACT = Errors(0.0, 0.0, 0.0, 0.0, 1.0, 0)


def is_exact_kind(array: Array) -> bool:
    """Whether an output is compared element by element (integers, bools) instead of by norms."""
    return array.dtype.kind in "iub"


def measure(actual: Array, truth: Array) -> Errors:
    """Measure how far `actual` is from `truth`. Arrays of equal shape, host memory; truth in float64 or complex128.

    Elements of the truth that are not finite or at least SENTINEL in size are compared by sign and size and left out of
    the norms. A NaN in the truth matches only a NaN. A complex number counts as two. Raises ValueError if shapes differ.
    """
    import numpy as np

    if np.shape(actual) != np.shape(truth):
        raise ValueError(f"shapes differ: {np.shape(actual)} and {np.shape(truth)}")
    a, r = _real(actual, truth)
    if not r.size:
        return EXACT
    hole = ~(np.abs(r) < SENTINEL)
    wrong = (hole & ~_same_sentinel(a, r)) | (~hole & ~np.isfinite(a))
    if wrong.any():
        return Errors(math.inf, math.inf, math.inf, math.inf, -1.0, int(wrong.sum()))
    if hole.any():
        a, r = np.where(hole, 0.0, a), np.where(hole, 0.0, r)
    with np.errstate(over="ignore", invalid="ignore"):  # a difference may exceed what float64 can square
        return _norms(a, r)


def _real(*arrays: Any) -> list[Array]:
    """Arrays as float64; where one is complex, all with real and imaginary part side by side."""
    import numpy as np

    if not any(np.iscomplexobj(array) for array in arrays):
        return [np.asarray(array, np.float64) for array in arrays]
    complexes = [np.atleast_1d(np.asarray(array, np.complex128)) for array in arrays]
    return [np.concatenate([c.real, c.imag], -1) for c in complexes]


def _same_sentinel(a: Array, r: Array) -> Array:
    import numpy as np

    large = (np.sign(a) == np.sign(r)) & ~(np.abs(a) < SENTINEL_LOW)
    same: Array = np.where(np.isnan(r), np.isnan(a), large)
    return same


def _norms(a: Array, r: Array) -> Errors:
    import numpy as np

    # Scaling by the largest element keeps squares of very large and very small outputs inside float64.
    scale = float(np.abs(r).max())
    difference = a - r
    largest = float(np.abs(difference).max())
    if scale == 0.0:
        return EXACT if largest == 0.0 else Errors(math.inf, math.inf, math.inf, largest, 0.0, 0)
    if largest == 0.0:
        return EXACT
    d, t = difference / scale, r / scale
    norm = float(np.linalg.norm(t))
    rms = norm / math.sqrt(t.size)
    width = t.shape[-1] if t.ndim else 1
    d_rows = np.linalg.norm(d.reshape(-1, width), axis=1)
    t_rows = np.maximum(np.linalg.norm(t.reshape(-1, width), axis=1), 0.1 * rms * math.sqrt(width))
    other = float(np.linalg.norm(a / scale))
    cosine = float(np.dot((a / scale).ravel(), t.ravel())) / (other * norm) if other else 0.0
    rel = float(np.linalg.norm(d)) / norm
    return Errors(rel, float((d_rows / t_rows).max()), largest / scale / rms, largest, min(1.0, max(-1.0, cosine)), 0)
