"""Makes the bundle of a model for the cells that need it, through build jobs; completes one that is there already."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path

from porting import verdict
from porting.bundles import cache
from porting.bundles.bundle import FILE, Bundle, Failure, FormKey, FormRecord, read_bundle, write_bundle
from porting.cells import keys
from porting.cells.jobs import Cell, Jobs, Options, Stop, Trail, fault_of, finding_of, judged_at
from porting.errors import PortingError
from porting.serialization import to_json
from porting.types import INFRASTRUCTURE, Cause, ModelSpec, Outcome, Precision, Stage
from porting.verdict import Finding
from porting.workspace import disk_errors, locked


@dataclass(frozen=True)
class Made:
    """What became of a model's bundle: the bundle, or why there is none."""

    trail: Trail
    bundle: Bundle | None = None
    finding: Finding | None = None


WORTH_RETRYING = frozenset({Cause.TIMEOUT, Cause.HANG, Cause.HOST_OOM, Cause.CRASH})
"""What may have ended an export because of the machine, its load, or the limits given."""


class Bundler:
    """Makes bundles for one run."""

    def __init__(self, jobs: Jobs, options: Options, run_id: str) -> None:
        self._jobs, self._options, self._run_id = jobs, options, run_id
        self._tried: set[tuple[Path, str]] = set()
        """Exports that this run has tried: bundle and form."""
        self._in_use = cache.InUse()
        self.fetch: Callable[[str, Path], bool] = lambda _key, _folder: False
        """Gets a bundle from elsewhere into its empty folder; whether there was one."""
        self.share: Callable[[str, Path], None] = lambda _key, _folder: None
        """Told of a bundle that was made here."""

    def release(self, key: str) -> None:
        """Say that this run has done with a bundle, so that it may go where the cache is over its limit."""
        self._in_use.release(self._folder(key))

    def close(self) -> None:
        """Release every bundle."""
        self._in_use.close()

    def make(self, cells: Sequence[Cell]) -> Made:
        """Make or complete the bundle of one model for these cells, all of whose targets are here."""
        needs = {FormKey.of(cell.adapter.need, cell.target) for cell in cells}
        precisions = {judged_at(cell.target.precision) for cell in cells} | {need.precision for need in needs}
        return self.reference(cells[0].spec, cells[0].bundle_key, precisions, needs)

    def reference(self, spec: ModelSpec, key: str, precisions: set[Precision], needs: Collection[FormKey] = frozenset()) -> Made:
        """Make or complete the bundle of one model: truth, noise at `precisions`, and the exported forms in `needs`."""
        trail = Trail()
        try:
            _must_have(spec)
            return Made(trail, self._complete(spec, key, set(needs), precisions, trail))
        except Stop as stop:
            return Made(trail, finding=stop.finding)
        except PortingError as error:
            return Made(trail, finding=finding_of(error, Stage.BUILD))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- see fault_of
            return Made(trail, finding=fault_of(error, trail))

    def with_precision(self, cell: Cell, bundle: Bundle, precision: Precision, trail: Trail) -> Bundle:
        """The bundle with the noise of a precision that a backend chose by itself. Raises Stop when it proves nothing there."""
        if precision.value not in bundle.noise and precision is not Precision.INT8:
            with locked(bundle.folder, give_up=self._jobs.cancelled):
                bundle = self._add(cell.spec, read_bundle(bundle.folder, verify=False), precision, set(), trail)
            if precision.value in bundle.failures:
                raise Stop(verdict.of_failure(bundle.failures[precision.value]))
        return bundle

    def with_form(self, cell: Cell, bundle: Bundle, form: FormKey, trail: Trail) -> Bundle:
        """The bundle with a form that an adapter takes besides the one it needs, or with the reason why there is none."""
        if not self._has_form(bundle, str(form)):
            with locked(bundle.folder, give_up=self._jobs.cancelled):
                bundle = self._add(cell.spec, read_bundle(bundle.folder, verify=False), form.precision, {form}, trail)
        return bundle

    def _folder(self, key: str) -> Path:
        return self._jobs.workspace.bundles / key[:40]

    def _complete(self, spec: ModelSpec, key: str, needs: set[FormKey], precisions: set[Precision], trail: Trail) -> Bundle:
        folder = self._folder(key)
        made_now = folder / self._run_id
        with locked(folder, give_up=self._jobs.cancelled):
            if not (folder / FILE).exists() or (self._options.rebuild and not made_now.exists()):
                shutil.rmtree(folder, ignore_errors=True)
                with disk_errors(folder):
                    folder.mkdir(parents=True)
                    made_now.touch()
                if self._options.rebuild or not self.fetch(folder.name, folder):
                    self._build(spec, folder, Precision.FP32, needs, trail)
                    self.share(folder.name, folder)
            self._in_use.take(folder)
            bundle = read_bundle(folder)
            for precision in sorted(precisions, key=lambda p: p.value):
                if "model" not in bundle.failures:
                    bundle = self._add(spec, bundle, precision, needs, trail)
            return bundle

    def _add(self, spec: ModelSpec, bundle: Bundle, precision: Precision, needs: set[FormKey], trail: Trail) -> Bundle:
        """Add a precision's noise and forms where they are not there yet; after a crash, the forms that are left."""
        while True:
            lacking = {need for need in needs if need.precision is precision and not self._has_form(bundle, str(need))}
            noise = not self._has_precision(bundle, precision.value)
            if not noise and not lacking:
                return bundle
            self._build(spec, bundle.folder, precision, lacking, trail, noise)
            bundle = read_bundle(bundle.folder)

    def _has_precision(self, bundle: Bundle, precision: str) -> bool:
        return precision in bundle.noise or precision == Precision.INT8.value or self._stands(bundle, precision)

    def _has_form(self, bundle: Bundle, form: str) -> bool:
        return form in bundle.forms and (not bundle.forms[form].failure or self._stands(bundle, form))

    def _stands(self, bundle: Bundle, what: str) -> bool:
        """Whether a failure of a precision or a form is on record that need not be tried again: with --rerun, what a limit or
        a crash ended is tried once more."""
        failure = bundle.forms[what].failure if what in bundle.forms else bundle.failures.get(what)
        tried = (bundle.folder, what) in self._tried
        return failure is not None and (tried or not self._options.rerun or failure.cause not in WORTH_RETRYING)

    def _build(
        self, spec: ModelSpec, folder: Path, precision: Precision, needs: set[FormKey], trail: Trail, noise: bool = True
    ) -> None:
        """Run one build job, and record what ended it with what it ended: a form, or a precision and the forms asked for at
        it. Without the reference itself there is nothing to record in, and a Stop."""
        first = not (folder / FILE).exists()
        forms = sorted(str(need) for need in needs if need.precision is precision)
        payload = {
            "kind": "porting.bundles.build:reference" if first else "porting.bundles.build:precision",
            "spec": to_json(spec),
            "bundle": str(folder),
            "precision": precision.value,
            "noise": noise,
            "forms": forms,
            "given": str(self._options.given) if self._options.given else None,
        }
        self._jobs.warm_for(source=spec.source)
        end = self._jobs.run(payload, trail)
        finding = verdict.of_end(end)
        ended = [end.detail] if finding and finding.stage is Stage.EXPORT else [precision.value, *forms]
        self._tried |= {(folder, what) for what in ended}
        if finding is None:
            return
        if finding.cause in INFRASTRUCTURE or not (folder / FILE).exists():
            raise Stop(finding)
        outcome = Outcome.FAIL if finding.stage is Stage.EXPORT else finding.outcome
        failure = Failure(finding.stage, outcome, finding.cause or Cause.CRASH, finding.message)
        write_bundle(_with_failure(read_bundle(folder), failure, ended), [])


def _with_failure(bundle: Bundle, failure: Failure, ended: Sequence[str]) -> Bundle:
    """Note a failure with forms, and with a precision that has no noise of its own yet."""
    precisions = {precision.value for precision in Precision}
    records = {what: FormRecord(what, failure=failure) for what in ended if what not in precisions}
    failures = dict(bundle.failures) | dict.fromkeys(set(ended) & precisions - set(bundle.noise), failure)
    return replace(bundle, forms=dict(bundle.forms) | records, failures=failures)


def _must_have(spec: ModelSpec) -> None:
    if spec.cannot:
        message = f"this model is listed, but cannot be built: {spec.cannot}"
        raise Stop(Finding(Stage.BUILD, Outcome.SKIPPED, None, message, f"porting models show {spec.id}"))
    lacking = [name for name in spec.requires if not keys.version(name)]
    if lacking:
        message = f"this model needs {', '.join(lacking)}, not installed here"
        hint = f"pip install {' '.join(lacking)}"
        raise Stop(Finding(Stage.BUILD, Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY, message, hint))
