"""A saved ExportedProgram (`.pt2`): its inputs, sizes and dynamic axes are the program's own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles import shapes
from porting.errors import ModelError
from porting.sources import BuiltModel, _files, _inputs, _pt2_guard, _tables
from porting.sources.factory import one_line
from porting.types import ModelSpec

if TYPE_CHECKING:
    import torch

Program = Any  # torch.export.ExportedProgram


def build(spec: ModelSpec) -> BuiltModel:
    """Load the program. Raises ModelError when the file is no saved program or this PyTorch cannot read it, UntrustedError when
    loading could run code of its own."""
    import torch

    path = _files.locate(spec)
    _pt2_guard.check(path, spec.trust)
    program = _load(path)
    call = _call_of(path, program)
    axes = _axes(program, call.names)
    examples = {name: value for name, value in zip(call.names, call.leaves, strict=True) if isinstance(value, torch.Tensor)}
    module = _keyword_module(program.module(), call)
    bounds = _tables.table_sizes(lambda: module(**examples), examples)
    inputs, known = _inputs.specs_from_examples(
        examples,
        overrides=spec.inputs,
        axes={**axes, **{name: list(given) for name, given in spec.axes.items()}},
        bounds={name: (0, rows) for name, rows in bounds.items()},
        sizes=spec.sizes,
    )
    return BuiltModel(inputs, _inputs.settle_batch(module, inputs, {**known, **spec.sizes}), spec.steps, module=module)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digest of the file; version of torch."""
    return _files.fingerprint(spec, "torch")


def _load(path: Path) -> Program:
    import logging

    import torch

    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it logs a traceback before it raises
    try:
        return torch.export.load(str(path))
    except Exception as error:  # torch raises AssertionError, KeyError and more for a program it cannot read
        reason = f"PyTorch {torch.__version__} cannot read {path.name}: {one_line(error)}."
        raise ModelError(reason, "Write it again with torch.export.save of this version.") from error
    finally:
        logger.setLevel(level)


# ---- how it is called ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """The nominal call of a program, its arguments flattened."""

    names: Sequence[str]
    """A name for every leaf."""
    leaves: Sequence[Any]
    """Example tensors, and the constants that are baked in."""
    spec: Any
    """How leaves become (args, kwargs): torch.utils._pytree.TreeSpec."""


def _call_of(path: Path, program: Program) -> _Call:
    from torch.utils import _pytree

    names = [str(name) for name in program.graph_signature.user_inputs]
    if program.example_inputs is None:
        raise ModelError(f"{path.name} was saved without example inputs.", "Save the program as torch.export.export returned it.")
    leaves, spec = _pytree.tree_flatten(program.example_inputs)
    if len(names) != len(leaves):
        raise ModelError(f"{path.name} is damaged: {len(leaves)} example inputs for {len(names)} inputs.")
    return _Call(names, leaves, spec)


def _keyword_module(inner: torch.nn.Module, call: _Call) -> torch.nn.Module:
    """A module that takes the program's tensors by name."""
    import torch
    from torch.utils import _pytree

    class Program(torch.nn.Module):  # type: ignore[misc]  # torch's types are not followed
        def __init__(self) -> None:
            super().__init__()
            self.program = inner
            self.training = False

        def forward(self, **tensors: torch.Tensor) -> Any:
            leaves = [tensors.get(name, leaf) for name, leaf in zip(call.names, call.leaves, strict=True)]
            args, kwargs = _pytree.tree_unflatten(leaves, call.spec)
            return self.program(*args, **kwargs)

        def train(self, mode: bool = True) -> Any:
            del mode  # an exported program has one mode, and refuses to be asked
            return self

    tensors = [name for name, leaf in zip(call.names, call.leaves, strict=True) if isinstance(leaf, torch.Tensor)]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in tensors]
    forward: Any = Program.forward
    forward.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *parameters])
    return Program()


# ---- axes ---------------------------------------------------------------------------------------------------------


def _axes(program: Program, names: Sequence[str]) -> dict[str, list[str]]:
    """Axis names by input, one a symbol of the program."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    symbols: dict[str, str] = {}
    axes: dict[str, list[str]] = {}
    dims = {name: values[name].shape for name in names if hasattr(values.get(name), "shape")}
    for plain in (True, False):  # plain symbols first: expressions are made of them
        for name, shape in dims.items():
            axes.setdefault(name, [""] * len(shape))
            for position, dim in enumerate(shape):
                text = "" if isinstance(dim, int) else str(dim).replace(" ", "")
                if text and shapes.is_name(text) == plain:
                    known = _inputs.meaning(name, len(shape), _inputs.numpy_dtype(values[name])).axes[position]
                    axes[name][position] = _named(text, symbols, known or f"{name}_{position}", name)
    return axes


def _named(text: str, symbols: dict[str, str], wish: str, owner: str) -> str:
    """A symbol or expression of the program in axis names."""
    if shapes.is_name(text):
        if text not in symbols:
            symbols[text] = wish if wish not in symbols.values() else f"{owner}_{wish}"
        return symbols[text]
    try:
        parts = shapes.names(text)
    except shapes.ShapeError:  # a function of sizes that our expressions lack: the axis stays as it is
        return ""
    if not parts <= symbols.keys():  # of a symbol that is nobody's size
        return ""
    return re.sub(r"[A-Za-z_]\w*", lambda found: symbols[found.group()], text)
