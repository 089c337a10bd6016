"""Tiny models that the conformance suite exports itself, with their inputs and eager answers. No verdict is given here."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.adapter import ExportedForm, FormNeed
from porting.bundles.tensors import write_tensors
from porting.types import Precision, TensorSpec

if TYPE_CHECKING:
    import numpy
    import torch

    Arrays = Mapping[str, numpy.ndarray[Any, Any]]

FLOATS = {Precision.FP32: "float32", Precision.TF32: "float32", Precision.FP16: "float16", Precision.BF16: "bfloat16"}
NOMINAL = {"batch": 2, "sequence": 5}
OTHERS = ({"batch": 3, "sequence": 7}, {"batch": 1, "sequence": 4})


@dataclass(frozen=True)
class TinyModel:
    """A model with everything that the suite needs to know of it."""

    name: str
    build: Callable[[], torch.nn.Module]
    """Makes it: in fp32, positional, with the same weights every time."""
    inputs: tuple[TensorSpec, ...]
    """`float32` stands for the precision of the form."""
    outputs: tuple[TensorSpec, ...]

    def draw(self, sizes: Mapping[str, int], seed: int = 0) -> dict[str, numpy.ndarray[Any, Any]]:
        """Inputs of these sizes, in fp32, the same ones for the same seed."""
        import numpy as np

        random = np.random.default_rng(seed)
        values: dict[str, numpy.ndarray[Any, Any]] = {}
        for spec in self.inputs:
            shape = [sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape]
            if spec.dtype == "float32":
                values[spec.name] = random.standard_normal(shape, np.float32)
            elif spec.dtype == "bool":
                values[spec.name] = random.random(shape) < 0.7
            else:
                values[spec.name] = random.integers(0, VOCABULARY, shape, np.int64)
        return values

    def eager(self, inputs: Arrays) -> dict[str, numpy.ndarray[Any, Any]]:
        """What the module answers in fp32. inputs: of any floating dtype."""
        import numpy as np
        import torch

        wide = [v.astype(np.float32) if v.dtype.kind in "fV" else v for v in (inputs[s.name] for s in self.inputs)]
        with torch.no_grad():
            answers = self.build()(*(torch.from_numpy(np.array(value)) for value in wide))
        return {spec.name: answer.numpy().copy() for spec, answer in zip(self.outputs, answers, strict=True)}


VOCABULARY, WIDTH = 11, 6


def mixed() -> TinyModel:
    """Several inputs and outputs, float, integer and bool, two dynamic axes, names that are no identifiers."""
    rows = ("batch", "sequence")
    return TinyModel(
        "mixed",
        _mixed,
        (
            TensorSpec("input_ids", "int64", rows),
            TensorSpec("mask/keep:0", "bool", rows),
            TensorSpec("past_key_values.0.key", "float32", (*rows, WIDTH)),
        ),
        (
            TensorSpec("logits", "float32", (*rows, 4)),
            TensorSpec("best.id", "int64", rows),
            TensorSpec("lambda", "bool", (*rows, 4)),
            TensorSpec("present.0.key", "float32", (*rows, 4)),
        ),
    )


@functools.cache
def _mixed() -> torch.nn.Module:
    import torch

    class Mixed(torch.nn.ModuleDict):  # type: ignore[misc]  # torch is not followed
        def forward(self, ids: Any, keep: Any, features: Any) -> Any:
            hidden = self["norm"](self["table"](ids) + features)
            scores = torch.where(keep.unsqueeze(-1), self["head"](hidden), 0.5)
            return scores, scores.argmax(-1), scores > 0, scores.softmax(1)

    return Mixed(_layers()).eval()


def _layers() -> dict[str, torch.nn.Module]:
    """What the two models of rows are made of."""
    import torch

    torch.manual_seed(7)
    return {
        "table": torch.nn.Embedding(VOCABULARY, WIDTH),
        "norm": torch.nn.LayerNorm(WIDTH),
        "head": torch.nn.Linear(WIDTH, 4),
    }


def floating() -> TinyModel:
    """`mixed` for a backend that computes in floats alone: integers are looked up and handed through, nothing is compared."""
    rows = ("batch", "sequence")
    return TinyModel(
        "floating",
        _floating,
        mixed().inputs,
        (
            TensorSpec("logits", "float32", (*rows, 4)),
            TensorSpec("same.id", "int64", rows),
            TensorSpec("present.0.key", "float32", (*rows, 4)),
        ),
    )


@functools.cache
def _floating() -> torch.nn.Module:
    import torch

    class Floating(torch.nn.ModuleDict):  # type: ignore[misc]  # torch is not followed
        def forward(self, ids: Any, keep: Any, features: Any) -> Any:
            scores = self["head"](self["norm"](self["table"](ids) + features)) * keep.unsqueeze(-1)
            return scores, ids, scores.softmax(1)

    return Floating(_layers()).eval()


def scalars() -> TinyModel:
    """No dynamic axis, a scalar input, a scalar output, an input that is handed through."""
    return TinyModel(
        "scalars",
        _scalars,
        (TensorSpec("x", "float32", (2, 3)), TensorSpec("count", "int64", ())),
        (TensorSpec("total", "float32", ()), TensorSpec("same", "float32", (2, 3)), TensorSpec("first", "float32", (1,))),
    )


@functools.cache
def _scalars() -> torch.nn.Module:
    import torch

    class Scalars(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        def forward(self, x: Any, count: Any) -> Any:
            return x.abs().sum() + count, x, x.reshape(-1)[:1] * 2

    return Scalars().eval()


MANY = (2048, 1024)


def large() -> TinyModel:
    """No dynamic axis; an input and an output of 16 MiB in fp32, a weight of half that."""
    return TinyModel(
        "large",
        _large,
        (TensorSpec("x", "float32", (2, *MANY)),),
        (TensorSpec("scaled", "float32", (2, *MANY)), TensorSpec("power", "float32", (2, MANY[0]))),
    )


@functools.cache
def _large() -> torch.nn.Module:
    import torch

    class Large(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(7)
            self.scale = torch.nn.Parameter(torch.randn(*MANY))

        def forward(self, x: Any) -> Any:
            scaled = x * self.scale
            return scaled, (scaled * scaled).mean(-1)

    return Large().eval()


def export(model: TinyModel, need: FormNeed, precision: Precision, folder: Path) -> ExportedForm:
    """Export the form an adapter needs for a target of `precision`, with one sample input file."""
    import torch

    at = precision if need.at_target_precision and precision is not Precision.INT8 else Precision.FP32
    inputs, outputs = (floats_as(FLOATS[at], specs) for specs in (model.inputs, model.outputs))
    if not need.dynamic:
        inputs, outputs = _at_nominal_sizes(inputs), _at_nominal_sizes(outputs)
    example = typed(model.draw(NOMINAL), inputs)
    write_tensors(folder / "sample.npz", example)
    module = copy.deepcopy(model.build()).to(getattr(torch, FLOATS[at]))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # exporters warn of themselves
        path = folder / f"form.{need.kind}"
        if need.kind == "onnx":
            _write_onnx(module, _tensors(example), path, inputs, outputs, need.opset)
        elif need.kind == "aten":
            from porting.bundles import aten

            aten.save(_program(module, _tensors(example), inputs), path)
        else:
            torch.export.save(_program(module, _tensors(example), inputs), path)
    return ExportedForm(need.kind, at, path, inputs, outputs, need.opset, (folder / "sample.npz",))


def typed(values: Arrays, specs: Sequence[TensorSpec]) -> dict[str, numpy.ndarray[Any, Any]]:
    """Values in the dtypes that `specs` declare."""
    return {spec.name: values[spec.name].astype(numpy_dtype(spec.dtype)) for spec in specs}


def numpy_dtype(name: str) -> Any:
    """The dtype that a TensorSpec names."""
    import numpy as np

    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def floats_as(dtype: str, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Specs with `dtype` where they have float32."""
    return tuple(replace(spec, dtype=dtype) if spec.dtype == "float32" else spec for spec in specs)


def _at_nominal_sizes(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, shape=tuple(NOMINAL.get(str(size), size) for size in spec.shape)) for spec in specs)


def _dims(specs: Sequence[TensorSpec]) -> tuple[dict[int, Any], ...]:
    from torch.export import Dim

    return tuple({axis: Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)} for spec in specs)


def _tensors(values: Arrays) -> tuple[torch.Tensor, ...]:
    import numpy as np
    import torch

    def tensor(value: numpy.ndarray[Any, Any]) -> torch.Tensor:
        if value.dtype.name == "bfloat16":
            return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(np.array(value))

    return tuple(tensor(value) for value in values.values())


def _program(module: torch.nn.Module, example: tuple[torch.Tensor, ...], inputs: Sequence[TensorSpec]) -> Any:
    import torch

    return torch.export.export(module, example, dynamic_shapes=_dims(inputs), strict=False)


def _write_onnx(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    path: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    opset: int | None,
) -> None:
    """As porting.bundles.export does it: opsets before 18 by the TorchScript exporter."""
    import torch

    names = {
        "input_names": [spec.name for spec in inputs],
        "output_names": [spec.name for spec in outputs],
        "opset_version": opset,
    }
    if opset is None or opset >= 18:
        exported = torch.onnx.export(_program(module, example, inputs), (), dynamo=True, verbose=False, **names)
        exported.save(path, external_data=True)
        return
    axes = {spec.name: {n: size for n, size in enumerate(spec.shape) if isinstance(size, str)} for spec in inputs}
    torch.onnx.export(module, example, str(path), dynamo=False, dynamic_axes={k: v for k, v in axes.items() if v}, **names)
