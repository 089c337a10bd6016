"""How the inputs of a nominal call become InputSpecs: what each input name means, and which of its axes have a name.

Shared by every source that has example tensors. What the values are is porting.bundles.cases' matter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from porting.bundles import shapes
from porting.errors import ModelError
from porting.types import InputSpec

if TYPE_CHECKING:
    import torch

Bounds = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Meaning:
    """What an input name says."""

    kind: str
    axes: tuple[str, ...]
    """A name an axis; the empty string where the axis has one size only. Longer or shorter than the tensor: not this meaning."""
    low: int = 0
    high: int = 0
    """0: not known from the name."""


def _text(kind: str, axis: str, high: int = 0) -> Meaning:
    return Meaning(kind, ("batch", axis), high=high)


_IMAGE = Meaning("image", ("batch", "", "height", "width"))
_VIDEO = Meaning("image", ("batch", "", "", "height", "width"))
_LATENT = Meaning("normal", ("batch", "", "height", "width"))
_LATENT_VIDEO = Meaning("normal", ("batch", "", "frames", "height", "width"))
_STEP = Meaning("timestep", ("batch",), high=1000)
_SCALAR_STEP = Meaning("timestep", (), high=1000)

# Input name -> what it may mean; the meaning with as many axes as the tensor has counts.
MEANINGS: dict[str, tuple[Meaning, ...]] = {
    # text
    "input_ids": (_text("ids", "sequence"),),
    "attention_mask": (_text("mask", "sequence"),),
    "token_type_ids": (_text("ids", "sequence", high=2),),
    "mm_token_type_ids": (_text("ids", "sequence", high=2),),
    "position_ids": (_text("positions", "sequence"), Meaning("positions", ("", "batch", "sequence"))),
    "cache_position": (Meaning("positions", ("sequence",)),),
    "inputs_embeds": (Meaning("normal", ("batch", "sequence", "")),),
    "decoder_input_ids": (_text("ids", "decoder_sequence"),),
    "decoder_attention_mask": (_text("mask", "decoder_sequence"),),
    "decoder_position_ids": (_text("positions", "decoder_sequence"),),
    "decoder_inputs_embeds": (Meaning("normal", ("batch", "decoder_sequence", "")),),
    "bbox": (Meaning("boxes", ("batch", "sequence", ""), high=1000),),
    "encoder_outputs": (Meaning("normal", ("batch", "sequence", "")),),
    # images
    "pixel_values": (_IMAGE, _VIDEO),
    "pixel_values_videos": (_VIDEO,),
    "pixel_mask": (Meaning("mask", ("batch", "height", "width")),),
    "input_points": (Meaning("boxes", ("batch", "", "", "")),),
    "input_boxes": (Meaning("boxes", ("batch", "", "")),),
    "input_labels": (Meaning("ids", ("batch", "", ""), high=2),),
    # speech and sound; whether frames come before features differs between models, so a model may say otherwise
    "input_features": (Meaning("normal", ("batch", "frames", "")),),
    "input_values": (
        Meaning("audio", ("batch", "samples")),
        Meaning("audio", ("batch", "", "samples")),
    ),
    "input_features_mask": (Meaning("mask", ("batch", "frames")),),
    "audio": (Meaning("audio", ("batch", "samples")), Meaning("audio", ("batch", "", "samples"))),
    "audio_codes": (Meaning("ids", ("batch", "", "frames")),),
    "padding_mask": (_text("mask", "samples"), Meaning("mask", ("batch", "", "samples"))),
    # time series
    "past_values": (Meaning("normal", ("batch", "history")), Meaning("normal", ("batch", "history", ""))),
    "past_observed_mask": (Meaning("mask", ("batch", "history")), Meaning("mask", ("batch", "history", ""))),
    "past_time_features": (Meaning("normal", ("batch", "history", "")),),
    # diffusion
    "sample": (_LATENT, _LATENT_VIDEO),
    "hidden_states": (Meaning("normal", ("batch", "sequence", "")), _LATENT, _LATENT_VIDEO),
    "timestep": (_STEP, _SCALAR_STEP),
    "timesteps": (_STEP, _SCALAR_STEP),
    "encoder_hidden_states": (Meaning("normal", ("batch", "encoder_sequence", "")),),
    "encoder_attention_mask": (_text("mask", "encoder_sequence"),),
    "encoder_hidden_states_mask": (_text("mask", "encoder_sequence"),),
    "pooled_projections": (Meaning("normal", ("batch", "")),),
    "guidance": (Meaning("normal", ("batch",)),),
    "class_labels": (Meaning("ids", ("batch",)),),
    "controlnet_cond": (_IMAGE,),
    "image": (_IMAGE,),
    "images": (_IMAGE,),
    # language model with a cache
    "past_key_values.N.key": (Meaning("normal", ("batch", "", "past_sequence", "")),),
    "past_key_values.N.value": (Meaning("normal", ("batch", "", "past_sequence", "")),),
}  # fmt: skip


def specs_from_examples(
    examples: Mapping[str, torch.Tensor],
    *,
    overrides: Sequence[InputSpec] = (),
    axes: Mapping[str, Sequence[str]] | None = None,
    bounds: Bounds | None = None,
    kinds: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> tuple[tuple[InputSpec, ...], dict[str, int]]:
    """Turn the tensors of a nominal call into InputSpecs and the nominal size of every axis name.

    overrides: whole specs that replace ours by name. axes: names by input, `""` or a number where the size is fixed, expressions
    allowed. bounds: range of integers by input, `(low, one above the largest)`. kinds: by input. sizes: of names that occur in
    expressions only. Raises ModelError when a named axis does not have the size that the example has.
    """
    known = dict(sizes or {})
    batch = _batch_size(examples, axes or {})
    specs = []
    given = {spec.name: spec for spec in overrides}
    for name, example in examples.items():
        spec = given.get(name) or _spec(name, example, (axes or {}).get(name), batch, known)
        if name in (bounds or {}):
            spec = replace(spec, low=(bounds or {})[name][0], high=(bounds or {})[name][1])
        if name in (kinds or {}):
            spec = replace(spec, kind=(kinds or {})[name])
        _learn(spec, tuple(example.shape), known)
        specs.append(spec)
    _check(specs, examples, known)
    used = shapes.axis_names(spec.shape for spec in specs)
    return tuple(specs), {name: size for name, size in known.items() if name in used}


# Nominal sizes where nothing else says: odd and distinct, so that a mixed-up axis shows.
SIZES: Mapping[str, int] = {
    "batch": 2, "sequence": 17, "decoder_sequence": 9, "encoder_sequence": 13, "past_sequence": 5, "height": 64, "width": 96,
    "samples": 1601, "frames": 43, "history": 31,
}  # fmt: skip


def nominal_sizes(inputs: Iterable[InputSpec], given: Mapping[str, int]) -> dict[str, int]:
    """Return the size of every axis that these inputs name: the given one, else ours. Raises ModelError for an axis without."""
    used = shapes.axis_names(spec.shape for spec in inputs)
    known = {**SIZES, **given}
    lacking = sorted(used - known.keys())
    if lacking:
        raise ModelError(f"no size is given for axis {lacking[0]!r}.", f"Add it to `sizes`, for instance {lacking[0]} = 7.")
    return {name: known[name] for name in sorted(used)}


def settle_batch(module: torch.nn.Module, inputs: Sequence[InputSpec], sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes with a batch of two in place of one, if the model runs so: a batch of one hides mixed-up axes, and
    exporters take it for fixed."""
    import torch

    from porting.bundles.cases import draw

    larger = {**sizes, "batch": 2}
    if sizes.get("batch") != 1:
        return dict(sizes)
    try:
        with torch.no_grad():
            module(**tensors(draw(inputs, larger, "nominal", "batch of two")))
    except Exception:  # noqa: BLE001 -- the question is whether it runs
        return dict(sizes)
    return larger


def tensors(arrays: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """numpy arrays (bfloat16 included) as tensors, by name."""
    import torch

    return {
        name: torch.from_numpy(array.view("uint16")).view(torch.bfloat16)
        if str(array.dtype) == "bfloat16"
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }


def meaning(name: str, rank: int, dtype: str) -> Meaning:
    """Say what an input is by its name and rank, or by rank and dtype alone when nobody knows the name. dtype: numpy name."""
    plain = re.sub(r"\.\d+\.", ".N.", name)
    for known in MEANINGS.get(plain, ()):
        if len(known.axes) == rank:
            return known
    kind = _kind(plain, rank, dtype)
    if kind in ("ids", "mask", "bool") and rank == 2:
        return Meaning(kind, ("batch", "sequence"))
    if kind == "image":
        return _IMAGE
    return Meaning(kind, ("batch", *[""] * (rank - 1)) if rank else ())


def numpy_dtype(tensor: torch.Tensor) -> str:
    """numpy name of a tensor's dtype."""
    return str(tensor.dtype).removeprefix("torch.")


def _kind(name: str, rank: int, dtype: str) -> str:
    if "mask" in name:
        return "mask"
    if dtype == "bool":
        return "bool"
    if dtype.startswith(("int", "uint")):
        return "positions" if "position" in name else "timestep" if "timestep" in name else "ids"
    return "image" if rank == 4 and re.search(r"pixel|image|^x$|^input$", name) else "normal"


def _spec(name: str, example: torch.Tensor, axes: Sequence[str] | None, batch: int | None, known: dict[str, int]) -> InputSpec:
    dtype, shape = numpy_dtype(example), tuple(example.shape)
    means = meaning(name, len(shape), dtype)
    if axes is None:
        dims = [_dim(name, axis, size, batch, known) for axis, size in zip(means.axes, shape, strict=True)]
    elif len(axes) != len(shape):
        raise ModelError(f"input {name!r} has {len(shape)} axes {list(shape)}, but {len(axes)} axis names {list(axes)}.")
    else:
        dims = [size if not axis or axis.isdigit() else axis for axis, size in zip(axes, shape, strict=True)]
    low, high = _range(example, means)
    return InputSpec(name, dtype, tuple(dims), means.kind, low, high)


def _dim(name: str, axis: str, size: int, batch: int | None, known: dict[str, int]) -> int | str:
    if not axis or (axis == "batch" and size != batch) or (axis != "batch" and size == 1):
        return size  # an axis of size 1 is specialised by every exporter: it cannot be shown to vary
    if known.setdefault(axis, size) == size:
        return axis
    own = f"{name.replace('.', '_')}_{axis}"  # the same word for another length: an axis of its own
    return own if known.setdefault(own, size) == size else size


def _range(example: torch.Tensor, means: Meaning) -> tuple[int, int]:
    if means.kind not in ("ids", "timestep", "boxes", "positions"):
        return 0, 2
    if means.high:
        return means.low, means.high
    if example.is_floating_point() or not example.numel():
        return 0, 2
    return min(int(example.min()), 0), max(int(example.max()) + 1, 2)


def _batch_size(examples: Mapping[str, torch.Tensor], axes: Mapping[str, Sequence[str]]) -> int | None:
    """Size of the leading axis that most inputs share; inputs with another one carry no batch axis."""
    votes: Counter[int] = Counter()
    for name, example in examples.items():
        names = axes.get(name) or meaning(name, example.dim(), numpy_dtype(example)).axes
        votes.update(int(example.shape[i]) for i, axis in enumerate(names) if axis == "batch" and i < example.dim())
    return votes.most_common(1)[0][0] if votes else None


def _learn(spec: InputSpec, shape: Iterable[int], known: dict[str, int]) -> None:
    for dim, size in zip(spec.shape, shape, strict=False):
        if isinstance(dim, str) and shapes.is_name(dim):
            known.setdefault(dim, size)


def _check(specs: Iterable[InputSpec], examples: Mapping[str, Any], known: Mapping[str, int]) -> None:
    for spec in specs:
        shape = tuple(examples[spec.name].shape)
        expected = shapes.resolve(spec.shape, known)
        if expected != shape:
            stated = f"its axes {list(spec.shape)} say {list(expected)}"
            raise ModelError(f"input {spec.name!r} has shape {list(shape)}, but {stated}.")
