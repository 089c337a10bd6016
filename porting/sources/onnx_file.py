"""A bare ONNX file: its reference is onnxruntime's CPU run. Inputs are made from the graph, and tried before they count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from porting.bundles import shapes
from porting.errors import ModelError
from porting.sources import BuiltModel, _files, _inputs, _onnx_inputs, _onnx_wire
from porting.types import InputSpec, ModelSpec

# Sizes tried one after the other, by role of the axis, when the model does not run at ours.
_LADDER: tuple[Mapping[str, int], ...] = (
    {},
    {"sequence": 16, "decoder_sequence": 16, "encoder_sequence": 16, "frames": 48, "samples": 512},
    {"height": 224, "width": 224, "sequence": 128, "frames": 100, "samples": 16000},
    {"height": 640, "width": 640, "sequence": 512, "frames": 3000, "samples": 480000},
)


def build(spec: ModelSpec) -> BuiltModel:
    """Look over the file and make its inputs: symbolic sizes are chosen and stated in the notes, ids drawn inside the table they
    index. Raises ModelError when it is no whole model, or onnxruntime loads or runs it with none of the sizes that were tried."""
    path = _files.locate(spec)
    _onnx_wire.check(path, spec.trust)
    found = _onnx_inputs.read(_graph(path))
    given = {own.name: own for own in spec.inputs}
    inputs = tuple(given.pop(own.name, own) for own in found.inputs)
    if given:
        known = ", ".join(own.name for own in inputs)
        raise ModelError(f"{spec.id} has no input {next(iter(given))!r}.", f"It has: {known}.")
    inputs = tuple(_with_axes(own, spec.axes) for own in inputs)
    sizes = _fitting_sizes(spec, path, inputs, found.roles)
    stated = ", ".join(f"{name}={size}" for name, size in sizes.items() if name not in spec.sizes)
    guessed = [note for note in found.notes if note.split(":")[0] not in {own.name for own in spec.inputs}]
    notes = (*guessed, *([f"sizes chosen: {stated}"] if stated else []))
    return BuiltModel(inputs, sizes, _steps(found.roles, spec), onnx=path, notes=notes)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digests of the file and of its external data; version of onnxruntime, whose CPU run is the reference."""
    return _files.fingerprint(spec, "onnxruntime")


def _graph(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load(str(path), load_external_data=False).graph
    except DecodeError as error:
        raise ModelError(f"{path} is no ONNX model: {error}.", "Export or copy it again.") from error


def _with_axes(own: InputSpec, axes: Mapping[str, Sequence[str]]) -> InputSpec:
    """The entry's axis names in place of the graph's."""
    names = axes.get(own.name)
    if names is None:
        return own
    if len(names) != len(own.shape):
        raise ModelError(f"input {own.name!r} has {len(own.shape)} axes, but {len(names)} axis names are given: {list(names)}.")
    shape = tuple(name or dim if isinstance(dim, str) else dim for name, dim in zip(names, own.shape, strict=True))
    return InputSpec(**{**vars(own), "shape": shape})


def _steps(roles: Mapping[str, str], spec: ModelSpec) -> dict[str, int]:
    return {**{axis: 32 for axis, role in roles.items() if role in ("height", "width")}, **spec.steps}


def _fitting_sizes(spec: ModelSpec, path: Path, inputs: Sequence[InputSpec], roles: Mapping[str, str]) -> dict[str, int]:
    """The first sizes at which the model runs."""
    from porting.bundles.cases import draw

    session, reasons = _session(path), []
    for sizes in _candidates(spec, inputs, roles):
        try:
            session.run(None, draw(inputs, sizes, "nominal", spec.id))
        except Exception as error:  # noqa: BLE001 -- onnxruntime has no error class of its own for inputs that do not fit
            reasons.append(_reason(error))
            continue
        return sizes
    tried = f"{len(reasons)} sizes were tried" if len(reasons) > 1 else "One set of inputs was tried"
    hint = "Give the entry `inputs` and `sizes`, or --inputs file.npz."
    raise ModelError(f"{path.name} ran on no inputs made for it. {tried}; the first answer: {reasons[0]}", hint)


def _candidates(spec: ModelSpec, inputs: Sequence[InputSpec], roles: Mapping[str, str]) -> Iterator[dict[str, int]]:
    seen: list[dict[str, int]] = []
    names = sorted(shapes.axis_names(own.shape for own in inputs))
    for batch in (2, 1):
        for unknown in (11, batch):
            for rung in _LADDER:
                by_role = {**_inputs.SIZES, **rung, "batch": batch}
                sizes = {axis: spec.sizes.get(axis, by_role.get(roles.get(axis, axis), unknown)) for axis in names}
                if sizes not in seen:
                    seen.append(sizes)
                    yield sizes


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails while trying is no message for a person
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many classes; whichever it is, there is no reference then
        hint = "Its CPU run is the reference of a bare ONNX file."
        raise ModelError(f"onnxruntime cannot load {path.name}: {_reason(error)}", hint) from error


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text[:300]}{'' if text.endswith('.') else '.'}"
