"""How much of the allowance right results use: eager's own noise, and what targets passed with before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from porting.bundles.bundle import Bundle
from porting.confusion.trial import Rules
from porting.numerics.compare import Noise, Rule, allowed
from porting.types import Outcome, OutputNumbers, Precision, Result, Target
from porting.verdict import judged_precision

_FIELDS = {"rel": "rel_norm", "row": "row", "peak": "peak"}


@dataclass(frozen=True)
class Margin:
    """One right result."""

    model: str
    precision: Precision
    of: str
    """`eager`, or the target that passed."""
    shares: tuple[float, ...]
    """Largest error over what is allowed, of any output and metric, by each set of rules."""


def eager_margins(bundle: Bundle, precisions: Sequence[Precision], rule_sets: Sequence[Rules]) -> list[Margin]:
    """Eager's noise over the allowance that is made from it."""
    found = []
    for precision in precisions:
        noise = bundle.noise.get(precision.value)
        if noise:
            shares = tuple(max(_noise_share(n, rules[precision]) for n in noise.values()) for rules in rule_sets)
            found.append(Margin(bundle.model, precision, "eager", shares))
    return found


def _noise_share(noise: Noise, rule: Rule) -> float:
    return max(float(getattr(noise, metric)) / limit for metric, limit in allowed(noise, rule).items())


def recorded_margins(
    results: Iterable[Result], bundle: Bundle, precisions: Sequence[Precision], rule_sets: Sequence[Rules]
) -> list[Margin]:
    """What recorded passes would use of the allowance of the precision they were computed in.

    Left out: results held against another bundle than this one, and those judged by another precision than they were
    computed in, as TF32 where fp32 was asked for.
    """
    found = []
    for result in results:
        if result.outcome not in (Outcome.PASS, Outcome.DEGRADED) or not result.effective_precision:
            continue
        precision = Precision(result.effective_precision)
        noise = bundle.noise.get(precision.value)
        by_its_own = judged_precision(Target.parse(result.target).precision, precision) is precision
        if by_its_own and precision in precisions and noise and _held_against(result, noise):
            shares = tuple(_result_share(result, noise, rules, precision) for rules in rule_sets)
            found.append(Margin(bundle.model, precision, result.target, shares))
    return found


def _outputs(result: Result) -> Iterable[OutputNumbers]:
    return (output for case in result.cases for output in case.outputs)


def _held_against(result: Result, noise: Mapping[str, Noise]) -> bool:
    return all(o.name in noise and o.noise_rel_norm in (None, noise[o.name].rel) for o in _outputs(result))


def _result_share(result: Result, noise: Mapping[str, Noise], rules: Rules, precision: Precision) -> float:
    limits = {name: allowed(n, rules[precision]) for name, n in noise.items()}
    shares = (
        float(value) / limits[output.name][metric]
        for output in _outputs(result)
        for metric, field in _FIELDS.items()
        if (value := getattr(output, field)) is not None
    )
    return max(shares, default=0.0)
