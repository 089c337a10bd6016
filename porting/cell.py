"""One cell, from the bundle to the record: along the forms that its adapter takes (porting.attempt), the first that works."""

from __future__ import annotations

import platform
import shlex
import shutil
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

from porting import probing, registry, verdict
from porting.adapter import DeviceState
from porting.attempt import Attempt
from porting.bundle import Bundle
from porting.bundler import Bundler, Made
from porting.errors import PortingError
from porting.given import stored_files
from porting.jobs import Cell, Jobs, Options, Stop, Trail, fault_of, finding_of, judged_at
from porting.signature import signature
from porting.types import INFRASTRUCTURE, WRONG_INPUT, Cause, Outcome, Precision, Result, Stage, StageTime
from porting.verdict import Finding

LOG_TAIL = 4000
"""Characters of the log that a record carries."""


class CellRun:
    """Works one cell, along one form of the model after the other until one comes to right numbers."""

    def __init__(self, cell: Cell, made: Made | None, jobs: Jobs, bundler: Bundler, options: Options, run_id: str) -> None:
        self.cell, self.made = cell, made
        self._jobs, self._bundler, self._options, self._run_id = jobs, bundler, options, run_id
        self.trail = made.trail.fork() if made else Trail()
        self.bundle: Bundle | None = None
        self.attempts: list[Attempt] = []
        self.folder = jobs.cells / cell.key[:40]
        """Holds artifacts until `clean`."""

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

    @property
    def best(self) -> Attempt | None:
        """The attempt that the result tells of: the one that works, else the one that got furthest, the first of several."""
        stages = list(Stage)
        return max(self.attempts, key=lambda tried: (tried.works, stages.index(tried.finding.stage)), default=None)

    # ---- the steps

    def _steps(self) -> Finding:
        self._available()
        bundle = self._reference()
        for need in self.cell.adapter.needs():
            axes: str | None = None
            while True:
                attempt = Attempt(need, self.cell, bundle, self.trail, self.folder, axes)
                self.attempts.append(attempt)
                attempt.run(self._jobs, self._bundler, self._options)
                bundle = self.bundle = attempt.bundle
                if attempt.works or attempt.finding.cause in INFRASTRUCTURE | WRONG_INPUT:
                    return attempt.finding
                axes = attempt.fewer_axes()
                if axes is None:
                    break
        assert self.best
        return self.best.finding

    def _available(self) -> None:
        device = device_state(self.cell, self._jobs)
        if device.available:
            return
        refused = device.cause in (Cause.UNSUPPORTED_DTYPE, Cause.UNSUPPORTED_TARGET)
        outcome = Outcome.UNSUPPORTED if refused else Outcome.UNAVAILABLE
        hint = self.cell.adapter.install_hint if device.cause is Cause.MISSING_DEPENDENCY else ""
        raise Stop(Finding(Stage.ENVIRONMENT, outcome, device.cause or Cause.MISSING_DEVICE, device.reason, hint))

    def _reference(self) -> Bundle:
        """The bundle for this cell. Raises Stop when the reference failed."""
        assert self.made is not None
        if self.made.finding:
            raise Stop(self.made.finding)
        assert self.made.bundle is not None
        bundle = self.bundle = self.made.bundle
        for name in ("model", judged_at(self.cell.target.precision).value):
            if name in bundle.failures:
                raise Stop(verdict.of_failure(bundle.failures[name]))
        return bundle

    # ---- the record

    def _result(self, finding: Finding, log: bytes) -> Result:
        cell, bundle, best = self.cell, self.bundle, self.best
        adapter = cell.target.adapter
        return Result(
            model=cell.spec.id,
            target=str(cell.target),
            stage=finding.stage,
            outcome=finding.outcome,
            cause=finding.cause,
            signature=signature(adapter, finding.stage, finding.cause, finding.message) if finding.cause else None,
            message=finding.message,
            hint=finding.hint,
            attempts=tuple(attempt.line for attempt in self.attempts if attempt is not best),
            stages=_merged(self.trail.stages),
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
            **(best.found() if best else {}),
        )

    def _fixed_axes(self) -> Sequence[str]:
        """What was given up for a form that works: axes that eager lets vary, and that were fixed at their nominal size."""
        best = self.best
        if best is None or not best.works or best.form is None or best.key.axes == self.attempts[0].key.axes:
            return ()
        before = next(a for a in self.attempts if a.need == best.need and a.form)
        kept = best.form.dynamic_axes
        fixed = [axis for axis in (before.form.dynamic_axes if before.form else ()) if axis not in kept]
        return (f"fixed at the nominal size, because the form with more axes fails at others: {', '.join(fixed)}",)

    def _reproduce(self) -> str:
        """The command that does it again, in the same folder."""
        spec, given = self.cell.spec, self._options.given
        words = ["porting", "check", spec.id if spec.origin else spec.name, "--on", str(self.cell.target)]
        words += ["--trust"] if spec.trust else []
        words += [word for path in (stored_files(given) if given else ()) for word in ("--inputs", str(path))]
        return shlex.join(words)

    def _environment(self) -> dict[str, str]:
        """What the result was had with; the adapter's code as a digest, since it may change without a version."""
        name = self.cell.target.adapter
        host = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        host["adapter"] = registry.fingerprint(name)[:12]
        probe = self._jobs.prober.probe(name)
        return {**host, **(self.bundle.versions if self.bundle else {}), **probe.versions}

    def _notes(self) -> tuple[str, ...]:
        said, effective = (self.best.said, self.best.effective) if self.best else (None, None)
        notes = [*(self.bundle.notes if self.bundle else ()), *(said.notes if said else ())]
        notes += self.best.generated.notes if self.best else ()
        notes += self._fixed_axes()
        asked = self.cell.target.precision
        if effective and effective is not asked:
            notes.append(f"asked for {asked.value}, computed in {effective.value} by the backend's own word")
        if effective in (Precision.FP16, Precision.BF16, Precision.INT8):
            notes.append(f"a pass at {effective.value} does not exclude small semantic faults; a pass at fp32 does")
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
