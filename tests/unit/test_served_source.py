"""Language models in their served form: what goes in and out, and that a loop over it generates what transformers does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from source_kit import spec

from porting.bundles import prompts, weights
from porting.bundles.cases import cases
from porting.bundles.generation import TOKENS, Prompt, greedy
from porting.errors import ModelError
from porting.sources import BuiltModel, source
from porting.types import ModelSpec

pytest.importorskip("transformers")
torch.set_num_threads(1)


def build(name: str, served: str = "dynamic", **config: Any) -> BuiltModel:
    """Two models of one name have the same weights."""
    torch.manual_seed(0)
    built = source("transformers").build(spec("transformers", name, config={"_served": served, **config}))
    assert built.module is not None
    weights.randomise(built.module)
    return built


def step(built: BuiltModel, inputs: Any) -> dict[str, Any]:
    assert built.module is not None
    with torch.no_grad():
        answer = built.module(**{n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in inputs.items()})
    return {name: tensor.numpy() for name, tensor in answer.items()}


def generated(built: BuiltModel, prompt: Prompt, start: dict[str, Any]) -> list[list[int]]:
    tokens: list[list[int]] = greedy(lambda inputs: step(built, inputs), start, prompt)["tokens"].tolist()
    return tokens


def begin(built: BuiltModel, prompt: Prompt) -> dict[str, Any]:
    return prompts.start(built.inputs, built.sizes, prompt, "test")


def by_transformers(model: Any, inputs: dict[str, Any], **more: Any) -> list[list[int]]:
    """What the library's own generation comes to, with a cache made its own way: windows are cut, states are filled at once."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    free = {"do_sample": False, "num_beams": 1, "eos_token_id": None, "forced_eos_token_id": None, "suppress_tokens": None}
    found: list[list[int]] = model.generate(**tensors, max_new_tokens=TOKENS, **free, **more)[:, -TOKENS:].tolist()
    return found


CAUSAL = ["qwen3", "mistral", "gpt_oss", "deepseek_v3", "gpt2", "bloom", "mamba", "jamba", "qwen3_next"]


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_over_the_served_form_comes_to_the_tokens_of_transformers(name: str) -> None:
    built = build(name)
    assert built.module is not None
    assert built.prompts
    for prompt in built.prompts:
        start = begin(built, prompt)
        text = {n: start[n] for n in ("input_ids", "attention_mask") if n in start}
        assert generated(built, prompt, start) == by_transformers(built.module.model, text), prompt.name


def test_a_static_graph_of_one_token_and_a_window_generates_the_same() -> None:
    built = build("mistral", "static")
    assert built.module is not None
    assert all(isinstance(dim, int) for i in built.inputs for dim in i.shape)
    (prompt,) = built.prompts
    start = begin(built, prompt)
    text = {n: start[n] for n in ("input_ids", "attention_mask")}
    assert generated(built, prompt, start) == by_transformers(built.module.model, text)


@pytest.mark.parametrize(("name", "source_input"), [("t5", "input_ids"), ("bart", "input_ids"), ("whisper", "input_features")])
def test_encoder_and_decoder_together_generate_what_the_whole_model_does(name: str, source_input: str) -> None:
    task = {"whisper": "SPEECH_SEQ_2_SEQ"}.get(name, "SEQ_TO_SEQ_CAUSAL_LM")
    encoder, decoder = build(name, "encoder", _task=task), build(name, _task=task)
    assert decoder.module is not None
    (given,) = [c.arrays for c in cases(encoder.inputs, encoder.sizes, frozenset(), "test") if c.name == "nominal"]
    cross = {n.replace("present.", "past_key_values."): a for n, a in step(encoder, given).items()}
    start = {**begin(decoder, decoder.prompts[0]), **cross}
    if "encoder_attention_mask" in start:
        start["encoder_attention_mask"] = given["attention_mask"]
    model = decoder.module.model
    start["input_ids"] = np.full_like(start["input_ids"], 2)
    wanted = by_transformers(model, {**given, "decoder_input_ids": start["input_ids"]}, decoder_start_token_id=2)
    assert generated(decoder, decoder.prompts[0], start) == wanted
    assert source_input in given


def names(built: BuiltModel) -> list[str]:
    return [i.name for i in built.inputs]


def test_inputs_and_outputs_have_the_names_and_axes_that_servers_use() -> None:
    built = build("qwen3")
    shapes = {i.name: i.shape for i in built.inputs}
    assert shapes["attention_mask"] == ("batch", "past_sequence+sequence")
    assert shapes["past_key_values.1.value"] == ("batch", 4, "past_sequence", 16)
    assert names(built)[:4] == ["input_ids", "attention_mask", "position_ids", "past_key_values.0.key"]
    made = cases(built.inputs, built.sizes, frozenset(built.sizes), "test")
    answer = step(built, made[0].arrays)
    assert list(answer) == ["logits", "present.0.key", "present.0.value", "present.1.key", "present.1.value"]


def test_prefill_decode_and_padding_on_the_left_are_cases_and_windows_are_passed() -> None:
    built = build("mistral")
    made = {c.name: c for c in cases(built.inputs, built.sizes, frozenset(built.sizes), "test")}
    assert made["odd"].arrays["past_key_values.0.key"].shape[2] == 0
    assert made["decode"].arrays["input_ids"].shape[1] == 1
    padded = made["padded"].arrays["attention_mask"]
    assert padded[1, 0] == 0
    assert (padded[:, -built.sizes["sequence"] :] == 1).all()
    assert built.module is not None
    assert made["nominal"].arrays["attention_mask"].shape[1] > built.module.model.config.sliding_window


def test_a_compressed_cache_keeps_the_shapes_that_the_model_gives_it() -> None:
    shapes = {i.name: i.shape for i in build("deepseek_v3").inputs}
    key, value = shapes["past_key_values.0.key"], shapes["past_key_values.0.value"]
    assert key[1] == value[1] == 1
    assert key[3] != value[3]


def test_recurrent_states_are_numbered_inputs_and_attention_layers_keep_their_number() -> None:
    assert names(build("mamba")) == ["input_ids", *(f"past_state.{n}" for n in range(4))]
    hybrid = names(build("jamba"))
    assert {"past_state.0", "past_key_values.1.key", "attention_mask"} <= set(hybrid)
    assert "past_key_values.0.key" not in hybrid


def test_the_cases_own_state_is_left_as_it_is() -> None:
    built = build("mamba")
    arrays = cases(built.inputs, built.sizes, frozenset(), "test")[0].arrays
    before = arrays["past_state.0"].copy()
    step(built, arrays)
    assert (arrays["past_state.0"] == before).all()


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("qwen3", {"_served": "tokens"}, "nobody knows"),
        ("qwen3", {"_served": "encoder"}, "no encoder"),
        ("t5", {"_served": "static"}, "no static served form"),
        ("resnet", {"_served": "dynamic"}, "does not run with a cache"),
        ("bert", {"_served": "dynamic", "_task": "CAUSAL_LM"}, "keeps no cache"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        source("transformers").build(ModelSpec(name, "transformers", name, config=config))
