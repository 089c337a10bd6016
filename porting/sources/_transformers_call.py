"""What a way to call a transformers model is, and how a setting is found in a config. Which ways there are is worked out in
`_transformers_inputs` (text) and `_transformers_senses` (images, sound, series)."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from porting.types import InputSpec

Config = Any  # transformers.PreTrainedConfig
Model = Any  # transformers.PreTrainedModel

BATCH = 2

_NESTED = ("vision_config", "audio_config", "text_config", "encoder", "decoder", "backbone_config", "audio_encoder_config")


@dataclass(frozen=True)
class Call:
    """One way to call a model."""

    inputs: tuple[InputSpec, ...]
    sizes: Mapping[str, int]
    constants: Mapping[str, Any] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    placeholders: tuple[str, ...] = ()
    """The modalities (`image`, `audio`) whose features go where placeholder tokens stand."""

    def and_also(self, other: Call) -> Call:
        """Both at once: inputs and placeholders of this one first."""
        return Call(
            (*self.inputs, *other.inputs),
            {**self.sizes, **other.sizes},
            {**self.constants, **other.constants},
            self.fixed | other.fixed,
            (*self.placeholders, *other.placeholders),
        )


FEEDS: Mapping[str, tuple[str, ...]] = {
    "text": ("input_ids", "decoder_input_ids"),
    "image": ("pixel_values", "flattened_patches", "image_pixel_values", "visual_feats"),
    "video": ("pixel_values", "pixel_values_videos"),
    "audio": ("input_features", "input_values", "audio_input_features", "audio_codes"),
    "time-series": ("past_values",),
    "state": ("state", "states"),
    "image-tokens": ("input_ids",),
}
"""Modality -> the inputs that bring it in."""


def unfed(call: Call, modalities: Iterable[str]) -> list[str]:
    """Return those of the modalities that no input of the call brings in."""
    names = {spec.name for spec in call.inputs}
    return [m for m in modalities if m in FEEDS and names.isdisjoint(FEEDS[m])]


def left_out(model: Model, call: Call) -> list[str]:
    """Return the inputs of senses that `forward` takes and the call does not give."""
    takes = inspect.signature(model.forward).parameters
    senses = dict.fromkeys(name for modality, names in FEEDS.items() if modality != "text" for name in names)
    given = {spec.name for spec in call.inputs}
    return [name for name in senses if name in takes and name not in given]


def find(config: Config, *names: str) -> Any:
    """Return the first of these settings that the config, or one of its sub-configs, has; None without one."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return value
    subs = [*getattr(type(config), "sub_configs_defaults", {}), *_NESTED]
    inner = (getattr(config, sub, None) for sub in dict.fromkeys(subs))
    found = (find(sub, *names) for sub in inner if hasattr(sub, "model_type"))
    return next((value for value in found if value is not None), None)


def first_integer(value: object, default: int) -> int:
    """Return `value`, or its first or largest-named part, where that is a positive whole number."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get("height") or next(iter(value.values()), None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def placeholder_id(config: Config, modality: str) -> int | None:
    """Id of the token in whose place features of this modality go."""
    value = find(config, f"{modality}_token_id", f"{modality}_token_index")
    return value if isinstance(value, int) else None
