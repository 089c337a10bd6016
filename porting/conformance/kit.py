"""What the suite needs of PyTorch, made beforehand: exported forms and eager answers, for an interpreter that has no torch.

The base environment writes a kit, the suite reads it where KIT names the folder. Asked for something that is not in it, it fails.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import Adapter, ExportedForm, FormNeed
from porting.bundles.tensors import read_tensors, write_tensors
from porting.conformance import models
from porting.conformance.models import TinyModel
from porting.serialization import from_json, to_json
from porting.types import Precision

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

KIT = "PORTING_CONFORMANCE_KIT"
"""Environment variable with the folder of a kit."""
FORM = "form.json"


def folder() -> Path | None:
    """The kit to read, None where torch is here and everything is made on the spot."""
    named = os.environ.get(KIT)
    return Path(named) if named else None


def write(adapter: type[Adapter], kit: Path) -> None:
    """Write all that the suite asks for about `adapter` into the empty folder `kit`. Needs torch and the exporters."""
    usual = models.floating if adapter.floats_alone else models.mixed
    precisions = dict.fromkeys(target.precision for target in adapter.targets())
    static = replace(adapter.need, dynamic=False)
    wanted = [(usual, need) for need in (adapter.need, static)] + [(models.mixed, need) for need in adapter.needs()]
    wanted += [(models.scalars, static), (models.large, static)]
    for make, need in dict.fromkeys(wanted):
        for precision in precisions:
            _write_form(make(), need, precision, kit)
        _write_answers(make(), [models.FLOATS.get(precision, "float32") for precision in precisions], kit)


def _write_form(model: TinyModel, need: FormNeed, precision: Precision, kit: Path) -> None:
    place = _place(kit, model.name, need, precision)
    if place.exists():
        return
    place.mkdir(parents=True)
    form = models.export(model, need, precision, place)
    files = {"path": form.path.name, "samples": [path.name for path in form.samples]}
    (place / FORM).write_text(json.dumps({**to_json(form), **files}))


def _write_answers(model: TinyModel, dtypes: Sequence[str], kit: Path) -> None:
    """Eager's answer to every input that the suite draws, with its floats in each of `dtypes` and in fp32."""
    dynamic = any(isinstance(size, str) for spec in model.inputs for size in spec.shape)
    drawn = itertools.product((models.NOMINAL, *models.OTHERS), (0, 1)) if dynamic else [(models.NOMINAL, 0)]
    for sizes, seed in drawn:
        for dtype in {"float32", *dtypes}:
            inputs = models.typed(model.draw(sizes, seed), models.floats_as(dtype, model.inputs))
            write_tensors(kit / _answers(model.name, inputs), model.eager(inputs))


def form(kit: Path, model: TinyModel, need: FormNeed, precision: Precision) -> ExportedForm:
    """Read a form. Raises OSError when the kit has none like that."""
    place = _place(kit, model.name, need, precision)
    found = from_json(ExportedForm, json.loads((place / FORM).read_text()))
    return replace(found, path=place / found.path, samples=tuple(place / name for name in found.samples))


def answers(kit: Path, model: TinyModel, inputs: Arrays) -> dict[str, Any]:
    """Read eager's answer. Raises ValueError when the kit has none to these inputs."""
    return read_tensors(kit / _answers(model.name, inputs))


def _place(kit: Path, model: str, need: FormNeed, precision: Precision) -> Path:
    at = precision.value if need.at_target_precision and precision is not Precision.INT8 else "fp32"
    return kit / f"{model}-{need.kind}-{need.opset or 'any'}-{at}-{'dynamic' if need.dynamic else 'static'}"


def _answers(model: str, inputs: Arrays) -> str:
    return f"{model}-{_digest(inputs[name] for name in sorted(inputs))[:20]}.npz"


def _digest(arrays: Iterable[numpy.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()
