"""ncnn: the exported program, translated by pnnx or written as layers operator by operator, and run by ncnn on the CPU.

pnnx is a program of its own. It is started here rather than through its Python package, which drops its exit status, and it is
believed by what it wrote and printed: it exits with 0 as well when it left out what it does not know.

What pnnx leaves out, refuses or gets wrong is written without it (adapters/ncnn/direct), from the program as plain data.

Of the forms there are, a program is what serves pnnx: pnnx 20261020 ends with SIGSEGV on ONNX files that hold flags or an output
that is an input, and does not read saved programs ("failed locating file constants.pkl").
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target, TensorSpec

from .. import _torch_program as programs
from .._causes import Meaning, Rule, first_match, nothing_here
from .._core_program import core, example_of
from . import _network as networks
from ._program import respell
from ._recurrent import as_modules

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
TRACED = "traced.pt"
WRITTEN = {
    "layers": "traced.ncnn.param",
    "weights": "traced.ncnn.bin",
    "script": "traced_ncnn.py",
    "graph": "traced.pnnx.param",
}
"""What is used of the files that pnnx writes, by what it holds."""
FP32, FP16, BF16 = Precision.FP32, Precision.FP16, Precision.BF16
MATRIX = re.compile(r"Convolution|Deconvolution|InnerProduct|Gemm|MatMul|SDPA|MultiHeadAttention|GRU|LSTM|RNN")
"""Layers that decide the precision of a network that has any."""

RULES: Tuple[Rule, ...] = (
    (r"only dims <=|with batch only dims", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"ended with signal", Outcome.FAIL, Cause.CRASH),
    (r"bad_alloc|Cannot allocate memory", Outcome.FAIL, Cause.HOST_OOM),
    (r"has the shape \[", Outcome.FAIL, Cause.OUTPUT_STRUCTURE),
    (r"Could not guard on data-dependent|data-dependent", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
)


class ConverterError(RuntimeError):
    """pnnx ended without a network."""


class NcnnAdapter(Adapter):
    """Translates the fp32 program to ncnn's layers and runs them with fp16 and bf16 off unless the target asks for them."""

    name = "ncnn"
    vendor = "Tencent"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2", dynamic=False)  # pnnx writes sizes as they were traced, without saying where
    alternatives = (FormNeed("aten", dynamic=False),)  # written here, without pnnx
    devices = {"cpu": (FP32, FP16, BF16)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("ncnn", "pnnx", "torch")
    install_hint = "porting env create ncnn"
    floats_alone = True

    def probe(self) -> Probe:
        try:
            import ncnn

            missing = [name for name in ("pnnx", "torch") if importlib.util.find_spec(name) is None]
            if missing:
                raise ImportError(f"No module named {' or '.join(missing)}")
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        half = (FP16,) if ncnn.cpu_support_arm_asimdhp() else ()
        return Probe({"cpu": DeviceState(True, precisions=(FP32, BF16, *half))}, {"ncnn": ncnn.__version__})

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        if form.kind == "aten":
            return write_directly(form, target.precision, folder)
        # weights are kept in fp32; `load` sets the arithmetic
        work = Path(os.environ.get("TMPDIR") or folder)
        trace(form, work / TRACED)
        printed = run_pnnx(work)
        layers = networks.read_layers((work / WRITTEN["layers"]).read_text())
        refuse_what_is_left_out(layers, printed)
        network = typed_network(layers, work, form)
        (folder / PARAM).write_text(networks.write_layers(network.layers))
        os.replace(work / WRITTEN["weights"], folder / WEIGHTS)
        for name in (TRACED, *WRITTEN.values()):
            (work / name).unlink(missing_ok=True)
        options = {"blobs": dict(network.dtypes), "batch": dict(network.batch)}
        return Artifact((PARAM, WEIGHTS), form.inputs, form.outputs, options)

    @classmethod
    def warm(cls) -> None:
        import ncnn  # noqa: F401

        programs.rehearse()

    def load(self, artifact: Artifact, target: Target, folder: Path) -> NcnnSession:
        return NcnnSession(artifact, target.precision, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        if isinstance(error, networks.UnsupportedError):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP
        if isinstance(error, networks.DtypeError):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE
        return first_match(str(error), RULES)


# ---- translation --------------------------------------------------------------------------------------------------


def write_directly(form: ExportedForm, precision: Precision, folder: Path) -> Artifact:
    """Write a program as layers, without pnnx. Raises networks.UnsupportedError naming what has no words in layers."""
    from .direct.build import WHOLE, Builder

    builder = Builder(core(form.path, example_of(form), WHOLE), narrow=precision is not FP32)
    builder.build()
    layers, weights = builder.network()
    (folder / PARAM).write_text(networks.write_layers(layers))
    (folder / WEIGHTS).write_bytes(weights)
    options = {
        "blobs": dict(builder.dtypes),
        "batch": dict.fromkeys(builder.dtypes, networks.NO_BATCH),
        "shapes": {name: list(shape) for name, shape in builder.shapes.items()},
        "winograd": False,
    }
    return Artifact((PARAM, WEIGHTS), form.inputs, form.outputs, options)


def trace(form: ExportedForm, path: Path) -> None:
    """Save the program as TorchScript, traced at the form's sizes. Raises what torch raises."""
    import torch

    example = example_of(form)
    module = programs.load_module(form.path)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of constants, and of being deprecated
        as_modules(module)
        respell(module)
        torch.jit.save(torch.jit.trace(module, example, check_trace=False), str(path))


def run_pnnx(work: Path) -> str:
    """Translate `work`/model.pt, and return what pnnx printed. Raises ConverterError when it did not write a network."""
    command = [str(pnnx_program()), TRACED, "fp16=0"]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(done.stdout, file=sys.stderr)  # whole, for the log
    if done.returncode < 0:
        raise ConverterError(f"pnnx ended with signal {signal.Signals(-done.returncode).name}{last_words(done.stdout)}")
    missing = [name for name in WRITTEN.values() if not (work / name).is_file()]
    if done.returncode or missing:
        wrote = f", without writing {', '.join(missing)}" if missing else ""
        raise ConverterError(f"pnnx ended with {done.returncode}{wrote}{last_words(done.stdout)}")
    return done.stdout


def pnnx_program() -> Path:
    """The program that the package pnnx carries. The package is not imported: it would import torch, and know no more."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named pnnx")
    return Path(spec.origin).with_name("pnnx")


def last_words(printed: str) -> str:
    """The last line that a program printed which says something, to go behind a message; empty where there is none."""
    lines = [line.strip() for line in printed.splitlines() if re.search(r"[A-Za-z]{3}", line)]
    return f"; last it said: {lines[-1][:200]}" if lines else ""


def typed_network(layers: Sequence[networks.Layer], work: Path, form: ExportedForm) -> networks.Network:
    """Add what ncnn's own text does not tell. Raises networks.DtypeError, and ConverterError where an output is missing."""
    integers = networks.integer_constants((work / WRITTEN["graph"]).read_text())
    integers |= {f"in{number}" for number, spec in enumerate(form.inputs) if not spec.dtype.startswith(("float", "bfloat"))}
    network = networks.assign_dtypes(layers, integers, networks.batch_axes((work / WRITTEN["script"]).read_text()))
    lost = [spec.name for number, spec in enumerate(form.outputs) if f"out{number}" not in network.dtypes]
    if lost:
        raise ConverterError(f"pnnx left out the outputs {', '.join(lost)}")
    return network


def refuse_what_is_left_out(layers: Sequence[networks.Layer], printed: str) -> None:
    """Raise networks.UnsupportedError naming what ncnn has no layer for, and what pnnx says it left out or could not express."""
    import ncnn

    ignored = networks.ignored(printed)
    unknown = {layer.kind for layer in layers if ncnn.layer_to_index(layer.kind) < 0}
    said = [f"ncnn has no layer for {', '.join(sorted(unknown))}"] if unknown else []
    said += [f"pnnx ignored {', '.join(ignored[kind])} of {kind}" for kind in sorted(ignored.keys() - unknown)]
    said += [f"pnnx said: {line}" for line in networks.complaints(printed)]
    if said:
        raise networks.UnsupportedError("; ".join(said))


# ---- running ------------------------------------------------------------------------------------------------------


class NcnnSession:
    """A loaded network. Blobs are called in0, in1 ..., out0, out1 ... in the order of the model's inputs and outputs; in0f is in0
    as floats, where a network that was written without pnnx computes with integers."""

    def __init__(self, artifact: Artifact, precision: Precision, folder: Path) -> None:
        import ncnn

        self._ncnn = ncnn
        self._artifact = artifact
        self._dtypes: Mapping[str, str] = artifact.options["blobs"]
        self._batch: Mapping[str, int] = artifact.options["batch"]
        self._shapes: Mapping[str, Sequence[int]] = artifact.options.get("shapes", {})
        """Axes of the blobs, where they are not those of the inputs and outputs."""
        self._net = ncnn.Net()
        configure(self._net.opt, precision, artifact.options.get("winograd", True))
        # Files that are missing, cut short or of another version end in a return code and a line on the screen.
        for load, name in ((self._net.load_param, PARAM), (self._net.load_model, WEIGHTS)):
            code = load(str(folder / name))
            if code:
                raise RuntimeError(f"ncnn could not load {name}: it returned {code}")

    def run(self, inputs: Arrays) -> Arrays:
        extractor = self._net.create_extractor()
        for number, spec in enumerate(self._artifact.inputs):
            for blob in (f"in{number}", f"in{number}f"):
                if blob in self._dtypes:  # what nothing reads is left out
                    _must(extractor.input(blob, self._mat(blob, inputs[spec.name])), "take", spec.name)
        return {spec.name: self._extract(extractor, f"out{n}", spec) for n, spec in enumerate(self._artifact.outputs)}

    def _mat(self, blob: str, value: Array) -> Any:
        """A blob of its own memory. Without its batch axis it would hold the first item of a batch alone."""
        import numpy as np

        array = np.array(np.atleast_1d(value), self._dtypes[blob], order="C")
        array = array.reshape(self._shapes.get(blob, array.shape))
        return self._ncnn.Mat(array, batch_index=self._batch[blob]).clone()

    def _extract(self, extractor: Any, blob: str, spec: TensorSpec) -> Array:
        """An output as declared. Raises RuntimeError where ncnn has none, or one of another shape."""
        import numpy as np

        code, mat = extractor.extract(blob)
        _must(code, "give", spec.name)
        value = mat.numpy("i" if self._dtypes[blob] == networks.INT else "", batch_index=self._batch[blob])
        if value.shape != tuple(self._shapes.get(blob, spec.shape or (1,))):
            raise RuntimeError(f"{spec.name} has the shape {list(value.shape)} in ncnn, and {list(spec.shape)} in the model")
        return np.array(value.reshape(spec.shape)).astype(spec.dtype)

    def placement(self) -> Placement:
        """Layers of the loaded network; all of them run on this CPU, since Vulkan is off."""
        counts = Counter(layer.type for layer in self._net.layers() if layer.type not in networks.SOURCES)
        return Placement(sum(counts.values()), 0, "CPU", dict(counts))

    def effective_precision(self) -> Precision:
        """fp16 or bf16 only where it is on and the layers that matter keep their values in it."""
        options, layers = self._net.opt, [layer for layer in self._net.layers() if layer.type not in networks.SOURCES]
        layers = [layer for layer in layers if MATRIX.match(layer.type)] or layers
        for precision, is_on, able in (
            (BF16, options.use_bf16_storage, sum(layer.support_bf16_storage for layer in layers)),
            (FP16, options.use_fp16_storage, sum(layer.support_fp16_storage for layer in layers)),
        ):
            if is_on and 2 * able > len(layers):
                return precision
        return FP32


def configure(options: Any, precision: Precision, winograd: bool) -> None:
    """Set the arithmetic; fp16 is on by default. One thread unless OMP_NUM_THREADS says more.

    winograd: whether convolutions may be Winograd's, which take fewer products and lose digits: vision/dncnn is off by 2.5e-6
    with them, and by 5.9e-7 without.
    """
    half, brain = precision is FP16, precision is BF16
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = half
    options.use_bf16_packed = options.use_bf16_storage = brain
    options.use_winograd_convolution = winograd
    options.use_vulkan_compute = False
    options.num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)


def _must(code: int, verb: str, name: str) -> None:
    if code:
        raise RuntimeError(f"ncnn does not {verb} {name!r}: it returned {code}")
