"""The transformers source: tiny models of config types, fed through every modality, refused in one clear line."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest
import torch

from porting.bundles.cases import draw
from porting.errors import ModelError
from porting.sources import BuiltModel, source
from porting.types import InputSpec, ModelSpec

pytest.importorskip("transformers")
torch.set_num_threads(1)


def build(name: str, config: dict[str, Any] | None = None, **more: Any) -> BuiltModel:
    torch.manual_seed(0)
    with torch.no_grad():
        return source("transformers").build(ModelSpec(name, "transformers", name, config=config or {}, **more))


def run(built: BuiltModel, structure: str = "nominal", changed: str = "", **sizes: int) -> Any:
    """Run at the nominal sizes, or others. changed: the input that is drawn anew while all others stay."""
    assert built.module is not None
    arrays = draw(built.inputs, {**built.sizes, **sizes}, structure, "test")
    if changed:
        arrays[changed] = draw(built.inputs, {**built.sizes, **sizes}, "contrast", "another")[changed]
    with torch.no_grad():
        return built.module(**{n: torch.from_numpy(a) for n, a in arrays.items()}, **built.constants)


def names(built: BuiltModel) -> list[str]:
    return [spec.name for spec in built.inputs]


@pytest.mark.parametrize(
    ("name", "head", "inputs"),
    [
        ("bert", "BertForMaskedLM", ["input_ids", "attention_mask", "token_type_ids"]),
        ("qwen3", "Qwen3ForCausalLM", ["input_ids", "attention_mask"]),
        ("t5", "T5ForConditionalGeneration", ["input_ids", "attention_mask", "decoder_input_ids"]),
        ("whisper", "WhisperForConditionalGeneration", ["input_features", "decoder_input_ids"]),
        ("wav2vec2", "Wav2Vec2ForCTC", ["input_values"]),
        ("resnet", "ResNetForImageClassification", ["pixel_values"]),
        ("clip", "CLIPModel", ["input_ids", "attention_mask", "pixel_values"]),
        ("patchtst", "PatchTSTModel", ["past_values"]),
    ],
)
def test_a_config_type_becomes_a_small_model_with_its_head_and_inputs(name: str, head: str, inputs: list[str]) -> None:
    built = build(name)
    assert built.module is not None
    assert type(built.module).__name__ == head
    assert not built.module.training
    assert sum(p.numel() for p in built.module.parameters()) < 1_000_000
    assert names(built) == inputs
    assert run(built)[0].shape[0] == 2
    assert run(built, batch=3)[0].shape[0] == 3


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = build("qwen3").module, build("qwen3").module
    assert one is not None
    assert other is not None
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_every_kind_of_layer_is_kept_once() -> None:
    assert build("qwen3_next").module.config.layer_types == ["linear_attention", "full_attention"]  # type: ignore[union-attr]
    assert build("gemma3_text").module.config.layer_types == ["sliding_attention", "full_attention"]  # type: ignore[union-attr]


def test_a_sliding_window_is_shorter_than_the_nominal_sequence() -> None:
    built = build("gemma3_text")
    assert built.module.config.sliding_window < built.sizes["sequence"]  # type: ignore[union-attr]


def test_experts_run_in_the_kernel_that_exporters_know() -> None:
    built = build("qwen3_moe")
    assert built.module.config._experts_implementation == "batched_mm"  # type: ignore[union-attr]
    assert build("mixtral", {"_experts_implementation": "eager"}).module.config._experts_implementation == "eager"  # type: ignore[union-attr]


def test_the_entry_sets_fields_of_the_config_and_of_those_inside_it() -> None:
    config: Any = build("llava", {"vision_config": {"num_hidden_layers": 3}, "_attn_implementation": "eager"}).module.config  # type: ignore[union-attr]
    assert (config.vision_config.num_hidden_layers, config.vision_config.hidden_size) == (3, 64)
    assert config.text_config._attn_implementation == "eager"


def test_an_entry_may_ask_for_the_full_size_and_for_a_class() -> None:
    built = build("vit", {"_full_size": True, "num_hidden_layers": 1, "_class": "ViTModel"})
    assert type(built.module).__name__ == "ViTModel"
    assert built.module.config.hidden_size == 768  # type: ignore[union-attr]
    assert (built.sizes["height"], built.sizes["width"]) == (224, 224)


def test_sizes_that_a_model_does_not_take_are_named_fixed() -> None:
    assert build("vit").fixed == {"height", "width"}
    free = build("convnext")
    assert not free.fixed
    assert free.sizes["height"] != free.sizes["width"]


def test_drawn_ids_are_never_special_tokens() -> None:
    built = build("llava")
    ids = next(spec for spec in built.inputs if spec.name == "input_ids")
    text = built.module.config.text_config  # type: ignore[union-attr]
    special = {text.bos_token_id, text.eos_token_id, built.module.config.image_token_id}  # type: ignore[union-attr]
    assert not special & set(range(ids.low, ids.high))


def test_a_special_token_keeps_one_id_in_all_configs() -> None:
    config: Any = build("whisper").module.config  # type: ignore[union-attr]
    assert config.decoder_start_token_id < config.vocab_size
    nested: Any = build("qwen2_5_vl").module.config  # type: ignore[union-attr]
    assert len({nested.image_token_id, nested.video_token_id, nested.vision_start_token_id}) == 3


@pytest.mark.parametrize("name", ["llava", "internvl", "voxtral"])
def test_placeholder_tokens_open_every_row_and_bring_the_other_modality_in(name: str) -> None:
    config = {"audio_token_id": 24} if name == "voxtral" else {}
    built = build(name, config)
    ids = next(spec for spec in built.inputs if spec.name == "input_ids")
    assert len(set(ids.prefix)) == 1
    assert built.sizes["sequence"] > len(ids.prefix)
    sense = "input_features" if name == "voxtral" else "pixel_values"
    assert not torch.allclose(run(built).logits, run(built, changed=sense).logits, atol=1e-4)


def test_images_cut_into_patches_come_with_their_grid() -> None:
    built = build("qwen3_vl", modalities=("image", "text"))
    assert built.fixed == {"batch"}
    assert built.constants["image_grid_thw"].tolist() == [[1, 4, 4]] * 2
    assert not torch.allclose(run(built).logits, run(built, changed="pixel_values").logits, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "config", "constants"),
    [
        ("siglip2", {}, {"spatial_shapes": (2, 2), "pixel_attention_mask": (2, 16)}),
        ("mistral3", {}, {"image_sizes": (2, 2)}),
        ("gemma4", {"vision_config": {"model_type": "gemma4_vision"}}, {"image_position_ids": (2, 36, 2)}),
        ("granite_docling", {}, {"pixel_attention_mask": (2, 1)}),
        ("glmasr", {}, {"input_features_mask": (2, 64)}),
    ],
)
def test_sizes_places_and_masks_of_what_is_fed_are_constants(
    name: str, config: dict[str, Any], constants: dict[str, Any]
) -> None:
    modality, sizes = ("audio", {"frames": 64}) if name == "glmasr" else ("image", {})
    built = build(name, config, modalities=(modality, "text"), sizes=sizes)
    assert "batch" in built.fixed
    shapes = {n: tuple(v.shape) for n, v in built.constants.items() if isinstance(v, torch.Tensor)}
    assert shapes == constants
    sense = "input_features" if name == "glmasr" else "pixel_values"
    assert not all(torch.equal(a, b) for a, b in zip(run(built)[:1], run(built, changed=sense)[:1], strict=True))


def test_a_model_that_declares_images_and_sound_gets_both_at_once() -> None:
    built = build("qwen2_5_omni_thinker", modalities=("image", "audio", "text"))
    ids = next(spec for spec in built.inputs if spec.name == "input_ids")
    assert {"pixel_values", "input_features"} < set(names(built))
    assert len(set(ids.prefix)) == 2  # an image's tokens, then a sound's
    for sense in ("pixel_values", "input_features"):
        assert not torch.equal(run(built).logits, run(built, changed=sense).logits)


def test_a_series_comes_with_its_times_and_the_times_to_come() -> None:
    built = build("informer", {"num_time_features": 2}, modalities=("time-series",))
    assert names(built) == [
        "past_values", "past_time_features", "past_observed_mask", "future_values", "future_time_features",
    ]  # fmt: skip
    assert names(build("timesfm2_5")) == ["past_values"]


def test_an_image_is_square_only_where_the_config_says_so() -> None:
    built = build("mgp-str")
    assert (built.sizes["height"], built.sizes["width"]) == (32, 64)


def test_a_backbone_hands_on_as_many_stages_as_before() -> None:
    config: Any = build("depth_anything").module.config  # type: ignore[union-attr]
    assert (config.backbone_config.num_hidden_layers, config.backbone_config.out_indices) == (4, [1, 2, 3, 4])
    stages: Any = build("rt_detr").module.config  # type: ignore[union-attr]
    assert stages.backbone_config.out_indices == [2, 3, 4]


def test_an_entry_builds_one_part_of_a_model_that_is_run_in_turns() -> None:
    part = {"_part": "fine_acoustics_config", "_class": "BarkFineModel", "_constants": {"codebook_idx": 2}}
    ids = InputSpec("input_ids", "int64", ("batch", "sequence", 8), "ids", 8, 400)
    built = build("bark", part, inputs=(ids,))
    assert type(built.module).__name__ == "BarkFineModel"
    assert built.constants["codebook_idx"] == 2
    with pytest.raises(ModelError, match="has no part 'fine'"):
        build("bark", {"_part": "fine"})


def test_an_entry_gives_tensors_that_are_the_same_at_every_call() -> None:
    built = build("video_llama_3", {"_constants": {"image_merge_sizes": [1, 1]}}, modalities=("image", "text"))
    assert torch.equal(built.constants["image_merge_sizes"], torch.tensor([1, 1]))
    assert "batch" in built.fixed


def test_an_entry_leaves_inputs_out() -> None:
    assert names(build("bert", {"_without": ["token_type_ids"]})) == ["input_ids", "attention_mask"]


def test_an_input_that_is_not_fed_is_named_in_a_note() -> None:
    built = build("qwen3_vl")
    assert built.notes == ("not fed: pixel_values_videos; the model was run without",)
    assert build("qwen3").notes == ()


def test_an_entry_replaces_inputs_and_sizes() -> None:
    ids = InputSpec("input_ids", "int32", ("batch", "sequence"), "ids", 1, 5)
    built = build("qwen3", inputs=(ids,), sizes={"sequence": 21})
    assert built.inputs[0] == ids
    assert built.sizes["sequence"] == 21
    assert run(built).logits.shape[1] == 21


def test_an_entry_may_keep_only_some_outputs() -> None:
    built = build("smolvlm", {"_outputs": ["logits"]})
    assert list(run(built)) == ["logits"]
    with pytest.raises(ModelError, match="no output 'scores'"):
        build("bert", {"_outputs": ["scores"]})


def test_an_unknown_config_type_is_answered_with_near_names() -> None:
    with pytest.raises(ModelError, match=r"no config type 'qwen33'.*Did you mean .*qwen3"):
        build("qwen33")


def test_an_unknown_class_or_task_is_refused() -> None:
    with pytest.raises(ModelError, match="no model class 'BertForEverything'"):
        build("bert", {"_class": "BertForEverything"})
    with pytest.raises(ModelError, match="no class for the task 'CTC'"):
        build("bert", {"_task": "CTC"})


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ModelError, match=r"unknown option '_clas'.*Did you mean _class"):
        build("bert", {"_clas": "BertModel"})


def test_a_config_that_makes_no_model_is_refused_with_the_librarys_reason() -> None:
    with pytest.raises(ModelError, match=r"cannot build 'bert'.*multiple of the number of attention heads"):
        build("bert", {"hidden_size": 62})


def test_a_declared_modality_that_nothing_brings_in_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing brings in image"):
        build("bert", modalities=("text", "image"))


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was built over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert build("llama").module is not None


def test_the_fingerprint_names_the_version_without_importing_the_library() -> None:
    code = (
        "import sys; from porting.sources import source; from porting.types import ModelSpec;"
        "print(source('transformers').fingerprint(ModelSpec('a', 'transformers', 'bert')));"
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'transformers': '5." in told.stdout
