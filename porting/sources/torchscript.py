"""A TorchScript file. Loading one can run code, so a person has to allow it; what inputs it takes, the entry has to say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porting.errors import ModelError, UntrustedError
from porting.sources import BuiltModel, _files, _inputs
from porting.sources.factory import one_line
from porting.types import ModelSpec

PART = "_part"
"""Entry of `config`: the attribute of the file's module that is meant, for instance the stateless net inside it."""


def build(spec: ModelSpec) -> BuiltModel:
    """Load the file. `spec.inputs` lists its inputs; entries of `spec.config` are passed as constants, but for `_part`. Raises
    UntrustedError without trust, ModelError when it cannot be loaded or nothing says what it takes."""
    path = _files.locate(spec)
    if _files.sniff(path, spec.trust) != "torchscript":
        raise ModelError(f"{path} is no TorchScript file.", "Write it with torch.jit.save.")
    if not spec.inputs:
        hint = "List `inputs` in porting.toml, or give --inputs file.npz."
        raise ModelError(f"{spec.id}: a TorchScript file does not say what inputs it takes.", hint)
    constants = {name: value for name, value in spec.config.items() if name != PART}
    sizes = _inputs.nominal_sizes(spec.inputs, spec.sizes)
    return BuiltModel(spec.inputs, sizes, spec.steps, module=_load(spec, path), constants=constants)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Digest of the file; version of torch."""
    return _files.fingerprint(spec, "torch")


def _load(spec: ModelSpec, path: Path) -> Any:
    import torch

    if not spec.trust:
        raise UntrustedError(
            f"{path} is TorchScript, whose loading can run code.", "If you trust its author, allow it with --trust."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.13 advises torch.export; the file is what there is
            module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path} cannot be loaded: {one_line(error)}.", "Write it again with torch.jit.save.") from error
    part = spec.config.get(PART)
    if part is None:
        return module
    parts = dict(module.named_modules())
    if part not in parts:
        known = ", ".join(name for name, _ in module.named_children())
        raise ModelError(f"{path} has no module {part!r} inside.", f"It has: {known}.")
    return parts[part]
