"""tinygrad: the ONNX form read by tinygrad's own runner, every kernel generated as C and compiled by clang where it runs.

There is no compiled artifact: it is the ONNX file, and a size that was not run before is compiled for when it comes.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple

from porting.adapter import SHARED_FOLDER, Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from .._causes import Meaning, Rule, first_match, nothing_here
from .._onnx_model import copy_model

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

PRECISIONS = {"float": Precision.FP32, "half": Precision.FP16, "bfloat16": Precision.BF16}

RULES: Tuple[Rule, ...] = (
    (r"No such file or directory: '[\w/+-]*(clang|cc)", Outcome.UNAVAILABLE, Cause.MISSING_DEPENDENCY),
    (r"^NotImplementedError", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"has mismatch on dim", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
)


class UntypedError(ValueError):
    """A value of the graph without a type where tinygrad's reader of ONNX wants one."""


class TinygradAdapter(Adapter):
    """Runs the ONNX form kernel by kernel, each compiled for this CPU."""

    name = "tinygrad"
    vendor = "tiny corp"
    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("tinygrad", "onnx")
    install_hint = "porting env create tinygrad, and a C compiler: apt install clang"

    def probe(self) -> Probe:
        from importlib.metadata import version

        try:
            tinygrad = import_tinygrad()
            (tinygrad.Tensor([1.0]) + 1).numpy()  # generates, compiles and runs a kernel
            versions = {"tinygrad": version("tinygrad")}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({"cpu": DeviceState(True)}, versions)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        del target  # there is one
        artifact = Artifact(copy_model(form.path, folder), form.inputs, form.outputs)
        refuse_unknown_operators(open_runner(folder / artifact.files[0]))
        return artifact

    def load(self, artifact: Artifact, target: Target, folder: Path) -> TinygradSession:
        del target
        return TinygradSession(open_runner(folder / artifact.files[0]), artifact)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        if isinstance(error, UntypedError):
            return Outcome.UNSUPPORTED, Cause.SHAPE_INFERENCE
        return first_match(f"{type(error).__name__}: {error}", RULES)


def import_tinygrad() -> Any:
    """Import tinygrad for the CPU, with what it compiled kept where the next cell finds it, and nowhere in a home folder."""
    os.environ.update(DEV="CPU", PARALLEL="0")  # no pool of compilers
    if (os.environ.get("OMP_NUM_THREADS") or "1") == "1":
        os.environ["THREADS"] = "0"  # it otherwise runs a kernel on every core
    shared = os.environ.get(SHARED_FOLDER)
    if shared:
        os.environ["CACHEDB"] = str(Path(shared) / "tinygrad" / "cache.db")
    else:
        os.environ["CACHELEVEL"] = "0"
    import tinygrad

    return tinygrad


def open_runner(path: Path) -> Any:
    """Read an ONNX file. Its tensors still lie in the file. Raises UntypedError, and what the reader raises."""
    import_tinygrad()
    from tinygrad.nn.onnx import OnnxRunner

    try:
        return OnnxRunner(str(path))
    except AssertionError as error:
        if str(error) != "{}":  # all that it says of a missing type
            raise
        raise UntypedError("tinygrad's reader of ONNX wants a type of every input and output, subgraphs' too") from None


def refuse_unknown_operators(runner: Any) -> None:
    """Say before anything is compiled what cannot be run. Raises NotImplementedError, as the runner would."""
    unknown = sorted({node.op for node in runner.graph_nodes} - set(runner.onnx_ops))
    if unknown:
        raise NotImplementedError(f"op='{', '.join(unknown)}' is not supported")


def forget(runner: Any) -> None:
    """Drop what a runner, and those of its subgraphs, keep from one run to the next."""
    runner._python_const_cache.clear()
    runner.variable_dims.clear()
    for node in runner.graph_nodes:
        for option in node.opts.values():
            if isinstance(option, type(runner)):
                forget(option)


class TinygradSession:
    """A model in tinygrad's runner. Nothing is computed before it is asked for, and then all outputs at once."""

    def __init__(self, runner: Any, artifact: Artifact) -> None:
        self._tinygrad = import_tinygrad()
        self._runner = runner
        self._artifact = artifact
        self._kernels = 0
        weights = [value for value in runner.graph_values.values() if isinstance(value, self._tinygrad.Tensor)]
        if weights:
            self._tinygrad.Tensor.realize(*weights)  # once, else every run reads them from the file

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np
        from tinygrad.helpers import GlobalCounters

        tensor = self._tinygrad.Tensor
        forget(self._runner)
        GlobalCounters.reset()
        given = {spec.name: tensor(np.array(inputs[spec.name], spec.dtype)) for spec in self._artifact.inputs}
        answers = self._runner(given)
        tensor.realize(*answers.values())
        self._kernels = int(GlobalCounters.kernel_count)
        return {name: np.array(value.numpy()) for name, value in answers.items()}

    def placement(self) -> Placement:
        """Kernels of the last run; all are made for the one device."""
        return Placement(self._kernels, 0, str(self._tinygrad.Device.DEFAULT), {"kernels": self._kernels})

    def effective_precision(self) -> Precision:
        """The commonest floating dtype of the graph's values, which is what their kernels compute in."""
        dtypes = (value.dtype.name for value in self._runner.graph_values.values() if isinstance(value, self._tinygrad.Tensor))
        floats = Counter(name for name in dtypes if name in PRECISIONS)
        return PRECISIONS[floats.most_common(1)[0][0]] if floats else Precision.FP32
