"""The fastest precision that stays within the error budget: of what a target's device offers, by what was measured in one run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from porting import registry
from porting.types import Cause, Outcome, Precision, Result, Target

SEARCHED = (Precision.FP32, Precision.BF16, Precision.FP16, Precision.INT8)
BENCH_SECONDS = 2.0
"""How long the latency of each is measured, where nothing else is asked for."""


@dataclass(frozen=True)
class Candidate:
    """One precision of a device."""

    precision: str
    outcome: str
    seconds: float | None
    """Median latency of one call of the nominal case; None where the precision is out."""
    said: str
    """What is right about it, or wrong."""
    passes_with: tuple[str, ...] = ()
    """What was changed for it; `keep=int8_10`: a tenth of the layers stay in fp32."""


@dataclass(frozen=True)
class Choice:
    """What a search came to for one model on one device."""

    model: str
    device: str
    """`adapter:device`."""
    fastest: str | None
    """A precision; None where none is right."""
    candidates: tuple[Candidate, ...]
    """The fastest first, those that are out last."""

    @property
    def gain(self) -> float | None:
        """How many times as fast as fp32 the fastest is; None where one of them is not known."""
        seconds = {each.precision: each.seconds for each in self.candidates}
        wide, best = seconds.get(Precision.FP32.value), seconds.get(self.fastest or "")
        return wide / best if wide and best else None


def searched(targets: Iterable[Target]) -> list[Target]:
    """Every precision that the devices of these targets declare, each once, fp32 first."""
    found: dict[Target, None] = {}
    for target in targets:
        adapter = registry.adapter(target.adapter)
        offered = adapter.devices.get(adapter.relative(target.device), ())
        found.update(dict.fromkeys(replace(target, precision=p) for p in SEARCHED if p in offered))
    return list(found)


def choose(results: Sequence[Result]) -> list[Choice]:
    """The fastest precision of every model on every device. results: of one run, with latencies."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.model, result.target.rpartition(":")[0]), []).append(result)
    return [_choice(model, device, own) for (model, device), own in groups.items()]


def _choice(model: str, device: str, results: Sequence[Result]) -> Choice:
    found = [_candidate(result) for result in results]
    ordered = sorted(found, key=lambda each: (each.seconds is None, each.seconds or math.inf))
    fastest = ordered[0].precision if ordered and ordered[0].seconds is not None else None
    return Choice(model, device, fastest, tuple(ordered))


def _candidate(result: Result) -> Candidate:
    seconds = result.perf.median_seconds if result.perf and within_budget(result) else None
    return Candidate(result.target.rpartition(":")[2], result.outcome.value, seconds, result.message, result.passes_with)


def within_budget(result: Result) -> bool:
    """Whether a result is right, and of the precision that it is named by: plainly, or but for layers that stay in fp32."""
    mixed = result.outcome is Outcome.DEGRADED and result.cause is Cause.PRECISION
    return result.outcome is Outcome.PASS or (mixed and any(word.startswith("keep=") for word in result.passes_with))
