"""How far a value of a cut is from the reference, as one number, and how far it may be. numpy only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from porting.numerics.metrics import is_exact_kind, measure
from porting.types import Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

EPSILON = {Precision.FP32: 2.0**-23, Precision.TF32: 2.0**-10, Precision.FP16: 2.0**-10, Precision.BF16: 2.0**-7}
"""Relative spacing of numbers at 1."""
FACTOR = 16.0
"""A value may be off by so many times what the operator's own float32 arithmetic is off, and by so many spacings in any case."""
PEAK_SHARE = 32.0
"""The worst element counts, over the output's rms, divided by this: one wrong row among many must not drown in the norm."""


def distance(actual: Array, reference: Array, flips: float = 0.0, step: int = 0) -> float:
    """The larger of the relative L2 error and the worst element over the rms, divided by PEAK_SHARE. Infinite where they cannot
    be compared: other shape or kind, values that are not finite on one side alone, integers that differ.

    flips: share of the elements of integers and bools that may differ. step: by how much every integer may.
    """
    if actual.shape != reference.shape or _kind(actual) != _kind(reference):
        return math.inf
    if is_exact_kind(reference):
        differ = (actual != reference) & ~_saturated(reference)
        if step and actual.dtype.kind != "b":
            differ &= abs(actual.astype("int64") - reference.astype("int64")) > step
        return 0.0 if differ.sum() <= math.ceil(flips * reference.size) else math.inf
    errors = measure(actual, reference)
    if errors.nonfinite == 0 and not reference.any():  # nothing to be relative to
        return errors.max_abs
    return max(errors.rel, errors.peak / PEAK_SHARE)


def _saturated(reference: Array) -> Any:
    """Where integers come from values that none stands for, such as a cast infinity: what those are is left open."""
    import numpy as np

    if reference.dtype.kind == "b" or reference.dtype.itemsize < 4:
        return False
    limits = np.iinfo(reference.dtype)
    return (reference > limits.max // 2) | (reference < limits.min // 2)


def is_nonfinite(actual: Array, reference: Array) -> bool:
    """Whether values are not finite where the reference is, or the other way round."""
    comparable = actual.shape == reference.shape and not is_exact_kind(reference) and not is_exact_kind(actual)
    return comparable and measure(actual, reference).nonfinite > 0


def _kind(array: Array) -> str:
    """Floating-point values of any width are one kind: bfloat16 is of numpy's kind V."""
    return array.dtype.kind if array.dtype.kind in "iubc" else "f"
