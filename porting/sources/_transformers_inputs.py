"""Works out what a transformers model is fed: candidate calls from the parameters of `forward` and the config, best first.

A candidate feeds every modality the model has; where features of an image or a sound replace placeholder tokens, the ids of
those tokens open every row. Which candidate fits is found by running it; that, and the building, is not done here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from porting.types import InputSpec

Config = Any  # transformers.PreTrainedConfig
Model = Any  # transformers.PreTrainedModel

BATCH, SEQUENCE, DECODER_SEQUENCE = 2, 9, 7
SAMPLES = 4001
FRAMES = 101
GRID = 4
LOWEST_ID = 8
"""Ids below are special tokens almost everywhere (padding, begin, end, mask)."""
RESERVED = 40
"""Ids at the top of the vocabulary that the shrunken configs use for special tokens."""

_NESTED = ("vision_config", "audio_config", "text_config", "encoder", "decoder", "backbone_config", "audio_encoder_config")


@dataclass(frozen=True)
class Call:
    """One way to call a model."""

    inputs: tuple[InputSpec, ...]
    sizes: Mapping[str, int]
    constants: Mapping[str, Any] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    placeholder: str = ""
    """The modality (`image`, `audio`) whose features go where placeholder tokens stand."""


FEEDS: Mapping[str, tuple[str, ...]] = {
    "text": ("input_ids", "decoder_input_ids"),
    "image": ("pixel_values",),
    "video": ("pixel_values", "pixel_values_videos"),
    "audio": ("input_features", "input_values"),
    "time-series": ("past_values",),
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


def candidates(model: Model, config: Config) -> Iterator[Call]:
    """Yield calls that may fit, those that feed most first."""
    parameters = inspect.signature(model.forward).parameters
    wants = frozenset(n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    constants: dict[str, Any] = {"return_dict": True}
    if "use_cache" in wants:
        constants["use_cache"] = False
    text = [*_text(wants, config), *_decoder(wants, config)]
    for part in _senses(wants, config):
        inputs = (*part.inputs, *text) if part.inputs and part.inputs[0].name == model.main_input_name else (*text, *part.inputs)
        sizes, fixed = {**_text_sizes(text), **part.sizes}, {**constants, **part.constants}
        yield Call(tuple(inputs), sizes, fixed, part.fixed, part.placeholder)


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


# ---- text ---------------------------------------------------------------------------------------------------------


def _text(wants: frozenset[str], config: Config) -> Iterator[InputSpec]:
    if "input_ids" not in wants:
        return
    text = config.get_text_config()
    low, high = id_range(text)
    rows = ("batch", "sequence")
    yield InputSpec("input_ids", "int64", rows, "ids", low, high)
    if "bbox" in wants:
        yield InputSpec("bbox", "int64", (*rows, 4), "boxes", 0, getattr(config, "max_2d_position_embeddings", 0) or 128)
    if "attention_mask" in wants:
        yield InputSpec("attention_mask", "int64", rows, "mask")
    if "token_type_ids" in wants and (getattr(text, "type_vocab_size", 0) or 0) > 1:
        yield InputSpec("token_type_ids", "int64", rows, "ids", 0, text.type_vocab_size)


def id_range(config: Config) -> tuple[int, int]:
    """Ordinary token ids: the lowest, and one above the highest."""
    size = first_integer(find(config, "vocab_size"), 512)
    return (LOWEST_ID, size - RESERVED) if size > 2 * RESERVED else (min(4, size - 1), size)


def _decoder(wants: frozenset[str], config: Config) -> Iterator[InputSpec]:
    if "decoder_input_ids" in wants:
        low, high = id_range(config)
        yield InputSpec("decoder_input_ids", "int64", ("batch", "decoder_sequence"), "ids", low, high)


def _text_sizes(inputs: Sequence[InputSpec]) -> dict[str, int]:
    nominal = {"sequence": SEQUENCE, "decoder_sequence": DECODER_SEQUENCE}
    used = {dim for spec in inputs for dim in spec.shape}
    return {"batch": BATCH, **{name: size for name, size in nominal.items() if name in used}}


# ---- images, sound, series ----------------------------------------------------------------------------------------


def _senses(wants: frozenset[str], config: Config) -> Iterator[Call]:
    """Every way to feed what is no text; one empty way for a model that takes text only."""
    found = False
    for name, ways in (
        ("image_grid_thw", _patches),
        ("pixel_values", _images),
        ("pixel_values_videos", _videos),
        ("input_features", _features),
        ("input_values", _waves),
        ("past_values", _series),
    ):
        if name in wants:
            found = True
            yield from ways(config, wants)
    if not found or "input_ids" in wants:
        yield Call((), {})


def _images(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    merged = "image" if "input_ids" in wants and _placeholder_id(config, "image") is not None else ""
    channels, size = _channels(config), first_integer(find(config, "image_size", "img_size"), 64)
    frames = first_integer(find(config, "num_frames", "frames_per_clip"), 0)
    plain: tuple[int | str, ...] = ("batch", channels, "height", "width")
    both = frozenset(("height", "width"))
    if frames:
        yield _image(("batch", frames, channels, "height", "width"), size, size, merged, both)
    if not merged:
        yield _image(plain, size, size + size // 2, "")
    yield _image(plain, size, size, merged, both)
    yield _image(("batch", 1, channels, "height", "width"), size, size, merged, both)
    for other in (224, 128):
        yield _image(plain, other, other, merged, both)


def _image(shape: tuple[int | str, ...], height: int, width: int, merged: str, fixed: frozenset[str] = frozenset()) -> Call:
    spec = InputSpec("pixel_values", "float32", shape, "image")
    return Call((spec,), {"batch": BATCH, "height": height, "width": width}, {}, fixed, merged)


def _patches(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    """Images cut into patches beforehand, all rows of the batch in one list, with a grid of the patches of each."""
    import torch

    vision = getattr(config, "vision_config", config)
    patch, frames = first_integer(find(vision, "patch_size"), 14), first_integer(find(vision, "temporal_patch_size"), 1)
    count, values = GRID * GRID, _channels(vision) * frames * patch * patch
    # Time, row and column of every token; left out, they would be worked out in Python.
    positions = InputSpec("position_ids", "int64", (3, "batch", "sequence"), "positions", 0, 128)
    grid = torch.tensor([[1, GRID, GRID]] * BATCH)
    for shape in ((values,), (_channels(vision), patch, patch)):
        pixels = InputSpec("pixel_values", "float32", (f"{count}*batch", *shape), "normal")
        inputs = (pixels, positions) if "position_ids" in wants else (pixels,)
        yield Call(inputs, {"batch": BATCH}, {"image_grid_thw": grid}, frozenset(("batch",)), "image")


def _videos(config: Config, _: frozenset[str]) -> Iterator[Call]:
    size, frames = first_integer(find(config, "image_size", "crop_size"), 64), first_integer(find(config, "frames_per_clip"), 8)
    spec = InputSpec("pixel_values_videos", "float32", ("batch", frames, _channels(config), "height", "width"), "image")
    yield Call((spec,), {"batch": BATCH, "height": size, "width": size}, {}, frozenset(("height", "width")))


def _channels(config: Config) -> int:
    return first_integer(find(config, "num_channels", "in_channels", "in_chans"), 3)


def _features(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    """Spectrograms: bins before frames where the encoder halves them to a table of positions, else frames first."""
    merged = "audio" if "input_ids" in wants and _placeholder_id(config, "audio") is not None else ""
    bins = first_integer(find(config, "num_mel_bins", "n_mels", "input_feat_per_channel", "feature_size", "input_dim"), 80)
    positions = first_integer(find(config, "max_source_positions"), 0)
    if positions:
        yield _spectrogram(("batch", bins, "frames"), 2 * positions, merged, frozenset(("frames",)))
    yield _spectrogram(("batch", "frames", bins), FRAMES, merged)
    yield _spectrogram(("batch", bins, "frames"), FRAMES, merged)
    yield _spectrogram(("batch", 1, "frames", bins), FRAMES, merged)


def _spectrogram(shape: tuple[int | str, ...], frames: int, merged: str, fixed: frozenset[str] = frozenset()) -> Call:
    return Call((InputSpec("input_features", "float32", shape, "normal"),), {"batch": BATCH, "frames": frames}, {}, fixed, merged)


def _waves(config: Config, _: frozenset[str]) -> Iterator[Call]:
    bins, frames = find(config, "num_mel_bins"), find(config, "max_length")
    if isinstance(bins, int) and isinstance(frames, int):
        spec = InputSpec("input_values", "float32", ("batch", "frames", bins), "normal")
        yield Call((spec,), {"batch": BATCH, "frames": frames}, {}, frozenset(("frames",)))
    for shape in (("batch", "samples"), ("batch", 1, "samples")):
        yield Call((InputSpec("input_values", "float32", shape, "audio"),), {"batch": BATCH, "samples": SAMPLES})


def _series(config: Config, _: frozenset[str]) -> Iterator[Call]:
    history = first_integer(find(config, "context_length"), 32)
    shape = ("batch", "history", first_integer(find(config, "num_input_channels"), 1))
    spec = InputSpec("past_values", "float32", shape, "normal")
    yield Call((spec,), {"batch": BATCH, "history": history}, {}, frozenset(("history",)))


def first_integer(value: object, default: int) -> int:
    """Return `value`, or its first or largest-named part, where that is a positive whole number."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get("height") or next(iter(value.values()), None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


# ---- placeholder tokens -------------------------------------------------------------------------------------------


def _placeholder_id(config: Config, modality: str) -> int | None:
    value = find(config, f"{modality}_token_id", f"{modality}_token_index")
    return value if isinstance(value, int) else None


def with_placeholders(call: Call, model: Model, config: Config, arrays: Mapping[str, Any]) -> Call:
    """Open every row of ids with as many placeholder tokens as the model makes feature vectors out of one image or sound.

    arrays: tensors drawn for the call. Raises whatever the model raises when it takes the input for another shape.
    """
    token = _placeholder_id(config, call.placeholder)
    count = _feature_count(model, call, arrays)
    if token is None or not count:
        return call
    prefix = (*_openers(config), *[token] * count)
    inputs = tuple(_prefixed(spec, prefix) for spec in call.inputs)
    counted = frozenset(("height", "width", "frames", "samples")) & call.sizes.keys()  # another size makes another count
    return Call(inputs, {**call.sizes, "sequence": (count + SEQUENCE) | 1}, call.constants, call.fixed | counted)


def _prefixed(spec: InputSpec, prefix: tuple[int, ...]) -> InputSpec:
    import dataclasses

    return dataclasses.replace(spec, prefix=prefix) if spec.name == "input_ids" else spec


def _openers(config: Config) -> tuple[int, ...]:
    start = find(config, "vision_start_token_id")
    return (start,) if isinstance(start, int) else ()


def _feature_count(model: Model, call: Call, arrays: Mapping[str, Any]) -> int:
    """Feature vectors for one row of the batch, counted on what the model really makes."""
    makers = (getattr(part, f"get_{call.placeholder}_features", None) for part in (model.base_model, model))
    features = next((maker for maker in makers if maker is not None), None)
    if features is None:
        return 0
    takes = inspect.signature(features).parameters.keys() - {"input_ids", "attention_mask", "position_ids", "return_dict"}
    made = features(**{name: value for name, value in {**call.constants, **arrays}.items() if name in takes})
    return _rows(getattr(made, "pooler_output", made)) // BATCH


def _rows(features: Any) -> int:
    if isinstance(features, (list, tuple)):
        return sum(_rows(f) for f in features)
    return int(features.numel() // features.shape[-1])
