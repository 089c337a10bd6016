"""One cell, from the bundle to the record: along the forms that its adapter takes, the first that works."""

from __future__ import annotations

import platform
import shlex
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from porting import registry, routes, verdict
from porting.adapter import DeviceState, FormNeed
from porting.bundles.bundle import Bundle, FormKey
from porting.bundles.bundler import Bundler, Made
from porting.bundles.given import stored_files
from porting.cells.attempt import Attempt
from porting.cells.jobs import Cell, Jobs, Options, Stop, Trail, fault_of, finding_of, judged_at
from porting.cells.parted import HOST, Parted
from porting.environments import probing
from porting.errors import PortingError, UsageError
from porting.signature import signature
from porting.types import INFRASTRUCTURE, WRONG_INPUT, Cause, Outcome, Precision, Result, Stage, StageTime
from porting.verdict import Finding

MOST_HOSTED = 6
"""Operators that are left to the host, one after the other as a stack names them."""
_MAY_BE_CHANCE = (Stage.CONVERT, Stage.LOAD, Stage.RUN, Stage.COMPARE)
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
        self._first: FormKey | None = None
        """Taken first because it was known to be good."""
        self._chance: Attempt | None = None
        """Failed, and passed when it was done once more in the same way."""
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
        """The attempt that the result tells of: the one that works best, else the one that got furthest, of the model as a whole
        before one in parts; the first of several."""
        if self._chance:
            return self._chance
        stages = list(Stage)

        def rank(tried: Attempt) -> tuple[Any, ...]:
            share = tried.placement.share if tried.placement else None
            elsewhere = (tried.placement.other_ops if tried.placement else None) or 0
            how_well = (share or 0.0, -elsewhere) if tried.works else (0.0, 0)
            return tried.passes, tried.works, how_well, not routes.hosted_of(tried.key.route), stages.index(tried.finding.stage)

        return max(self.attempts, key=rank, default=None)

    # ---- the steps

    def _steps(self) -> Finding:
        self._available()
        self._reference()
        needs, route = list(self.cell.adapter.needs()), self._options.route
        if route:
            return self._pinned(needs, route)
        first = self._remembered(needs)
        if first and self._attempt(*first):
            return self._told()
        if not self._searched(needs):
            self._in_parts()
        return self._told()

    def _searched(self, needs: Sequence[FormNeed]) -> bool:
        """Try the forms that the adapter takes, one at fixed sizes after what answers the troubles of those that keep sizes open,
        unless it would hide them; then changes for want of anything better. A model that generates needs open sizes. Returns
        whether that is the end."""
        assert self.bundle
        kept = [need for need in needs if need.dynamic or not needs[0].dynamic]
        fixed = [need for need in needs if need not in kept and not self.bundle.prompts]
        if any(self._along(need, FormKey.of(need, self.cell.target)) for need in kept):
            return True
        if any(self._otherwise(need, named=True) for need in (kept if fixed else ())):
            return True
        if routes.is_wrong_elsewhere(self.attempts):
            fixed = []
        return any(self._along(need, FormKey.of(need, self.cell.target)) for need in fixed) or any(
            self._otherwise(need) for need in [*kept, *fixed]
        )

    def _told(self) -> Finding:
        """What the best attempt found; a wrong answer before it is said in the same breath."""
        assert self.best
        finding = self.best.finding
        wrong = next((a for a in self.attempts if a is not self.best and a.finding.outcome is Outcome.MISMATCH), None)
        if not self.best.works or wrong is None:
            return finding
        return replace(finding, message=f"{finding.message}; as {wrong.key} the answer is wrong: {wrong.finding.message}")

    def _attempt(self, need: FormNeed, key: FormKey) -> bool:
        """Try a form. Returns whether that is the end: it passes, or the rig or what was given is at fault."""
        assert self.bundle
        kind = Parted if routes.hosted_of(key.route) else Attempt
        attempt = kind(need, key, self.cell, self.bundle, self.trail, self.folder)
        self.attempts.append(attempt)
        attempt.run(self._jobs, self._bundler, self._options)
        self.bundle = attempt.bundle
        return attempt.passes or attempt.finding.cause in INFRASTRUCTURE | WRONG_INPUT

    def _along(self, need: FormNeed, key: FormKey) -> bool:
        """Try a form, and the same with fewer axes as long as the stack refuses sizes, and answered none of them wrongly before;
        one that works in part is enough here."""
        waiting = [key]
        while waiting:
            wanted = waiting.pop(0)
            if any(wanted == tried.key for tried in self.attempts):
                continue
            if self._attempt(need, wanted):
                return True
            last = self.attempts[-1]
            if wanted == key:
                along = [attempt for attempt in self.attempts if attempt.need == need]
                waiting = [] if routes.is_wrong(along) else last.fewer_axes()
            elif last.finding.cause is not Cause.DYNAMIC_SHAPE:
                return False
        return False

    def _otherwise(self, need: FormNeed, named: bool = False) -> bool:
        """Try the routes that answer what was seen along the forms of one need, one after the other. named: none that are tried
        for want of anything better."""
        assert self.bundle
        while True:
            tried = [attempt for attempt in self.attempts if attempt.need == need]
            keeps = self.cell.target.precision in self.cell.adapter.keeps_layers
            key = routes.next_key(tried, self.cell.target, self.bundle.reference != "eager", keeps, named)
            if key is None or (self.bundle.prompts and key.axes != tried[0].key.axes):
                return False
            if self._along(need, key):
                self._doubt(tried[0])
                return True

    def _in_parts(self) -> None:
        """Leave to the host what the stack says it does not take, where nothing else works; what it then names, too."""
        assert self.bundle
        if self.best is None or self.best.works or self._no_parts():
            return
        start = next(((tried.need, key) for tried in self.attempts if (key := routes.with_host(tried))), None)
        while start and len(routes.hosted_of(start[1].route)) <= MOST_HOSTED:
            if self._attempt(*start) or self.attempts[-1].works:
                return
            key = routes.with_host(self.attempts[-1])
            start = (start[0], key) if key else None

    def _no_parts(self) -> str:
        """Why this cell cannot be run in parts; empty where it can."""
        target = self.cell.target
        if target.adapter == HOST.adapter:
            return f"{target.adapter} is what runs the host's parts"
        if not self.cell.adapter.evidence_of(target.device).ran:
            return f"nothing runs on {target}"
        return "a model that generates is not run in parts" if self.bundle and self.bundle.prompts else ""

    def _doubt(self, usual: Attempt) -> None:
        """Do the usual way once more where another one passes that does not name what it mends: a failure by chance is not
        mended by what was done next. Then the result tells of that failure."""
        mended = self.attempts[-1]
        if not mended.passes or routes.names_its_cause(mended.key.route) or usual.finding.stage not in _MAY_BE_CHANCE:
            return
        assert self.bundle
        again = Attempt(usual.need, usual.key, self.cell, self.bundle, self.trail, self.folder / "again")
        again.run(self._jobs, self._bundler, self._options)
        if again.works:
            self._chance = usual

    def _pinned(self, needs: Sequence[FormNeed], route: str) -> Finding:
        """Try the one route that a person wants, along the first form that it is for."""
        words = [word for word in route.split("+") if word]
        for need in needs:
            key = routes.pinned(FormKey.of(need, self.cell.target), route)
            if routes.hosted_of(words) and (why := self._no_parts()):
                raise UsageError(f"route {route} cannot be taken: {why}.", "Leave out host=..., or see porting routes.")
            if routes.is_for(words, need.kind):
                self._attempt(need, key)
                return self._told()
        kinds = ", ".join(need.kind for need in needs)
        raise UsageError(f"route {route} is for no form that {self.cell.target.adapter} takes: {kinds}.", "See porting routes.")

    def _remembered(self, needs: Sequence[FormNeed]) -> tuple[FormNeed, FormKey] | None:
        """The route that is known to be good for the model's family here."""
        key = routes.remembered(self._options.first, self.cell.spec.family, self.cell.target)
        for need in needs:
            usual = FormKey.of(need, self.cell.target)
            if key and (key.kind, key.precision, key.opset) == (usual.kind, usual.precision, usual.opset):
                self._first = key
                return need, key
        return None

    def _available(self) -> None:
        device = device_state(self.cell, self._jobs)
        if device.available:
            return
        refused = device.cause in (Cause.UNSUPPORTED_DTYPE, Cause.UNSUPPORTED_TARGET)
        outcome = Outcome.UNSUPPORTED if refused else Outcome.UNAVAILABLE
        hint = self.cell.adapter.install_hint if device.cause is Cause.MISSING_DEPENDENCY else ""
        raise Stop(Finding(Stage.ENVIRONMENT, outcome, device.cause or Cause.MISSING_DEVICE, device.reason, hint))

    def _reference(self) -> None:
        """Take the bundle for this cell. Raises Stop when the reference failed."""
        assert self.made is not None
        if self.made.finding:
            raise Stop(self.made.finding)
        assert self.made.bundle is not None
        bundle = self.bundle = self.made.bundle
        for name in ("model", judged_at(self.cell.target.precision).value):
            if name in bundle.failures:
                raise Stop(verdict.of_failure(bundle.failures[name]))

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

    def _ways(self) -> Iterator[str]:
        """What had to be changed, how it was proven, and what came of the ways before."""
        best = self.best
        if self._chance:
            yield f"failed by chance: as {self._chance.key} it failed once, and passed when that was done once more"
        if best is None or not best.works:
            return
        if best.passes_with:
            yield f"passes with {', '.join(best.passes_with)}" if best.passes else f"works with {', '.join(best.passes_with)}"
        if best.form and best.form.proof:
            yield f"rewritten, and {best.form.proof}"
        if best.key == self._first:
            yield f"this route was taken first: models of family {self.cell.spec.family} are known to pass with it here"
        for tried in self.attempts[: self.attempts.index(best)]:
            cause = f" ({tried.finding.cause.value})" if tried.finding.cause else ""
            yield f"before, as {tried.key}: {tried.finding.outcome.value}{cause} at {tried.finding.stage.value}"

    def _fixed_axes(self) -> Sequence[str]:
        """What was given up for a form that works: axes that eager lets vary, and that were fixed at their nominal size."""
        best = self.best
        if best is None or not best.works or best.form is None:
            return ()
        if best.key.axes == self.attempts[0].key.axes and not routes.fixed_of(best.key.route):
            return ()
        before = next(a for a in self.attempts if a.need == best.need)
        fixed = [axis for axis in before.dynamic_axes if axis not in best.form.dynamic_axes]
        return (f"fixed at the nominal size, because the form with more axes fails at others: {', '.join(fixed)}",)

    def _reproduce(self) -> str:
        """The command that does it again, in the same folder."""
        spec, given = self.cell.spec, self._options.given
        words = ["porting", "check", spec.id if spec.origin else spec.name, "--on", str(self.cell.target)]
        words += ["--trust"] if spec.trust else []
        words += ["--route", self._options.route] if self._options.route else []
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
        notes += [*self._ways(), *self._fixed_axes()]
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
