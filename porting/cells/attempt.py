"""A cell along one exported form: convert, load and run in the backend's interpreter, compare here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from porting import registry, routes, verdict
from porting.adapter import FormNeed
from porting.bundles.bundle import BATCH, DYNAMIC, Bundle, Case, FormKey, FormRecord, prompt_start, prompt_truth
from porting.bundles.bundler import Bundler
from porting.bundles.generation import LOGITS, Prompt
from porting.bundles.tensors import read_tensors
from porting.cells.jobs import Cell, Jobs, Options, Stop, Trail, finding_of
from porting.errors import PortingError
from porting.numerics import tokens
from porting.numerics.compare import Noise, Verdict, judge
from porting.report.counts import first_line
from porting.serialization import Json, from_json, to_json
from porting.types import Artifact, Cause, Evidence, Outcome, Perf, Placement, Precision, Stage, StageTime  # fmt: skip
from porting.verdict import Finding
from porting.workspace import disk_errors


class Attempt:
    """Works a cell along the form that one need of its adapter means. What is found out on the way is kept in attributes."""

    def __init__(self, need: FormNeed, key: FormKey, cell: Cell, bundle: Bundle, trail: Trail, folder: Path) -> None:
        """key: the form that the need means, or one with fewer axes dynamic, or along another route."""
        self.need, self.key = need, key
        self.cell, self.bundle, self.trail = cell, bundle, trail
        self.folder = folder / str(self.key)
        """Holds the artifact and the outputs."""
        self.finding = Finding(trail.stage, Outcome.FAIL, Cause.HARNESS)
        self.form: FormRecord | None = None
        self.evidence: Evidence | None = None
        self.artifact: Artifact | None = None
        self.placement: Placement | None = None
        self.effective: Precision | None = None
        self.perf: Perf | None = None
        self.axes: Mapping[str, str] = {}
        self.said: Verdict | None = None
        self.generated = tokens.Said()
        self.versions: Mapping[str, str] = {}
        """Of what the target stands on."""

    def run(self, jobs: Jobs, bundler: Bundler, options: Options) -> None:
        """Go all the way, and keep the finding; what is at fault in porting itself is raised."""
        self.versions = jobs.prober.probe(self.cell.target.adapter).versions
        try:
            self.finding = self._steps(jobs, bundler, options)
        except Stop as stop:
            self.finding = stop.finding
        except PortingError as error:
            self.finding = finding_of(error, self.trail.stage)

    @property
    def works(self) -> bool:
        """Whether it came to right numbers, or to an artifact where nothing runs."""
        return self.finding.outcome in (Outcome.PASS, Outcome.DEGRADED)

    @property
    def passes(self) -> bool:
        """Whether nothing is left to wish for."""
        return self.finding.outcome is Outcome.PASS

    @property
    def passes_with(self) -> tuple[str, ...]:
        """What was changed for it to work, of what the route asks for."""
        made = {*(self.form.route if self.form else ()), *(f"host={name}" for name in routes.hosted_of(self.key.route))}
        return tuple(word for word in self.key.route if word in made) if self.works else ()

    def fewer_axes(self) -> list[FormKey]:
        """The forms of other attempts, where the stack refused sizes that vary; none where that is not what went wrong, or would
        leave nothing to generate with. Numbers that are wrong at other sizes without a word are never passed over so."""
        dynamic = self.dynamic_axes
        if self.finding.cause is not Cause.DYNAMIC_SHAPE or not dynamic or self.bundle.prompts:
            return []
        return routes.fewer(self.key, dynamic)

    @property
    def dynamic_axes(self) -> tuple[str, ...]:
        """Axes that the form has dynamic, or was to have where it failed."""
        if self.form and not self.form.failure:
            return self.form.dynamic_axes
        varying = [axis for axis, state in self.bundle.axes.items() if state == "varies"]
        fixed = routes.fixed_of(self.key.route)
        return tuple(a for a in varying if a not in fixed and (self.key.axes == DYNAMIC or (self.key.axes, a) == (BATCH, BATCH)))

    @property
    def line(self) -> str:
        """What became of it, in one line."""
        finding = self.finding
        cause = f" ({finding.cause.value})" if finding.cause else ""
        return f"{self.key}: {finding.outcome.value}{cause} at {finding.stage.value}: {first_line(finding.message)}"

    def found(self) -> dict[str, Any]:
        """What a result tells of it, by the names of its fields."""
        return {
            "evidence": self.evidence,
            "route": self.form.route if self.form else (),
            "form": str(routes.exported(self.key)),
            "passes_with": self.passes_with,
            "effective_precision": self.effective.value if self.effective else None,
            "cases": self.said.cases if self.said else (),
            "generation": self.generated.numbers,
            "axes": self.axes,
            "placement": self.placement,
            "perf": self.perf if self.works else None,
        }

    # ---- the steps

    def _steps(self, jobs: Jobs, bundler: Bundler, options: Options) -> Finding:
        form = self._form(bundler)
        self.evidence = self.cell.adapter.evidence_of(self.cell.target.device)
        artifact = self._convert(jobs, form)
        if not self.evidence.ran:
            self.placement = artifact.placement
            return verdict.of_artifact(artifact, self.cell.adapter.minimum_target_share, self.evidence)
        judged = self.bundle.cases_for(form)
        outputs = self._run(jobs, options, judged)
        return self._judge(bundler, form, judged, outputs)

    def _form(self, bundler: Bundler) -> FormRecord:
        """The exported form, made now unless the bundle has it. Raises Stop when the export failed."""
        key = routes.exported(self.key)
        self.bundle = bundler.with_form(self.cell, self.bundle, key, self.trail)
        form = self.form = self.bundle.forms[str(key)]
        if form.failure:
            raise Stop(verdict.of_failure(form.failure))
        limit = self.need.opset
        if limit and form.opset and form.opset > limit:
            message = f"the model has opset {form.opset}; {self.cell.adapter.name} reads at most {limit}"
            raise Stop(Finding(Stage.EXPORT, Outcome.UNSUPPORTED, Cause.OPSET, message))
        return form

    def _convert(self, jobs: Jobs, form: FormRecord) -> Artifact:
        jobs.warm_for(adapter=self.cell.adapter)
        payload = self._payload("convert", form=to_json(self.bundle.form(form)))
        artifact = self.artifact = from_json(Artifact, self._must(jobs, payload))
        return artifact

    def _run(self, jobs: Jobs, options: Options, judged: Sequence[Case]) -> dict[str, Path]:
        """Load the artifact in a fresh process and run every case. Returns the files of outputs by case."""
        with disk_errors(self.folder):
            (self.folder / "outputs").mkdir()
        outputs = {case.name: self.folder / "outputs" / f"{number}.npz" for number, case in enumerate(judged)}
        read = self.bundle.folder
        cases = [{"name": c.name, "inputs": str(read / c.inputs), "outputs": str(outputs[c.name])} for c in judged]
        prompts = [
            {"prompt": to_json(p), "start": str(read / prompt_start(p.name)), "outputs": str(self._generated(p.name))}
            for p in self._prompts
        ]
        payload = self._payload("run", artifact=to_json(self.artifact), bench=options.bench_seconds, cases=cases, prompts=prompts)
        answer = self._must(jobs, payload)
        self.placement = from_json(Placement, answer["placement"])
        self.effective = Precision(answer["effective_precision"])
        if "perf" in answer:
            self.perf = Perf(judged[0].name, **answer["perf"])
        return outputs

    def _judge(self, bundler: Bundler, form: FormRecord, judged: Sequence[Case], outputs: Mapping[str, Path]) -> Finding:
        assert self.effective
        assert self.placement
        assert self.artifact
        precision = verdict.judged_precision(self.cell.target.precision, self.effective)
        bundle = self.bundle = bundler.with_precision(self.cell, self.bundle, precision, self.trail)
        start, cpu = time.monotonic(), time.thread_time()
        actual = {name: read_tensors(path) for name, path in outputs.items() if path.exists()}
        truth = {case.name: bundle.read(case.truth) for case in judged}
        noise = bundle.noise.get(precision.value, {})
        said = self.said = judge(actual, truth, self.artifact.outputs, noise, precision)
        self.generated = self._judge_tokens(precision)
        self.axes = verdict.axes_of(bundle, form, judged, said)
        self.trail.stages.append(StageTime(Stage.COMPARE, time.monotonic() - start, time.thread_time() - cpu, 0))
        share = self.cell.adapter.minimum_target_share
        said = verdict.with_tokens(said, self.generated)
        finding = verdict.of_comparison(said, self.placement, share, self.cell.target.precision, self.effective)
        return verdict.of_mixed(finding, form.kept, self.cell.target.precision)

    # ---- generation

    @property
    def _prompts(self) -> Sequence[Prompt]:
        return self.bundle.prompts_for(self.form) if self.form else ()

    def _generated(self, prompt: str) -> Path:
        return self.folder / "outputs" / f"{prompt}.generated.npz"

    def _judge_tokens(self, precision: Precision) -> tokens.Said:
        """Hold the tokens that came back against the truth's. What a form cannot generate is said."""
        prompts, bundle = self._prompts, self.bundle
        if not prompts:
            lacking = f"{self.key} is static along {' and '.join(bundle.prompts[0].axes)}" if bundle.prompts else ""
            return tokens.Said(notes=(f"nothing was generated: {lacking}",) if lacking else ())
        actual = {p.name: read_tensors(path) for p in prompts if (path := self._generated(p.name)).exists()}
        truth = {p.name: bundle.read(prompt_truth(p.name)) for p in prompts}
        noise = bundle.prompts_noise.get(precision.value) or bundle.noise.get(precision.value, {}).get(LOGITS, Noise())
        return tokens.judge(actual, truth, noise, precision)

    def _payload(self, kind: str, **more: Json) -> Json:
        return {
            "kind": kind,
            "adapter": registry.module_of(self.cell.target.adapter),
            "target": str(self.cell.target),
            "artifact_folder": str(self.folder / "artifact"),
            **more,
        }

    def _must(self, jobs: Jobs, payload: Json) -> Json:
        return jobs.must(payload, self.trail, self.cell.target.adapter, self.bundle)
