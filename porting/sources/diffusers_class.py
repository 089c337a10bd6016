"""Builds a diffusers model from its class name and constructor arguments, with random weights, and says what to feed it.

What each class takes is data, in the modules `_diffusers_...` beside this one; an entry's own `inputs` replace it input by
input, and serve for classes that are not there. Pipelines and schedulers are loops around these models and are not built here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from porting.bundles import shapes
from porting.errors import EnvironmentMissing, ModelError
from porting.sources import BuiltModel, _files
from porting.types import InputSpec, ModelSpec

from ._diffusers_autoencoders import AUTOENCODERS
from ._diffusers_calls import Call, Tensor
from ._diffusers_images import IMAGES
from ._diffusers_proteins import PROTEINS
from ._diffusers_unets import CONTROLNETS, SEVERAL, UNETS
from ._diffusers_videos import SOUND, VIDEOS
from ._gathered import gather
from ._torchvision import make_importable

CALLS: Mapping[str, Call] = {**AUTOENCODERS, **UNETS, **CONTROLNETS, **SEVERAL, **IMAGES, **VIDEOS, **SOUND, **PROTEINS}


def build(spec: ModelSpec) -> BuiltModel:
    """Build class `spec.name` with the constructor arguments in `spec.config`. Raises ModelError."""
    diffusers = _diffusers()
    model_class = _model_class(diffusers, spec.name)
    try:
        model = _made(diffusers, model_class, spec.config)
    except MemoryError:
        raise
    except Exception as error:  # whatever the class finds wrong with these arguments
        raise ModelError(f"diffusers cannot build {spec.name}: {_line(error)}.", "See the entry's `config`.") from error
    call = CALLS.get(spec.name)
    if call is None and not spec.inputs:
        raise ModelError(f"what {spec.name} takes is not known here.", "Give the entry `inputs` and `sizes`.")
    call = call or Call((), {})
    own = [_filled(each, _settings(model)) for each in call.inputs]
    given = {each.name: each for each in spec.inputs}
    inputs = (*(given.pop(each.name, each) for each in own), *given.values())
    # An output called as an input is (`sample`) would be one name for two values in an ONNX graph; a tuple has no names.
    takes = inspect.signature(model.forward).parameters
    named = {"return_dict": all(each.name != "sample" for each in inputs)} if "return_dict" in takes else {}
    sizes = {**call.sizes, **spec.sizes}
    steps = {**dict.fromkeys(sizes.keys() & {"height", "width"}, 8), **call.steps, **spec.steps}
    constants = {name: _tensors(value) for name, value in call.constants.items()}
    module = gather(model, call.gather) if call.gather else model
    return BuiltModel(inputs, sizes, steps, module=module, constants={**named, **constants}, fixed=call.fixed)


def _made(diffusers: Any, model_class: Any, config: Mapping[str, Any]) -> Any:
    """An instance in eval mode. Weights that a class leaves uninitialised are drawn: torch marks them with NaN when asked to."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        model = model_class(**{name: _parts(diffusers, value) for name, value in config.items()}).eval()
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_meta and parameter.isnan().any():
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    return model


def _parts(diffusers: Any, value: Any) -> Any:
    """An argument as it is; a list of models of their own, given as tables with their `class`, is made first."""
    if not (isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) and "class" in item for item in value)):
        return value
    return [
        _model_class(diffusers, item["class"])(**{name: given for name, given in item.items() if name != "class"})
        for item in value
    ]


def _settings(model: Any) -> Mapping[str, Any]:
    """The constructor arguments with their defaults; those of the first part of a model that is made of others."""
    from torch import nn

    parts = [part for part in model.children() if isinstance(part, nn.ModuleList)]
    settings: Mapping[str, Any] = model.config if hasattr(model, "config") else parts[0][0].config
    return settings


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Versions of diffusers and torch."""
    del spec
    return _files.versions("diffusers", "torch")


def warm() -> None:
    """Import what every model class imports, in the server that build jobs are forked from."""
    _diffusers()
    for name in ("controlnets", "autoencoders", "transformers", "unets"):
        importlib.import_module(f"diffusers.models.{name}")


def _diffusers() -> Any:
    make_importable()
    try:
        import diffusers
    except ImportError as error:
        raise EnvironmentMissing(f"diffusers cannot be imported: {error}.", "pip install 'porting[diffusers]'") from error
    return diffusers


def _model_class(diffusers: Any, name: str) -> Any:
    import diffusers.models.controlnets as controlnets  # one of them is not at the top

    found = next((getattr(place, name) for place in (diffusers, controlnets) if name in dir(place)), None)
    if isinstance(found, type) and issubclass(found, diffusers.ModelMixin):
        return found
    near = difflib.get_close_matches(name, [*CALLS, *(n for n in dir(diffusers) if n.endswith("Model"))], n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(dict.fromkeys(near))}?" if near else "Names are classes such as UNet2DConditionModel."
    raise ModelError(f"diffusers {diffusers.__version__} has no model class {name!r}.", hint)


def _filled(spec: InputSpec, config: Mapping[str, Any]) -> InputSpec:
    """Put constructor arguments where a dimension names one: `=in_channels`, `=in_channels-latent_channels`."""
    shape = tuple(shapes.evaluate(dim[1:], config) if isinstance(dim, str) and dim.startswith("=") else dim for dim in spec.shape)
    return replace(spec, shape=shape)


def _tensors(value: Any) -> Any:
    """Make tensors of ranges and Tensors, which data can hold where torch may not be imported."""
    import torch

    if isinstance(value, Tensor):
        return torch.tensor(value.numbers)
    if isinstance(value, range):
        return torch.arange(value.start, value.stop, value.step)
    return type(value)(_tensors(item) for item in value) if isinstance(value, (list, tuple)) else value


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300].rstrip('.')}" if text else type(error).__name__
