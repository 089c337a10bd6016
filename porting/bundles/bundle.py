"""A bundle: the folder a spec becomes, once per model, and the only thing that crosses an environment border.

Writing, reading, verifying. How its contents are made is porting.bundles.build's.

    bundle.json            everything below, with digests and versions
    model.safetensors      the weights, once; exported forms point into it
    cases/NAME.inputs.npz  cases/NAME.truth.npz  cases/NAME.fp32.npz ...
    prompts/NAME.start.npz  prompts/NAME.truth.npz
    KIND-PRECISION-dynamic|static.onnx, .pt2 ...
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import ExportedForm, FormNeed
from porting.bundles.generation import Prompt
from porting.bundles.tensors import read_tensors
from porting.errors import BundleError
from porting.numerics.compare import Noise
from porting.serialization import Json, from_json, to_json
from porting.types import Cause, Outcome, Precision, Stage, Target, TensorSpec
from porting.workspace import atomic_write, digest_file

if TYPE_CHECKING:
    import numpy

    Arrays = dict[str, numpy.ndarray[Any, Any]]

SCHEMA = 1
FILE = "bundle.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Case:
    """One set of inputs and what the model truly answers."""

    name: str
    sizes: Mapping[str, int]
    """By axis name."""
    nominal: bool
    """At the sizes a static form is exported with."""

    @property
    def inputs(self) -> str:
        return f"cases/{self.name}.inputs.npz"

    @property
    def truth(self) -> str:
        return f"cases/{self.name}.truth.npz"

    def eager(self, precision: Precision) -> str:
        return f"cases/{self.name}.{precision.value}.npz"


def prompt_start(prompt: str) -> str:
    """File of what the first call of a generation is made of."""
    return f"prompts/{prompt}.start.npz"


def prompt_truth(prompt: str) -> str:
    """File of the truth's tokens and scores."""
    return f"prompts/{prompt}.truth.npz"


@dataclass(frozen=True)
class Failure:
    """Why a step of making the bundle did not succeed."""

    stage: Stage
    outcome: Outcome
    cause: Cause
    message: str


DYNAMIC, BATCH, STATIC = "dynamic", "batch", "static"


@dataclass(frozen=True)
class FormKey:
    """Names an exported form."""

    kind: str
    precision: Precision
    axes: str
    """Which of the axes that vary are asked for: DYNAMIC all, BATCH that one alone, STATIC none."""
    opset: int | None = None
    """Highest ONNX opset that serves; None leaves it to the exporter."""
    route: tuple[str, ...] = ()
    """What is changed on the way to it, by the words of porting.routes: `attention=eager`, `expand=Gelu`."""

    def __str__(self) -> str:
        words = [self.kind, self.precision.value, self.axes]
        return "+".join(["-".join(words if self.opset is None else [*words, f"opset{self.opset}"]), *self.route])

    @classmethod
    def parse(cls, text: str) -> FormKey:
        name, *route = text.split("+")
        kind, precision, axes, *opset = name.split("-")
        limit = int(opset[0].removeprefix("opset")) if opset else None
        return cls(kind, Precision(precision), axes, limit, tuple(route))

    @classmethod
    def of(cls, need: FormNeed, target: Target) -> FormKey:
        """The form an adapter's need means for `target`."""
        asked = Precision.FP32 if target.precision is Precision.INT8 else target.precision  # quantised by the adapter
        precision = asked if need.at_target_precision else Precision.FP32
        return cls(need.kind, precision, DYNAMIC if need.dynamic else STATIC, need.opset)


@dataclass(frozen=True)
class FormRecord:
    """An exported form, or why there is none."""

    key: str
    path: str = ""
    """Of the model file, relative to the bundle."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    opset: int | None = None
    route: tuple[str, ...] = ()
    """How it was exported: `capture:non-strict`, `onnx:dynamo:18`, ..."""
    dynamic_axes: tuple[str, ...] = ()
    """Axis names that were exported as dynamic; whether they are is proven by running."""
    attempts: tuple[str, ...] = ()
    """What was tried before, with the first line of the error."""
    proof: str = ""
    """Where the model was rewritten on the way: how it was shown to answer as before."""
    kept: str = ""
    """How many layers are to stay in fp32 where the target lowers the rest."""
    failure: Failure | None = None


@dataclass(frozen=True)
class Bundle:
    """What bundle.json says."""

    model: str
    folder: Path
    reference: str
    """`eager` or `onnxruntime`."""
    truth: str = "float64"
    """Precision of the truth: `float64`, or `float32` where no wider run is possible."""
    architecture: str = ""
    """Class of the module; empty for a bare ONNX file."""
    params: int | None = None
    weights_bytes: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    cases: tuple[Case, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    """What is continued greedily."""
    prompts_noise: Mapping[str, Noise] = field(default_factory=dict)
    """By precision: of eager's scores along the truth's tokens."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axis name to `varies` or the reason why the model holds it fixed."""
    noise: Mapping[str, Mapping[str, Noise]] = field(default_factory=dict)
    """By precision, by output."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """By precision, or `model` when nothing can be judged at all."""
    forms: Mapping[str, FormRecord] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path to sha256."""
    schema: int = SCHEMA

    @property
    def digest(self) -> str:
        """Digest over the contents that results depend on."""
        import hashlib

        lines = sorted(f"{digest}  {path}" for path, digest in self.files.items())
        return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def cases_for(self, form: FormRecord) -> tuple[Case, ...]:
        """The cases that a form can take: all, or those at nominal sizes along its static axes."""
        nominal = next(c.sizes for c in self.cases if c.nominal)
        static = [a for a in nominal if a not in form.dynamic_axes]
        return tuple(c for c in self.cases if all(c.sizes.get(a) == nominal[a] for a in static))

    def prompts_for(self, form: FormRecord) -> tuple[Prompt, ...]:
        """The prompts that a form can continue: those whose calls differ along its dynamic axes alone."""
        return tuple(prompt for prompt in self.prompts if set(prompt.axes) <= set(form.dynamic_axes))

    def form(self, record: FormRecord) -> ExportedForm:
        """A form as an adapter gets it."""
        key = FormKey.parse(record.key)
        samples = tuple(self.folder / case.inputs for case in self.cases_for(record))
        return ExportedForm(
            key.kind, key.precision, self.folder / record.path, record.inputs, record.outputs, record.opset, samples
        )

    def read(self, relative: str) -> Arrays:
        """Read a tensor file of the bundle. Raises BundleError when it is missing or damaged."""
        try:
            return read_tensors(self.folder / relative)
        except (OSError, ValueError) as error:
            raise BundleError(f"bundle of {self.model} is damaged: {relative}: {error}", _AGAIN) from error


_AGAIN = "Remove the folder, or run again with --rebuild."


def write_bundle(bundle: Bundle, new_files: list[str]) -> Bundle:
    """Write bundle.json atomically, with the digests of `new_files` (relative paths) added. Returns what was written."""
    files = dict(bundle.files) | {name: digest_file(bundle.folder / name) for name in new_files}
    bundle = replace(bundle, files=files)
    data = to_json(replace(bundle, folder=Path()))
    data.pop("folder")
    atomic_write(bundle.folder / FILE, json.dumps(data, indent=1).encode())
    return bundle


def read_bundle(folder: Path, verify: bool = True) -> Bundle:
    """Read and verify a bundle. Raises BundleError for a damaged one, a missing file or a newer schema."""
    try:
        data: Json = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is no readable bundle: {error}", _AGAIN) from error
    if data.get("schema", 0) > SCHEMA:
        raise BundleError(f"bundle {folder} was made by a newer version of porting.", "Update porting, or run with --rebuild.")
    bundle = from_json(Bundle, {**data, "folder": folder})
    if verify:
        _verify(bundle)
    return bundle


def _verify(bundle: Bundle) -> None:
    for name, digest in bundle.files.items():
        path = bundle.folder / name
        if not os.path.isfile(path):
            raise BundleError(f"bundle of {bundle.model} is damaged: {name} is missing.", _AGAIN)
        if digest_file(path) != digest:
            raise BundleError(f"bundle of {bundle.model} is damaged: {name} has changed.", _AGAIN)
