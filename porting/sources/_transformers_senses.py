"""Ways to feed a transformers model what is no text: images, patches, videos, spectrograms, waves, series. Best first.

Some models also take the sizes, grids or masks of what they are fed. Those decide which operators run and how many tokens
come out, so they are constants of the call and fix its axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from porting.sources._transformers_call import BATCH, Call, Config, find, first_integer, placeholder_id
from porting.types import InputSpec

SAMPLES = 4001
FRAMES = 101
GRID = 4
OTHER_SIDES = (224, 128)
"""Sides of an image tried where the config's own size does not fit."""

_BOTH = frozenset(("height", "width"))


def ways(wants: frozenset[str], config: Config, modalities: Iterable[str], sizes: Mapping[str, int]) -> Iterator[Call]:
    """Every way to feed what is no text; one empty way for a model that takes text only. wants: what `forward` takes.
    modalities: those that the entry declares; where they are images and sound, both at once comes first. sizes: nominal ones
    that the entry states."""
    seen, heard = list(_seen(wants, config)), list(_heard(wants, config, sizes))
    if {"image", "audio"} <= set(modalities):
        yield from (one.and_also(other) for one in seen for other in heard)
    found = [*seen, *heard, *(_series(config, wants) if "past_values" in wants else ())]
    yield from found
    if not found or "input_ids" in wants:
        yield Call((), {})


def _seen(wants: frozenset[str], config: Config) -> Iterator[Call]:
    if "image_grid_thw" in wants:
        yield from _patches_and_grid(config, wants)
    if "pixel_values" in wants and "spatial_shapes" in wants:
        yield _padded_patches(config, wants)
    if "pixel_values" in wants and "image_position_ids" in wants:
        yield _placed_patches(config, wants)
    if "pixel_values" in wants:
        yield from _images(config, wants)
    if "pixel_values_videos" in wants:
        yield from _videos(config)


def _heard(wants: frozenset[str], config: Config, sizes: Mapping[str, int]) -> Iterator[Call]:
    if "input_features" in wants:
        yield from _features(config, wants, sizes)
    if "input_values" in wants:
        yield from _waves(config, wants)


# ---- images -------------------------------------------------------------------------------------------------------


def _merged(modality: str, wants: frozenset[str], config: Config) -> tuple[str, ...]:
    """The modality, if its features take the place of tokens."""
    return (modality,) if "input_ids" in wants and placeholder_id(config, modality) is not None else ()


def _images(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    merged = _merged("image", wants, config)
    channels, (height, width) = _channels(config), _extent(config)
    frames = first_integer(find(config, "num_frames", "frames_per_clip"), 0)
    plain: tuple[int | str, ...] = ("batch", channels, "height", "width")
    if frames:
        yield _image(("batch", frames, channels, "height", "width"), height, width, merged)
    if not merged and height == width:
        yield replace(_image(plain, height, width + width // 2, ()), fixed=frozenset())
    shapes = [plain, *(("batch", tiles, *plain[1:]) for tiles in dict.fromkeys((1, _tiles(config))))]
    for shape in shapes:
        call = _image(shape, height, width, merged)
        yield call
        if "image_sizes" in wants:
            yield _with_image_sizes(call, height, width)
        if len(shape) == 5 and "pixel_attention_mask" in wants:
            yield _with_constant(call, "pixel_attention_mask", (BATCH, int(shape[1])), "bool")
    for side in OTHER_SIDES:
        yield _image(plain, side, side, merged)


def _image(shape: tuple[int | str, ...], height: int, width: int, merged: tuple[str, ...]) -> Call:
    spec = InputSpec("pixel_values", "float32", shape, "image")
    return Call((spec,), {"batch": BATCH, "height": height, "width": width}, {}, _BOTH, merged)


def _extent(config: Config) -> tuple[int, int]:
    """Height and width of an image."""
    size = find(config, "image_size", "img_size")
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return first_integer(size[:1], 64), first_integer(size[1:], 64)
    side = first_integer(size, 64)
    return side, side


def _tiles(config: Config) -> int:
    """Tiles of an image that is one tile large: the whole, made smaller, and the parts of the first grid it fits in."""
    grids, side = find(config, "image_grid_pinpoints"), _extent(config)[0]
    return 1 + max(1, grids[0][0] // side) * max(1, grids[0][1] // side) if grids else 1


def _with_image_sizes(call: Call, height: int, width: int) -> Call:
    import torch

    sizes = {"image_sizes": torch.tensor([[height, width]] * BATCH)}
    return replace(call, constants=sizes, fixed=call.fixed | {"batch"})


def _with_constant(call: Call, name: str, shape: tuple[int, ...], dtype: str = "int64") -> Call:
    """Add a tensor of ones: nothing is masked."""
    import torch

    ones = torch.ones(shape, dtype=getattr(torch, dtype))
    return replace(call, constants={**call.constants, name: ones}, fixed=call.fixed | {"batch"})


def _patches_and_grid(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    """Images cut into patches beforehand, all rows of the batch in one list, with a grid of the patches of each."""
    import torch

    vision = getattr(config, "vision_config", config)
    patch, frames = first_integer(find(vision, "patch_size"), 14), first_integer(find(vision, "temporal_patch_size"), 1)
    count, values = GRID * GRID, _channels(vision) * frames * patch * patch
    # Time, row and column of every token; left out, they would be worked out in Python. Some text models have one axis only.
    positions = InputSpec("position_ids", "int64", (3, "batch", "sequence"), "positions", 0, 128)
    grid = torch.tensor([[1, GRID, GRID]] * BATCH)
    merged = _merged("image", wants, config) or ("image",)
    for more in ((positions,), ()) if "position_ids" in wants else ((),):
        for shape in ((values,), (_channels(vision), patch, patch)):
            pixels = InputSpec("pixel_values", "float32", (f"{count}*batch", *shape), "normal")
            yield Call((pixels, *more), {"batch": BATCH}, {"image_grid_thw": grid}, frozenset(("batch",)), merged)


def _padded_patches(config: Config, wants: frozenset[str]) -> Call:
    """Images cut into patches beforehand, a row each, with the rows and columns of patches and a mask of the real ones."""
    import torch

    vision = getattr(config, "vision_config", config)
    values = _channels(vision) * first_integer(find(vision, "patch_size"), 16) ** 2
    pixels = InputSpec("pixel_values", "float32", ("batch", GRID * GRID, values), "normal")
    shapes = {"spatial_shapes": torch.tensor([[GRID, GRID]] * BATCH)}
    call = Call((pixels,), {"batch": BATCH}, shapes, frozenset(("batch",)), _merged("image", wants, config))
    return _with_constant(call, "pixel_attention_mask", (BATCH, GRID * GRID))


def _placed_patches(config: Config, wants: frozenset[str]) -> Call:
    """Images cut into patches beforehand, a row each, with the column and row of every patch. Patches are pooled in squares."""
    import torch

    vision = getattr(config, "vision_config", None) or config
    side = 2 * first_integer(find(vision, "pooling_kernel_size"), 3)
    values = _channels(vision) * first_integer(find(vision, "model_patch_size", "patch_size"), 16) ** 2
    pixels = InputSpec("pixel_values", "float32", ("batch", side * side, values), "image")
    places = {"image_position_ids": torch.tensor([[[x, y] for y in range(side) for x in range(side)]] * BATCH)}
    return Call((pixels,), {"batch": BATCH}, places, frozenset(("batch",)), _merged("image", wants, config))


def _videos(config: Config) -> Iterator[Call]:
    size, frames = first_integer(find(config, "image_size", "crop_size"), 64), first_integer(find(config, "frames_per_clip"), 8)
    for count in dict.fromkeys((frames, first_integer(find(config, "num_frames"), frames))):
        spec = InputSpec("pixel_values_videos", "float32", ("batch", count, _channels(config), "height", "width"), "image")
        yield Call((spec,), {"batch": BATCH, "height": size, "width": size}, {}, _BOTH)


def _channels(config: Config) -> int:
    return first_integer(find(config, "num_channels", "in_channels", "in_chans"), 3)


# ---- sound --------------------------------------------------------------------------------------------------------

_FRAME_MASKS = ("input_features_mask", "feature_attention_mask", "attention_mask")


def _features(config: Config, wants: frozenset[str], sizes: Mapping[str, int]) -> Iterator[Call]:
    """Spectrograms: bins before frames where the encoder halves them to a table of positions, else frames first. Without a
    mask of the frames, then with one."""
    plain = list(_spectrograms(config, _merged("audio", wants, config)))
    yield from plain
    mask = next((name for name in _FRAME_MASKS if name in wants and not (name == "attention_mask" and "input_ids" in wants)), "")
    for call in plain if mask else ():
        yield _with_constant(
            replace(call, fixed=call.fixed | {"frames"}), mask, (BATCH, sizes.get("frames", call.sizes["frames"]))
        )


def _spectrograms(config: Config, merged: tuple[str, ...]) -> Iterator[Call]:
    bins = first_integer(find(config, "num_mel_bins", "n_mels", "input_feat_per_channel", "feature_size", "input_dim"), 80)
    positions = first_integer(find(config, "max_source_positions"), 0)
    if positions:
        yield _spectrogram(("batch", bins, "frames"), 2 * positions, merged, frozenset(("frames",)))
    yield _spectrogram(("batch", "frames", bins), FRAMES, merged)
    yield _spectrogram(("batch", bins, "frames"), FRAMES, merged)
    yield _spectrogram(("batch", 1, "frames", bins), FRAMES, merged)


def _spectrogram(shape: tuple[int | str, ...], frames: int, merged: tuple[str, ...], fixed: frozenset[str] = frozenset()) -> Call:
    return Call((InputSpec("input_features", "float32", shape, "normal"),), {"batch": BATCH, "frames": frames}, {}, fixed, merged)


def _waves(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    bins, frames = find(config, "num_mel_bins"), find(config, "max_length")
    merged = _merged("audio", wants, config)
    if isinstance(bins, int) and isinstance(frames, int):
        spec = InputSpec("input_values", "float32", ("batch", "frames", bins), "normal")
        yield Call((spec,), {"batch": BATCH, "frames": frames}, {}, frozenset(("frames",)))
    for shape in (("batch", "samples"), ("batch", 1, "samples")):
        call = Call((InputSpec("input_values", "float32", shape, "audio"),), {"batch": BATCH, "samples": SAMPLES}, {})
        yield call
        if merged:
            yield replace(call, placeholders=merged)


# ---- series -------------------------------------------------------------------------------------------------------


def _series(config: Config, wants: frozenset[str]) -> Iterator[Call]:
    """Histories of several channels, then of one that has no axis of its own; with features of the time where it takes them."""
    if "past_time_features" in wants:
        yield _series_with_times(config, wants)
        return
    history = first_integer(find(config, "context_length"), 32)
    for shape in (("batch", "history", first_integer(find(config, "num_input_channels"), 1)), ("batch", "history")):
        spec = InputSpec("past_values", "float32", shape, "normal")
        yield Call((spec,), {"batch": BATCH, "history": history}, {}, frozenset(("history",)))


def _series_with_times(config: Config, wants: frozenset[str]) -> Call:
    """One channel with what was seen of it and when, and the same for the time to come. The net looks back by its lags."""
    past, ahead = config.context_length + max(config.lags_sequence), config.prediction_length
    parts: tuple[tuple[str, tuple[int | str, ...], str], ...] = (
        ("past_values", ("batch", past), "normal"),
        ("past_time_features", ("batch", past, config.num_time_features), "normal"),
        ("past_observed_mask", ("batch", past), "mask"),
        ("future_values", ("batch", ahead), "normal"),
        ("future_time_features", ("batch", ahead, config.num_time_features), "normal"),
    )
    return Call(tuple(InputSpec(name, "float32", shape, kind) for name, shape, kind in parts if name in wants), {"batch": BATCH})
