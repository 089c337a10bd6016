"""Builds a timm model by name, with random weights. `config` holds constructor arguments (`img_size` ...)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from porting.errors import EnvironmentMissing, ModelError
from porting.sources import BuiltModel, _files
from porting.types import InputSpec, ModelSpec

from ._torchvision import make_importable


def build(spec: ModelSpec) -> BuiltModel:
    """Build `spec.name`. Sizes: `spec.sizes` (`height`, `width`, `batch`) over the image size that the model was made for.
    Raises ModelError when timm knows no such model or refuses its config, EnvironmentMissing without timm."""
    timm = import_timm()
    if not timm.is_model(spec.name):
        near = difflib.get_close_matches(spec.name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(near)}?" if near else "timm.list_models() shows all."
        raise ModelError(f"timm {timm.__version__} has no model {spec.name!r}.", hint)
    try:
        model = timm.create_model(spec.name, pretrained=False, **spec.config).eval()
    except Exception as error:  # whatever timm finds wrong with these arguments
        reason = " ".join(str(error).split())[:300]
        message = f"timm cannot build {spec.name!r}: {type(error).__name__}: {reason}"
        raise ModelError(message, "See the entry's `config`.") from error
    return from_model(spec, model)


def full_params(spec: ModelSpec) -> int:
    """Parameters at the image size that the model was made for. Call it with `meta` as the default device; raises whatever timm
    raises."""
    return sum(p.numel() for p in import_timm().create_model(spec.name, pretrained=False).parameters())


def from_model(spec: ModelSpec, model: Any) -> BuiltModel:
    """Say what a timm model is fed: one image, at the size it was made for unless `spec.sizes` says otherwise."""
    channels, height, width = _input_size(model, spec.config)
    image = InputSpec("x", "float32", ("batch", channels, "height", "width"), "image")
    inputs = tuple(next((given for given in spec.inputs if given.name == own.name), own) for own in (image,))
    sizes = {"batch": 2, "height": height, "width": width, **spec.sizes}
    return BuiltModel(inputs, sizes, {**_steps(model), **spec.steps}, module=model)


def import_timm() -> Any:
    """timm, also where torchvision's C++ library does not load. Raises EnvironmentMissing."""
    make_importable()
    try:
        import timm
    except ImportError as error:
        raise EnvironmentMissing(f"timm cannot be imported: {error}.", "pip install 'porting[timm]'") from error
    return timm


def _input_size(model: Any, config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, height, width: as configured, else as in the model's own default."""
    default = getattr(model, "pretrained_cfg", None) or {}
    channels, height, width = default.get("input_size") or (3, 224, 224)
    size = config.get("img_size")
    if size is not None:
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return int(config.get("in_chans", channels)), int(height), int(width)


def _steps(model: Any) -> dict[str, int]:
    """Images grow by whole patches where those do not fit into the usual step."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if not isinstance(patch, (tuple, list)) or not all(isinstance(side, int) for side in patch):
        return {}
    return {axis: math.lcm(side, 2) for axis, side in zip(("height", "width"), patch, strict=False) if 32 % side}


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Versions of timm and torch."""
    del spec
    return _files.versions("timm", "torch")


def warm() -> None:
    """Import timm in the server that build jobs are forked from: it takes as long as a small model's whole build."""
    import_timm()
