"""Works out what a transformers model is fed: candidate calls from the parameters of `forward` and the config, best first.

A candidate feeds every modality the model has; where features of an image or a sound replace placeholder tokens, the ids of
those tokens open every row. Which candidate fits is found by running it; that, and the building, is not done here. Images,
sound and series are `_transformers_senses`' matter.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from porting.sources._transformers_call import BATCH, Call, Config, Model, find, first_integer, placeholder_id
from porting.sources._transformers_senses import ways
from porting.types import InputSpec

SEQUENCE, DECODER_SEQUENCE = 9, 7
LOWEST_ID = 8
"""Ids below are special tokens almost everywhere (padding, begin, end, mask)."""
RESERVED = 40
"""Ids at the top of the vocabulary that the shrunken configs use for special tokens."""


def candidates(
    model: Model, config: Config, modalities: Iterable[str] = (), given: Mapping[str, int] | None = None
) -> Iterator[Call]:
    """Yield calls that may fit, those that feed most first. modalities: those that the entry declares. given: nominal sizes that
    it states."""
    parameters = inspect.signature(model.forward).parameters
    wants = frozenset(n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    constants: dict[str, Any] = {"return_dict": True}
    if "use_cache" in wants:
        constants["use_cache"] = False
    text = [*_text(wants, config), *_decoder(wants, config)]
    for part in ways(wants, config, modalities, given or {}):
        inputs = (*part.inputs, *text) if part.inputs and part.inputs[0].name == model.main_input_name else (*text, *part.inputs)
        sizes = {**_text_sizes(text), **part.sizes}
        yield dataclasses.replace(part, inputs=inputs, sizes=sizes, constants={**constants, **part.constants})


# ---- text ---------------------------------------------------------------------------------------------------------


def _text(wants: frozenset[str], config: Config) -> Iterator[InputSpec]:
    if "input_ids" not in wants:
        return
    text = _text_config(config)
    low, high = id_range(text)
    rows = ("batch", "sequence")
    yield InputSpec("input_ids", "int64", rows, "ids", low, high)
    if "bbox" in wants:
        yield InputSpec("bbox", "int64", (*rows, 4), "boxes", 0, getattr(config, "max_2d_position_embeddings", 0) or 128)
    if "attention_mask" in wants:
        yield InputSpec("attention_mask", "int64", rows, "mask")
    if "token_type_ids" in wants and (getattr(text, "type_vocab_size", 0) or 0) > 1:
        yield InputSpec("token_type_ids", "int64", rows, "ids", 0, text.type_vocab_size)


def _text_config(config: Config) -> Config:
    """The config of what reads text; of two, that of the encoder."""
    try:
        return config.get_text_config()
    except ValueError:
        return config.get_text_config(encoder=True)


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


# ---- placeholder tokens -------------------------------------------------------------------------------------------


def with_placeholders(call: Call, model: Model, config: Config, arrays: Mapping[str, Any]) -> Call:
    """Open every row of ids with as many placeholder tokens as the model makes feature vectors out of one image or sound.

    arrays: tensors drawn for the call. Raises whatever the model raises when it takes the input for another shape.
    """
    run: list[int] = []
    for modality in call.placeholders:
        token = placeholder_id(config, modality)
        if token is not None:
            run += [token] * _feature_count(model, modality, call, arrays)
    if not run:
        return call
    prefix = (*_openers(config), *run)
    inputs = tuple(_prefixed(spec, prefix) for spec in call.inputs)
    counted = frozenset(("height", "width", "frames", "samples")) & call.sizes.keys()  # another size makes another count
    sizes = {**call.sizes, "sequence": (len(run) + SEQUENCE) | 1}
    return dataclasses.replace(call, inputs=inputs, sizes=sizes, fixed=call.fixed | counted)


def _prefixed(spec: InputSpec, prefix: tuple[int, ...]) -> InputSpec:
    return dataclasses.replace(spec, prefix=prefix) if spec.name == "input_ids" else spec


def _openers(config: Config) -> tuple[int, ...]:
    start = find(config, "vision_start_token_id")
    return (start,) if isinstance(start, int) else ()


def _feature_count(model: Model, modality: str, call: Call, arrays: Mapping[str, Any]) -> int:
    """Feature vectors for one row of the batch, counted on what the model really makes."""
    makers = (getattr(part, f"get_{modality}_features", None) for part in (model.base_model, model))
    features = next((maker for maker in makers if maker is not None), None)
    if features is None:
        return 0
    takes = inspect.signature(features).parameters.keys() - {"input_ids", "attention_mask", "position_ids", "return_dict"}
    made = features(**{name: value for name, value in {**call.constants, **arrays}.items() if name in takes})
    pooled = getattr(made, "pooler_output", None)
    return _rows(getattr(made, "last_hidden_state", made) if pooled is None else pooled) // BATCH


def _rows(features: Any) -> int:
    if isinstance(features, (list, tuple)):
        return sum(_rows(f) for f in features)
    return int(features.numel() // features.shape[-1])
