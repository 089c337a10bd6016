"""Build jobs, in a child of the warm server: build the model, make its reference, export forms, keep the bundle's file.

`reference` runs once a model, `precision` once more for each lower precision: the model is built again and its weights are
read back, so that no process ever holds them twice. Everything that is found out goes into bundle.json.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import routes, sources
from porting.bundles.bundle import Bundle, Failure, FormKey, FormRecord, read_bundle, write_bundle
from porting.bundles.eager import as_tensor, torch_dtype
from porting.bundles.reference import Reference
from porting.bundles.tensors import as_declared
from porting.cells import keys
from porting.errors import ModelError
from porting.rewrites.keep import keep
from porting.rewrites.prove import proven
from porting.serialization import from_json
from porting.types import INFRASTRUCTURE, Cause, ModelSpec, Outcome, Precision, Stage
from porting.workers.worker import Clock, describe

if TYPE_CHECKING:
    from porting.sources import BuiltModel


SAMPLES = 2
"""Cases by which the sensitivity of layers is measured."""


def reference(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Build, make the reference at fp32, write the bundle; then export the forms asked for."""
    spec, folder = from_json(ModelSpec, job["spec"]), Path(job["bundle"])
    clock.enter(Stage.BUILD)
    built = build(spec)
    clock.enter(Stage.REFERENCE)
    work = Reference(spec, built, folder)
    bundle = work.make(Path(job["given"]) if job.get("given") else None)
    bundle = write_bundle(replace(bundle, versions=_versions(spec)), [])
    if "model" not in bundle.failures:
        _export_all(_exporter(work, bundle, Precision.FP32), bundle, job["forms"], clock)
    return {}


def precision(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Add to a bundle the noise of a precision, where that is asked for, and the forms exported at that precision."""
    spec, folder = from_json(ModelSpec, job["spec"]), Path(job["bundle"])
    wanted = Precision(job["precision"])
    clock.enter(Stage.BUILD)
    work = Reference(spec, build(spec), folder)
    bundle = read_bundle(folder, verify=False)
    work.restore(bundle)
    clock.enter(Stage.REFERENCE)
    if job["noise"]:
        bundle = work.add_precision(bundle, wanted)
    elif wanted is not Precision.FP32 and work.built.module is not None:
        work.engine.model.to(wanted)
    if job["forms"]:
        _export_all(_exporter(work, bundle, wanted), bundle, job["forms"], clock)
    return {}


def build(spec: ModelSpec) -> BuiltModel:
    """Build a model with a seed fixed by its id. Raises ModelError for one that is listed only; whatever the source raises."""
    if spec.cannot:
        raise ModelError(f"{spec.id} cannot be built: {spec.cannot}.", "It is listed for completeness.")
    import torch

    torch.set_grad_enabled(False)
    torch.manual_seed(int.from_bytes(hashlib.sha256(spec.id.encode()).digest()[:4], "big"))
    return sources.source(spec.source).build(spec)


def _versions(spec: ModelSpec) -> dict[str, str]:
    from porting import __version__

    packages = {name: keys.version(name) for name in keys.BUNDLE_DISTRIBUTIONS if keys.version(name)}
    return {"porting": __version__, **sources.source(spec.source).fingerprint(spec), **packages}


def _exporter(work: Reference, bundle: Bundle, wanted: Precision) -> Any:
    """What exports this model's forms: torch's exporters, or the copy of a bare ONNX file."""
    if work.built.onnx is not None:
        from porting.bundles.onnx_reference import OnnxForms

        return OnnxForms(work.built.onnx, bundle)
    from porting.bundles.export import Exporter

    model = work.engine.model
    arrays = bundle.read(next(case for case in bundle.cases if case.nominal).inputs)
    example = [as_tensor(arrays[spec.name], torch_dtype(wanted)) for spec in bundle.inputs]
    outputs = bundle.outputs if wanted is Precision.FP32 else model.output_specs(arrays, wanted)
    varying = frozenset(axis for axis, state in bundle.axes.items() if state == "varies")
    return Exporter(model.flat(), bundle.inputs, outputs, example, varying, bundle.folder)


def _export_all(exporter: Any, bundle: Bundle, forms: Sequence[str], clock: Clock) -> None:
    """Export form by form; a form that fails is recorded and does not end the others."""
    for text in forms:
        clock.enter(Stage.EXPORT, text)
        try:
            record = exporter.export(FormKey.parse(text))
            if routes.rewrites_of(FormKey.parse(text).route):
                record = proven(record, bundle, getattr(exporter, "programs", {}).pop(text, None))
            record = _kept(record, bundle)
        except Exception as error:  # exporters raise whatever a model made them stumble over
            traceback.print_exc()
            failure = _failure_of(error)
            if failure.cause in INFRASTRUCTURE:  # of this run, not of the model: nothing to keep in its bundle
                raise
            record = FormRecord(text, failure=failure)
        made = [p.relative_to(bundle.folder) for p in bundle.folder.rglob("*") if p.is_file()]
        new = [str(p) for p in made if str(p).startswith(text)]
        bundle = write_bundle(replace(bundle, forms=dict(bundle.forms) | {text: record}), new)


def _kept(record: FormRecord, bundle: Bundle) -> FormRecord:
    """The form with the layers named that are to stay in fp32, where its route says so."""
    key = FormKey.parse(record.key)
    wanted = routes.kept_of(key.route)
    if wanted is None:
        return record
    cases = sorted(bundle.cases_for(record), key=lambda case: not case.nominal)[:SAMPLES]
    samples = [as_declared(bundle.read(case.inputs), record.inputs) for case in cases]
    others = replace(key, route=tuple(word for word in key.route if not word.startswith("keep=")))
    memory = bundle.folder / f"sensitivity-{wanted[0].value}-{others}.json"
    count, groups = keep(bundle.folder / record.path, samples, *wanted, memory)
    return replace(record, kept=f"{count} of {groups} groups of layers")


def _failure_of(error: Exception) -> Failure:
    said = describe(error, None)
    message = said["message"] if said["ours"] else f"{said['type']}: {said['message'][:2000]}"
    return Failure(Stage.EXPORT, Outcome(said["outcome"]), Cause(said["cause"]), message)
