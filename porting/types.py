"""The nouns of the toolkit: frozen dataclasses and enums, standard library only.

Everything that crosses a process or environment border is made of these, so the module also has to import on
Python 3.9 (a vendor SDK may bring nothing newer). Behaviour lives elsewhere.
"""

from __future__ import annotations

import enum
import typing
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from porting.serialization import Json, to_json

# ---- words: stages, outcomes, causes, evidence, precisions --------------------------------------------------------


class Stage(str, enum.Enum):
    """Where a job is; a result carries the last stage that was entered."""

    PLAN = "plan"
    ENVIRONMENT = "environment"
    BUILD = "build"
    REFERENCE = "reference"
    EXPORT = "export"
    CONVERT = "convert"
    LOAD = "load"
    RUN = "run"
    COMPARE = "compare"
    BENCH = "bench"


class Outcome(str, enum.Enum):
    """What came of a cell. Only PASS (and, with fewer claims, DEGRADED) says that the numbers are right."""

    PASS = "pass"
    DEGRADED = "degraded"  # right numbers, but in part elsewhere than on the target, or in another precision than asked
    MISMATCH = "mismatch"
    FAIL = "fail"
    UNSUPPORTED = "unsupported"  # the stack said so, or its published list says so
    UNAVAILABLE = "unavailable"  # SDK, device, licence or weights are not here: says nothing about the model
    INVALID = "invalid"  # the reference is broken, unstable or vacuous: says nothing about the target
    SKIPPED = "skipped"  # a person chose; with reason and owner
    MISSING = "missing"  # planned, but no record: never stored, made when a plan is read back


class Cause(str, enum.Enum):
    """Why a cell is not a plain pass."""

    UNSUPPORTED_OP = "unsupported_op"
    UNSUPPORTED_DTYPE = "unsupported_dtype"
    UNSUPPORTED_TARGET = "unsupported_target"
    DYNAMIC_SHAPE = "dynamic_shape"
    CONTROL_FLOW = "control_flow"
    OPSET = "opset"
    SHAPE_INFERENCE = "shape_inference"
    TOLERANCE = "tolerance"
    TOKENS = "tokens"  # each call is right, and greedy generation comes to others than eager's
    NONFINITE = "nonfinite"
    OUTPUT_STRUCTURE = "output_structure"
    FALLBACK = "fallback"
    PRECISION = "precision"  # computed in another than was asked for
    NOTHING_EXECUTED = "nothing_executed"
    NO_ARTIFACT = "no_artifact"
    NO_FORM = "no_form"  # the source has no exported form of the kind the adapter takes
    VACUOUS = "vacuous"
    UNSTABLE_REFERENCE = "unstable_reference"
    NONDETERMINISTIC = "nondeterministic"
    EXCEPTION = "exception"
    CRASH = "crash"
    HANG = "hang"
    TIMEOUT = "timeout"
    HOST_OOM = "host_oom"
    DEVICE_OOM = "device_oom"
    MISSING_DEPENDENCY = "missing_dependency"
    MISSING_SDK = "missing_sdk"
    MISSING_DEVICE = "missing_device"
    MISSING_WEIGHTS = "missing_weights"
    VERSION_CONFLICT = "version_conflict"
    UNTRUSTED = "untrusted"
    USAGE = "usage"  # what was given is at fault: it is no model, or inputs that do not fit it
    NETWORK = "network"
    DISK = "disk"
    HARNESS = "harness"


# Causes that speak of the rig, not of the model or the target: such a result is not reused and makes a run incomplete.
INFRASTRUCTURE = frozenset({Cause.NETWORK, Cause.DISK, Cause.HARNESS})
# Causes that speak of what a person handed in. Not reused either: what a factory needs besides is not all known.
WRONG_INPUT = frozenset({Cause.USAGE, Cause.UNTRUSTED})


class Evidence(str, enum.Enum):
    """By what a result was had, strongest first. COMPILED and STATIC never read as "works"."""

    HARDWARE = "hardware"
    SIMULATOR = "simulator"  # the vendor's own
    HOST = "host"  # the real runtime, on this machine's CPU
    VIRTUAL = "virtual"  # our stand-in device, enforcing the vendor's published lists
    COMPILED = "compiled"  # an artifact was produced, nothing ran
    STATIC = "static"  # lists only

    @property
    def ran(self) -> bool:
        """Whether something was executed; where not, `convert` is all there is, and says nothing about numbers."""
        return self not in (Evidence.COMPILED, Evidence.STATIC)


class Precision(str, enum.Enum):
    """Arithmetic of the weights and activations on a target."""

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


# ---- what is declared: targets, tensors, models -------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Backend, device and precision, written `onnxruntime:cpu:fp32`."""

    adapter: str
    device: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.adapter}:{self.device}:{self.precision.value}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `adapter:device:precision`. Raises ValueError with what is wrong; whether the adapter exists is the registry's."""
        parts = text.split(":")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"a target is written adapter:device:precision, for instance onnxruntime:cpu:fp32; got {text!r}")
        try:
            return cls(parts[0], parts[1], Precision(parts[2]))
        except ValueError:
            known = ", ".join(p.value for p in Precision)
            raise ValueError(f"unknown precision {parts[2]!r} in target {text!r}; known: {known}") from None


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an exported form."""

    name: str
    dtype: str
    """numpy name, with `bfloat16` besides: `float32`, `int64`, `bool` ..."""
    shape: Tuple[typing.Union[int, str], ...]
    """A number where the axis is fixed, the axis' name where it is dynamic."""


@dataclass(frozen=True)
class InputSpec:
    """How the values of one model input are drawn."""

    name: str
    """The keyword that the model takes it by."""
    dtype: str
    """numpy name."""
    shape: Tuple[typing.Union[int, str], ...]
    """A number where the axis has one size only, else the axis' name (`batch`, `sequence`, `height`, `samples` ...), or how it
    follows from other axes (`2*frames`, `sequence+past_sequence`; see porting.bundles.shapes)."""
    kind: str
    """How values are drawn: `ids`, `mask`, `left_mask` (padding comes first), `image`, `audio`, `normal`, `positions`,
    `timestep`, `constant`, `boxes`, `bool`."""
    low: int = 0
    """Smallest integer drawn (kinds `ids`, `timestep`)."""
    high: int = 2
    """One above the largest integer drawn."""
    value: Optional[float] = None
    """The value itself, for the kind `constant`; a list is not allowed, it would be a fixed tensor."""
    prefix: Tuple[int, ...] = ()
    """Kind `ids`: literal ids that open every row, for instance the image tokens of a multimodal model; the rest is drawn."""
    start: str = ""
    """Kind `positions`: the first position; kind `left_mask`: the most that is padded; kind `constant` without `value`: the
    value. A number or an expression of axis names (`past_sequence`)."""


@dataclass(frozen=True)
class ModelSpec:
    """One catalog entry: how to build a model, what it is. Data, not code."""

    id: str
    """What results and commands call it; `source/name` where an entry does not say."""
    source: str
    """A name in porting.sources: `transformers`, `timm`, `diffusers`, `factory`, `onnx`, `pt2`, `checkpoint`, `torchscript`."""
    name: str
    """What the source builds: a config type, a timm name, a class, `package.module:factory`, a path."""
    task: str = ""
    """What it does, in the usual words: `text-generation`, `image-classification` ..."""
    family: str = ""
    """Architectures that share a file; the file's name where an entry does not say."""
    house: str = ""
    """Who published the architecture."""
    license: str = ""
    """Licence of the code that defines the net, an SPDX id where there is one."""
    license_weights: str = ""
    """Empty for random weights."""
    modalities: Tuple[str, ...] = ()
    """What goes in: `text`, `image`, `audio` ..."""
    config: Mapping[str, Json] = field(default_factory=dict)
    """Given to the source: config fields, constructor arguments."""
    inputs: Tuple[InputSpec, ...] = ()
    """Overrides what the source works out by itself, input by input."""
    axes: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Axis names by input, `{input_ids = ["batch", "sequence"]}`."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Nominal size by axis name."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """By axis name: other sizes tried are the nominal one plus multiples of this."""
    weights: str = "random"
    """`random` (the seeded recipe applies) or `real` (left as they are)."""
    params: Optional[int] = None
    """Number of parameters of the entry as built here; as `measured.jsonl` has it where an entry does not say."""
    tiers: Tuple[str, ...] = ("full",)
    """The smallest of `smoke`, `ci`, `nightly`, `full` that it is in; the larger ones follow."""
    requires: Tuple[str, ...] = ()
    """Packages that must be importable, by distribution name."""
    cannot: str = ""
    """Why the model cannot be built, in a few words. Such an entry is listed and in no tier; a check of it is `skipped`."""
    trust: bool = False
    """Whether a person allowed pickles and code from the model's own files."""
    origin: str = ""
    """File and line the entry was read from, for messages; no part of the identity."""
    root: str = ""
    """Folder that a relative path or a module in `name` starts from; no part of the identity, what is read there is digested."""

    def identity(self) -> dict[str, Json]:
        """What the model depends on, for content keys: no metadata, no place."""
        return {key: value for key, value in to_json(self).items() if key not in _METADATA}


_METADATA = frozenset(
    (
        "task",
        "family",
        "house",
        "license",
        "license_weights",
        "modalities",
        "params",
        "tiers",
        "requires",
        "cannot",
        "origin",
        "root",
    )
)


# ---- what is measured of a cell, up to its result -----------------------------------------------------------------


@dataclass(frozen=True)
class Placement:
    """What really ran where, asked of the backend after running; of an artifact, what would."""

    target_ops: Optional[int] = None
    """Operators (nodes, kernels, delegate calls) that the target executed; None when the backend cannot tell."""
    other_ops: Optional[int] = None
    """Operators that ran elsewhere, for instance on the CPU beside an accelerator."""
    device: str = ""
    """The device in the backend's own words."""
    detail: Mapping[str, int] = field(default_factory=dict)
    """Count by partition, delegate or provider."""
    arithmetic: Optional[float] = None
    """Share of the multiply-adds that the target did, 0 to 1; None when the backend cannot tell."""
    cycles: Optional[int] = None
    """Clock cycles of one run as the vendor's compiler or simulator estimates them; None when it does not."""

    @property
    def share(self) -> Optional[float]:
        """The same, and all of it where no operator ran elsewhere."""
        return 1.0 if self.arithmetic is None and self.target_ops and self.other_ops == 0 else self.arithmetic


@dataclass(frozen=True)
class Artifact:
    """What an adapter produced, in a folder of its own, loadable without this toolkit."""

    files: Tuple[str, ...]
    """Paths relative to the artifact's folder; the first is what a person would name."""
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    options: Mapping[str, Json] = field(default_factory=dict)
    """What load needs to know besides: provider, device name, hints."""
    placement: Optional[Placement] = None
    """What the compiler says it made for the target, and what it left to others. All there is to tell where nothing runs."""


@dataclass(frozen=True)
class StageTime:
    """Cost of one stage."""

    name: Stage
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """User plus system time of the process, children that were waited for included."""
    peak_rss_bytes: int
    """Largest resident set of the process up to the end of the stage."""


@dataclass(frozen=True)
class OutputNumbers:
    """How far one output of one case is from the truth; see porting.numerics.compare."""

    name: str
    max_abs: Optional[float] = None
    """In the output's own unit; None when not finite."""
    rel_norm: Optional[float] = None
    row: Optional[float] = None
    peak: Optional[float] = None
    cosine: Optional[float] = None
    sqnr_db: Optional[float] = None
    allowed_rel_norm: Optional[float] = None
    allowed_row: Optional[float] = None
    allowed_peak: Optional[float] = None
    noise_rel_norm: Optional[float] = None
    """Eager PyTorch at the effective precision against the truth."""
    nonfinite: int = 0
    """Elements that are not finite where the truth is."""
    flips: Optional[int] = None
    """Integer and bool outputs: elements that differ."""
    allowed_flips: Optional[int] = None
    elements: int = 0


@dataclass(frozen=True)
class CaseNumbers:
    name: str
    outputs: Tuple[OutputNumbers, ...] = ()


@dataclass(frozen=True)
class GenerationNumbers:
    """Tokens that a target generated greedily from one prompt, beside those of eager; see porting.numerics.tokens."""

    name: str
    rows: int
    """Of the batch."""
    tokens: int
    """Generated, a row."""
    equal: int
    """Tokens before the first that differs, in the row that differs first; `tokens` when all are equal."""
    distinct: int
    """Different tokens that eager generated: a model that repeats one proves little."""
    max_abs: Optional[float] = None
    """Largest error of a score where all tokens before were equal, in its own unit; None when not finite."""
    row: Optional[int] = None
    """Row of the difference that is furthest from a tie; None, as all below, where all tokens are equal."""
    step: Optional[int] = None
    """Counted from 0."""
    expected: Optional[int] = None
    got: Optional[int] = None
    gap: Optional[float] = None
    """By how much the truth prefers its own token, in the scores' unit; None when not finite."""
    allowed_gap: Optional[float] = None
    """By how much it may, for the difference to be a tie."""
    tie: bool = False


@dataclass(frozen=True)
class Perf:
    """Latency of one case, measured only after it passed."""

    case: str
    runs: int
    median_seconds: float
    min_seconds: float


@dataclass(frozen=True)
class Result:
    """What happened in a cell, once. Append-only."""

    model: str
    target: str
    stage: Stage
    outcome: Outcome
    cause: Optional[Cause] = None
    evidence: Optional[Evidence] = None
    """None when nothing at all was tried."""
    signature: Optional[str] = None
    """Six hex digits over stage, cause and the normalised message, for grouping."""
    message: str = ""
    hint: str = ""
    """What to do next, where it is known."""
    route: Tuple[str, ...] = ()
    attempts: Tuple[str, ...] = ()
    """Other forms of the model that were tried, in order, a line each with what became of it."""
    form: str = ""
    """The form that the result tells of, with what was changed on the way to it: `onnx-fp32-dynamic+attention=eager`."""
    passes_with: Tuple[str, ...] = ()
    """What had to be changed for the model to work here, by the words of `porting routes`."""
    effective_precision: Optional[str] = None
    """What the backend says it computed in; judged by this, not by the request."""
    cases: Tuple[CaseNumbers, ...] = ()
    generation: Tuple[GenerationNumbers, ...] = ()
    """Of a language model in its served form, a prompt each."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """`dynamic` (the target was right at two more sizes), `static`, or `unproven`."""
    placement: Optional[Placement] = None
    stages: Tuple[StageTime, ...] = ()
    perf: Optional[Perf] = None
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: Tuple[str, ...] = ()
    """Findings that change nothing in the verdict: an ignored input, an int8 margin, a precision that proved less."""
    bundle: str = ""
    """Digest of the bundle, `sha256:...`."""
    log: str = ""
    """Digest of the full log, `sha256:...`."""
    log_tail: str = ""
    """End of the log, printable text only."""
    key: str = ""
    """Content key of the cell: same key, same work."""
    run: str = ""
    """Id of the `check` that made the record."""
    family: str = ""
    reproduce: str = ""
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    """Wall time over all stages."""
    peak_rss_bytes: int = 0
    schema: int = 1


SCHEMA = 1
