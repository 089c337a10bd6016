"""ONNX files as such: where their external data lies, copying both, lowering fp32 to fp16. No runtime is chosen here.

Weights never pass through Python as a whole: files are cloned or copied by the system, and lowering streams them.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Iterator, List, Sequence, Tuple

from ._files import clone_file

if TYPE_CHECKING:
    import numpy
    import onnx

    Array = numpy.ndarray[Any, Any]

FILE = "model.onnx"
DATA = "model.onnx.data"
SMALL = 64 * 1024
"""External tensors up to this many bytes are held in memory while a model is lowered."""
CHUNK = 4 * 1024 * 1024
"""Elements converted at a time."""
HALF_MAX = 65504.0


class OutsideError(ValueError):
    """External data that would be read from outside the model's folder."""


def copy_model(source: Path, folder: Path) -> Tuple[str, ...]:
    """Copy an ONNX file to `folder`/model.onnx, and every file it refers to under the name it is referred to by. Returns
    the relative paths, the model first. Raises OutsideError, OSError."""
    names = external_files(source)
    clone_file(source, folder / FILE)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        clone_file(source.parent / name, folder / name)
    return (FILE, *names)


def external_files(source: Path) -> List[str]:
    """Relative paths of the files that hold the model's tensors, each once. Raises OutsideError when one is outside."""
    import onnx

    model = onnx.load(str(source), load_external_data=False)
    return sorted({_inside(source, _location(tensor)[0]) for tensor in tensors(model) if _is_external(tensor)})


def _inside(source: Path, location: str) -> str:
    """`location` itself, if it lies in the folder of `source`."""
    root = source.parent.resolve()
    path = (source.parent / location).resolve()
    if PurePosixPath(location).is_absolute() or root not in path.parents:
        raise OutsideError(f"{source.name} refers to external data outside its folder: {location}")
    return location


# ---- tensors of a model -------------------------------------------------------------------------------------------


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model stores: initialisers and attributes, in the graph, its subgraphs and local functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def _location(tensor: onnx.TensorProto) -> Tuple[str, int]:
    """File of an external tensor and where in it, in bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return entries["location"], int(entries.get("offset", 0))


# ---- fp16 ---------------------------------------------------------------------------------------------------------


def lower_to_half(source: Path, folder: Path) -> Tuple[str, ...]:
    """Write `source`, an fp32 model, as fp16 to `folder`/model.onnx, with float32 inputs and outputs. Returns the files.

    onnxruntime.transformers.float16 lowers the graph while the big weights stand outside as graph inputs, since it would
    load them all; they are converted piece by piece afterwards. Finite weights beyond 65504 are clamped, as that tool does.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = _inlined(onnx.load(str(source), load_external_data=False))
    _load_small(model, source)
    _spell_constants(model)
    keep = [value.name for value in (*model.graph.input, *model.graph.output)]
    held = _hold_out(model.graph)
    model = convert_float_to_float16(model, keep_io_types=keep, node_block_list=kept(model))
    _put_back(model.graph, held)
    OnnxModel(model).topological_sort()  # the tool appends its casts at the end
    _rewrite_external(model, source, folder, [tensor.name for tensor in held])
    onnx.save(model, str(folder / FILE))
    return (FILE, DATA) if (folder / DATA).exists() else (FILE,)


def kept(model: onnx.ModelProto) -> List[str]:
    """Operators that a model's metadata asks to leave in fp32 (`Adapter.keeps_layers`)."""
    said = next((entry.value for entry in model.metadata_props if entry.key == "porting_keep"), "")
    return said.split("\n") if said else []


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions put in place: the fp16 tool does not look into them."""
    if not model.functions:
        return model
    import onnx.inliner

    return onnx.inliner.inline_local_functions(model)


def _load_small(model: onnx.ModelProto, source: Path) -> None:
    """Take tensors into the model that are small (shape inference needs some values) or no initialiser of the main graph."""
    small = [t for t in model.graph.initializer if _bytes(t) <= SMALL]
    for tensor in (*small, *(t for node in model.graph.node for t in _node_tensors(node))):
        if _is_external(tensor):
            _load(tensor, source)


def _load(tensor: onnx.TensorProto, source: Path) -> None:
    from onnx.external_data_helper import load_external_data_for_tensor

    _inside(source, _location(tensor)[0])
    load_external_data_for_tensor(tensor, str(source.parent))
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]


def _bytes(tensor: onnx.TensorProto) -> int:
    from onnx import helper

    return _elements(tensor) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _spell_constants(model: onnx.ModelProto) -> None:
    """Write `Constant(value_float=...)` as a tensor: onnxruntime 1.32's fp16 tool only converts attribute `value`."""
    import numpy as np
    from onnx import helper, numpy_helper

    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name in ("value_float", "value_floats"):
            value = np.asarray(helper.get_attribute_value(node.attribute[0]), np.float32)
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(value, node.output[0])))


def _hold_out(graph: onnx.GraphProto) -> List[onnx.TensorProto]:
    """Turn big external float initialisers into graph inputs; returns them."""
    import onnx

    def big(tensor: onnx.TensorProto) -> bool:
        return _is_external(tensor) and bool(tensor.data_type == onnx.TensorProto.FLOAT)

    held, rest = onnx.GraphProto(), onnx.GraphProto()
    for tensor in graph.initializer:
        (held if big(tensor) else rest).initializer.append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(rest.initializer)
    known = {value.name for value in graph.input}
    for tensor in held.initializer:
        if tensor.name not in known:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return list(held.initializer)


def _put_back(graph: onnx.GraphProto, held: Sequence[onnx.TensorProto]) -> None:
    """Make the held-out tensors initialisers again, typed as fp16; their bytes are still the source's fp32."""
    names = {tensor.name for tensor in held}
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)
    for tensor in held:
        tensor.data_type = tensor.FLOAT16
    graph.initializer.extend(held)


def _rewrite_external(model: onnx.ModelProto, source: Path, folder: Path, halved: Sequence[str]) -> None:
    """Write what is still external to one new file: tensors in `halved` as fp16, the others as they are."""
    outside = [tensor for tensor in model.graph.initializer if _is_external(tensor)]
    if not outside:
        return
    with open(folder / DATA, "wb") as new:
        for tensor in outside:
            new.write(b"\0" * (-new.tell() % 4096))  # page-aligned, so that a runtime can map it
            start = new.tell()
            _write_tensor(tensor, source, new, tensor.name in halved)
            _point(tensor, start, new.tell() - start)


def _write_tensor(tensor: onnx.TensorProto, source: Path, new: BinaryIO, halve: bool) -> None:
    import numpy as np

    location, offset = _location(tensor)
    path = source.parent / _inside(source, location)
    with open(path, "rb") as old:
        old.seek(offset)
        if not halve:
            new.write(old.read(_bytes(tensor)))
            return
        left = _elements(tensor)
        while left:
            chunk = np.fromfile(old, "<f4", min(left, CHUNK))
            if not chunk.size:
                raise ValueError(f"external data of tensor {tensor.name!r} ends early in {path.name}")
            new.write(to_half(chunk).data)
            left -= chunk.size


def _point(tensor: onnx.TensorProto, offset: int, length: int) -> None:
    del tensor.external_data[:]
    for key, value in (("location", DATA), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def to_half(values: Array) -> Array:
    """Round float32 to float16. Finite values beyond the range become the largest finite one, infinities stay."""
    import numpy as np

    clamped = np.clip(values, -HALF_MAX, HALF_MAX)
    np.copyto(clamped, values, where=np.isinf(values))
    return clamped.astype("<f2")
