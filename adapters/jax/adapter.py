"""JAX: the exported program, made a JAX function by torchax, as serialised StableHLO that XLA compiles where it is loaded.

What runs needs neither torch nor torchax. Static forms alone; see `quirks.toml`.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target, TensorSpec

from .._causes import Meaning, Rule, first_match, nothing_here
from .._core_program import captured
from .._outputs import by_position
from .._torch_program import read_program, rehearse, view_as_reshape

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

MODULE = "model.stablehlo"
WEIGHTS = "weights.npz"
PRECISIONS = {"f32": Precision.FP32, "f16": Precision.FP16, "bf16": Precision.BF16}
NOT_OPERATIONS = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast")

RULES: Tuple[Rule, ...] = (
    (r"^AssertionError: \w+(::|\.)\w+|No lowering found", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"ConcretizationTypeError|TracerBoolConversionError|NonConcreteBooleanIndexError", Outcome.UNSUPPORTED, Cause.CONTROL_FLOW),
    (r"Argument types differ from the types", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"RESOURCE_EXHAUSTED|[Oo]ut of memory", Outcome.FAIL, Cause.HOST_OOM),
)


class JaxAdapter(Adapter):
    """Lowers the static exported program to StableHLO and runs it through XLA on this CPU."""

    name = "jax"
    vendor = "Google"
    family = Family.EXPORTED_PROGRAM
    need = FormNeed("pt2", dynamic=False)
    alternatives = (FormNeed("aten", dynamic=False),)
    devices = {"cpu": (Precision.FP32,)}  # noqa: RUF012 -- ClassVar in the base class
    evidence = {"cpu": Evidence.HOST}  # noqa: RUF012
    distributions = ("jax", "jaxlib", "flatbuffers", "torchax", "torch")
    install_hint = "porting env create jax"

    def probe(self) -> Probe:
        from importlib.metadata import version

        try:
            import_jax().devices("cpu")
            versions = {name: version(name) for name in self.distributions}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({"cpu": DeviceState(True)}, versions)

    @classmethod
    def warm(cls) -> None:
        import_jax()
        rehearse()

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        del target  # there is one
        import numpy as np

        jax = import_jax()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch and torchax warn of their own use of each other
            weights, function = to_jax(form)
            exported = jax.export.export(jax.jit(function))(weights, described(form.inputs))
        (folder / MODULE).write_bytes(exported.serialize())
        np.savez(folder / WEIGHTS, *weights)
        return Artifact((MODULE, WEIGHTS), form.inputs, form.outputs)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> JaxSession:
        del target
        return JaxSession(artifact, folder)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        return first_match(f"{type(error).__name__}: {error}", RULES)


def import_jax() -> Any:
    """Import JAX for the CPU, at full precision: its own defaults are 32-bit integers, and bf16 for products on some devices."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if (os.environ.get("OMP_NUM_THREADS") or "1") == "1":
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    import jax
    import jax.export

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax


@functools.lru_cache(None)
def import_torchax() -> Any:
    """Import torchax's exporter, its operators registered, once.

    torchax 0.0.13 has tables of operators with overloads for named dimensions, which torch 2.13 no longer has. What no program
    can hold stands in for them.
    """
    from unittest import mock

    from torch._ops import OpOverloadPacket

    known = OpOverloadPacket.__getattr__

    def lenient(packet: Any, name: str) -> Any:
        try:
            return known(packet, name)
        except AttributeError:
            if name.startswith("__"):
                raise
            return object()

    with mock.patch.object(OpOverloadPacket, "__getattr__", lenient):
        import torchax.export

        torchax.default_env()
    torchax.export.JaxInterpreter = helped(torchax.export.JaxInterpreter)
    return torchax.export


def helped(interpreter: Any) -> Any:
    """An interpreter of programs that knows two things more. torchax 0.0.13 extends the padding of a convolution in place, where
    it has one size for all axes: torch does not let its arguments be changed, so operators get lists of their own. And it has no
    word for the check that decomposing a one_hot leaves, which is passed over."""
    import torch

    checks = (torch.ops.aten._assert_async.msg, torch.ops.aten._assert_async.default)

    class Interpreter(interpreter):  # type: ignore[misc]  # torch is not followed
        def call_function(self, target: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
            if target in checks:
                return None
            own = tuple(list(arg) if isinstance(arg, list) else arg for arg in args)
            return super().call_function(target, own, kwargs)

    return Interpreter


def to_jax(form: ExportedForm) -> Tuple[List[Array], Callable[..., Any]]:
    """A saved program's weights, and a JAX function that takes those and a tuple of inputs. Returns a list of outputs."""
    from unittest import mock

    exporter = import_torchax()
    program = captured(form) if form.kind == "aten" else read_program(form.path)
    view_as_reshape(program)  # JAX has no strides
    with mock.patch.object(exporter, "_extract_states_from_exported_program", states_in_order):
        _, states, function = exporter.exported_program_to_jax(program, export_raw=True)
    return [state.detach().numpy() for state in states], function


def states_in_order(program: Any) -> Tuple[List[str], List[Any]]:
    """Names and values of what a program holds, as it takes them. torchax 0.0.13 hands over parameters, then buffers, then
    constants, wherever they stand: where a constant comes before a buffer, each gets the place of another."""
    held = {**program.state_dict, **program.constants}
    names = [spec.target for spec in program.graph_signature.input_specs if spec.target is not None]
    return names, [held[name] for name in names]


def described(specs: Sequence[TensorSpec]) -> Tuple[Any, ...]:
    """What JAX traces in place of values."""
    import jax

    return tuple(jax.ShapeDtypeStruct(spec.shape, spec.dtype) for spec in specs)


class JaxSession:
    """A module that XLA compiled for this CPU. Values go by position."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        import numpy as np

        jax = import_jax()
        exported = jax.export.deserialize(bytearray((folder / MODULE).read_bytes()))
        with np.load(folder / WEIGHTS) as file:
            self._weights = [jax.device_put(file[f"arr_{number}"]) for number in range(len(file.files))]
        self._artifact = artifact
        self._compiled = jax.jit(exported.call).lower(self._weights, described(artifact.inputs)).compile()

    def run(self, inputs: Arrays) -> Arrays:
        import numpy as np

        values = tuple(np.asarray(inputs[spec.name], spec.dtype) for spec in self._artifact.inputs)
        results = self._compiled(self._weights, values)
        return by_position([np.array(result) for result in results], self._artifact.outputs)

    def placement(self) -> Placement:
        counts = operation_counts(self._compiled.as_text())
        return Placement(sum(counts.values()), 0, "cpu", counts)

    def effective_precision(self) -> Precision:
        """The commonest dtype of matrix products and convolutions in what XLA made of the model."""
        return product_precision(self._compiled.as_text()) or Precision.FP32


def operation_counts(hlo: str) -> Dict[str, int]:
    """Operations that a compiled module runs one after the other, by kind: its entry computation, without what is no work."""
    entry = re.search(r"^ENTRY .*?^}", hlo, re.MULTILINE | re.DOTALL)
    kinds = re.findall(r"^\s+(?:ROOT )?%[\w.-]+ = .*?[\])}] ([a-z][\w-]*)\(", entry[0], re.MULTILINE) if entry else []
    return dict(Counter(kind for kind in kinds if kind not in NOT_OPERATIONS))


def product_precision(hlo: str) -> Optional[Precision]:
    """Commonest dtype of products, None where there are none of a known one."""
    found = Counter(re.findall(r" = (\w+)\[[^=]*? (?:dot|convolution)\(", hlo))
    known = Counter({dtype: number for dtype, number in found.items() if dtype in PRECISIONS})
    return PRECISIONS[known.most_common(1)[0][0]] if known else None
