"""Ways to build a model from a spec: one module per source, found by name, imported on first use.

A source module has two functions, described by `Source`. What is built is a `BuiltModel`: either a module that runs in
eager PyTorch, or a bare ONNX file whose reference is onnxruntime.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from porting.bundles.generation import Prompt
from porting.errors import UnknownName
from porting.types import InputSpec, ModelSpec

if TYPE_CHECKING:
    import torch

NAMES = ("transformers", "timm", "diffusers", "factory", "onnx", "pt2", "checkpoint", "torchscript")


@dataclass
class BuiltModel:
    """A model ready to run, and how its inputs are drawn."""

    inputs: tuple[InputSpec, ...]
    """In calling order. Every one is passed by keyword."""
    sizes: Mapping[str, int]
    """Nominal size of every axis name used by the inputs; batch at least 2, lengths odd and distinct
    where the model lets them."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """By axis name: other sizes tried are the nominal one plus multiples of this, where the usual step does not do."""
    module: torch.nn.Module | None = None
    """In eval mode, on the CPU, in fp32 unless `weights` are real and the checkpoint says otherwise."""
    onnx: Path | None = None
    """A bare ONNX file, when there is no module."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that are the same in every call: `use_cache=False`, the patch grid of images of one size."""
    fixed: frozenset[str] = frozenset()
    """Axis names that this model does not let vary, known beforehand (the position table of a ViT)."""
    notes: tuple[str, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    """Continued greedily, on the reference and on every target; of a language model in its served form."""


class Source(Protocol):
    """What a module in this package provides."""

    def build(self, spec: ModelSpec) -> BuiltModel:
        """Build in eval mode, deterministically after `torch.manual_seed` was called by the caller. Raises ModelError when
        what is named is no model, UntrustedError when it would run code from a file without trust."""

    def fingerprint(self, spec: ModelSpec) -> Mapping[str, str]:
        """What the model depends on besides the spec: package versions, file digests. Imports no torch: it is called for
        every model of a run, also when nothing has to be done."""


def source(name: str) -> Source:
    """Return the source module `name`. Raises UnknownName."""
    if name not in NAMES:
        raise UnknownName("source", name, list(NAMES))
    return cast(Source, importlib.import_module(f"{__name__}.{MODULES.get(name, name)}"))


def skeleton(spec: ModelSpec) -> BuiltModel:
    """Build a model on the `meta` device: shapes and dtypes without memory, so that size does not matter. Raises what building
    raises; a source that reads files of finished models may put what it reads on the CPU all the same."""
    import torch

    module = source(spec.source)
    make = getattr(module, "skeleton", module.build)
    with torch.device("meta"), without_values():
        built: BuiltModel = make(spec)
    return built


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let models take the way that they take while they are exported: without looking at values."""
    import torch

    torch.compiler._is_exporting_flag = True
    try:
        yield
    finally:
        torch.compiler._is_exporting_flag = False


def warm(name: str) -> None:
    """Import what building from a source needs, in the server that build jobs are forked from."""
    module = source(name)
    if hasattr(module, "warm"):
        module.warm()


# A source module may not shadow the package it drives.
MODULES: Mapping[str, str] = {
    "transformers": "transformers_config",
    "timm": "timm_name",
    "diffusers": "diffusers_class",
    "onnx": "onnx_file",
    "pt2": "pt2_file",
}
"""Module by source, where the names differ."""
