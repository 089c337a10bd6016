"""One cell, from the bundle to the record: convert, load and run in the backend's interpreter, compare here."""

from __future__ import annotations

import platform
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from porting import probing, registry, verdict
from porting.adapter import DeviceState
from porting.bundle import Bundle, Case, FormKey, FormRecord
from porting.bundler import Bundler, Made
from porting.compare import Verdict, judge
from porting.errors import PortingError
from porting.given import stored_files
from porting.jobs import Cell, Jobs, Options, Stop, Trail, fault_of, finding_of, judged_at
from porting.signature import signature
from porting.tensors import read_tensors
from porting.types import (
    Artifact,
    Cause,
    Evidence,
    Json,
    Outcome,
    Perf,
    Placement,
    Precision,
    Result,
    Stage,
    StageTime,
    from_json,
    to_json,
)  # fmt: skip
from porting.verdict import Finding
from porting.workspace import disk_errors

LOG_TAIL = 4000
"""Characters of the log that a record carries."""


class CellRun:
    """Works one cell. What is found out on the way is kept in attributes, for the record."""

    def __init__(self, cell: Cell, made: Made | None, jobs: Jobs, bundler: Bundler, options: Options, run_id: str) -> None:
        self.cell, self.made = cell, made
        self._jobs, self._bundler, self._options, self._run_id = jobs, bundler, options, run_id
        self.trail = made.trail.fork() if made else Trail()
        self.bundle: Bundle | None = None
        self.form: FormRecord | None = None
        self.evidence: Evidence | None = None
        self.artifact: Artifact | None = None
        self.placement: Placement | None = None
        self.effective: Precision | None = None
        self.perf: Perf | None = None
        self.axes: Mapping[str, str] = {}
        self.said: Verdict | None = None
        self.folder = jobs.cells / cell.key[:40]
        """Holds the artifact until `clean`."""

    def run(self) -> tuple[Result, bytes]:
        """Work the cell to its result. Returns it with the full log."""
        try:
            finding = self._steps()
        except Stop as stop:
            finding = stop.finding
        except PortingError as error:
            finding = finding_of(error, self.trail.stage)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- see fault_of
            finding = fault_of(error, self.trail)
        log = b"".join(self.trail.logs)
        return self._result(finding, log), log

    def clean(self) -> None:
        """Remove the artifact and the outputs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the steps

    def _steps(self) -> Finding:
        self._available()
        bundle, form = self._reference()
        artifact = self._convert(bundle, form)
        if self.evidence is Evidence.COMPILED:
            self.placement = artifact.placement
            return verdict.of_artifact(artifact, self.cell.adapter.minimum_target_share)
        judged = bundle.cases_for(form)
        outputs = self._run(bundle, judged)
        return self._judge(bundle, form, judged, outputs)

    def _available(self) -> None:
        device = device_state(self.cell, self._jobs)
        if device.available:
            return
        refused = device.cause in (Cause.UNSUPPORTED_DTYPE, Cause.UNSUPPORTED_TARGET)
        outcome = Outcome.UNSUPPORTED if refused else Outcome.UNAVAILABLE
        hint = self.cell.adapter.install_hint if device.cause is Cause.MISSING_DEPENDENCY else ""
        raise Stop(Finding(Stage.ENVIRONMENT, outcome, device.cause or Cause.MISSING_DEVICE, device.reason, hint))

    def _reference(self) -> tuple[Bundle, FormRecord]:
        """The bundle and the form for this cell. Raises Stop when the reference or the export failed."""
        assert self.made is not None
        if self.made.finding:
            raise Stop(self.made.finding)
        assert self.made.bundle is not None
        bundle = self.bundle = self.made.bundle
        for name in ("model", judged_at(self.cell.target.precision).value):
            if name in bundle.failures:
                raise Stop(verdict.of_failure(bundle.failures[name]))
        form = self.form = bundle.forms[str(FormKey.of(self.cell.adapter.need, self.cell.target))]
        if form.failure:
            raise Stop(verdict.of_failure(form.failure))
        limit = self.cell.adapter.need.opset
        if limit and form.opset and form.opset > limit:
            message = f"the model was exported with opset {form.opset}; {self.cell.adapter.name} reads at most {limit}"
            raise Stop(Finding(Stage.EXPORT, Outcome.UNSUPPORTED, Cause.OPSET, message))
        return bundle, form

    def _convert(self, bundle: Bundle, form: FormRecord) -> Artifact:
        self.evidence = self.cell.adapter.evidence_of(self.cell.target.device)
        self._jobs.warm_for(adapter=self.cell.adapter)
        payload = self._payload("convert", form=to_json(bundle.form(form)))
        artifact = self.artifact = from_json(Artifact, self._must(payload, bundle))
        return artifact

    def _run(self, bundle: Bundle, judged: Sequence[Case]) -> dict[str, Path]:
        """Load the artifact in a fresh process and run every case. Returns the files of outputs by case."""
        with disk_errors(self.folder):
            (self.folder / "outputs").mkdir()
        outputs = {case.name: self.folder / "outputs" / f"{number}.npz" for number, case in enumerate(judged)}
        cases = [{"name": c.name, "inputs": str(bundle.folder / c.inputs), "outputs": str(outputs[c.name])} for c in judged]
        payload = self._payload("run", artifact=to_json(self.artifact), bench=self._options.bench_seconds, cases=cases)
        answer = self._must(payload, bundle)
        self.placement = from_json(Placement, answer["placement"])
        self.effective = Precision(answer["effective_precision"])
        if "perf" in answer:
            self.perf = Perf(judged[0].name, **answer["perf"])
        return outputs

    def _judge(self, bundle: Bundle, form: FormRecord, judged: Sequence[Case], outputs: Mapping[str, Path]) -> Finding:
        assert self.effective
        assert self.placement
        assert self.artifact
        precision = verdict.judged_precision(self.cell.target.precision, self.effective)
        bundle = self.bundle = self._bundler.with_precision(self.cell, bundle, precision, self.trail)
        start, cpu = time.monotonic(), time.thread_time()
        actual = {name: read_tensors(path) for name, path in outputs.items() if path.exists()}
        truth = {case.name: bundle.read(case.truth) for case in judged}
        noise = bundle.noise.get(precision.value, {})
        said = self.said = judge(actual, truth, self.artifact.outputs, noise, precision)
        self.axes = verdict.axes_of(bundle, form, judged, said)
        self.trail.stages.append(StageTime(Stage.COMPARE, time.monotonic() - start, time.thread_time() - cpu, 0))
        share = self.cell.adapter.minimum_target_share
        return verdict.of_comparison(said, self.placement, share, self.cell.target.precision, self.effective)

    def _payload(self, kind: str, **more: Json) -> Json:
        return {
            "kind": kind,
            "adapter": registry.module_of(self.cell.target.adapter),
            "target": str(self.cell.target),
            "artifact_folder": str(self.folder / "artifact"),
            **more,
        }

    def _must(self, payload: Json, bundle: Bundle) -> Json:
        return self._jobs.must(payload, self.trail, self.cell.target.adapter, bundle)

    # ---- the record

    def _result(self, finding: Finding, log: bytes) -> Result:
        cell, bundle, said = self.cell, self.bundle, self.said
        adapter = cell.target.adapter
        works = finding.outcome in (Outcome.PASS, Outcome.DEGRADED)
        return Result(
            model=cell.spec.id,
            target=str(cell.target),
            stage=finding.stage,
            outcome=finding.outcome,
            cause=finding.cause,
            evidence=self.evidence,
            signature=signature(adapter, finding.stage, finding.cause, finding.message) if finding.cause else None,
            message=finding.message,
            hint=finding.hint,
            route=self.form.route if self.form else (),
            effective_precision=self.effective.value if self.effective else None,
            cases=said.cases if said else (),
            axes=self.axes,
            placement=self.placement,
            stages=_merged(self.trail.stages),
            perf=self.perf if works else None,
            environment=self._environment(),
            notes=self._notes(),
            bundle=bundle.digest if bundle else "",
            log_tail=printable(log[-LOG_TAIL:]),
            key=cell.key,
            run=self._run_id,
            family=cell.spec.family,
            reproduce=self._reproduce(),
            started=self.trail.started,
            seconds=round(sum(s.seconds for s in self.trail.stages), 3),
            peak_rss_bytes=max((s.peak_rss_bytes for s in self.trail.stages), default=0),
        )

    def _reproduce(self) -> str:
        """The command that does it again, in the same folder."""
        spec, given = self.cell.spec, self._options.given
        words = ["porting", "check", spec.id if spec.origin else spec.name, "--on", str(self.cell.target)]
        words += ["--trust"] if spec.trust else []
        words += [word for path in (stored_files(given) if given else ()) for word in ("--inputs", str(path))]
        return shlex.join(words)

    def _environment(self) -> dict[str, str]:
        host = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        probe = self._jobs.prober.probe(self.cell.target.adapter)
        return {**host, **(self.bundle.versions if self.bundle else {}), **probe.versions}

    def _notes(self) -> tuple[str, ...]:
        notes = [*(self.bundle.notes if self.bundle else ()), *(self.said.notes if self.said else ())]
        asked = self.cell.target.precision
        if self.effective and self.effective is not asked:
            notes.append(f"asked for {asked.value}, computed in {self.effective.value} by the backend's own word")
        if self.effective in (Precision.FP16, Precision.BF16, Precision.INT8):
            notes.append(f"a pass at {self.effective.value} does not exclude small semantic faults; a pass at fp32 does")
        if self.bundle and self.bundle.reference != "eager":
            notes.append(f"the reference is {self.bundle.reference}'s own CPU run: the file is all there is")
        return tuple(notes)


def device_state(cell: Cell, jobs: Jobs) -> DeviceState:
    """What is known about the cell's device, the precision included."""
    return probing.device_state(cell.adapter, cell.target, jobs.prober.probe(cell.target.adapter))


def _merged(stages: Sequence[StageTime]) -> tuple[StageTime, ...]:
    """One entry a stage, in the order they were first entered."""
    merged: dict[Stage, StageTime] = {}
    for stage in stages:
        before: Any = merged.get(stage.name, StageTime(stage.name, 0.0, 0.0, 0))
        merged[stage.name] = StageTime(
            stage.name,
            round(before.seconds + stage.seconds, 4),
            round(before.cpu_seconds + stage.cpu_seconds, 4),
            max(before.peak_rss_bytes, stage.peak_rss_bytes),
        )
    return tuple(merged.values())


def printable(data: bytes) -> str:
    """What a person reads of a log."""
    text = data.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
