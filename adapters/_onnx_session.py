"""What runtimes with onnxruntime's Python API share: probing providers, one session, what ran where, what errors mean.

Which providers exist and how they are set up is data in the adapter. Model files are `_onnx_model`'s.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Mapping, Optional, Tuple

from porting.adapter import Adapter, DeviceState, ExportedForm, Family, FormNeed, Probe
from porting.types import Artifact, Cause, Evidence, Outcome, Placement, Precision, Target

from . import _onnx_model, _onnx_quantize
from ._causes import Meaning, Rule, first_match, nothing_here, one_line

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """One execution provider as a device."""

    name: str
    """In the runtime's own words."""
    package: str
    """The distribution, or where there is none the product, that brings it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Provider options for every precision."""
    by_precision: Mapping[Precision, Mapping[str, str]] = field(default_factory=dict)
    """Options besides, which keep the provider to what was asked. A provider is asked for these precisions alone."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables set before the session starts, at fp32."""
    threads: str = ""
    """The option that limits threads which the provider starts beside the session's own."""
    alone: bool = False
    """Whether what it cannot take is an error rather than the CPU's, for a provider that would not say where it ran."""

    def options_at(self, precision: Precision) -> Dict[str, str]:
        return {**self.options, **self.by_precision[precision]}


class FallbackError(RuntimeError):
    """The session came up on another provider than the one asked for."""


class OnnxSessionAdapter(Adapter):
    """Base for runtimes with onnxruntime's API; a subclass names module, providers and packages."""

    family = Family.ONNX_SESSION
    need = FormNeed("onnx")
    keeps_layers = (Precision.INT8, Precision.FP16)
    module: ClassVar[str]
    """Import name of the runtime."""
    providers: ClassVar[Mapping[str, Provider]]
    """By device."""
    lists_kernels: ClassVar[bool] = True
    """Whether it can be asked for its kernels, and lives."""
    _has_memory_of_its_own = False

    def probe(self) -> Probe:
        try:
            runtime = import_runtime(self.module)
            built_in = runtime.get_available_providers()
            version = {self.module: runtime.__version__}
        except Exception as error:  # noqa: BLE001 -- a broken install raises anything, and a probe never raises
            return nothing_here(self, error)
        return Probe({device: self._state(runtime, device, built_in) for device in self.devices}, version)

    def _state(self, runtime: Any, device: str, built_in: List[str]) -> DeviceState:
        provider = self.providers[device]
        if provider.name not in built_in:
            reason = f"this {self.module} {runtime.__version__} has no {provider.name}; {provider.package} brings it"
            return DeviceState(False, reason, Cause.MISSING_DEPENDENCY)
        try:
            with _environment(provider):  # the CPU may stand by here, so that the session tells which of the two started
                start(runtime, IDENTITY, replace(provider, alone=False), self.devices[device][0])
        except Exception as error:  # noqa: BLE001 -- a provider that cannot start raises anything
            return DeviceState(False, f"{provider.name} does not start: {one_line(error)}", Cause.MISSING_DEVICE)
        return DeviceState(True)

    def convert(self, form: ExportedForm, target: Target, folder: Path) -> Artifact:
        provider = self.providers[target.device]
        options = {"provider": provider.name, "provider_options": provider.options_at(target.precision)}
        return Artifact(_lowered(form, target.precision, folder), form.inputs, form.outputs, options)

    def load(self, artifact: Artifact, target: Target, folder: Path) -> OnnxSession:
        runtime = import_runtime(self.module)
        provider = self.providers[target.device]
        self._has_memory_of_its_own = self.evidence_of(target.device) is Evidence.HARDWARE
        if target.precision is Precision.FP32:
            os.environ.update(provider.environment)
        path = str(folder / artifact.files[0])
        session = start(runtime, path, provider, target.precision, record=True)
        return OnnxSession(session, artifact, provider, target.precision)

    def classify(self, error: BaseException) -> Optional[Meaning]:
        if isinstance(error, FallbackError):
            return Outcome.FAIL, Cause.FALLBACK
        if isinstance(error, _onnx_model.OutsideError):
            return Outcome.FAIL, Cause.UNTRUSTED
        if isinstance(error, _onnx_quantize.NothingToQuantize):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE
        message = str(error)
        meaning = first_match(message, RULES)
        if meaning == (Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP) and self._has_kernel(message):
            return Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE
        if meaning == (Outcome.FAIL, Cause.HOST_OOM) and self._has_memory_of_its_own:
            return Outcome.FAIL, Cause.DEVICE_OOM
        return meaning

    def _has_kernel(self, message: str) -> bool:
        """Whether the operator that `message` says is not implemented has a kernel, so that only this dtype lacks one."""
        match = re.search(r"Could not find an implementation for (\w+)\(", message)
        state = importlib.import_module(f"{self.module}.capi.onnxruntime_pybind11_state")
        if match is None or not self.lists_kernels or not hasattr(state, "get_all_opkernel_def"):
            return False
        return any(kernel.op_name == match[1] for kernel in state.get_all_opkernel_def())


def _lowered(form: ExportedForm, precision: Precision, folder: Path) -> Tuple[str, ...]:
    """Write the fp32 form at another precision, or as it is. Returns the files."""
    if precision is Precision.INT8:
        return _onnx_quantize.quantize(form, folder)
    lower = _onnx_model.lower_to_half if precision is Precision.FP16 else _onnx_model.copy_model
    return lower(form.path, folder)


def import_runtime(module: str) -> Any:
    """Import a runtime with its telemetry off: onnxruntime 1.32 reports sessions over the network unless told before."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module(module)


RULES: Tuple[Rule, ...] = (
    (r"NOT_IMPLEMENTED", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"fallback to CPU EP has been explicitly disabled", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"is not a registered function/op|No Op registered for", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"[Uu]nsupported model IR version|[Oo]pset \d+ is under development|opset_import", Outcome.UNSUPPORTED, Cause.OPSET),
    (r"Type Error: Type '[^']*' of input parameter|bound to different types", Outcome.FAIL, Cause.UNSUPPORTED_DTYPE),
    (r"ShapeInferenceError|TypeInferenceError", Outcome.FAIL, Cause.SHAPE_INFERENCE),
    (r"CUDA failure 2|out of memory|OUT_OF_MEMORY|HIP failure 2", Outcome.FAIL, Cause.DEVICE_OOM),
    (r"bad_?\s?alloc|Failed to allocate memory", Outcome.FAIL, Cause.HOST_OOM),
    (r"(is|are) not supported|is not defined for", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Got invalid dimensions for input|broadcast an axis|requested shape|dimension mismatch", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
)


# ---- sessions -----------------------------------------------------------------------------------------------------

ASSIGNMENT = "get_provider_graph_assignment_info"
"""Method that says which provider got which nodes; onnxruntime has it since 1.24, vendors' builds are often older."""


def start(runtime: Any, model: Any, provider: Provider, precision: Precision, record: bool = False) -> Any:
    """Open a session on `provider`. model: path or bytes; record: keep what `assignment` needs. Raises FallbackError
    when the session comes up on another provider."""
    options = runtime.SessionOptions()
    threads = options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if provider.alone:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if record and hasattr(runtime.InferenceSession, ASSIGNMENT):
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    elif record:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(tempfile.mkdtemp(prefix="onnx-profile-")) / "run")
    if precision is Precision.INT8:  # what became of the graph is the only place that says which kernels compute in int8
        options.optimized_model_filepath = str(Path(tempfile.mkdtemp(prefix="onnx-optimized-")) / _onnx_model.FILE)
    # The CPU stays in the list: a provider may leave it operators, which placement then counts. Whether the wanted
    # provider is there at all is asked below, since onnxruntime replaces one that cannot start by the CPU and prints a line.
    own = {**provider.options_at(precision), **({provider.threads: str(threads)} if provider.threads else {})}
    wanted = [(provider.name, own)] + ([] if provider.alone or provider.name == CPU else [CPU])
    session = runtime.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    if session.get_providers()[0] != provider.name:
        raise FallbackError(f"asked for {provider.name}, the session came up on {', '.join(session.get_providers())}")
    return session


def _environment(provider: Provider) -> Any:
    """Context manager: the provider's variables, put back afterwards."""
    from unittest import mock

    return mock.patch.dict(os.environ, provider.environment)


IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""An ONNX file with one Identity of float32, opset 17, so that probing needs no onnx."""


class OnnxSession:
    """A session that answers by name."""

    def __init__(self, session: Any, artifact: Artifact, provider: Provider, precision: Precision) -> None:
        self._session = session
        self._inputs = [spec.name for spec in artifact.inputs]
        self._outputs = [output.name for output in session.get_outputs()]
        self._provider = provider
        self._precision = precision
        self._has_bfloat16 = any("bfloat16" in value.type for value in (*session.get_inputs(), *session.get_outputs()))
        self._nodes: Optional[Mapping[Tuple[str, str], int]] = None
        optimized = session.get_session_options().optimized_model_filepath
        self._in_int8 = _int8_kernels(Path(optimized)) if optimized else 0

    def run(self, inputs: Arrays) -> Arrays:
        given = {name: inputs[name] for name in self._inputs}
        values = self._run_bfloat16(given) if self._has_bfloat16 else self._session.run(None, given)
        named = zip(self._outputs, values)  # noqa: B905 -- `strict` came with Python 3.10
        return {name: value for name, value in named if value is not None}

    def _run_bfloat16(self, inputs: Arrays) -> List[Any]:
        """Run with values of the runtime's own: its numpy interface knows no bfloat16 (1.32: `Numpy_type 256 can't be
        converted to MLDataType`)."""
        ort_value = sys.modules[type(self._session).__module__].OrtValue
        values = self._session.run_with_ort_values(None, {name: _ort_value(ort_value, a) for name, a in inputs.items()})
        return [_numpy(value) for value in values]

    def placement(self) -> Placement:
        if self._nodes is None:
            self._nodes = assignment(self._session)
        counts: Counter[str] = Counter()
        left: Counter[str] = Counter()
        for (provider, operator), number in self._nodes.items():
            counts[provider] += number
            if provider != self._provider.name:
                left[f"{operator} (left to {provider})"] += number
        target = counts[self._provider.name]
        providers = ", ".join(self._session.get_providers())
        detail = {**counts, **left, **({"int8 kernels": self._in_int8} if self._in_int8 else {})}
        arithmetic = arithmetic_share(self._nodes, self._provider.name)
        return Placement(target, sum(counts.values()) - target, providers, detail, arithmetic)

    def effective_precision(self) -> Precision:
        # At fp16 the CPU provider computes most operators in fp32 between fp16 weights and fp16 values: fp16's rounding.
        return Precision.FP32 if self._precision is Precision.INT8 and not self._in_int8 else self._precision


def _int8_kernels(optimized: Path) -> int:
    """Matrix products and convolutions of a graph as the runtime optimised it that compute in int8; removes its folder."""
    import onnx

    graph = onnx.load(str(optimized), load_external_data=False).graph
    shutil.rmtree(optimized.parent)
    return sum(node.op_type.startswith("QLinear") or node.op_type in INT8_KERNELS for node in graph.node)


INT8_KERNELS = ("QGemm", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulInteger", "ConvInteger", "QAttention")
"""What onnxruntime fuses quantised operators to, besides QLinearConv, QLinearMatMul and their like."""


_ONNX_BFLOAT16 = 16
"""TensorProto.BFLOAT16."""


def _ort_value(ort_value: Any, array: Any) -> Any:
    """An array as the runtime's OrtValue."""
    import numpy as np

    if str(array.dtype) != "bfloat16":
        return ort_value.ortvalue_from_numpy(array)
    return ort_value.ortvalue_from_numpy_with_onnx_type(np.array(array, order="C").view(np.uint16), _ONNX_BFLOAT16)


def _numpy(value: Any) -> Any:
    """A copy of an OrtValue in host memory, where the runtime puts outputs that nobody asked for elsewhere."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()
    import ml_dtypes
    import numpy as np

    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, ml_dtypes.bfloat16).reshape(value.shape())


def assignment(session: Any) -> Mapping[Tuple[str, str], int]:
    """Count nodes by provider and operator; a node inside a compiled partition counts as one of its provider."""
    if not hasattr(session, ASSIGNMENT):
        return _profiled(Path(session.end_profiling()))
    return Counter((part.ep_name, node.op_type) for part in getattr(session, ASSIGNMENT)() for node in part.get_nodes())


def _profiled(profile: Path) -> Mapping[Tuple[str, str], int]:
    """Count the nodes that ran, each once, in a profile of runtimes before 1.24; removes its folder."""
    events = json.loads(profile.read_bytes())
    shutil.rmtree(profile.parent)
    ran = {e["name"]: e["args"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")}
    return Counter((arguments["provider"], arguments["op_name"]) for arguments in ran.values())


_MULTIPLIES = re.compile(r"MatMul|Gemm|Conv|Attention|LSTM|GRU|RNN|Einsum|DFT|MoE|^(If|Loop|Scan)$")
"""Operators that multiply and add over an axis, or may hold such; of the others a model's arithmetic is a trifle."""


def arithmetic_share(nodes: Mapping[Tuple[str, str], int], provider: str) -> Optional[float]:
    """Share of the multiply-adds that `provider` does. None when several do some, for nobody says how many, or nobody does."""
    sides = {name == provider for name, operator in nodes if _MULTIPLIES.search(operator)}
    return float(sides.pop()) if len(sides) == 1 else None
