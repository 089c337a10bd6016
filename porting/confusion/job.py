"""The job that plants every fault in one model and judges what eager PyTorch then answers. Runs in a child of the warm server."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.build import build
from porting.bundles.bundle import Bundle, read_bundle
from porting.bundles.eager import EagerModel
from porting.bundles.reference import Reference
from porting.confusion.faults import FAULTS, Fault
from porting.confusion.trial import CAUGHT, Rules, Trial, judges, outcomes, rules_from_json
from porting.numerics.compare import Judge, Noise
from porting.numerics.metrics import METRICS, is_exact_kind, measure
from porting.serialization import Json, from_json, to_json
from porting.types import ModelSpec, Precision, Stage

if TYPE_CHECKING:
    import numpy

    from porting.workers.worker import Clock

    Cases = dict[str, dict[str, numpy.ndarray[Any, Any]]]


def run(job: dict[str, Any], clock: Clock, _adapter: None) -> Json:
    """Plant fault by fault. job: `spec`, `bundle` (a folder), `precisions`, `rules` (a list of sets).

    Returns `trials` and `notes`.
    """
    clock.enter(Stage.BUILD)
    bundle = read_bundle(Path(job["bundle"]), verify=False)
    ward = _Ward(from_json(ModelSpec, job["spec"]), bundle, [rules_from_json(rules) for rules in job["rules"]])
    trials, notes = [], []
    for fault in FAULTS:
        clock.enter(Stage.REFERENCE, fault.name)
        try:
            trials += ward.trials(fault, [Precision(p) for p in job["precisions"]])
        except Exception as error:  # noqa: BLE001 -- a fault that makes a model raise is noticed by everyone: it is not counted
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            notes.append(f"{bundle.model}: with {fault.name!r} eager raises {type(error).__name__}: {lines[0][:160]}")
    return {"trials": to_json(trials), "notes": notes}


class _Ward:
    """One model, and copies of it to plant faults in. Looks at the cases of nominal sizes only."""

    def __init__(self, spec: ModelSpec, bundle: Bundle, rule_sets: Sequence[Rules]) -> None:
        self.bundle, self.rule_sets = bundle, rule_sets
        work = Reference(spec, build(spec), bundle.folder)
        work.restore(bundle)
        self.model, self.inputs = work.engine.model, work.inputs
        cases = [case for case in bundle.cases if case.nominal]
        self.arrays: Cases = {case.name: bundle.read(case.inputs) for case in cases}
        self.truth: Cases = {case.name: bundle.read(case.truth) for case in cases}
        self.eager: Cases = {name: self.model.run(arrays) for name, arrays in self.arrays.items()}
        self._made: dict[Precision, list[Judge]] = {}

    def trials(self, fault: Fault, precisions: Sequence[Precision]) -> list[Trial]:
        at = [p for p in precisions if p not in fault.legitimate and p.value in self.bundle.noise]
        effect = self._effect(fault) if at and self._changes(fault) else 0.0
        return [self._trial(fault, precision, effect) for precision in at]

    def _trial(self, fault: Fault, precision: Precision, effect: float) -> Trial:
        judged: tuple[str, ...] = ()
        if effect > 1:
            planted = self._planted(fault, precision)
            answer = {name: planted.run(arrays, precision) for name, arrays in self.arrays.items()}
            judged = outcomes(answer, self._judges(precision))
        expected = CAUGHT if precision is Precision.FP32 else ""
        return Trial("fault", fault.name, self.bundle.model, precision, judged, expected, min(effect, 1e12))

    def _judges(self, precision: Precision) -> list[Judge]:
        if precision not in self._made:
            self._made[precision] = judges(self.truth, self.bundle.noise[precision.value], precision, self.rule_sets)
        return self._made[precision]

    def _changes(self, fault: Fault) -> bool:
        """Whether anything at all differs with the fault: most models lack the place for most faults."""
        planted = self._planted(fault)
        return any(_moved({name: planted.run(arrays)}, {name: self.eager[name]}, {}) for name, arrays in self.arrays.items())

    def _effect(self, fault: Fault) -> float:
        """How far the fault moves an output, in multiples of the noise of fp32: below 1 there is nothing to see.

        What changes the function is asked of the wide run; what only rounds, of eager at fp32 with and without it.
        """
        planted = self._planted(fault)
        precision = Precision.FP32 if fault.arithmetic else None
        answer = {name: planted.run(arrays, precision) for name, arrays in self.arrays.items()}
        before = self.eager if fault.arithmetic else self.truth
        return _moved(answer, before, self.bundle.noise[Precision.FP32.value])

    def _planted(self, fault: Fault, precision: Precision = Precision.FP32) -> EagerModel:
        """A copy with the fault: what a fault does to a module is not undone."""
        planted = EagerModel(copy.deepcopy(self.model.module), self.model.names, self.model.constants)
        fault.plant(planted.module, self.inputs)
        if precision is not Precision.FP32:
            planted.to(precision)
        return planted


def _moved(answer: Cases, before: Cases, noise: Mapping[str, Noise]) -> float:
    """The largest change of any output, in multiples of its noise."""
    pairs = ((name, answer[case].get(name), b) for case, outputs in before.items() for name, b in outputs.items())
    return max((_moved_output(a, b, noise.get(name, Noise())) for name, a, b in pairs), default=0.0)


def _moved_output(after: Any, before: Any, noise: Noise) -> float:
    if after is None or after.shape != before.shape:
        return math.inf
    if is_exact_kind(before):
        return math.inf if (after != before).any() else 0.0
    errors = measure(after, before)
    ratios = [getattr(errors, metric) / max(getattr(noise, metric), 1e-12) for metric in METRICS]
    return float(max(ratios))
