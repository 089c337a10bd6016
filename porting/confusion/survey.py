"""Plant everything in every model: bundles through the pipeline, answers here, faults in jobs of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porting import verdict
from porting.cells.jobs import Trail
from porting.confusion import answers
from porting.confusion.margins import Margin, eager_margins, recorded_margins
from porting.confusion.trial import Rules, Trial, rules_to_json
from porting.serialization import from_json, to_json
from porting.types import ModelSpec, Precision

if TYPE_CHECKING:
    from porting.bundles.bundle import Bundle
    from porting.cells.pipeline import Pipeline
    from porting.store import Store


@dataclass(frozen=True)
class Plan:
    """What is planted, and by which rules it is judged."""

    precisions: tuple[Precision, ...]
    rule_sets: Sequence[Rules]
    """The present rules, and after them those that are tried, if any."""
    answers: bool = True
    faults: bool = True


@dataclass
class Survey:
    """What came of it, over one model or many."""

    trials: list[Trial] = field(default_factory=list)
    margins: list[Margin] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Models of which there is no usable reference, with the reason."""

    def add(self, other: Survey) -> None:
        self.trials += other.trials
        self.margins += other.margins
        self.notes += other.notes
        self.lost += other.lost


def survey(
    pipeline: Pipeline,
    specs: Sequence[ModelSpec],
    plan: Plan,
    store: Store | None = None,
    on_model: Callable[[ModelSpec, Survey, int], None] = lambda *_: None,
) -> Survey:
    """Look at every model, several at a time. on_model: called for each in order, with how many are done. store: where
    recorded passes are found, whose margins are shown beside eager's."""
    whole = Survey()
    results = {spec.id: store.latest([spec.id]) if store else [] for spec in specs}
    with ThreadPoolExecutor(pipeline.options.workers or os.cpu_count() or 1) as pool:
        try:
            for done, (spec, one) in enumerate(zip(specs, pool.map(lambda s: _one(pipeline, s, plan), specs), strict=True), 1):
                on_model(spec, one[0], done)
                whole.add(one[0])
                if one[1]:
                    whole.margins += recorded_margins(results[spec.id], one[1], plan.precisions, plan.rule_sets)
        except BaseException:
            pipeline.jobs.cancel()  # so that the threads come back
            raise
    return whole


def _one(pipeline: Pipeline, spec: ModelSpec, plan: Plan) -> tuple[Survey, Bundle | None]:
    made = pipeline.reference(spec, plan.precisions)
    if made.bundle is None:
        why = made.finding.message if made.finding else "its bundle was not made"
        return Survey(lost=[f"{spec.id}: {why}"]), None
    if "model" in made.bundle.failures:
        return Survey(lost=[f"{spec.id}: {made.bundle.failures['model'].message}"]), None
    found = Survey(margins=eager_margins(made.bundle, plan.precisions, plan.rule_sets))
    if plan.answers:
        found.trials += answers.trials(made.bundle, plan.precisions, plan.rule_sets)
    if plan.faults:
        found.add(_faults(pipeline, spec, made.bundle, plan))
    return found, made.bundle


def _faults(pipeline: Pipeline, spec: ModelSpec, bundle: Bundle, plan: Plan) -> Survey:
    if bundle.reference != "eager":
        return Survey(notes=[f"{spec.id}: a bare ONNX file, no module to plant faults in"])
    payload = {
        "kind": "porting.confusion.job:run",
        "spec": to_json(spec),
        "bundle": str(bundle.folder),
        "precisions": [p.value for p in plan.precisions],
        "rules": [rules_to_json(rules) for rules in plan.rule_sets],
    }
    end = pipeline.jobs.run(payload, Trail())
    finding = verdict.of_end(end)
    if finding:
        return Survey(lost=[f"{spec.id}: no faults planted: {finding.message}"])
    trials = [from_json(Trial, trial) for trial in end.value["trials"]]
    return Survey(trials, notes=list(end.value["notes"]))


def outcomes_differ(trials: Iterable[Trial]) -> list[Trial]:
    """Trials that the rules to try judge otherwise than the present ones."""
    return [trial for trial in trials if len(set(trial.outcomes)) > 1]
