"""Builds models and their references, whatever becomes of them, and keeps what that shows: `porting models build`."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.catalog import measured
from porting.catalog.measured import SOUND, Measured
from porting.cells.jobs import Trail, utc_now
from porting.cells.pipeline import Event, Pipeline
from porting.errors import InfrastructureError
from porting.serialization import from_json, to_json
from porting.types import INFRASTRUCTURE, ModelSpec, Outcome, Precision, Stage

if TYPE_CHECKING:
    from porting.bundles.bundler import Made
    from porting.workers.worker import Clock


def full_size(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """A job: parameters of a model at its library's own size, counted without memory for them; None where that cannot be told."""
    import torch

    from porting import sources

    spec = from_json(ModelSpec, job["spec"])
    clock.enter(Stage.BUILD)
    count = getattr(sources.source(spec.source), "full_params", None)
    if count is None:
        return {"params": None}
    try:
        with torch.device("meta"):
            return {"params": int(count(spec))}
    except Exception:  # noqa: BLE001 -- a library's default config need not be one that builds
        traceback.print_exc()
        return {"params": None}


class Health:
    """Measures models for one file of records."""

    def __init__(self, pipeline: Pipeline, path: Path) -> None:
        self._pipeline, self._path = pipeline, path
        self._known = measured.read(path)
        self._places = pipeline.jobs.workspace.places()

    def build(self, specs: Sequence[ModelSpec], rerun: bool = False) -> list[Measured]:
        """Build every model that has no record of the same contents, `rerun` all. Returns a record a model, in order; each is
        kept when it comes. Raises InfrastructureError."""
        keys = {spec.id: self._pipeline.bundle_key(spec) for spec in specs}
        stale = [spec for spec in specs if rerun or not self._stands(spec.id, keys[spec.id])]
        total, start = len(specs), time.monotonic()
        done = total - len(stale)
        self._pipeline.tell(Event("plan", done=done, total=total))
        room = self._pipeline.room([keys[spec.id] for spec in stale])
        workers = self._pipeline.options.workers or len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(workers) as pool:
            waiting: dict[Future[Measured], ModelSpec] = {pool.submit(self._measure, spec, keys[spec.id]): spec for spec in stale}
            try:
                for count, future in enumerate(as_completed(waiting), 1):
                    record = future.result()
                    self._keep(record)
                    room.done(record.key)
                    left = (time.monotonic() - start) / count * (len(stale) - count)
                    said = f"{record.model} {record.status}" + (f": {record.message[:160]}" if record.message else "")
                    self._pipeline.tell(Event("chunk", record.model, said, done=done + count, total=total, left=left))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._pipeline.jobs.cancel()  # so that the threads come back
                raise
        return [self._known[spec.id] for spec in specs]

    def _stands(self, model: str, key: str) -> bool:
        record = self._known.get(model)
        return record is not None and record.key == key and record.status != Outcome.UNAVAILABLE.value

    def _keep(self, record: Measured) -> None:
        record = replace(record, message=self._published(record.message), notes=tuple(map(self._published, record.notes)))
        measured.append(self._path, record)
        self._known[record.model] = record

    def _published(self, text: str) -> str:
        """The first lines of a text, without this machine's folders; the longest first: one may lie in another."""
        for place in sorted(self._places, key=len, reverse=True):
            text = text.replace(place, self._places[place])
        return text[:1000]

    def _measure(self, spec: ModelSpec, key: str) -> Measured:
        made = self._pipeline.reference(spec, {Precision.FP32})
        record = replace(_record(spec, made), date=utc_now()[:10], key=key)
        return replace(record, full_params=self._full_params(spec)) if made.bundle else record

    def _full_params(self, spec: ModelSpec) -> int | None:
        jobs = self._pipeline.jobs
        jobs.warm_for(source=spec.source)
        end = jobs.run({"kind": "porting.catalog.health:full_size", "spec": to_json(spec)}, Trail())
        return end.value["params"] if isinstance(end.value, dict) else None


def _record(spec: ModelSpec, made: Made) -> Measured:
    stages = made.trail.stages
    seconds = round(sum(stage.cpu_seconds for stage in stages), 2) if stages else None
    peak = max((stage.peak_rss_bytes for stage in stages), default=None)
    bundle, finding = made.bundle, made.finding
    if bundle is None:
        assert finding is not None
        if finding.cause in INFRASTRUCTURE:
            raise InfrastructureError(f"{spec.id}: {finding.message}", "Mend that and start again: what is measured stays.")
        return Measured(spec.id, finding.outcome.value, finding.message, cpu_seconds=seconds, peak_rss_bytes=peak)
    failure = bundle.failures.get("model") or bundle.failures.get(Precision.FP32.value)
    return Measured(
        spec.id,
        failure.outcome.value if failure else SOUND,
        failure.message if failure else "",
        bundle.architecture,
        bundle.params,
        inputs=tuple(tensor.name for tensor in bundle.inputs),
        outputs=len(bundle.outputs),
        axes=bundle.axes,
        notes=bundle.notes,
        cpu_seconds=seconds,
        peak_rss_bytes=peak,
        versions=bundle.versions,
    )
