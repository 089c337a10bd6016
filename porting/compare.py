"""Metrics and the pass rule: how far outputs are from the truth, and how far they may be.

Runs in the parent, never in a backend's process. numpy only. Nothing here knows backends, files or processes.
The rule and its calibration are explained in docs/verdicts.md; `porting numerics` shows what a change of it costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from porting.types import CaseNumbers, Cause, Outcome, OutputNumbers, Precision, TensorSpec

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Outputs = Mapping[str, Array]
    """Arrays by output name."""

METRICS = ("rel", "row", "peak")
WIDTH = {"rel": 1.0, "row": 3.0, "peak": 10.0}
"""Floors and ceilings are given for rel; row and peak, larger on right results too, get this many times as much."""
SENTINEL = 1e30
"""At least this large (or not finite) in the truth: a mask value, compared by sign and size only."""
SENTINEL_LOW = 1e4
"""What a mask value must at least come out as: the -1.8e308 of fp64 is -65504 in fp16."""


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


def measure(actual: Array, truth: Array) -> Errors:
    """Measure how far `actual` is from `truth`. Arrays of equal shape, host memory; truth in float64.

    Elements of the truth that are not finite or at least SENTINEL in size are compared by sign and size and left out of
    the norms. A NaN in the truth matches only a NaN. Raises ValueError if shapes differ.
    """
    import numpy as np

    if np.shape(actual) != np.shape(truth):
        raise ValueError(f"shapes differ: {np.shape(actual)} and {np.shape(truth)}")
    a, r = np.asarray(actual, np.float64), np.asarray(truth, np.float64)
    if not r.size:
        return EXACT
    hole = ~(np.abs(r) < SENTINEL)
    wrong = (hole & ~_same_sentinel(a, r)) | (~hole & ~np.isfinite(a))
    if wrong.any():
        return Errors(math.inf, math.inf, math.inf, math.inf, -1.0, int(wrong.sum()))
    if hole.any():
        a, r = np.where(hole, 0.0, a), np.where(hole, 0.0, r)
    return _norms(a, r)


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


def is_exact_kind(array: Array) -> bool:
    """Whether an output is compared element by element (integers, bools) instead of by norms."""
    return array.dtype.kind in "iub"


def noise_of(eager: Mapping[str, Outputs], truth: Mapping[str, Outputs]) -> dict[str, Noise]:
    """Noise by output. eager, truth: outputs by case. A structure that differs from the truth's makes infinite noise."""
    names = list(next(iter(truth.values())))
    return {name: _noise_of_output(name, eager, truth) for name in names}


def _noise_of_output(name: str, eager: Mapping[str, Outputs], truth: Mapping[str, Outputs]) -> Noise:
    worst = dict.fromkeys(METRICS, 0.0)
    flips = {}
    for case, outputs in truth.items():
        got = eager[case].get(name)
        if got is None or got.shape != outputs[name].shape:
            return Noise(math.inf, math.inf, math.inf, {})
        if is_exact_kind(outputs[name]):
            flips[case] = int((got != outputs[name]).sum())
            continue
        errors = measure(got, outputs[name])
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
    if len(truth) < 2:
        return _invalid(Cause.VACUOUS, "there is only one case: nothing tells a right answer from a constant one")
    first = next(iter(truth.values()))
    if not first:
        return _invalid(Cause.VACUOUS, "the model has no outputs")
    if not any(array.size for outputs in truth.values() for array in outputs.values()):
        return _invalid(Cause.VACUOUS, "no output has any elements")
    for name in first:
        problem = _output_problem(name, [outputs[name] for outputs in truth.values()], noise.get(name, Noise()), precision, rules)
        if problem:
            return problem
    alike = _alike(truth, noise, precision, rules)
    if alike:
        pair = " and ".join(min(alike))
        return _invalid(Cause.VACUOUS, f"cases {pair} would pass as each other's answer at {precision.value}")
    return None


def _invalid(cause: Cause, message: str) -> Verdict:
    return Verdict(Outcome.INVALID, cause, message)


def _output_problem(
    name: str, truths: Sequence[Array], noise: Noise, precision: Precision, rules: Mapping[Precision, Rule]
) -> Verdict | None:
    import numpy as np

    if is_exact_kind(truths[0]):
        elements, own = sum(t.size for t in truths), sum(noise.flips.values())
        if own > EAGER_FLIPS_LIMIT * elements:
            return _invalid(Cause.UNSTABLE_REFERENCE, f"output {name}: eager itself differs in {own} of {elements} elements")
        return None
    if any(np.isnan(t).any() for t in truths):
        return _invalid(Cause.NONFINITE, f"output {name}: the reference has NaN")
    rule = rules.get(precision)
    if rule is None:
        return None
    for metric, width in WIDTH.items():
        value = getattr(noise, metric)
        if not 2 * value <= width * rule.ceiling:
            message = f"output {name}: eager {precision.value} itself is off by {value:.1e} ({metric}), more than can be judged"
            return _invalid(Cause.UNSTABLE_REFERENCE, message)
    return None


def _alike(
    truth: Mapping[str, Outputs], noise: Mapping[str, Noise], precision: Precision, rules: Mapping[Precision, Rule]
) -> set[tuple[str, str]]:
    """Pairs of cases whose true answers would pass for each other on every output."""
    names = list(truth)
    return {
        (names[j], names[i])
        for i in range(len(names))
        for j in range(i)
        if all(
            _would_pass(truth[names[j]][output], truth[names[i]][output], noise.get(output, Noise()), precision, rules)
            for output in truth[names[i]]
        )
    }


def _would_pass(a: Array, r: Array, noise: Noise, precision: Precision, rules: Mapping[Precision, Rule]) -> bool:
    import numpy as np

    if a.shape != r.shape:
        return False
    if not r.size:
        return True
    if is_exact_kind(r):
        return bool(np.array_equal(a, r))
    errors = measure(a, r)
    rule = rules.get(precision)
    if rule is None:
        return errors.sqnr_db >= INT8_SQNR_DB
    limits = allowed(noise, rule)
    return all(getattr(errors, metric) <= limits[metric] for metric in METRICS)


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
    problem = reference_problem(truth, noise, precision, rules)
    if problem:
        return problem
    findings: list[tuple[str, Cause, str]] = []
    cases = []
    for case, expected in truth.items():
        numbers = []
        broken = _structure(case, actual.get(case), expected, declared)
        if broken:
            findings.append((case, Cause.OUTPUT_STRUCTURE, broken))
        else:
            for name, r in expected.items():
                one, complaint = _judge_output(
                    case, actual[case][name], r, name, noise.get(name, Noise()), precision, rules, truth
                )
                numbers.append(one)
                findings += [(case, *complaint)] if complaint else []
        cases.append(CaseNumbers(case, tuple(numbers)))
    notes = _notes(cases, truth, precision)
    if findings:
        case, cause, message = findings[0]
        more = f" ({len({f[0] for f in findings})} of {len(truth)} cases fail)"
        return Verdict(Outcome.MISMATCH, cause, message + more, tuple(cases), notes, frozenset(f[0] for f in findings))
    return Verdict(Outcome.PASS, None, _closest(cases), tuple(cases), notes)


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


def _judge_output(
    case: str,
    a: Array,
    r: Array,
    name: str,
    noise: Noise,
    precision: Precision,
    rules: Mapping[Precision, Rule],
    truth: Mapping[str, Outputs],
) -> tuple[OutputNumbers, tuple[Cause, str] | None]:
    where = f"case {case}, output {name}"
    if is_exact_kind(r):
        return _judge_exact(where, a, r, name, noise.flips.get(case, 0), rules.get(precision, RULES[Precision.BF16]))
    errors = measure(a, r)
    if precision not in rules:
        return _judge_sqnr(where, case, name, errors, truth)
    limits = allowed(noise, rules[precision])
    numbers = _numbers(name, r.size, errors, limits, noise)
    if errors.nonfinite:
        return numbers, (Cause.NONFINITE, f"{where}: {errors.nonfinite} of {r.size} elements are not finite where they should be")
    for metric in METRICS:
        value = getattr(errors, metric)
        if not value <= limits[metric]:  # written so that NaN fails
            return numbers, (Cause.TOLERANCE, f"{where}: {metric} error {value:.1e}, allowed {limits[metric]:.1e}")
    return numbers, None


def _judge_exact(
    where: str, a: Array, r: Array, name: str, own: int, rule: Rule
) -> tuple[OutputNumbers, tuple[Cause, str] | None]:
    off, limit = int((a != r).sum()), allowed_flips(own, r.size, rule)
    numbers = OutputNumbers(name, flips=off, allowed_flips=limit, elements=r.size)
    return numbers, (Cause.TOLERANCE, f"{where}: {off} of {r.size} elements differ, allowed {limit}") if off > limit else None


def _judge_sqnr(
    where: str, case: str, name: str, errors: Errors, truth: Mapping[str, Outputs]
) -> tuple[OutputNumbers, tuple[Cause, str] | None]:
    r = truth[case][name]
    others = [o[name] for c, o in truth.items() if c != case and o[name].shape == r.shape]
    needed = max([INT8_SQNR_DB] + [measure(o, r).sqnr_db + INT8_MARGIN_DB for o in others if o.size])
    numbers = _numbers(name, r.size, errors, {"rel": 10 ** (-needed / 20)}, None)
    if errors.nonfinite:
        return numbers, (Cause.NONFINITE, f"{where}: {errors.nonfinite} of {r.size} elements are not finite where they should be")
    if not errors.sqnr_db >= needed:
        return numbers, (Cause.TOLERANCE, f"{where}: SQNR {errors.sqnr_db:.1f} dB, needed {needed:.1f} dB")
    return numbers, None


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
