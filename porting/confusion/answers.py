"""Wrong answers, and one that is right, planted in what eager PyTorch answers at a precision.

Each takes the place of a backend's answer and goes through the rule as that would. A new kind is one line in ANSWERS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from porting.confusion.trial import CAUGHT, PASSED, PRECISIONS, Rules, Trial, judges, outcomes
from porting.types import Precision

if TYPE_CHECKING:
    from porting.bundles.bundle import Bundle
    from porting.numerics.compare import Judge

    Array = np.ndarray[Any, Any]
    Outputs = dict[str, Array]
    Cases = dict[str, Outputs]

FP32, FP16, BF16 = PRECISIONS


@dataclass(frozen=True)
class Given:
    """What is known of a model at one precision."""

    right: Cases
    """Eager's answer at that precision, by case."""
    truth: Cases


@dataclass(frozen=True)
class Answer:
    """A kind of answer."""

    name: str
    plant: Callable[[Given], Cases]
    caught_at: tuple[Precision, ...] = PRECISIONS
    """Precisions at which it must never pass; at the others it is only counted."""
    right: bool = False
    """Whether it must pass instead."""

    def expected(self, precision: Precision) -> str:
        return PASSED if self.right else CAUGHT if precision in self.caught_at else ""


# ---- how answers are planted --------------------------------------------------------------------------------------


def _each(change: Callable[[Array], Array]) -> Callable[[Given], Cases]:
    """Change every floating-point output of every case."""

    def plant(given: Given) -> Cases:
        return {case: {n: change(a) if _is_plain(a) else a for n, a in o.items()} for case, o in given.right.items()}

    return plant


def _is_plain(array: Array) -> bool:
    return array.dtype.kind == "f" and array.size > 0


def _put(value: float) -> Callable[[Given], Cases]:
    """Change one element of the last case's largest output."""

    def change(array: Array) -> Array:
        array.flat[array.size // 2] = value
        return array

    return _in_largest(change)


def _in_largest(change: Callable[[Array], Array]) -> Callable[[Given], Cases]:
    """Change the largest floating-point output of the last case only."""

    def plant(given: Given) -> Cases:
        case, outputs = list(given.right.items())[-1]
        name = max((n for n, a in outputs.items() if _is_plain(a)), key=lambda n: outputs[n].size, default=None)
        return given.right if name is None else {**given.right, case: {**outputs, name: change(outputs[name].copy())}}

    return plant


def _rms(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return math.sqrt(float(np.mean(finite**2))) if finite.size else 0.0


def _clipped(array: Array) -> Array:
    finite = array[np.isfinite(array)]
    half = float(np.abs(finite).max()) / 2 if finite.size else 0.0
    return np.where(np.isfinite(array), np.clip(array, -half, half), array)


def _rolled(array: Array) -> Array:
    return np.roll(array, 1, -1 if array.ndim and array.shape[-1] > 1 else None)


def _last_row(factor: float, dimensions: int = 1) -> Callable[[Array], Array]:
    """Scale the last row along the last axis. dimensions: only where an output has at least that many."""

    def change(array: Array) -> Array:
        array = array.copy()
        if array.ndim >= dimensions:
            rows = array.reshape(-1, array.shape[-1])
            rows[-1] *= factor
        return array

    return change


def _last_token(array: Array) -> Array:
    array = array.copy()
    if array.ndim >= 3:
        array[..., -1, :] *= 1.1
    return array


def _typical_element_doubled(array: Array) -> Array:
    """The element whose size is closest to the rms."""
    place = int(np.argmin(np.abs(np.abs(array) - _rms(array))))
    array.flat[place] *= 2
    return array


def _first_item(array: Array) -> Array:
    """The first item's answer for every item of the batch."""
    return np.broadcast_to(array[:1], array.shape).copy() if array.ndim > 1 else array


def _foreign(given: Given) -> Cases:
    """The next case's answer where there is one of the same shapes."""
    names = list(given.right)
    answer = {}
    for number, name in enumerate(names):
        rest = names[number + 1 :] + names[:number]
        alike = [other for other in rest if _shapes(given.right[other]) == _shapes(given.right[name])]
        answer[name] = given.right[alike[0] if alike else name]
    return answer


def _shapes(outputs: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in outputs.items()}


def _mean_of_cases(given: Given) -> Cases:
    """A constant: the mean over the cases of the same shapes."""

    def mean(name: str, outputs: Outputs) -> Array:
        alike = [o[name] for o in given.right.values() if _shapes(o) == _shapes(outputs)]
        result: Array = np.mean(alike, axis=0) if _is_plain(outputs[name]) else outputs[name]
        return result

    return {case: {name: mean(name, o) for name in o} for case, o in given.right.items()}


def _noise_times(factor: float) -> Callable[[Given], Cases]:
    """The truth with eager's own error, enlarged."""

    def one(right: Array, truth: Array) -> Array:
        if not _is_plain(truth):
            return right
        ordinary = np.isfinite(truth) & np.isfinite(right)
        error = np.where(ordinary, right, 0) - np.where(ordinary, truth, 0)
        return np.where(ordinary, truth + factor * error, right)

    def plant(given: Given) -> Cases:
        return {c: {n: one(a, given.truth[c][n]) for n, a in o.items()} for c, o in given.right.items()}

    return plant


def _drop_output(given: Given) -> Cases:
    return {case: dict(list(outputs.items())[:-1]) for case, outputs in given.right.items()}


def _extra_output(given: Given) -> Cases:
    return {case: {**outputs, "extra": next(iter(outputs.values()))} for case, outputs in given.right.items()}


def _extra_axis(given: Given) -> Cases:
    return {case: {name: array[None] for name, array in outputs.items()} for case, outputs in given.right.items()}


def _lost_case(given: Given) -> Cases:
    return dict(list(given.right.items())[:-1])


# Where not every precision is named, the fault is smaller than what the others may lose (docs/verdicts.md).
ANSWERS = (
    Answer("one NaN", _put(math.nan)),
    Answer("one infinity", _put(math.inf)),
    Answer("all zeros", _each(np.zeros_like)),
    Answer("another case's answer", _foreign),
    Answer("negated", _each(np.negative)),
    Answer("rolled by one", _each(_rolled)),
    Answer("clipped at half its range", _each(_clipped)),
    Answer("mean of the cases", _mean_of_cases),
    Answer("first item for the whole batch", _each(_first_item), (FP32,)),
    Answer("output dropped", _drop_output),
    Answer("output too many", _extra_output),
    Answer("extra axis", _extra_axis),
    Answer("no answer for one case", _lost_case),
    Answer("x 1.1", _each(lambda a: 1.1 * a), (FP32, FP16)),
    Answer("x 1.02", _each(lambda a: 1.02 * a), (FP32,)),
    Answer("x 1.001", _each(lambda a: 1.001 * a), (FP32,)),
    Answer("+ 0.1 rms", _each(lambda a: a + 0.1 * _rms(a)), (FP32, FP16)),
    Answer("last row x 1.2", _each(_last_row(1.2)), (FP32, FP16)),
    Answer("last token x 1.1", _each(_last_token), (FP32,)),
    Answer("one element x 2", _in_largest(_typical_element_doubled), (FP32,)),
    Answer("10 times eager's noise", _noise_times(10), ()),
    Answer("twice eager's noise", _noise_times(2), right=True),
)


# ---- judging them -------------------------------------------------------------------------------------------------


def trials(bundle: Bundle, precisions: Sequence[Precision], rule_sets: Sequence[Rules]) -> list[Trial]:
    """Plant every answer at every precision that the bundle has eager's answers of."""
    truth = {case.name: bundle.read(case.truth) for case in bundle.cases}
    found = []
    for precision in precisions:
        files = {case.name: case.eager(precision) for case in bundle.cases}
        if all(file in bundle.files for file in files.values()):
            given = Given({name: bundle.read(file) for name, file in files.items()}, truth)
            by = judges(truth, bundle.noise.get(precision.value, {}), precision, rule_sets)
            found += [_trial(answer, given, bundle.model, precision, by) for answer in ANSWERS]
    return found


def _trial(answer: Answer, given: Given, model: str, precision: Precision, by: Sequence[Judge]) -> Trial:
    planted = answer.plant(given)
    judged = () if _equal(planted, given.right) else outcomes(planted, by)
    return Trial("answer", answer.name, model, precision, judged, answer.expected(precision))


def _equal(one: Cases, other: Cases) -> bool:
    if {c: _shapes(o) for c, o in one.items()} != {c: _shapes(o) for c, o in other.items()}:
        return False
    pairs = ((array, other[case][name]) for case, outputs in one.items() for name, array in outputs.items())
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
