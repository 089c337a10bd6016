"""Builds a diffusers model from its class name and constructor arguments, with random weights, and says what to feed it.

What each class takes is a table below; an entry's own `inputs` replace it input by input, and serve for classes that are
not in it. Pipelines and schedulers are loops around these models and are not built here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from porting.errors import EnvironmentMissing, ModelError
from porting.sources import BuiltModel, _files
from porting.types import InputSpec, ModelSpec

from ._torchvision import make_importable

LATENT = {"batch": 2, "height": 16, "width": 24}
TEXT = 7
STEPS = 1000


@dataclass(frozen=True)
class Call:
    """What a class takes. A dimension `=name` is the constructor argument `name`."""

    inputs: tuple[InputSpec, ...]
    sizes: Mapping[str, int] = field(default_factory=lambda: LATENT)
    constants: Mapping[str, Any] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()


def _floats(name: str, *shape: int | str, kind: str = "normal") -> InputSpec:
    return InputSpec(name, "float32", ("batch", *shape), kind)


def _latent(name: str) -> InputSpec:
    return _floats(name, "=in_channels", "height", "width")


def _text(width: str) -> InputSpec:
    return _floats("encoder_hidden_states", "encoder_sequence", width)


def _points(name: str, *shape: int | str, high: int) -> InputSpec:
    """Numbers between 0 and `high`: positions, noise levels."""
    return InputSpec(name, "float32", shape, "boxes", 0, high)


_STEP = InputSpec("timestep", "int64", ("batch",), "timestep", 0, STEPS)
_LEVEL = _points("timestep", "batch", high=1)  # a noise level instead of a step's number
_TEXT_MASK = InputSpec("encoder_attention_mask", "int64", ("batch", "encoder_sequence"), "mask")
_POOLED = _floats("pooled_projections", "=pooled_projection_dim")
_PICTURE = _floats("sample", "=in_channels", "height", "width", kind="image")

_IMAGE = {"batch": 2, "height": 32, "width": 48}
_WITH_TEXT = {**LATENT, "encoder_sequence": TEXT}
_VIDEO = {**_WITH_TEXT, "frames": 3}
_SAME_SIZE = frozenset(("height", "width"))
_NO_SIZES = {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}

CALLS: Mapping[str, Call] = {
    # U-Nets
    "UNet2DModel": Call((_latent("sample"), _STEP)),
    "UNet2DConditionModel": Call((_latent("sample"), _STEP, _text("=cross_attention_dim")), _WITH_TEXT),
    "ControlNetModel": Call(
        (
            _latent("sample"),
            _STEP,
            _text("=cross_attention_dim"),
            _floats("controlnet_cond", "=conditioning_channels", "8*height", "8*width", kind="image"),
        ),
        _WITH_TEXT,
    ),
    # autoencoders
    "AutoencoderKL": Call((_PICTURE,), _IMAGE),
    "AutoencoderTiny": Call((_PICTURE,), _IMAGE),
    "VQModel": Call((_PICTURE,), _IMAGE),
    "AutoencoderKLWan": Call(
        (_floats("sample", "=in_channels", "frames", "height", "width", kind="image"),), {**_IMAGE, "frames": 5}
    ),
    # transformers over images
    "DiTTransformer2DModel": Call(
        (_latent("hidden_states"), _STEP, InputSpec("class_labels", "int64", ("batch",), "ids", 0, STEPS)),
        {"batch": 2, "height": 16, "width": 16},
        fixed=_SAME_SIZE,
    ),
    "PixArtTransformer2DModel": Call(
        (_latent("hidden_states"), _text("=caption_channels"), _STEP, _TEXT_MASK), _WITH_TEXT, _NO_SIZES
    ),
    "SanaTransformer2DModel": Call((_latent("hidden_states"), _text("=caption_channels"), _STEP, _TEXT_MASK), _WITH_TEXT),
    "SD3Transformer2DModel": Call((_latent("hidden_states"), _text("=joint_attention_dim"), _POOLED, _STEP), _WITH_TEXT),
    "FluxTransformer2DModel": Call(
        (
            _floats("hidden_states", "sequence", "=in_channels"),
            _text("=joint_attention_dim"),
            _POOLED,
            _LEVEL,
            _points("img_ids", "sequence", 3, high=16),
            _points("txt_ids", "encoder_sequence", 3, high=16),
        ),
        {"batch": 2, "sequence": 15, "encoder_sequence": TEXT},
    ),
    "QwenImageTransformer2DModel": Call(
        (
            _floats("hidden_states", 24, "=in_channels"),
            _text("=joint_attention_dim"),
            InputSpec("encoder_hidden_states_mask", "int64", ("batch", "encoder_sequence"), "mask"),
            _LEVEL,
        ),
        {"batch": 2, "encoder_sequence": TEXT},
        {"img_shapes": [[(1, 4, 6)], [(1, 4, 6)]]},
    ),
    # transformers over videos
    "CogVideoXTransformer3DModel": Call(
        (_floats("hidden_states", "frames", "=in_channels", "height", "width"), _text("=text_embed_dim"), _STEP),
        {**_VIDEO, "height": 16, "width": 16},
        fixed=frozenset(("frames", "height", "width", "encoder_sequence")),
    ),
    "WanTransformer3DModel": Call(
        (_floats("hidden_states", "=in_channels", "frames", "height", "width"), _STEP, _text("=text_dim")), _VIDEO
    ),
    "LTXVideoTransformer3DModel": Call(
        (_floats("hidden_states", 36, "=in_channels"), _text("=caption_channels"), _STEP, _TEXT_MASK),
        {"batch": 2, "encoder_sequence": TEXT},
        {"num_frames": 3, "height": 3, "width": 4},
    ),
    "HunyuanVideoTransformer3DModel": Call(
        (
            _floats("hidden_states", "=in_channels", "frames", "height", "width"),
            _STEP,
            _text("=text_embed_dim"),
            _TEXT_MASK,
            _POOLED,
            InputSpec("guidance", "float32", ("batch",), "timestep", 1000, 8000),
        ),
        _VIDEO,
    ),
}


def build(spec: ModelSpec) -> BuiltModel:
    """Build class `spec.name` with the constructor arguments in `spec.config`. Raises ModelError."""
    diffusers = _diffusers()
    model_class = _model_class(diffusers, spec.name)
    try:
        model = model_class(**spec.config).eval()
    except MemoryError:
        raise
    except Exception as error:  # whatever the class finds wrong with these arguments
        raise ModelError(f"diffusers cannot build {spec.name}: {_line(error)}.", "See the entry's `config`.") from error
    call = CALLS.get(spec.name)
    if call is None and not spec.inputs:
        raise ModelError(f"what {spec.name} takes is not known here.", "Give the entry `inputs` and `sizes`.")
    call = call or Call((), {})
    own = [_filled(each, model.config) for each in call.inputs]
    given = {each.name: each for each in spec.inputs}
    inputs = (*(given.pop(each.name, each) for each in own), *given.values())
    # An output called as an input is (`sample`) would be one name for two values in an ONNX graph; a tuple has no names.
    constants = {**call.constants, "return_dict": all(each.name != "sample" for each in inputs)}
    sizes = {**call.sizes, **spec.sizes}
    steps = {**dict.fromkeys(sizes.keys() & {"height", "width"}, 8), **spec.steps}
    return BuiltModel(inputs, sizes, steps, module=model, constants=constants, fixed=call.fixed)


def fingerprint(spec: ModelSpec) -> Mapping[str, str]:
    """Versions of diffusers and torch."""
    del spec
    return _files.versions("diffusers", "torch")


def _diffusers() -> Any:
    make_importable()
    try:
        import diffusers
    except ImportError as error:
        raise EnvironmentMissing(f"diffusers cannot be imported: {error}.", "pip install 'porting[diffusers]'") from error
    return diffusers


def _model_class(diffusers: Any, name: str) -> Any:
    found = getattr(diffusers, name, None) if name in dir(diffusers) else None
    if isinstance(found, type) and issubclass(found, diffusers.ModelMixin):
        return found
    near = difflib.get_close_matches(name, [*CALLS, *(n for n in dir(diffusers) if n.endswith("Model"))], n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(dict.fromkeys(near))}?" if near else "Names are classes such as UNet2DConditionModel."
    raise ModelError(f"diffusers {diffusers.__version__} has no model class {name!r}.", hint)


def _filled(spec: InputSpec, config: Mapping[str, Any]) -> InputSpec:
    """Put constructor arguments where a dimension names one."""
    shape = tuple(config[dim[1:]] if isinstance(dim, str) and dim.startswith("=") else dim for dim in spec.shape)
    return replace(spec, shape=shape)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300].rstrip('.')}" if text else type(error).__name__
