"""The reference of a bare ONNX file: onnxruntime's CPU run without optimisations, and a float64 run of the same graph.

The float64 graph runs in onnxruntime where it has kernels for it, else in onnx's own reference evaluator; where neither
can, the truth is float32 and the bundle says so. Such a file has one form, itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.bundle import BATCH, DYNAMIC, STATIC, Bundle, FormKey, FormRecord
from porting.errors import ModelError
from porting.types import Cause, Outcome, Precision, TensorSpec

if TYPE_CHECKING:
    import numpy

    Arrays = dict[str, numpy.ndarray[Any, Any]]


class NoForm(ModelError):
    """The source cannot be exported to this kind of form at all."""

    verdict = (Outcome.UNSUPPORTED, Cause.NO_FORM)


class OnnxEngine:
    """Runs a bare ONNX file at fp32 and wide."""

    kind = "onnxruntime"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = session(str(path))
        self._wide: Any = None
        self.truth = "float64"

    def run(self, arrays: Mapping[str, Any], precision: Precision | None) -> Arrays:
        names = [output.name for output in self._session.get_outputs()]
        if precision is None:
            values = self._wide_run(dict(arrays), names)
        else:
            values = self._session.run(names, dict(arrays))
        return {n: _plain(n, v) for n, v in zip(names, values, strict=True)}

    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(_spec(output) for output in self._session.get_outputs())

    def _wide_run(self, arrays: Arrays, names: list[str]) -> list[Any]:
        import numpy as np

        if self._wide is None:
            self._wide, self.truth = _widest(self.path, arrays, names)
        if self.truth == "float64":
            arrays = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in arrays.items()}
        values: list[Any] = self._wide.run(names, arrays)
        return values


def _plain(name: str, value: Any) -> Any:
    import numpy as np

    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise ModelError(f"output {name} is a {type(value).__name__}, which cannot be compared; only tensors of numbers can.")
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def session(model: Any) -> Any:
    """A session of onnxruntime's CPU provider without optimisations. model: a path or the file's bytes."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _widest(path: Path, arrays: Arrays, names: list[str]) -> tuple[Any, str]:
    """The widest way to run the file that works on these inputs."""
    import numpy as np
    import onnx

    wide = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in arrays.items()}
    model = onnx.load(path)
    _widen(model.graph)
    for function in model.functions:
        for node in function.node:
            _widen_node(node)
    ways: tuple[Callable[[], Any], ...] = (lambda: session(model.SerializeToString()), lambda: _evaluator(model))
    for make in ways:
        try:
            runner = make()
            if all(np.isfinite(v).all() for v in runner.run(names, wide) if v.dtype.kind == "f"):
                return runner, "float64"
        except Exception:  # noqa: BLE001 -- no kernel for float64, or too large to serialise: the next way is tried
            continue
    return session(str(path)), "float32"


def _evaluator(model: Any) -> Any:
    from onnx.reference import ReferenceEvaluator

    make: Callable[[Any], Any] = ReferenceEvaluator
    return make(model)


def _widen(graph: Any) -> None:
    """Turn every float32 of a graph into float64, subgraphs included."""
    from onnx import TensorProto

    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        _widen_node(node)


def _widen_node(node: Any) -> None:
    from onnx import AttributeProto, TensorProto

    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            _widen(attribute.g)
        elif attribute.type == AttributeProto.TENSOR:
            _widen_tensor(attribute.t)
        elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
    if node.op_type == "Constant" and node.attribute[0].name in ("value_float", "value_floats"):
        _widen_constant(node)


def _widen_constant(node: Any) -> None:
    import numpy as np
    from onnx import helper, numpy_helper

    value = helper.get_attribute_value(node.attribute[0])
    tensor = numpy_helper.from_array(np.asarray(value, np.float64))
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("value", tensor))


def _widen_tensor(tensor: Any) -> None:
    import numpy as np
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))


# ---- forms --------------------------------------------------------------------------------------------------------


class OnnxForms:
    """Gives a bare ONNX file as a form: as it is, or with its axes fixed."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        self.path, self.bundle = path, bundle

    def export(self, key: FormKey) -> FormRecord:
        if key.kind != "onnx" or key.precision is not Precision.FP32:
            raise NoForm(f"a bare ONNX file cannot be turned into {key}.", "Give the PyTorch model instead.")
        folder = self.bundle.folder / str(key)
        folder.mkdir(exist_ok=True)
        copied = folder / "model.onnx"
        for name in external_files(self.path):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path.parent / name, folder / name)
        shutil.copyfile(self.path, copied)
        if key.axes == BATCH:
            raise NoForm("of a bare ONNX file all axes are fixed, or none.")
        varying = [axis for axis, state in self.bundle.axes.items() if state == "varies"]
        dynamic = tuple(sorted(varying)) if key.axes == DYNAMIC else ()
        if key.axes == STATIC:
            _fix_axes(copied, self.bundle)
        made = _changed(copied, key.route)
        loaded = session(str(copied))
        inputs = {i.name: _spec(i) for i in loaded.get_inputs()}
        opset = _opset(copied)
        specs = tuple(inputs[s.name] for s in self.bundle.inputs if s.name in inputs)
        outputs = tuple(_spec(o) for o in loaded.get_outputs())
        relative = str(copied.relative_to(self.bundle.folder))
        return FormRecord(str(key), relative, specs, outputs, opset, (f"onnx:as-is:{opset}", *made), dynamic)


def _changed(path: Path, words: Sequence[str]) -> Sequence[str]:
    """Make the changes of a route to a file. Returns those that found something to change; raises NoForm where none did."""
    if not words:
        return ()
    import onnx_ir

    from porting.rewrites.graph import rewrite

    made = rewrite(path, words, lambda model, where: onnx_ir.save(model, where))
    if not made:
        raise NoForm(f"there is nothing in the file for {' and '.join(words)}.")
    return made


def external_files(path: Path) -> list[str]:
    """Files with external data, as the ONNX file names them."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    found = {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(found)


def _tensors(graph: Any) -> Iterator[Any]:
    from onnx import AttributeProto

    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.GRAPH:
                yield from _tensors(attribute.g)


def _opset(path: Path) -> int:
    import onnx

    model = onnx.load(path, load_external_data=False)
    return next(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _fix_axes(path: Path, bundle: Bundle) -> None:
    """Give every input the shape of the nominal case, and forget what was inferred from the symbolic one."""
    import onnx

    nominal = next(case for case in bundle.cases if case.nominal)
    arrays = bundle.read(nominal.inputs)
    model = onnx.load(path, load_external_data=False)
    for value in model.graph.input:
        if value.name in arrays:
            for dim, size in zip(value.type.tensor_type.shape.dim, arrays[value.name].shape, strict=True):
                dim.dim_value = size
    del model.graph.value_info[:]
    onnx.save(model, path)


_DTYPES = {"float": "float32", "double": "float64"}


def _spec(value: Any) -> TensorSpec:
    """A session's input or output as a spec. Raises ModelError for sequences and other kinds that are no tensors."""
    kind = value.type
    if not kind.startswith("tensor("):
        raise ModelError(f"{value.name} has type {kind}; only tensors can be given and compared.")
    name = kind[len("tensor(") : -1]
    shape = tuple(dim if isinstance(dim, int) else (dim or "?") for dim in value.shape)
    return TensorSpec(value.name, _DTYPES.get(name, name), shape)
