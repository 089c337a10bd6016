"""What is diagnosed: a model in a form that a target takes, the cases, and what the whole of it does there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import registry, routes, verdict
from porting.adapter import FormNeed
from porting.bundles.bundle import Bundle, Failure, FormKey, FormRecord
from porting.bundles.tensors import as_declared
from porting.cells import keys
from porting.cells.cell import device_state
from porting.cells.jobs import Cell, judged_at
from porting.diagnose.measure import EPSILON, FACTOR, distance
from porting.diagnose.probe import Ending, Lab, Work
from porting.errors import EnvironmentMissing, ModelError, UsageError
from porting.numerics.compare import RULES, Verdict, judge
from porting.types import Outcome, Precision, Target

if TYPE_CHECKING:
    import numpy

    from porting.adapter import ExportedForm
    from porting.cells.pipeline import Pipeline
    from porting.types import ModelSpec

    Array = numpy.ndarray[Any, Any]

AGAIN = " again"
"""Ends the name of a case that is run a second time."""
_CODE = ("adapter", "bundles/tensors", "diagnose", "numerics/metrics", "workers/worker")


class NoForm(ModelError):
    """An exporter refuses a model, so that no target has ever seen it."""

    def __init__(self, cell: Cell, bundle: Bundle, form: FormKey, failure: Failure) -> None:
        hint = f"porting reduce {cell.spec.id} {cell.target} finds the smallest part that is refused."
        super().__init__(f"{cell.spec.id} has no {form.kind} form: {failure.message}.", hint)
        self.cell, self.bundle, self.form, self.failure = cell, bundle, form, failure


PROGRAMS = ("pt2", "aten")
"""Kinds of form that are exported programs."""


def need_of(target: Target, kind: str = "") -> FormNeed:
    """The form that operators are told apart in: the first that a target takes, or the one of a kind. Raises UsageError where it
    takes no such form, or cannot be given parts of a model."""
    adapter = registry.adapter(target.adapter)
    need = next((need for need in adapter.needs() if kind in ("", need.kind)), None)
    if need is None:
        taken = " and ".join(need.kind for need in adapter.needs())
        raise UsageError(f"{target} takes no {kind} form; it takes {taken}.", "porting targets show TARGET tells more.")
    if target.precision is Precision.INT8:
        raise UsageError(f"{target} quantises a model as a whole; its operators cannot be tried one by one.", "Try fp32 first.")
    return need


@dataclass(frozen=True)
class Subject:
    """A model's form for a target."""

    cell: Cell
    bundle: Bundle
    form: FormRecord
    program: Path | None = None
    """The saved program that the form is, or was written from; None of an ONNX form."""

    @property
    def exported(self) -> ExportedForm:
        return self.bundle.form(self.form)

    @property
    def key(self) -> str:
        """Digest of all that an answer of the target depends on."""
        return keys.digest([dict(self.bundle.files), self.form.key, self.cell.key, keys.code(_CODE)])

    def inputs(self, case: str) -> Mapping[str, Array]:
        """The inputs of a case that the form takes."""
        given = self.bundle.read(next(c.inputs for c in self.bundle.cases if c.name == case))
        return as_declared({spec.name: given[spec.name] for spec in self.form.inputs}, self.form.inputs)

    def sizes(self, case: str) -> Mapping[str, int]:
        return next(c.sizes for c in self.bundle.cases if c.name == case)

    @property
    def nominal(self) -> str:
        return next(c.name for c in self.bundle.cases_for(self.form) if c.nominal)

    def whole(self, lab: Lab, twice: bool) -> Ending:
        """Run the whole model on every case, twice in one process where asked, so that answers can be compared."""
        cases = self.bundle.cases_for(self.form)
        files = {case.name: self.bundle.folder / case.inputs for case in cases}
        again = {name + AGAIN: path for name, path in files.items()} if twice else {}
        (ending,) = lab.run([Work(self._write, {**files, **again})], patient=True)
        return ending

    def _write(self, folder: Path) -> ExportedForm:
        """The form as it lies in the bundle: nothing has to be written."""
        folder.mkdir(parents=True)
        return self.exported


def one_model(specs: Sequence[ModelSpec]) -> ModelSpec:
    """The only one of these. Raises UsageError."""
    if len(specs) != 1:
        raise UsageError(f"{len(specs)} models are meant; one can be looked into at a time.", "Name one of them.")
    return specs[0]


def open_subject(pipeline: Pipeline, spec: ModelSpec, target: Target, kind: str = "", route: str = "") -> Subject:
    """Make the bundle and the form, where they are not there. kind: of the form, the first that the target takes by default.
    route: along which it is made. Raises UsageError, EnvironmentMissing, NoForm where an exporter refuses it, ModelError."""
    need = need_of(target, kind)
    (cell,) = pipeline.plan([spec], [target])
    state = device_state(cell, pipeline.jobs)
    if not state.available:
        raise EnvironmentMissing(f"{target} is not here: {state.reason}.", cell.adapter.install_hint)
    made = pipeline.made(cell)
    if made.finding:
        raise ModelError(f"{spec.id} has no reference: {made.finding.message}.", made.finding.hint)
    assert made.bundle
    for name in ("model", judged_at(target.precision).value):
        if failure := made.bundle.failures.get(name):
            raise ModelError(f"the reference of {spec.id} proves nothing: {failure.message}.")
    key = _form_key(need, target, route)
    keys_needed = [replace(key, kind="pt2"), key] if key.kind in PROGRAMS else [key]  # of an aten file it is told what it was
    bundle = made.bundle
    for each in keys_needed:
        bundle = pipeline.with_form(cell, bundle, each, made.trail)
        if failure := bundle.forms[str(each)].failure:
            raise NoForm(cell, bundle, each, failure)
    program = bundle.form(bundle.forms[str(keys_needed[0])]).path if key.kind in PROGRAMS else None
    return Subject(cell, bundle, bundle.forms[str(key)], program)


def _form_key(need: FormNeed, target: Target, route: str) -> FormKey:
    key = routes.pinned(FormKey.of(need, target), route)
    if hosted := routes.hosted_of(key.route):
        raise UsageError(f"what is left to the host ({', '.join(hosted)}) makes parts of a model.", "Leave host= out.")
    if not routes.is_for(key.route, need.kind):
        raise UsageError(f"route {route} is for no {need.kind} form.", "Name another with --form, or see porting routes.")
    return key


@dataclass(frozen=True)
class Whole:
    """What the whole model does on the target."""

    ending: Ending
    said: Verdict | None
    """On the numbers, where there are any."""
    precision: Precision
    """To be judged at."""
    unsteady: str = ""
    """What differs between two runs, in words; empty where nothing does."""

    @property
    def right(self) -> bool:
        return self.ending.ok and (self.said is None or self.said.outcome is Outcome.PASS)

    @property
    def off(self) -> float:
        """How far the worst output is off, where that is a matter of numbers."""
        numbers = [output for case in self.said.cases for output in case.outputs] if self.said and not self.right else []
        return max((output.rel_norm or 0.0 for output in numbers), default=0.0)

    @property
    def words(self) -> str:
        if not self.ending.ok:
            return f"{self.ending.kind} at {self.ending.stage.value}: {self.ending.message}"
        return f"{self.said.outcome.value}: {self.said.message}" if self.said else "converts"


def run_whole(subject: Subject, lab: Lab, pipeline: Pipeline) -> Whole:
    """Run the model twice and judge both answers."""
    asked = subject.cell.target.precision
    ending = subject.whole(lab, twice=not lab.compile_only)
    if not ending.ok:
        other = subject.whole(lab, twice=False)
        unsteady = (
            "" if other.sign == ending.sign else f"once: {ending.message or ending.kind}; then: {other.message or other.kind}"
        )
        return Whole(ending, None, asked, unsteady)
    if lab.compile_only:
        return Whole(replace(ending, outputs={}), None, asked)
    precision = verdict.judged_precision(asked, ending.precision or asked)
    bundle = pipeline.with_precision(subject.cell, subject.bundle, precision)
    answers = {name: array for name in ending.outputs if (array := ending.read(name)) is not None}
    first = {name: array for name, array in answers.items() if not name.endswith(AGAIN)}
    second = {name.removesuffix(AGAIN): array for name, array in answers.items() if name.endswith(AGAIN)}
    truth = {case.name: bundle.read(case.truth) for case in bundle.cases_for(subject.form)}
    said = judge(first, truth, ending.declared, bundle.noise.get(precision.value, {}), precision)
    difference = _difference(first, second, precision)
    return Whole(replace(ending, outputs={}), said, precision, difference)


def _difference(first: Mapping[str, Mapping[str, Array]], second: Mapping[str, Mapping[str, Array]], precision: Precision) -> str:
    """What differs between two answers by more than rounding can."""
    limit = FACTOR * EPSILON[precision]
    for case, outputs in first.items():
        for name, array in outputs.items():
            other = second.get(case, {}).get(name)
            far = distance(other, array, RULES[precision].flips) if other is not None else float("inf")
            if not far <= limit:
                return f"output {name} of case {case} differs between two runs by {far:.1e}"
    return ""


def working_folder(pipeline: Pipeline, subject: Subject) -> Path:
    """Where reference tensors and the journal of a subject lie until its diagnosis is done."""
    return pipeline.jobs.workspace.cache / "diagnose" / subject.key[:32]


def drop_tensors(folder: Path) -> None:
    """Remove the large files; what was found out stays in the journal."""
    for each in os.scandir(folder) if folder.is_dir() else ():
        if each.is_dir():
            shutil.rmtree(each.path, ignore_errors=True)
