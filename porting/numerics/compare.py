"""The pass rule: how far outputs may be from the truth, and whether the truth can tell a wrong answer at all.

Runs in the parent, never in a backend's process. numpy only. Nothing here knows backends, files or processes; how an
error is measured is porting.numerics.metrics'.
The rule and its calibration are explained in docs/verdicts.md; `porting numerics` shows what a change of it costs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from porting.numerics.metrics import METRICS, SENTINEL, Errors, is_exact_kind, measure
from porting.types import CaseNumbers, Cause, Outcome, OutputNumbers, Precision, TensorSpec

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Outputs = Mapping[str, Array]
    """Arrays by output name."""

WIDTH = {"rel": 1.0, "row": 3.0, "peak": 10.0}
"""Floors and ceilings are given for rel; row and peak, larger on right results too, get this many times as much."""


@dataclass(frozen=True)
class Rule:
    """What a precision may lose."""

    factor: float
    """Times the noise of eager PyTorch at the same precision."""
    floor: float
    """Relative L2 error that is always allowed."""
    ceiling: float
    """Relative L2 error that is never allowed; noise above half of it makes the reference invalid."""
    flips: float
    """Share of the elements of an integer or bool output that may differ."""


RULES: Mapping[Precision, Rule] = {
    Precision.FP32: Rule(5, 1e-6, 1e-3, 0.0),
    Precision.TF32: Rule(4, 1e-3, 5e-2, 0.005),
    Precision.FP16: Rule(4, 1e-3, 5e-2, 0.005),
    Precision.BF16: Rule(4, 8e-3, 0.25, 0.02),
}
INT8_SQNR_DB = 15.0
INT8_MARGIN_DB = 3.0
"""Over what another case's answer scores: that alone reaches 14 dB on some models."""
EAGER_FLIPS_LIMIT = 0.25
"""Share of integer elements in which eager itself may differ from the truth before the reference is invalid."""


# ---- noise and what it allows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Eager PyTorch at one precision against the truth, for one output."""

    rel: float = 0.0
    row: float = 0.0
    peak: float = 0.0
    """Largest over all cases: a single case undershoots by up to 17 times."""
    flips: Mapping[str, int] = field(default_factory=dict)
    """Integer and bool outputs: elements that differ, by case."""


def noise_of(eager: Mapping[str, Outputs], truth: Mapping[str, Outputs]) -> dict[str, Noise]:
    """Noise by output. eager, truth: outputs by case. A structure that differs from the truth's makes infinite noise."""
    names = list(next(iter(truth.values())))
    return {name: _noise_of_output(name, eager, truth) for name in names}


def _noise_of_output(name: str, eager: Mapping[str, Outputs], truth: Mapping[str, Outputs]) -> Noise:
    worst = dict.fromkeys(METRICS, 0.0)
    flips = {}
    for case, outputs in truth.items():
        got, r = eager[case].get(name), outputs.get(name)
        if got is None or r is None or got.shape != r.shape:
            return Noise(math.inf, math.inf, math.inf, {})
        if is_exact_kind(r):
            flips[case] = int((got != r).sum())
            continue
        errors = measure(got, r)
        worst = {metric: max(worst[metric], getattr(errors, metric)) for metric in METRICS}
    return Noise(worst["rel"], worst["row"], worst["peak"], flips)


def allowed(noise: Noise, rule: Rule) -> dict[str, float]:
    """Largest error allowed, by metric."""
    return {
        metric: min(max(rule.factor * getattr(noise, metric), width * rule.floor), width * rule.ceiling)
        for metric, width in WIDTH.items()
    }


def allowed_flips(own: int, elements: int, rule: Rule) -> int:
    """How many elements of an integer output may differ where eager itself differs in `own`."""
    return max(4 * own, math.ceil(rule.flips * elements))


# ---- the verdict --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What the comparison alone says; placement and artifact are the caller's to add."""

    outcome: Outcome
    cause: Cause | None = None
    message: str = ""
    cases: tuple[CaseNumbers, ...] = ()
    notes: tuple[str, ...] = ()
    failed_cases: frozenset[str] = frozenset()


def reference_problem(
    truth: Mapping[str, Outputs], noise: Mapping[str, Noise], precision: Precision, rules: Mapping[Precision, Rule] = RULES
) -> Verdict | None:
    """Say why the reference proves nothing at this precision, or None. truth: outputs by case."""
    return Judge(truth, noise, precision, rules).reference_problem


def judge(
    actual: Mapping[str, Outputs],
    truth: Mapping[str, Outputs],
    declared: Sequence[TensorSpec],
    noise: Mapping[str, Noise],
    precision: Precision,
    rules: Mapping[Precision, Rule] = RULES,
) -> Verdict:
    """Judge a target's outputs of every case in `truth`, at the precision it really computed in.

    actual, truth: outputs by case. declared: the outputs, with dtypes, that the artifact promised. noise: by output, at
    this precision. Returns PASS, MISMATCH or INVALID with the numbers of all cases, the failing ones included.
    """
    return Judge(truth, noise, precision, rules).judge(actual, declared)


Complaint = tuple[Cause, str]


class Judge:
    """Holds the truth of a model, and judges any number of answers by it at one precision."""

    def __init__(
        self,
        truth: Mapping[str, Outputs],
        noise: Mapping[str, Noise],
        precision: Precision,
        rules: Mapping[Precision, Rule] = RULES,
    ) -> None:
        self.truth, self.precision = truth, precision
        self.rule = rules.get(precision)
        """None for int8, which is judged by signal to noise."""
        self._flips_rule = self.rule or RULES[Precision.BF16]
        self.outputs = list(next(iter(truth.values()), {}))
        self._noise = {name: noise.get(name, Noise()) for name in self.outputs}
        self._limits = {name: allowed(n, self.rule) for name, n in self._noise.items()} if self.rule else {}
        self._scores: dict[str, tuple[str, int] | None] = {}

    def judge(self, actual: Mapping[str, Outputs], declared: Sequence[TensorSpec] = ()) -> Verdict:
        """Judge an answer; see `judge`."""
        if self.reference_problem:
            return self.reference_problem
        findings: list[tuple[str, Complaint]] = []
        cases = []
        for case in self.truth:
            numbers, complaints = self._case(case, actual.get(case), declared)
            cases.append(numbers)
            findings += [(case, complaint) for complaint in complaints]
        notes = _notes(cases, self.truth, self.precision)
        if findings:
            failed = frozenset(case for case, _ in findings)
            cause, message = findings[0][1]
            message += f" ({len(failed)} of {len(self.truth)} cases fail)"
            return Verdict(Outcome.MISMATCH, cause, message, tuple(cases), notes, failed)
        return Verdict(Outcome.PASS, None, _closest(cases), tuple(cases), notes)

    # ---- the reference

    @functools.cached_property
    def reference_problem(self) -> Verdict | None:
        """Why the reference proves nothing at this precision, or None."""
        if len(self.truth) < 2:
            return _invalid(Cause.VACUOUS, "there is only one case: nothing tells a right answer from a constant one")
        if not self.outputs:
            return _invalid(Cause.VACUOUS, "the model has no outputs")
        if not any(array.size for outputs in self.truth.values() for array in outputs.values()):
            return _invalid(Cause.VACUOUS, "no output has any elements")
        for name in self.outputs:
            problem = self._output_problem(name, [outputs[name] for outputs in self.truth.values()])
            if problem:
                return problem
        alike = self._alike()
        if alike:
            pair = " and ".join(alike)
            return _invalid(Cause.VACUOUS, f"cases {pair} would pass as each other's answer at {self.precision.value}")
        return None

    def _output_problem(self, name: str, truths: Sequence[Array]) -> Verdict | None:
        import numpy as np

        noise = self._noise[name]
        if is_exact_kind(truths[0]):
            elements, own = sum(t.size for t in truths), sum(noise.flips.values())
            if own > EAGER_FLIPS_LIMIT * elements:
                return _invalid(Cause.UNSTABLE_REFERENCE, f"output {name}: eager itself differs in {own} of {elements} elements")
        elif any(np.isnan(t).any() for t in truths):
            return _invalid(Cause.NONFINITE, f"output {name}: the reference has NaN")
        for metric, width in WIDTH.items() if self.rule else ():
            value = getattr(noise, metric)
            if not 2 * value <= width * self.rule.ceiling:  # type: ignore[union-attr]  # written so that NaN is a problem
                said = f"eager {self.precision.value} itself is off by {value:.1e} ({metric}), more than can be judged"
                return _invalid(Cause.UNSTABLE_REFERENCE, f"output {name}: {said}")
        return None

    def _alike(self) -> tuple[str, str] | None:
        """Two cases whose true answers would pass for each other on every output."""
        for one, other in itertools.combinations(self.truth, 2):
            for case, foreign in ((one, other), (other, one)):
                if all(self._would_pass(case, name, self.truth[foreign][name]) for name in self.outputs):
                    return one, other
        return None

    def _would_pass(self, case: str, name: str, answer: Array) -> bool:
        r = self.truth[case][name]
        if answer.shape != r.shape:
            return False
        if is_exact_kind(r):
            off, limit = self._flips(case, name, answer)
            return off <= limit
        errors = measure(answer, r)
        if self.rule is None:
            return errors.sqnr_db >= INT8_SQNR_DB
        return all(getattr(errors, metric) <= limit for metric, limit in self._limits[name].items())

    # ---- an answer

    def _case(self, case: str, got: Outputs | None, declared: Sequence[TensorSpec]) -> tuple[CaseNumbers, list[Complaint]]:
        """Judge one case's answer: its numbers, and what is wrong with it."""
        broken = _structure(case, got, self.truth[case], declared)
        if broken or got is None:
            return CaseNumbers(case), [(Cause.OUTPUT_STRUCTURE, broken)]
        judged = [self._output(case, name, got[name]) for name in self.outputs]
        return CaseNumbers(case, tuple(numbers for numbers, _ in judged)), [c for _, c in judged if c]

    def _output(self, case: str, name: str, a: Array) -> tuple[OutputNumbers, Complaint | None]:
        r = self.truth[case][name]
        where = f"case {case}, output {name}"
        if is_exact_kind(r):
            off, may = self._flips(case, name, a)
            numbers = OutputNumbers(name, flips=off, allowed_flips=may, elements=r.size)
            words = f"{where}: {off} of {r.size} elements differ, allowed {may}"
            return numbers, (Cause.TOLERANCE, words) if off > may else None
        errors = measure(a, r)
        limits = self._limits[name] if self.rule else {"rel": 10 ** (-self._needed_sqnr(case, name) / 20)}
        numbers = _numbers(name, r.size, errors, limits, self._noise[name] if self.rule else None)
        if errors.nonfinite:
            words = f"{where}: {errors.nonfinite} of {r.size} elements are not finite where they should be"
            return numbers, (Cause.NONFINITE, words)
        for metric, limit in limits.items():
            if not getattr(errors, metric) <= limit:  # written so that NaN fails
                return numbers, (Cause.TOLERANCE, f"{where}: {self._over(errors, metric, limit)}")
        return numbers, None

    def _over(self, errors: Errors, metric: str, limit: float) -> str:
        if self.rule is None:
            return f"SQNR {errors.sqnr_db:.1f} dB, needed {-20 * math.log10(limit):.1f} dB"
        return f"{metric} error {getattr(errors, metric):.1e}, allowed {limit:.1e}"

    def _needed_sqnr(self, case: str, name: str) -> float:
        """What an int8 answer needs, in dB. An output that hardly differs from case to case cannot raise it: whether the
        cases can be told apart at all is the reference's question."""
        r = self.truth[case][name]
        others = [o[name] for c, o in self.truth.items() if c != case and o[name].shape == r.shape and r.size]
        scores = [measure(other, r).sqnr_db for other in others]
        return max([INT8_SQNR_DB] + [score + INT8_MARGIN_DB for score in scores if score < INT8_SQNR_DB])

    # ---- integers and bools

    def _flips(self, case: str, name: str, a: Array) -> tuple[int, int]:
        """How many elements of an integer output differ, and how many may.

        Ids that are the argmax of another output are judged where that output, within its own allowance, leaves no doubt.
        """
        r = self.truth[case][name]
        differ: Array = a != r
        scores = self._scores_of(name) if self.rule else None
        if scores:
            return int((differ & self._decided(case, *scores)).sum()), 0
        return int(differ.sum()), allowed_flips(self._noise[name].flips.get(case, 0), r.size, self._flips_rule)

    def _scores_of(self, name: str) -> tuple[str, int] | None:
        """The output and axis that `name` is the argmax of in every case, if there is one."""
        if name not in self._scores:
            first = next(iter(self.truth.values()))
            pairs = [(other, axis) for other in self.outputs for axis in range(first[other].ndim)]
            fitting = (p for p in pairs if all(_is_argmax(outputs[name], outputs[p[0]], p[1]) for outputs in self.truth.values()))
            self._scores[name] = next(fitting, None)
        return self._scores[name]

    def _decided(self, case: str, scores: str, axis: int) -> Array:
        """Where the best score leads by more than errors within the allowance can turn round."""
        import numpy as np

        values = self.truth[case][scores]
        best = np.partition(values, -2, axis)
        finite = values[np.abs(values) < SENTINEL]
        rms = math.sqrt(float(np.mean(finite**2))) if finite.size else 0.0
        with np.errstate(invalid="ignore"):  # two masked scores lead by nan, which decides nothing
            lead: Array = np.take(best, -1, axis) - np.take(best, -2, axis)
        return lead > 2 * self._limits[scores]["peak"] * rms


def _is_argmax(ids: Array, scores: Array, axis: int) -> bool:
    import numpy as np

    if is_exact_kind(scores) or ids.dtype.kind == "b" or not scores.size or scores.shape[axis] < 2:
        return False
    return scores.shape[:axis] + scores.shape[axis + 1 :] == ids.shape and bool((np.argmax(scores, axis) == ids).all())


def _invalid(cause: Cause, message: str) -> Verdict:
    return Verdict(Outcome.INVALID, cause, message)


def _structure(case: str, got: Outputs | None, expected: Outputs, declared: Sequence[TensorSpec]) -> str:
    """What is wrong with names, shapes and dtypes, or nothing."""
    if got is None:
        return f"case {case}: no outputs came back"
    lost, extra = [n for n in expected if n not in got], [n for n in got if n not in expected]
    if lost or extra:
        words = [f"lacks {', '.join(lost)}"] * bool(lost) + [f"has unexpected {', '.join(extra)}"] * bool(extra)
        return f"case {case}: the answer {' and '.join(words)}"
    dtypes = {spec.name: spec.dtype for spec in declared}
    for name, r in expected.items():
        if got[name].shape != r.shape:
            return f"case {case}: output {name} has shape {got[name].shape}, expected {r.shape}"
        if name in dtypes and str(got[name].dtype) != dtypes[name]:
            return f"case {case}: output {name} has dtype {got[name].dtype}, declared {dtypes[name]}"
    return ""


def _numbers(name: str, size: int, errors: Errors, limits: Mapping[str, float], noise: Noise | None) -> OutputNumbers:
    return OutputNumbers(
        name,
        max_abs=_finite(errors.max_abs),
        rel_norm=_finite(errors.rel),
        row=_finite(errors.row),
        peak=_finite(errors.peak),
        cosine=_finite(errors.cosine),
        sqnr_db=_finite(errors.sqnr_db),
        allowed_rel_norm=limits.get("rel"),
        allowed_row=limits.get("row"),
        allowed_peak=limits.get("peak"),
        noise_rel_norm=_finite(noise.rel) if noise else None,
        nonfinite=errors.nonfinite,
        elements=size,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _closest(cases: Sequence[CaseNumbers]) -> str:
    """The part of the allowance that the worst output used, in words."""
    worst = max(
        (
            (value / limit, f"output {o.name} of case {c.name}, {metric}")
            for c in cases
            for o in c.outputs
            for metric, value, limit in (
                ("rel", o.rel_norm, o.allowed_rel_norm),
                ("row", o.row, o.allowed_row),
                ("peak", o.peak, o.allowed_peak),
            )
            if value is not None and limit
        ),
        default=None,
    )
    return f"at most {worst[0]:.0%} of what is allowed ({worst[1]})" if worst else "all elements equal"


def _notes(cases: Sequence[CaseNumbers], truth: Mapping[str, Outputs], precision: Precision) -> tuple[str, ...]:
    names = list(next(iter(truth.values())))
    empty = [n for n in names if not any(outputs[n].size for outputs in truth.values())]
    notes = [f"output {n} has no elements in any case: only its shape was compared" for n in empty]
    low = [o.sqnr_db for c in cases for o in c.outputs if o.sqnr_db is not None and o.sqnr_db < INT8_SQNR_DB + 5]
    if precision is Precision.INT8 and low:
        notes.append(f"int8: the worst output has {min(low):.1f} dB, close to the limit")
    return tuple(notes)
