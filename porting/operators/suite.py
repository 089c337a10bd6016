"""The node cases of the installed onnx package, as files that a backend's interpreter can read.

The package makes them in memory, which takes it a dozen seconds, so they are written once per version of what makes them.
Nothing is run or judged here.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.tensors import read_tensors, write_tensors
from porting.cells import keys
from porting.cells.jobs import Jobs, Trail
from porting.errors import InfrastructureError, UnknownName, UsageError
from porting.operators import PREFIX
from porting.serialization import Json, from_json, to_json
from porting.types import TensorSpec
from porting.verdict import of_end
from porting.workers.runner import Limits
from porting.workspace import disk_errors, locked

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

INDEX = "index.json"
MODEL, INPUTS, EXPECTED = "model.onnx", "inputs.npz", "expected.npz"
MAKERS = ("onnx", "numpy", "ml_dtypes", "pillow")
"""Distributions that decide which cases there are, and what is in them."""
CARRIED = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
     "float64", "complex64", "complex128")
)  # fmt: skip
"""Dtypes of the arrays that an adapter is given."""
MAKING = Limits(seconds=1800.0)
"""Of the job that makes them, whatever the limits of a case."""
RANDOM = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
)  # fmt: skip
_EXPANDED = re.compile(r"_expanded(_ver\d+)?$")


@dataclass(frozen=True)
class NodeCase:
    """One case."""

    name: str
    """The package's own: `test_add_bcast`."""
    operator: str
    """What it is a case of; of an expanded one, the operator whose function body it is."""
    domain: str
    """Empty for ONNX's own operators."""
    opset: int
    """Version of the domain that its model imports."""
    expanded: bool
    """Whether its nodes are the body of the operator's function instead of the operator."""
    random: bool
    """Whether a right answer is drawn by chance, so that only its shape and dtype can be compared."""
    untested: str
    """Why no adapter can be given it; empty for nearly all."""
    rtol: float
    atol: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    digest: str
    """Of the model and its data."""

    @property
    def model(self) -> str:
        """The id that its results have."""
        return PREFIX + self.name

    @property
    def subject(self) -> str:
        """The operator with its domain, where that is not ONNX's own."""
        return f"{self.domain}.{self.operator}" if self.domain else self.operator


@dataclass(frozen=True)
class Suite:
    """Every case of an onnx version, and where its files lie."""

    folder: Path
    version: str
    """Of the onnx package."""
    cases: tuple[NodeCase, ...]

    def file(self, case: NodeCase, name: str) -> Path:
        """MODEL, INPUTS or EXPECTED of a case that is tested; of others there is only MODEL."""
        return self.folder / case.name / name

    def choose(self, names: Sequence[str] = (), operators: Sequence[str] = (), globs: Sequence[str] = ()) -> list[NodeCase]:
        """The cases that every kind of choice given agrees to; all without any. Raises UnknownName, UsageError."""
        for kind, wanted, known in (
            ("node case", names, [case.name for case in self.cases]),
            ("operator", operators, list(dict.fromkeys(case.subject for case in self.cases))),
        ):
            for name in wanted:
                if name not in known:
                    raise UnknownName(kind, name, known, f"onnx {self.version} has no such case.")
        found = [
            case
            for case in self.cases
            if (not names or case.name in names)
            and (not operators or case.subject in operators)
            and (not globs or any(fnmatchcase(case.name, glob) for glob in globs))
        ]
        if not found:
            raise UsageError("no node case matches.", "Their names are like test_add_bcast; 'test_add*' means several.")
        return found

    def expected(self, case: NodeCase) -> dict[str, Array]:
        """The right answer, by name."""
        return read_tensors(self.file(case, EXPECTED))


def open_suite(jobs: Jobs) -> Suite:
    """The suite of the installed onnx; its files are made when they are not there. Raises InfrastructureError, DiskError."""
    folder = folder_in(jobs.workspace.cache)
    with locked(folder, give_up=jobs.cancelled):
        if not (folder / INDEX).is_file():
            _make(jobs, folder)
    return _read(folder)


def folder_in(cache: Path) -> Path:
    """Where the suite lies in a cache folder: a place for every version of what makes it."""
    key = keys.digest([keys.code(("bundles/tensors", "operators/suite")), {name: keys.version(name) for name in MAKERS}])
    return cache / "operators" / key[:24]


def _make(jobs: Jobs, folder: Path) -> None:
    """Write the suite in a process of its own: the package's case modules are imported, and run, all of them."""
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    trail = Trail()
    end = jobs.run({"kind": "porting.operators.suite:write", "folder": str(part)}, trail, limits=MAKING)
    try:
        if finding := of_end(end):
            raise InfrastructureError(f"the ONNX node cases could not be made: {finding.message}.", finding.hint)
        with disk_errors(folder):
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read(folder: Path) -> Suite:
    data = json.loads((folder / INDEX).read_bytes())
    return Suite(folder, data["onnx"], tuple(from_json(NodeCase, case) for case in data["cases"]))


# ---- writing, in a job --------------------------------------------------------------------------------------------


def write(job: Json, _clock: object, _adapter: object) -> Json:
    """Job `porting.operators.suite:write`: every case into `folder`, the index last. Returns how many there are."""
    import onnx

    folder = Path(job["folder"])
    folder.mkdir(parents=True)
    found = _collect()
    operators = {case.name: case.model.graph.node[0].op_type for case in found}
    cases = [_write_case(case, operators, folder / case.name) for case in found]
    index = {"onnx": onnx.__version__, "cases": to_json(cases)}
    (folder / INDEX).write_text(json.dumps(index))
    return len(cases)


def _collect() -> Sequence[Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cases overflow and divide by zero on purpose
        cases: Sequence[Any] = sorted(collect_testcases(None), key=lambda case: str(case.name))
    return cases


def _write_case(case: Any, operators: Mapping[str, str], folder: Path) -> NodeCase:
    """Write one case, and say what it is. The package gives every node case one data set."""
    folder.mkdir()
    model = case.model.SerializeToString(deterministic=True)
    (folder / MODEL).write_bytes(model)
    (given, wanted), *more = case.data_sets
    assert not more, f"{case.name} has several data sets"
    graph = case.model.graph
    untested = _untested(graph, [*given, *wanted])
    digest = hashlib.sha256(model)
    if not untested:
        for name, values, infos in ((INPUTS, given, graph.input), (EXPECTED, wanted, graph.output)):
            arrays = {info.name: _array(value) for info, value in zip(infos, values, strict=True)}
            write_tensors(folder / name, arrays)
            for array in arrays.values():
                digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    node = graph.node[0]
    opset = next((o.version for o in case.model.opset_import if o.domain == node.domain), case.model.opset_import[0].version)
    base = _EXPANDED.sub("", case.name)
    return NodeCase(
        name=case.name,
        operator=operators[base],
        domain=node.domain,
        opset=opset,
        expanded=base != case.name,
        random=_is_random(graph, given),
        untested=untested,
        rtol=case.rtol,
        atol=case.atol,
        inputs=() if untested else tuple(map(_spec, graph.input)),
        outputs=() if untested else tuple(map(_spec, graph.output)),
        digest=digest.hexdigest(),
    )


def _untested(graph: Any, values: Sequence[Any]) -> str:
    """Why an adapter cannot be given a case: it takes and returns numeric and bool arrays, and bfloat16."""
    for info, value in zip([*graph.input, *graph.output], values, strict=True):
        kind = info.type.WhichOneof("value").removesuffix("_type")
        if kind != "tensor":
            return f"{info.name} is of a kind that adapters are not given: {kind}"
        dtype = _array(value).dtype
        if str(dtype) not in CARRIED:
            said = "string" if dtype.kind in "OSU" else str(dtype)
            return f"{info.name} is of a type that adapters are not given: {said}"
    return ""


def _array(value: Any) -> Array:
    import numpy as np
    from onnx import TensorProto, numpy_helper

    array: Array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array


def _spec(info: Any) -> TensorSpec:
    from onnx import helper

    tensor = info.type.tensor_type
    sizes = [(d, d.HasField("dim_value")) for d in tensor.shape.dim]
    shape = tuple(d.dim_value if fixed else d.dim_param or f"{info.name}_{axis}" for axis, (d, fixed) in enumerate(sizes))
    return TensorSpec(info.name, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape)


def _is_random(graph: Any, given: Sequence[Any]) -> bool:
    """Whether an answer is drawn: by an operator that does, or by Dropout while it trains."""
    by_name = dict(zip((info.name for info in graph.input), given, strict=True))
    return any(node.op_type in RANDOM or _drops(node, by_name) for node in _nodes(graph))


def _drops(node: Any, by_name: Mapping[str, Any]) -> bool:
    """A Dropout whose inputs say that it trains, with a ratio that is not zero."""
    if node.op_type != "Dropout" or len(node.input) < 3:
        return False
    ratio = by_name.get(node.input[1])
    return bool(by_name.get(node.input[2])) and (ratio is None or float(ratio) != 0)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                yield from _nodes(inner)
