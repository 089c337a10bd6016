"""The adapter contract: what a backend's code declares and the few methods it has.

Imported in the backend's own interpreter, so: Python 3.9 syntax, standard library, `porting.types` and `porting.serialization`
only. An adapter never compares numbers and never decides a verdict; it converts, loads, runs and reports what the backend says.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Mapping, Optional, Protocol, Sequence, Tuple

from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target, TensorSpec

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, "numpy.ndarray[Any, Any]"]

# The contract's version. A third-party adapter names the one it was written for; another major is refused at once.
CONTRACT = 1


# Environment variable that names a folder which outlives jobs, for what an adapter may use again in later cells: compiled
# headers, tuning results. Content-addressed, safe for several processes at once, and never needed by an artifact.
SHARED_FOLDER = "PORTING_SHARED"


class Family(str, enum.Enum):
    """Adapters are grouped by how a model is executed, not by who made the stack."""

    ONNX_SESSION = "onnx-session"  # loads ONNX, runs it in a session
    OFFLINE_COMPILER = "offline-compiler"  # a compiler makes a file, a runtime or simulator runs it
    TORCH_DEVICE = "torch-device"  # PyTorch operators on a device plugin
    EXPORTED_PROGRAM = "exported-program"  # compiles a torch.export.ExportedProgram


@dataclass(frozen=True)
class FormNeed:
    """Which exported form of a model an adapter takes."""

    kind: str
    """`onnx`, `pt2` (a saved torch.export.ExportedProgram) or `aten` (the same as plain data, for other versions of PyTorch
    than the one that exported it)."""
    at_target_precision: bool = False
    """False: exported in fp32, the adapter lowers the precision itself. True: exported from a model of the target's precision."""
    dynamic: bool = True
    """Whether dynamic axes are taken; False asks for a static export at the nominal sizes."""
    opset: Optional[int] = None
    """Highest ONNX opset the backend reads; None leaves it to the exporter."""


@dataclass(frozen=True)
class DeviceState:
    """What `probe` found out about one device of the adapter."""

    available: bool
    reason: str = ""
    """Why not, in the stack's own words where there are any."""
    cause: Optional[Cause] = None
    """MISSING_DEPENDENCY, MISSING_SDK, MISSING_DEVICE or VERSION_CONFLICT when not available."""
    precisions: Tuple[Precision, ...] = ()
    """Narrower than declared where this very device lacks one; empty means: as declared."""


@dataclass(frozen=True)
class Probe:
    """What is here. Made in the backend's interpreter."""

    devices: Mapping[str, DeviceState]
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package, SDK, driver and firmware versions; part of the content key of every cell."""


@dataclass(frozen=True)
class ExportedForm:
    """An exported form as `convert` gets it.

    A `pt2` or `aten` program takes its tensors positionally, in the order of `inputs`, and returns a tuple in that of `outputs`.
    """

    kind: str
    precision: Precision
    path: Path
    """The model file; external data, if any, lies beside it or where the file says."""
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    opset: Optional[int] = None
    samples: Tuple[Path, ...] = ()
    """Input files of the bundle's cases (porting.bundles.tensors), for calibration and for compilers that trace."""

    def sample(self, number: int = 0) -> Arrays:
        """Read one of the sample inputs: by name, host memory, dtypes as in `inputs`. Raises IndexError past the last."""
        from porting.bundles.tensors import as_declared, read_tensors

        return as_declared(read_tensors(self.samples[number]), self.inputs)


class Session(Protocol):
    """A loaded artifact."""

    def run(self, inputs: Arrays) -> Arrays:
        """Run once. inputs: by name, host memory. Returns every output by name, host memory, dtype as declared;
        bfloat16 as ml_dtypes.bfloat16."""

    def placement(self) -> Placement:
        """What ran where, asked of the backend. Called after at least one run."""

    def effective_precision(self) -> Precision:
        """The precision the backend says it computes in, whatever was asked."""


class Adapter:
    """Base of all adapters: declarations as class attributes, and methods that run in the backend's interpreter.

    A subclass sets every attribute without a default and implements `probe`, `convert` and `load`. Declarations are
    checked against behaviour by `porting.conformance`.
    """

    contract: ClassVar[int] = CONTRACT
    name: ClassVar[str]
    """What targets are written with: letters, digits and underscores."""
    vendor: ClassVar[str]
    family: ClassVar[Family]
    need: ClassVar[FormNeed]
    alternatives: ClassVar[Tuple[FormNeed, ...]] = ()
    """Other forms it takes, in the order to try them where `need` does not lead to right numbers; `convert` sees by the form's
    kind which one it got."""
    devices: ClassVar[Mapping[str, Tuple[Precision, ...]]]
    """Device name to the precisions that can be asked for there. Chips of a kind are written KIND-CHIP, `rocm-gfx942`."""
    evidence: ClassVar[Mapping[str, Evidence]] = {}
    """By device; HARDWARE where not named. For a device with COMPILED, `convert` is all that is called, and its Artifact has to
    carry the placement that the compiler tells."""
    distributions: ClassVar[Tuple[str, ...]]
    """Distributions on the package index whose versions decide results, the backend first."""
    install_hint: ClassVar[str]
    """The command that brings the backend, shown when it is missing."""
    minimum_target_share: ClassVar[float] = 1.0
    """Share of the arithmetic, of the operators where the backend cannot tell that, that must run on the target; less is
    `degraded`. 1.0 is every operator."""
    keeps_layers: ClassVar[Tuple[Precision, ...]] = ()
    """Precisions at which `convert` leaves those operators in fp32 that the ONNX form's metadata names (`porting_keep`)."""
    floats_alone: ClassVar[bool] = False
    """A backend without comparisons and integer arithmetic. The conformance suite tries it with a model that has none, and the
    usual one has to be refused as unsupported."""

    @classmethod
    def warm(cls) -> None:
        """Do once what every job would do first, such as slow imports. Called in the process that jobs are forked from:
        start no thread and open no device. What goes wrong is ignored, and left for the job to find."""

    def probe(self) -> Probe:
        """Find out what is here. Never raises: what goes wrong becomes a DeviceState with the reason."""
        raise NotImplementedError

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        """Write an artifact for `target` into the empty `folder`. Raises whatever the backend raises."""
        raise NotImplementedError

    def load(self, artifact: Artifact, target: Target, folder: Path) -> Session:
        """Load what `convert` wrote, in a fresh process, from `folder` alone. Raises whatever the backend raises."""
        raise NotImplementedError

    def classify(self, error: BaseException) -> Optional[Tuple[Outcome, Cause]]:
        """Say what an exception of this backend means; None leaves it to the general rules."""
        return None

    @classmethod
    def needs(cls) -> Sequence[FormNeed]:
        """Every form it takes, in the order to try them."""
        return [cls.need, *cls.alternatives]

    @classmethod
    def targets(cls) -> Sequence[Target]:
        """Every target the declarations allow."""
        return [Target(cls.name, device, p) for device, precisions in cls.devices.items() for p in precisions]

    @classmethod
    def evidence_of(cls, device: str) -> Evidence:
        """By what a result on a device would be had; on a chip that is not declared, as on others of its kind."""
        return cls.evidence.get(cls.relative(device), Evidence.HARDWARE)

    @classmethod
    def relative(cls, device: str) -> str:
        """The device itself where it is declared, else a declared chip of its kind; itself again where there is none."""
        return device if device in cls.devices else next(iter(cls.chips(device)), device)

    @classmethod
    def chips(cls, device: str) -> Sequence[str]:
        """Declared devices of the same kind as `device`, which itself need not be one; none where it names no chip."""
        kind, dash, _ = device.partition("-")
        return [known for known in cls.devices if known.startswith(kind + dash)] if dash else []

    @classmethod
    def deploy_script(cls) -> Path:
        """The file that becomes `backend.py` beside an exported artifact. Its one function runs the model once, with the backend
        and numpy alone; porting/deploy/run.py calls it:

            def run(artifact, target, inputs): ...

        artifact: what port.json says of it, a dict; inputs: arrays by name, bfloat16 as float32. Returns outputs by name, and
        prints a line that says what ran where. Its docstring ends with what has to be installed.
        """
        import sys

        module_file = sys.modules[cls.__module__].__file__
        assert module_file is not None
        return Path(module_file).with_name("deploy.py")
