"""How it is written down what a class of diffusers takes: a Call, and the inputs and sizes that many classes share.

The classes themselves are in the modules _diffusers_autoencoders, _unets, _images, _videos and _proteins beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from porting.types import InputSpec

LATENT = {"batch": 2, "height": 16, "width": 24}
TEXT = 7
STEPS = 1000


@dataclass(frozen=True)
class Tensor:
    """A tensor that is always the same, as numbers: torch may not be imported here."""

    numbers: Sequence[Any]


@dataclass(frozen=True)
class Call:
    """What a class takes. A dimension `=name` is the constructor argument `name`."""

    inputs: tuple[InputSpec, ...]
    sizes: Mapping[str, int] = field(default_factory=lambda: LATENT)
    constants: Mapping[str, Any] = field(default_factory=dict)
    """A `range` in it stands for the tensor of its numbers, as a Tensor does."""
    fixed: frozenset[str] = frozenset()
    steps: Mapping[str, int] = field(default_factory=dict)
    gather: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that are lists, tuples or mappings: the names of the inputs that they are made of."""


def floats(name: str, *shape: int | str, kind: str = "normal") -> InputSpec:
    return InputSpec(name, "float32", ("batch", *shape), kind)


def ids(name: str, *shape: int | str, high: int) -> InputSpec:
    return InputSpec(name, "int64", ("batch", *shape), "ids", 0, high)


def points(name: str, *shape: int | str, high: int) -> InputSpec:
    """Numbers between 0 and `high`: positions, sizes, noise levels."""
    return InputSpec(name, "float32", shape, "boxes", 0, high)


def mask(name: str, axis: int | str) -> InputSpec:
    return InputSpec(name, "int64", ("batch", axis), "mask")


def latent(name: str = "hidden_states", channels: int | str = "=in_channels") -> InputSpec:
    return floats(name, channels, "height", "width")


def clip(name: str = "hidden_states", channels: int | str = "=in_channels") -> InputSpec:
    """A video's latents, channels first."""
    return floats(name, channels, "frames", "height", "width")


def frames(name: str = "hidden_states", channels: int | str = "=in_channels") -> InputSpec:
    """A video's latents, frames first."""
    return floats(name, "frames", channels, "height", "width")


def text(width: int | str) -> InputSpec:
    return floats("encoder_hidden_states", "encoder_sequence", width)


def guide(name: str, scale: int = 1) -> InputSpec:
    """A picture that a ControlNet follows."""
    size = ("height", "width") if scale == 1 else (f"{scale}*height", f"{scale}*width")
    return floats(name, "=conditioning_channels", *size, kind="image")


def level(name: str) -> InputSpec:
    """A noise level instead of a step's number."""
    return points(name, "batch", high=1)


STEP = InputSpec("timestep", "int64", ("batch",), "timestep", 0, STEPS)
TIME = InputSpec("timestep", "float32", ("batch",), "timestep", 0, STEPS)
LEVEL = level("timestep")
TEXT_BITS = InputSpec("encoder_attention_mask", "bool", ("batch", "encoder_sequence"), "mask")
TEXT_MASK = mask("encoder_attention_mask", "encoder_sequence")
POOLED = floats("pooled_projections", "=pooled_projection_dim")
TOKENS = floats("hidden_states", "sequence", "=in_channels")
GUIDANCE = InputSpec("guidance", "float32", ("batch",), "timestep", 1000, 8000)
PICTURE = floats("sample", "=in_channels", "height", "width", kind="image")
MOVIE = floats("sample", "=in_channels", "frames", "height", "width", kind="image")
SIZES = tuple(points(name, "batch", 2, high=64) for name in ("original_size", "target_size", "crop_coords"))

IMAGE = {"batch": 2, "height": 32, "width": 48}
FILM = {**IMAGE, "frames": 5}
WITH_TEXT = {**LATENT, "encoder_sequence": TEXT}
VIDEO = {**WITH_TEXT, "frames": 3}
ROW = {"batch": 2, "sequence": 15, "encoder_sequence": TEXT}
SAME_SIZE = frozenset(("height", "width"))
NO_SIZES = {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}


def positions(width: int) -> tuple[InputSpec, InputSpec]:
    """Rotary positions of image and text tokens."""
    return points("img_ids", "sequence", width, high=16), points("txt_ids", "encoder_sequence", width, high=16)


HUNYUAN_DIT = (
    latent(),
    TIME,
    floats("encoder_hidden_states", "=text_len", "=cross_attention_dim"),
    mask("text_embedding_mask", "=text_len"),
    floats("encoder_hidden_states_t5", "=text_len_t5", "=cross_attention_dim_t5"),
    mask("text_embedding_mask_t5", "=text_len_t5"),
)
