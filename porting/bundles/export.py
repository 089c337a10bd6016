"""Export a model to the forms that adapters take: ONNX files, saved ExportedPrograms, and these as plain data.

A form is exported once, along the first route that works; every route tried before is kept with its error. Weights are not
written again: ONNX initialisers point into the bundle's safetensors file. Whether a dynamic axis really is dynamic is not
known here (ONNX keeps no guards): only running at other sizes proves it. Traps met on the way: docs/export.md.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import routes
from porting.bundles import aten, shapes
from porting.bundles.bundle import BATCH, DYNAMIC, STATIC, WEIGHTS, FormKey, FormRecord
from porting.bundles.captured import tidy
from porting.bundles.optimizer import optimize_unread, rooted_rules
from porting.bundles.pinned import open_numbers, pinned
from porting.bundles.tables import kept_tables
from porting.bundles.tracing import shared_walks, untold_places
from porting.rewrites import model as model_changes
from porting.rewrites import program as program_changes
from porting.routes.table import Level
from porting.types import TensorSpec
from porting.workers.worker import root_cause

if TYPE_CHECKING:
    import numpy
    import onnx_ir
    import torch
    from torch import nn

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

INLINE_BYTES = 4096
"""Initialisers up to this size stay inside the ONNX file."""
OPSET = 18
"""The newest that the TorchScript exporter's tables fully cover, and the oldest that the dynamo exporter writes; without being
asked, that one writes its own default."""
REFUSED_AXIS = re.compile(r"\[(\d+)\]\.(?:size\(\)|shape)\[(\d+)\]")
REFUSAL = re.compile(r"specialized it to be a constant|inferred a static shape")
RETRIES = 4


@dataclass(frozen=True)
class Route:
    """One way to a form."""

    exporter: str
    """`dynamo` or `torchscript`."""
    axes: str
    """Which varying axes are asked for: `all`, `batch` or `none`."""

    def __str__(self) -> str:
        return f"{self.exporter}:{self.axes}"


ONNX_ROUTES = (
    Route("dynamo", "all"),
    Route("torchscript", "all"),
    Route("dynamo", "batch"),
    Route("dynamo", "none"),
    Route("torchscript", "none"),
)
OLD_ONNX_ROUTES = tuple(sorted(ONNX_ROUTES, key=lambda route: route.exporter == "dynamo"))
"""For opsets that the dynamo exporter cannot write, though a model may come out without what is new in it."""
PT2_ROUTES = (Route("dynamo", "all"), Route("dynamo", "batch"), Route("dynamo", "none"))


_AXES_OF = {DYNAMIC: ("all", "batch", "none"), BATCH: ("batch", "none"), STATIC: ("none",)}
"""What a route may leave dynamic, by what the form asks for."""


class OpsetError(RuntimeError):
    """The exporter wrote a newer opset than it was asked for."""


class NothingToChange(RuntimeError):
    """A route changes what this model does not have."""


@dataclass
class Exporter:
    """Exports one module, at the precision it is in."""

    flat: nn.Module
    """The positional form, in eval mode."""
    inputs: Sequence[TensorSpec]
    """In order, with axis names or expressions where an axis varies."""
    outputs: Sequence[TensorSpec]
    """Names and dtypes as eager has them."""
    example: Sequence[torch.Tensor]
    """One tensor an input, at nominal sizes."""
    varying: frozenset[str]
    """Axis names that eager was seen to run at another size."""
    folder: Path
    """The bundle's folder; WEIGHTS lies in it when the precision is that of the weights."""
    words: tuple[str, ...] = ()
    """Changes on the way to the form."""
    holder: nn.Module | None = None
    """Has the weights, where `flat` was changed."""
    _captured: dict[frozenset[str], tuple[Any, frozenset[str]]] = field(default_factory=dict)
    _made: dict[str, None] = field(default_factory=dict)
    """Words of the changes that found something to change."""
    programs: dict[str, Any] = field(default_factory=dict)
    """What was captured for a rewritten form that is a program, by its key."""

    def export(self, key: FormKey) -> FormRecord:
        """Export along the first way that works, with the changes of the key's route. Raises the first way's error when none
        does, NothingToChange where no change of the route finds anything."""
        with shared_walks(), kept_tables():
            return self._export_along(key)

    def _export_along(self, key: FormKey) -> FormRecord:
        if not key.route:
            return self._export(key)
        with model_changes.changed(self.flat, self._at(Level.MODEL, key.route), self.example) as (flat, done):
            changing = replace(self, flat=flat, words=key.route, holder=self.flat, _captured={}, _made=dict.fromkeys(done))
            record = changing._export(key)
        made = [word for word in key.route if word in changing._made or routes.level_of(word) in (Level.EXPORT, Level.PRECISION)]
        if not made:
            raise NothingToChange(f"there is nothing in the model for {' and '.join(key.route)}")
        return replace(record, route=(*record.route, *made))

    @staticmethod
    def _at(level: Level, words: Sequence[str]) -> list[str]:
        return [word for word in words if routes.level_of(word) is level]

    def _export(self, key: FormKey) -> FormRecord:
        ways = [route for route in _routes(key) if route.axes in _AXES_OF[key.axes]]
        write = {"onnx": self._write_onnx, "pt2": self._write_pt2, "aten": self._write_aten}[key.kind]
        attempts: list[str] = []
        first: Exception | None = None
        tried: set[tuple[str, frozenset[str]]] = set()
        for route in ways:
            wanted = self._axes(route)
            if (route.exporter, wanted) in tried:
                continue
            tried.add((route.exporter, wanted))
            try:
                record = write(key, route, wanted)
            except Exception as error:  # noqa: BLE001 -- exporters raise whatever the model made them stumble over
                attempts.append(f"{route}: {first_line(error)}")
                first = first or error
            else:
                return _with_attempts(record, attempts)
        assert first is not None
        raise first

    def _axes(self, route: Route) -> frozenset[str]:
        axes = {"all": self.varying, "batch": self.varying & {"batch"}, "none": frozenset[str]()}[route.axes]
        return axes - routes.fixed_of(self.words)

    # ---- capture

    def _capture(self, wanted: frozenset[str]) -> tuple[torch.export.ExportedProgram, frozenset[str]]:
        """Capture non-strictly with `wanted` axes dynamic, dropping those that tracing refuses. Captured once an axis set."""
        if wanted not in self._captured:
            program, kept = self._capture_anew(wanted)
            tidy(program)
            words = self._at(Level.PROGRAM, self.words)
            if words:
                program, done = program_changes.rewritten(program, words, lambda module: self._torch_export(module, kept))
                self._made.update(dict.fromkeys(done))
            self._captured[wanted] = program, kept
        return self._captured[wanted]

    def _capture_anew(self, wanted: frozenset[str]) -> tuple[torch.export.ExportedProgram, frozenset[str]]:
        """Capture with those of `wanted` dynamic at whose other sizes the program holds, by what torch says or notes."""
        program, kept = self._capture_accepted(wanted)
        for _ in range(RETRIES):
            if not self._pinned(program, kept):
                return program, kept
            opened = self._capture_open(kept)
            if opened and not self._pinned(opened, kept):
                return opened, kept
            program, kept = self._capture_accepted(kept - self._pinned(program, kept))
        raise RuntimeError(f"capture took sizes for granted more than {RETRIES} times")

    def _pinned(self, program: torch.export.ExportedProgram, kept: frozenset[str]) -> frozenset[str]:
        """Axes whose sizes a program takes for granted though they are dynamic."""
        return self._named("; ".join(pinned(program))) & kept

    def _capture_open(self, kept: frozenset[str]) -> torch.export.ExportedProgram | None:
        """Capture with numbers that are made of sizes left open; None where the model needs them."""
        if "capture=strict" in self.words:
            return None
        try:
            with open_numbers(self.flat):
                return self._torch_export(self.flat, kept)
        except Exception:  # noqa: BLE001 -- whatever the model does with what it takes for a number
            return None

    def _capture_accepted(self, wanted: frozenset[str]) -> tuple[torch.export.ExportedProgram, frozenset[str]]:
        for _ in range(RETRIES):
            try:
                return self._torch_export(self.flat, wanted, "capture=strict" in self.words), wanted
            except Exception as error:
                refused = self._refused(str(error)) & wanted
                if not refused:
                    raise
                wanted -= refused
        raise RuntimeError(f"capture refused more than {RETRIES} axes one after the other")

    def _torch_export(self, module: nn.Module, wanted: frozenset[str], strict: bool = False) -> torch.export.ExportedProgram:
        import torch
        from torch.fx.experimental import _config

        # Without `backed_size_oblivious` an example of size 1 would specialise its axis.
        with torch.no_grad(), _config.patch(backed_size_oblivious=True):
            return torch.export.export(module, tuple(self.example), dynamic_shapes=(self._dims(wanted),), strict=strict)

    @property
    def _capture_name(self) -> str:
        return "capture:strict" if "capture=strict" in self.words else "capture:non-strict"

    def _dims(self, wanted: frozenset[str]) -> tuple[dict[int, Any], ...]:
        from torch.export import Dim

        return tuple(
            {axis: Dim.DYNAMIC for axis, dim in enumerate(spec.shape) if shapes.names(dim) & wanted} for spec in self.inputs
        )

    def _refused(self, message: str) -> frozenset[str]:
        """Axis names in the exporter's complaint about dimensions that turned out static: `L['tensors'][0].size()[2]`."""
        return self._named(message) if REFUSAL.search(message) else frozenset()

    def _named(self, message: str) -> frozenset[str]:
        """Axis names of the dimensions that torch names."""
        places = [(int(number), int(axis)) for number, axis in REFUSED_AXIS.findall(message)]
        dims = [self.inputs[n].shape[a] for n, a in places if n < len(self.inputs) and a < len(self.inputs[n].shape)]
        return frozenset[str]().union(*(shapes.names(dim) for dim in dims))

    # ---- forms

    def _write_pt2(self, key: FormKey, route: Route, wanted: frozenset[str]) -> FormRecord:
        import torch

        program, kept = self._capture(wanted)
        torch.export.save(program, self.folder / f"{key}.pt2")
        return self._program_record(key, route, program, kept)

    def _write_aten(self, key: FormKey, route: Route, wanted: frozenset[str]) -> FormRecord:
        program, kept = self._capture(wanted)
        aten.save(program, self.folder / f"{key}.aten")
        return self._program_record(key, route, program, kept)

    def _program_record(self, key: FormKey, route: Route, program: Any, kept: frozenset[str]) -> FormRecord:
        if self.words:
            self.programs[str(key)] = program
        path = f"{key}.{key.kind}"
        inputs = self._input_specs(kept)
        outputs = _program_outputs(program, inputs, [spec.name for spec in self.outputs])
        return FormRecord(str(key), path, inputs, outputs, None, (self._capture_name, f"{key.kind}:{route.axes}"), _sorted(kept))

    def _write_onnx(self, key: FormKey, route: Route, wanted: frozenset[str]) -> FormRecord:
        if route.exporter == "dynamo":
            model, kept = self._onnx_dynamo(wanted, key.opset)
            capture = self._capture_name
        else:
            model, kept = self._onnx_torchscript(wanted, key.opset), wanted
            capture = "capture:torchscript"
        opset = int(model.opset_imports[""])
        if key.opset and opset > key.opset:
            raise OpsetError(f"the exporter wrote opset {opset} where {key.opset} was asked for")
        self._name_axes(model, kept)
        path = f"{key}.onnx"
        find = weights_in(self.folder / WEIGHTS, self.holder or self.flat)
        save_onnx(model, self.folder / path, find)
        model = self._change_graph(model, self.folder / path)
        record_inputs = tuple(_value_spec(v) for v in model.graph.inputs)
        record_outputs = tuple(_value_spec(v) for v in model.graph.outputs)
        route_names = (capture, f"onnx:{route}:{opset}")
        return FormRecord(str(key), path, record_inputs, record_outputs, opset, route_names, _sorted(kept))

    def _change_graph(self, model: onnx_ir.Model, path: Path) -> onnx_ir.Model:
        """Make the changes to an ONNX file that the route has. Returns the model as it is then."""
        words = self._at(Level.GRAPH, self.words)
        if words:
            import onnx_ir

            from porting.rewrites import graph as graph_changes

            self._made.update(dict.fromkeys(graph_changes.rewrite(path, words, lambda m, p: save_onnx(m, p, lambda _: None))))
            model = onnx_ir.load(path)
        return model

    def _onnx_dynamo(self, wanted: frozenset[str], opset: int | None) -> tuple[onnx_ir.Model, frozenset[str]]:
        import torch

        program, kept = self._capture(wanted)
        with rooted_rules(), untold_places():
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=opset and max(opset, OPSET),
                optimize=not {"optimize=off", "weights=unread"} & {*self.words},
                input_names=[spec.name for spec in self.inputs],
                output_names=[spec.name for spec in self.outputs],
            )
        assert exported is not None
        if "weights=unread" in self.words:
            optimize_unread(exported.model, INLINE_BYTES)
        return exported.model, kept

    def _onnx_torchscript(self, wanted: frozenset[str], opset: int | None) -> onnx_ir.Model:
        """The former exporter: 20 times cheaper, takes some models that dynamo does not, deprecated."""
        import tempfile

        import onnx_ir
        import torch

        axes = {
            spec.name: {axis: str(dim) for axis, dim in enumerate(spec.shape) if shapes.names(dim) & wanted}
            for spec in self.inputs
        }
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch, torch.no_grad():
            path = Path(scratch) / "model.onnx"
            torch.onnx.export(
                self.flat,
                tuple(self.example),
                str(path),
                dynamo=False,
                opset_version=min(opset or OPSET, OPSET),
                input_names=[spec.name for spec in self.inputs],
                output_names=[spec.name for spec in self.outputs],
                dynamic_axes={name: dims for name, dims in axes.items() if dims},
            )
            model = onnx_ir.load(path)
            onnx_ir.external_data.load_to_model(model)
        self.flat.eval()
        return model

    def _name_axes(self, model: onnx_ir.Model, kept: frozenset[str]) -> None:
        """Call symbolic dimensions by the names of our axes, everywhere in the graph."""
        import onnx_ir

        specs = {spec.name: spec for spec in self.inputs}
        names: dict[str, str] = {}
        for value in model.graph.inputs:
            for axis, dim in enumerate(value.shape or ()):
                wanted = specs[value.name].shape[axis] if value.name in specs else None
                if isinstance(dim, onnx_ir.SymbolicDim) and dim.value and isinstance(wanted, str):
                    names.setdefault(dim.value, wanted)
        for value in _values(model.graph):
            if value.shape is not None:
                value.shape = onnx_ir.Shape(
                    names.get(dim.value, dim.value) if isinstance(dim, onnx_ir.SymbolicDim) and dim.value else dim
                    for dim in value.shape
                )
        for value in model.graph.outputs:  # eager's dtype and rank stand; an exporter may leave the shape out
            if value.shape is None:
                spec = next(s for s in self.outputs if s.name == value.name)
                value.shape = onnx_ir.Shape([None] * len(spec.shape) if kept else spec.shape)

    def _input_specs(self, kept: frozenset[str]) -> tuple[TensorSpec, ...]:
        """Input specs with every axis that is not in `kept` at its nominal size."""
        return tuple(
            TensorSpec(
                spec.name,
                str(tensor.dtype).removeprefix("torch."),
                tuple(dim if shapes.names(dim) & kept else size for dim, size in zip(spec.shape, tensor.shape, strict=True)),
            )
            for spec, tensor in zip(self.inputs, self.example, strict=True)
        )


def _routes(key: FormKey) -> Sequence[Route]:
    if key.kind != "onnx":
        return PT2_ROUTES
    if "capture=torchscript" in key.route:
        return [route for route in ONNX_ROUTES if route.exporter == "torchscript"]
    if {"capture=strict", "optimize=off", "weights=unread"} & {*key.route} or any(
        routes.level_of(word) is Level.PROGRAM for word in key.route
    ):
        return [route for route in ONNX_ROUTES if route.exporter == "dynamo"]
    return ONNX_ROUTES if key.opset is None or key.opset >= OPSET else OLD_ONNX_ROUTES


def first_line(error: BaseException) -> str:
    """Type and first line of what is at the bottom of an error, short enough for a table."""
    error = root_cause(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300] if text else ''}"


def _with_attempts(record: FormRecord, attempts: list[str]) -> FormRecord:
    return replace(record, attempts=tuple(attempts))


def _sorted(axes: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(axes))


# ---- ONNX files whose weights lie elsewhere -----------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a tensor's bytes lie."""

    file: str
    offset: int
    length: int


def safetensors_index(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and length, in bytes from the start of the file, of every tensor of a safetensors file."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: (8 + size + item["data_offsets"][0], item["data_offsets"][1] - item["data_offsets"][0])
        for name, item in header.items()
    }


def weights_in(path: Path, flat: nn.Module) -> Callable[[Any], Place | None]:
    """Return a function that finds an initialiser's tensor in the safetensors file at `path`, by the memory it views."""
    if not path.is_file():
        return lambda _: None
    index = safetensors_index(path)
    places = {
        (tensor.data_ptr(), tensor.nbytes): Place(path.name, *index[name])
        for name, tensor in flat.model.state_dict().items()
        if name in index and tensor.nbytes and tensor.is_contiguous()
    }

    def find(raw: Any) -> Place | None:
        import torch

        if not isinstance(raw, torch.Tensor) or not raw.is_contiguous():
            return None
        return places.get((raw.data_ptr(), raw.nbytes))

    return find


def save_onnx(model: onnx_ir.Model, path: Path, find: Callable[[Any], Place | None]) -> None:
    """Write an ONNX file whose initialisers point to where `find` knows their bytes; other big ones go to a file beside it."""
    import onnx_ir

    rest: list[onnx_ir.Value] = []
    for graph in (model.graph, *(f.graph for f in model.functions.values())):
        for value in graph.initializers.values():
            tensor = value.const_value
            place = find(getattr(tensor, "raw", None))
            if place:
                value.const_value = _external(value, place, path.parent)
            elif isinstance(tensor, onnx_ir.ExternalTensor):
                continue  # of a file that was read: its weights stay where they are
            elif tensor is not None and tensor.nbytes > INLINE_BYTES and tensor.dtype != onnx_ir.DataType.STRING:
                rest.append(value)
    if rest:
        _write_rest(rest, path.with_suffix(".onnx.data"))
    onnx_ir.save(model, path)


def _write_rest(values: Sequence[onnx_ir.Value], path: Path) -> None:
    """Write initialisers one after the other and let them point there."""
    with open(path, "wb") as file:
        for value in values:
            offset = file.tell()
            file.write(value.const_value.tobytes())
            value.const_value = _external(value, Place(path.name, offset, file.tell() - offset), path.parent)
            file.write(b"\0" * (-file.tell() % 64))


def _external(value: onnx_ir.Value, place: Place, folder: Path) -> onnx_ir.ExternalTensor:
    import onnx_ir

    tensor = value.const_value
    return onnx_ir.ExternalTensor(
        place.file, place.offset, place.length, tensor.dtype, shape=tensor.shape, name=value.name, base_dir=folder
    )


def _values(graph: onnx_ir.Graph) -> Iterator[onnx_ir.Value]:
    yield from graph.inputs
    for node in graph.all_nodes():
        yield from node.outputs


def _value_spec(value: onnx_ir.Value) -> TensorSpec:
    dims = [dim if isinstance(dim, int) else (dim.value or "?") for dim in value.shape or ()]
    return TensorSpec(str(value.name), value.dtype.numpy().name, tuple(dims))


def _program_outputs(
    program: torch.export.ExportedProgram, inputs: Sequence[TensorSpec], names: Sequence[str]
) -> tuple[TensorSpec, ...]:
    """Output specs of a captured program, its symbols called by the names of our axes: `batch`, `2*batch`."""
    symbols: dict[str, str] = {}
    for name, spec in zip(program.graph_signature.user_inputs, inputs, strict=True):
        shape = next(n for n in program.graph.nodes if n.name == name).meta["val"].shape
        symbols |= {str(size): dim for size, dim in zip(shape, spec.shape, strict=True) if isinstance(dim, str)}
    values = [node.meta["val"] for node in program.graph.output_node().args[0]]
    values = values[len(values) - len(names) :]  # buffers that are written come first
    return tuple(
        TensorSpec(name, str(v.dtype).removeprefix("torch."), tuple(_dim(size, symbols) for size in v.shape))
        for name, v in zip(names, values, strict=True)
    )


def _dim(size: Any, symbols: Mapping[str, str]) -> int | str:
    text = str(size)
    return int(text) if text.isdigit() else re.sub(r"[su]\d+", lambda match: symbols.get(match[0], match[0]), text)
