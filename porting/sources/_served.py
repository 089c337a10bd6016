"""Language models as they are served: one call of a decoder with its cache as named inputs and outputs, and the encoder before
it. One graph then does prefill, chunked prefill and decode. What the cache holds is found by running the model, never worked out
from its config. Which class is built is transformers_config's matter; the loop over calls is porting.bundles.generation's.

    input_ids, attention_mask, position_ids, past_key_values.N.key|value  ->  logits, present.N.key|value
    past_key_values.N.decoder.key|value, past_key_values.N.encoder.key|value: of an encoder-decoder
    past_state.N  ->  present_state.N: recurrent and convolution states, one token a call
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting.bundles.generation import TOKENS, Prompt
from porting.errors import ModelError
from porting.sources import BuiltModel
from porting.types import InputSpec, ModelSpec

from . import _transformers_inputs as calls
from ._transformers_call import Call, unfed

if TYPE_CHECKING:
    import torch

Cache = Any  # transformers.Cache
Layer = Any  # of a cache
Model = Any  # transformers.PreTrainedModel

KINDS = ("dynamic", "static", "encoder")

BATCH, SEQUENCE, PAST, ENCODER_SEQUENCE = 2, 3, 11, 13
"""Nominal sizes: more in the cache than the shrunken configs' sliding windows, 8, let through."""
PROMPT, STATE_PROMPT, STATIC_PROMPT = 10, 9, 8
WINDOW = STATIC_PROMPT + TOKENS
"""Cached positions of a static graph: a whole generation fits, and what is unused is masked."""
POSITIONS = 128
PROBED = 5
"""Tokens of the call that shows what the cache holds."""

GROWING = ("keys", "values", "indexer_keys")
"""Attributes of a cache layer that gain a position a token, along the last axis but one."""
FIXED = ("conv_states", "recurrent_states")
"""Attributes that are states of one size, by number."""
SHORT = {"keys": "key", "values": "value", "indexer_keys": "indexer_key"}


@dataclass(frozen=True)
class Slot:
    """One tensor of a cache, as an input and an output of the graph."""

    past: str
    layer: int
    attribute: str
    number: int
    """Of a state; 0 for keys and values."""
    shape: tuple[int, ...]
    """As probed: batch first."""

    @property
    def grows(self) -> bool:
        return self.attribute in GROWING

    @property
    def present(self) -> str:
        from porting.bundles.generation import present

        return present(self.past)

    def read(self, layers: Sequence[Layer]) -> torch.Tensor:
        value = getattr(layers[self.layer], self.attribute)
        found: torch.Tensor = value if self.grows else value[self.number]
        return found


@dataclass(frozen=True)
class Layout:
    """What a model's cache is made of."""

    keyword: str
    """What `forward` takes it by."""
    layers: tuple[Layer, ...]
    """As the model left them: kind, and what is known of each state."""
    slots: tuple[Slot, ...]

    def fill(self, tensors: Mapping[str, torch.Tensor]) -> Cache:
        """Return a cache that holds these tensors, by the names of their inputs."""
        from transformers import DynamicCache

        # Made without the config: sliding layers then keep everything, and their mask does the windowing. One made with it
        # counts its tokens in Python, which ends in the graph as a constant.
        cache = DynamicCache()
        cache.layers = [_empty(layer) for layer in self.layers]
        for slot in self.slots:
            _put(cache.layers[slot.layer], slot, tensors[slot.past])
        return cache

    def presents(self, cache: Cache) -> dict[str, torch.Tensor]:
        return {slot.present: slot.read(cache.layers) for slot in self.slots}

    @property
    def recurrent(self) -> bool:
        return any(not slot.grows for slot in self.slots)

    @property
    def attends(self) -> bool:
        return any(slot.grows for slot in self.slots)


class StateList(Layout):
    """A cache that is a plain list of states (rwkv)."""

    def fill(self, tensors: Mapping[str, torch.Tensor]) -> Cache:
        return [tensors[slot.past].clone() for slot in self.slots]

    def presents(self, cache: Cache) -> dict[str, torch.Tensor]:
        return {slot.present: cache[slot.layer] for slot in self.slots}


def serve(spec: ModelSpec, model: Model, config: Any, kind: str) -> BuiltModel:
    """Return a model in its served form. kind: one of KINDS. Raises ModelError where it has no cache that is known here."""
    import torch

    if kind not in KINDS:
        raise ModelError(f"{spec.id}: `_served` is {kind!r}, which nobody knows.", f"Known: {', '.join(KINDS)}.")
    config.use_cache = True
    config.get_text_config().use_cache = True
    with torch.no_grad():
        if "decoder_input_ids" in inspect.signature(model.forward).parameters:
            return _serve_pair(spec, model, config, kind)
        if kind == "encoder":
            raise ModelError(f"{spec.id} has no encoder.", 'Give it `_served = "dynamic"`.')
        return _serve_decoder(spec, model, config, kind == "static")


# ---- decoders -----------------------------------------------------------------------------------------------------


def _serve_decoder(spec: ModelSpec, model: Model, config: Any, static: bool) -> BuiltModel:
    layout = _probe(model)
    takes = inspect.signature(model.forward).parameters
    batch: int | str = 1 if static else "batch"
    past: int | str = WINDOW if static else "past_sequence"
    tokens: int | str = 1 if static or layout.recurrent else "sequence"
    total: int | str = WINDOW + 1 if static else f"{past}+{tokens}"
    low, high = calls.id_range(config.get_text_config())
    inputs = [InputSpec("input_ids", "int64", (batch, tokens), "ids", low, high)]
    if layout.attends:
        inputs.append(InputSpec("attention_mask", "int64", (batch, total), "left_mask", start=str(past)))
    if layout.attends and "position_ids" in takes and _minds_positions(model):
        inputs.append(InputSpec("position_ids", "int64", (batch, tokens), "positions", 0, POSITIONS, start=str(past)))
    inputs += [_slot_input(slot, batch, past) for slot in layout.slots]
    sizes = {"batch": BATCH, "sequence": SEQUENCE, "past_sequence": PAST}
    module = _decoder_class()(model, layout)
    return _built(spec, module, inputs, sizes, _prompts(layout, static))


def _prompts(layout: Layout, static: bool) -> tuple[Prompt, ...]:
    if static:
        return (Prompt("greedy", STATIC_PROMPT, chunk=1),)
    if layout.recurrent:  # a padded token would enter the state
        return (Prompt("greedy", STATE_PROMPT, chunk=1, axes=("past_sequence",) if layout.attends else ()),)
    axes = ("sequence", "past_sequence")
    return Prompt("greedy", PROMPT, (0, 3), axes=axes), Prompt("greedy-chunked", PROMPT + 1, chunk=4, axes=axes)


def _decoder_class() -> type[Any]:
    from torch import nn

    class Decoder(nn.Module):  # type: ignore[misc]
        """One call of a decoder."""

        def __init__(self, model: Model, layout: Layout) -> None:
            super().__init__()
            self.model = model
            self.layout = layout

        def forward(self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, **past: Any) -> dict[str, Any]:
            cache = self.layout.fill(past)
            given = {"attention_mask": attention_mask, "position_ids": position_ids}
            more = {name: value for name, value in given.items() if value is not None}
            answer = self.model(input_ids=input_ids, use_cache=True, return_dict=True, **{self.layout.keyword: cache}, **more)
            return {"logits": answer.logits, **self.layout.presents(cache)}

    return Decoder


def _probe(model: Model) -> Layout:
    """Run a few tokens and see what the cache holds."""
    import torch

    takes = inspect.signature(model.forward).parameters
    keyword = next((name for name in ("past_key_values", "cache_params") if name in takes), "")
    answer = model(input_ids=torch.full((BATCH, PROBED), calls.LOWEST_ID), use_cache=True, return_dict=True)
    if isinstance(answer.get("state"), list):
        return StateList("state", (), tuple(_listed(answer["state"])))
    cache = answer.get(keyword) if keyword else None
    layers = getattr(cache, "layers", None)
    if not layers:
        raise ModelError(f"{type(model).__name__} keeps no cache that is known here.", "Leave `_served` out.")
    return Layout(keyword, tuple(layers), tuple(_slots(layers, "")))


def _minds_positions(model: Model) -> bool:
    """Whether positions change what the model answers: hybrids without rotary embeddings take them for nothing. A shift shows by
    rounding alone where only differences count; a gap would be taken for several texts in one row."""
    import torch

    ids, positions = torch.full((BATCH, PROBED), calls.LOWEST_ID), torch.arange(PROBED).expand(BATCH, -1)
    one, other = (model(input_ids=ids, position_ids=each, use_cache=False).logits for each in (positions, positions + 7))
    return bool(one.is_meta or not torch.equal(one, other))


def _slots(layers: Sequence[Layer], part: str) -> Iterator[Slot]:
    """Every tensor of a cache. part: `.decoder`, `.encoder` or nothing. Raises ModelError for one that is laid out otherwise."""
    states = 0
    for index, layer in enumerate(layers):
        _known_layer(layer)
        for attribute in GROWING:
            tensor = getattr(layer, attribute, None)
            if tensor is not None:
                shape = tuple(tensor.shape)
                if shape[0] != BATCH or len(shape) < 3:
                    raise ModelError(f"the {attribute} of layer {index} have the shape {list(shape)}: no batch of {BATCH}.")
                yield Slot(f"past_key_values.{index}{part}.{SHORT[attribute]}", index, attribute, 0, shape)
        for attribute in FIXED:
            for number, tensor in getattr(layer, attribute, {}).items():
                if tensor is not None:
                    yield Slot(f"past_state.{states}", index, attribute, number, tuple(tensor.shape))
                    states += 1


LAYERS = (
    "DynamicLayer", "DynamicSlidingWindowLayer", "DynamicIndexedLayer", "LinearAttentionLayer", "DummyLayer",
    "LinearAttentionAndFullAttentionLayer", "LinearAttentionAndSlidingWindowAttentionLayer",
)  # fmt: skip
"""Kinds of cache layers that are known here, by class."""


def _listed(states: Sequence[torch.Tensor]) -> Iterator[Slot]:
    for number, tensor in enumerate(states):
        yield Slot(f"past_state.{number}", number, "state", 0, tuple(tensor.shape))


def _known_layer(layer: Layer) -> None:
    kind = type(layer)
    if kind.__name__ not in LAYERS or kind.__module__ != "transformers.cache_utils":
        raise ModelError(f"layers of the cache are of the kind {kind.__name__}, which is not known here.", "Leave `_served` out.")


def _empty(layer: Layer) -> Layer:
    """A layer of the same kind without contents; one with a sliding window becomes one without."""
    from transformers import cache_utils as kinds

    if isinstance(layer, kinds.DummyLayer):
        return kinds.DummyLayer()
    states = {"number_of_states": layer.number_of_states} if hasattr(layer, "number_of_states") else {}
    if not states:
        return kinds.DynamicIndexedLayer() if isinstance(layer, kinds.DynamicIndexedLayer) else kinds.DynamicLayer()
    both = isinstance(layer, kinds.DynamicLayer)
    made = (kinds.LinearAttentionAndFullAttentionLayer if both else kinds.LinearAttentionLayer)(**states)
    made.conv_kernel_size = dict(layer.conv_kernel_size)
    made.has_previous_state = dict(layer.has_previous_state)
    return made


def _put(layer: Layer, slot: Slot, tensor: torch.Tensor) -> None:
    layer.dtype, layer.device = tensor.dtype, tensor.device
    if slot.grows:
        setattr(layer, slot.attribute, tensor)
        layer.is_initialized = True
        if slot.attribute == "indexer_keys":
            layer.is_indexer_initialized = True
        return
    getattr(layer, slot.attribute)[slot.number] = tensor.clone()  # states are written in place
    getattr(layer, f"is_{slot.attribute}_initialized")[slot.number] = True


def _slot_input(slot: Slot, batch: int | str, past: int | str) -> InputSpec:
    rest = slot.shape[1:]
    shape = (batch, *rest[:-2], past, rest[-1]) if slot.grows else (batch, *rest)
    return InputSpec(slot.past, "float32", shape, "normal")


# ---- encoder and decoder ------------------------------------------------------------------------------------------


def _serve_pair(spec: ModelSpec, model: Model, config: Any, kind: str) -> BuiltModel:
    """The encoder, which returns cross keys and values, or the decoder, which takes them."""
    if kind == "static":
        raise ModelError(f"{spec.id}: an encoder-decoder has no static served form.", 'Give it `_served = "dynamic"`.')
    call, own, cross = _probe_pair(spec, model, config)
    if kind == "encoder":
        inputs = [given for given in call.inputs if not given.name.startswith("decoder_")]
        sizes = {name: size for name, size in call.sizes.items() if name != "decoder_sequence"}
        return _built(spec, _encoder_class()(model, cross), inputs, sizes, (), call.fixed)
    low, high = calls.id_range(config.get_text_config(decoder=True))
    inputs = [InputSpec("input_ids", "int64", ("batch", "sequence"), "ids", low, high)]
    if "attention_mask" in inspect.signature(model.forward).parameters and any(i.name == "attention_mask" for i in call.inputs):
        inputs.append(InputSpec("encoder_attention_mask", "int64", ("batch", "encoder_sequence"), "mask"))
    inputs += [_slot_input(slot, "batch", "past_sequence") for slot in own.slots]
    inputs += [_slot_input(slot, "batch", "encoder_sequence") for slot in cross.slots]
    sizes = {"batch": BATCH, "sequence": SEQUENCE, "past_sequence": PAST, "encoder_sequence": ENCODER_SEQUENCE}
    axes = ("sequence", "past_sequence")
    prompts = Prompt("greedy", 1, axes=axes), Prompt("greedy-forced", 4, chunk=2, axes=axes)
    return _built(spec, _pair_class()(model, own, cross), inputs, sizes, prompts)


def _probe_pair(spec: ModelSpec, model: Model, config: Any) -> tuple[Call, Layout, Layout]:
    """The first call that the model takes, and what it leaves in the two caches."""
    import torch

    from porting.bundles.cases import draw

    where = torch.get_default_device()
    reason: Exception | None = None
    for call in calls.candidates(model, config):
        if call.placeholders or unfed(call, spec.modalities):
            continue
        drawn = draw(call.inputs, call.sizes, "nominal", "fit")
        given = {n: torch.from_numpy(array).to(where) for n, array in drawn.items()}
        try:
            answer = model(**given, **{**call.constants, "use_cache": True})
        except Exception as error:  # noqa: BLE001 -- a call that does not fit may raise anything
            reason = error
            continue
        cache = answer.get("past_key_values")
        if not hasattr(cache, "cross_attention_cache"):
            break
        own, cross = cache.self_attention_cache.layers, cache.cross_attention_cache.layers
        return (
            call,
            Layout("past_key_values", tuple(own), tuple(_slots(own, ".decoder"))),
            Layout("past_key_values", tuple(cross), tuple(_slots(cross, ".encoder"))),
        )
    message = f"{type(model).__name__} keeps no cache of two parts that is known here."
    raise ModelError(message, "Leave `_served` out.") from reason


def _encoder_class() -> type[Any]:
    import torch
    from torch import nn

    class Encoder(nn.Module):  # type: ignore[misc]
        """Cross keys and values of one input: the model is called with a token, and what only that token needs falls away."""

        def __init__(self, model: Model, cross: Layout) -> None:
            super().__init__()
            self.model = model
            self.cross = cross

        def forward(self, **given: Any) -> dict[str, Any]:
            first = next(iter(given.values()))
            token = torch.ones((first.shape[0], 1), dtype=torch.int64, device=first.device)
            answer = self.model(**given, decoder_input_ids=token, use_cache=True, return_dict=True)
            return self.cross.presents(answer.past_key_values.cross_attention_cache)

    return Encoder


def _encoded_class() -> type[Any]:
    from transformers.modeling_outputs import BaseModelOutput

    @dataclass
    class Encoded(BaseModelOutput):  # type: ignore[misc]
        """What an encoder returns, with all that some decoders ask it for."""

        attention_mask: Any = None
        router_logits: Any = None
        router_probs: Any = None

    return Encoded


def _pair_class() -> type[Any]:
    from torch import nn

    class PairedDecoder(nn.Module):  # type: ignore[misc]
        """One call of the decoder of an encoder-decoder."""

        def __init__(self, model: Model, own: Layout, cross: Layout) -> None:
            super().__init__()
            self.model = model
            self.own, self.cross = own, cross
            self.encoded = _encoded_class()
            self.width = model.config.get_text_config(encoder=True).hidden_size

        def forward(self, input_ids: Any, encoder_attention_mask: Any = None, **past: Any) -> dict[str, Any]:
            from transformers import EncoderDecoderCache

            cache = EncoderDecoderCache(self.own.fill(past), self.cross.fill(past))
            cache.is_updated = dict.fromkeys(range(len(self.cross.layers)), True)
            keys = past[self.cross.slots[0].past]
            # Its values are used by nobody, the cross keys and values being there; some models look at its length.
            hidden = keys.new_zeros((keys.shape[0], keys.shape[-2], self.width))
            more = {} if encoder_attention_mask is None else {"attention_mask": encoder_attention_mask}
            answer = self.model(
                decoder_input_ids=input_ids,
                encoder_outputs=self.encoded(last_hidden_state=hidden),
                past_key_values=cache,
                use_cache=True,
                return_dict=True,
                **more,
            )
            return {"logits": answer.logits, **self.own.presents(cache.self_attention_cache)}

    return PairedDecoder


def _built(
    spec: ModelSpec,
    module: Any,
    inputs: Sequence[InputSpec],
    sizes: Mapping[str, int],
    prompts: tuple[Prompt, ...],
    fixed: frozenset[str] = frozenset(),
) -> BuiltModel:
    """Only the axes that the inputs name, and the entry's own sizes over ours."""
    from porting.bundles import shapes

    given = {i.name: i for i in spec.inputs}
    merged = tuple(given.get(i.name, i) for i in inputs)
    used = shapes.axis_names(i.shape for i in merged)
    sized = {name: size for name, size in {**sizes, **spec.sizes}.items() if name in used}
    return BuiltModel(merged, sized, spec.steps, module=module.eval(), fixed=fixed, prompts=prompts)
