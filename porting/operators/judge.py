"""Whether the answer to a node case is right. Runs in the parent, never in a backend's process; numpy only.

A case's expected output was computed by the onnx package with numpy in the output's own dtype, so there is no wider truth
and no noise to measure as for models; an element may differ by a few units of the arithmetic's rounding, of its own value
or of the output's largest. Integers, bools, infinities and NaN have to be equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting.numerics.compare import Verdict
from porting.numerics.metrics import SENTINEL, is_exact_kind, measure
from porting.operators.suite import NodeCase
from porting.types import CaseNumbers, Cause, Outcome, OutputNumbers, Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Tolerance:
    """What an element may be off by: `rtol` of its own size and `peak` of the output's largest element."""

    rtol: float
    peak: float


TOLERANCES: Mapping[Precision, Tolerance] = {
    Precision.FP32: Tolerance(1e-4, 2e-6),
    Precision.TF32: Tolerance(1e-2, 2e-3),
    Precision.FP16: Tolerance(4e-3, 2e-3),
    Precision.BF16: Tolerance(3.2e-2, 1.6e-2),
}
"""By the coarser of the precision computed in and the output's dtype."""
_BY_DTYPE = {"float16": Precision.FP16, "bfloat16": Precision.BF16}
HALF_MASK = 6e4
"""At least this large at fp16: a mask value. At other precisions porting.numerics.metrics.SENTINEL."""
ROUNDED = frozenset(
    ("test_averagepool_2d_ceil_last_window_starts_on_pad", "test_gridsample_bicubic", "test_roialign_aligned_false",
     "test_roialign_aligned_true")
)  # fmt: skip
"""Cases whose expected values stand in their source with four digits: they keep their own `rtol`."""
_COARSER = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16)


def judge(case: NodeCase, actual: Mapping[str, Array] | None, expected: Mapping[str, Array], precision: Precision) -> Verdict:
    """Judge the answer to a case, computed at a precision. Returns PASS, MISMATCH, or SKIPPED where nothing can be said."""
    wrong = _structure(actual, expected)
    if wrong or actual is None:
        return Verdict(Outcome.MISMATCH, Cause.OUTPUT_STRUCTURE, wrong)
    if case.random:
        return Verdict(Outcome.SKIPPED, None, "not tested: the answer is drawn by chance; its shapes and dtypes are right")
    judged = [_output(case, name, actual[name], expected[name], precision) for name in expected]
    numbers = (CaseNumbers(case.name, tuple(n for n, _ in judged)),)
    complaints = [complaint for _, complaint in judged if complaint]
    if complaints:
        return Verdict(Outcome.MISMATCH, *complaints[0], numbers)
    return Verdict(Outcome.PASS, None, _closest(numbers[0]), numbers)


def _structure(actual: Mapping[str, Array] | None, expected: Mapping[str, Array]) -> str:
    """What is wrong with names, shapes and dtypes, or nothing."""
    if actual is None:
        return "no outputs came back"
    lost, extra = [n for n in expected if n not in actual], [n for n in actual if n not in expected]
    if lost or extra:
        words = [f"lacks {', '.join(lost)}"] * bool(lost) + [f"has unexpected {', '.join(extra)}"] * bool(extra)
        return f"the answer {' and '.join(words)}"
    for name, r in expected.items():
        if actual[name].shape != r.shape:
            return f"output {name} has shape {actual[name].shape}, expected {r.shape}"
        if actual[name].dtype != r.dtype:
            return f"output {name} has dtype {actual[name].dtype}, expected {r.dtype}"
    return ""


def _output(
    case: NodeCase, name: str, a: Array, r: Array, precision: Precision
) -> tuple[OutputNumbers, tuple[Cause, str] | None]:
    """The numbers of one output, and what is wrong with it."""
    import numpy as np

    if is_exact_kind(r):
        differ = np.asarray(a != r)
        flips = int(differ.sum())
        words = f"output {name}: {flips} of {r.size} elements differ{_first(a, r, differ)}"
        return OutputNumbers(name, flips=flips, allowed_flips=0, elements=r.size), (Cause.TOLERANCE, words) if flips else None
    wide = np.complex128 if np.iscomplexobj(r) else np.float64
    x, y = a.astype(wide), r.astype(wide)
    odd = ~np.isfinite(y)
    unlike = (odd & ~_same(x, y)) | (~odd & ~np.isfinite(x))
    off, share = _off(case, np.where(odd, 0, x), np.where(odd, 0, y), unlike, _coarser(precision, r))
    numbers = _numbers(name, a, r, int(unlike.sum()), share)
    if unlike.any():
        words = f"output {name}: {int(unlike.sum())} of {r.size} elements are finite, infinite or NaN where they should not be"
        return numbers, (Cause.NONFINITE, words + _first(a, r, unlike))
    words = f"output {name}: {int(off.sum())} of {r.size} elements are off by up to {share:.1f} times what is allowed"
    return numbers, (Cause.TOLERANCE, words + _first(a, r, off)) if off.any() else None


def _same(x: Array, y: Array) -> Array:
    """Where both are NaN, or the same infinity."""
    import numpy as np

    same: Array = (x == y) | (np.isnan(x) & np.isnan(y))
    return same


def _coarser(precision: Precision, r: Array) -> Precision:
    own = _BY_DTYPE.get(str(r.dtype), Precision.FP32)
    return max(precision, own, key=_COARSER.index)


def _off(case: NodeCase, x: Array, y: Array, unlike: Array, precision: Precision) -> tuple[Array, float]:
    """Which elements are off by more than is allowed, and how much of it the worst one used."""
    import numpy as np

    if not y.size:
        return unlike, 0.0
    given = TOLERANCES[precision]
    rtol = max(given.rtol, case.rtol) if case.name in ROUNDED else given.rtol
    size = np.abs(y)
    # A mask value of -65504 or -3.4e38 says nothing of the others' size; with it as the largest, anything would be right.
    largest = float(size[size < (HALF_MASK if precision is Precision.FP16 else SENTINEL)].max(initial=0.0))
    allowed = np.maximum(case.atol, given.peak * largest) + rtol * size
    with np.errstate(invalid="ignore", over="ignore"):
        used = np.where(unlike, 0.0, np.abs(x - y)) / allowed
    return ~(used <= 1.0), float(used.max())


def _first(a: Array, r: Array, where: Array) -> str:
    """The first element that is wrong, in words."""
    import numpy as np

    if not where.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(where)[0]) if where.ndim else ()
    return f"; at {list(place)} {a[place]}, expected {r[place]}" if place else f"; {a[()]}, expected {r[()]}"


def _numbers(name: str, a: Array, r: Array, nonfinite: int, share: float) -> OutputNumbers:
    """share: of what is allowed, by the worst element; kept as `peak` held against 1."""
    found = measure(a, r)
    finite = {n: v if math.isfinite(v := getattr(found, n)) else None for n in ("max_abs", "cosine")}
    rel = found.rel if math.isfinite(found.rel) else None
    sqnr = found.sqnr_db if math.isfinite(found.sqnr_db) else None
    return OutputNumbers(
        name,
        rel_norm=rel,
        sqnr_db=sqnr,
        peak=share if math.isfinite(share) else None,
        allowed_peak=1.0,
        nonfinite=nonfinite,
        elements=r.size,
        **finite,
    )


def _closest(case: CaseNumbers) -> str:
    """How much of what is allowed the worst output used, in words."""
    worst = max(((o.peak or 0.0, o.name) for o in case.outputs), default=(0.0, ""))
    return f"at most {worst[0]:.0%} of what is allowed (output {worst[1]})" if worst[0] else "all elements equal"
