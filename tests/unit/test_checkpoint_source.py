"""Checkpoint folders: built as their config says, with their own weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from source_kit import build, run

from porting.bundles.cases import cases
from porting.errors import ModelError, UntrustedError
from porting.sources import _inputs


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from porting.sources._torchvision import make_importable

    make_importable()
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=100,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def copy(folder: Path, to: Path, *, without: str = "") -> Path:
    to.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if file.name != without:
            (to / file.name).write_bytes(file.read_bytes())
    return to


def test_a_checkpoint_folder_is_built_as_its_config_says_with_its_own_weights(bert: Path) -> None:
    from safetensors.torch import load_file

    built = build("checkpoint", bert.name, bert.parent)
    assert type(built.module).__name__ == "BertForMaskedLM"
    assert {"input_ids", "attention_mask"} <= {i.name for i in built.inputs}
    weights = load_file(bert / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert built.module is not None
    assert torch.equal(built.module.state_dict()[name], weights[name])
    run(built, frozenset({"batch", "sequence"}))


def test_a_checkpoint_that_lacks_weights_is_refused_not_filled_with_noise(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(bert, tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.0.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights of the net"):
        build("checkpoint", "bert", tmp_path)


def test_a_truncated_or_incomplete_checkpoint_is_one_line(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "cut")
    (folder / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        build("checkpoint", "cut", tmp_path)
    copy(bert, tmp_path / "bare", without="model.safetensors")
    with pytest.raises(ModelError, match="has no weights"):
        build("checkpoint", "bare", tmp_path)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        build("checkpoint", "cut", tmp_path)
    (folder / "config.json").write_text('{"name": "x"}')
    with pytest.raises(ModelError, match="names no net of a known kind"):
        build("checkpoint", "cut", tmp_path)


def test_pickled_weights_and_code_of_its_own_need_trust(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "pickled", without="model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(UntrustedError, match="in a pickle"):
        build("checkpoint", "pickled", tmp_path)
    folder = copy(bert, tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "of_mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UntrustedError, match="brings code of its own"):
        build("checkpoint", "remote", tmp_path)


def test_a_sentence_encoder_pools_the_tokens_that_the_mask_leaves(bert: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    folder = tmp_path / "sentence"
    BertModel(BertConfig.from_pretrained(bert)).save_pretrained(folder)
    stages = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    listed = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in stages]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    built = build("checkpoint", "sentence", tmp_path)
    padded = next(case for case in cases(built.inputs, built.sizes, frozenset(), "t") if case.name == "padded")
    assert built.module is not None
    with torch.no_grad():
        answer = built.module(**_inputs.tensors(padded.arrays), **built.constants)
    mask = torch.from_numpy(padded.arrays["attention_mask"])[..., None]
    mean = (answer["token_embeddings"] * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(answer["sentence_embedding"], mean / mean.norm(dim=1, keepdim=True))


def test_a_pooling_nobody_knows_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "sentence")
    (folder / "modules.json").write_text(json.dumps([{"type": "x.Transformer"}, {"type": "x.Pooling", "path": "p"}]))
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text(json.dumps({"pooling_mode_weightedmean_tokens": True}))
    with pytest.raises(ModelError, match="pools by weightedmean_tokens"):
        build("checkpoint", "sentence", tmp_path)


def test_a_timm_folder_is_built_with_its_own_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    made = build("timm", "mobilenetv3_small_050", config={"num_classes": 7})
    assert made.module is not None
    save_file(made.module.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "mobilenetv3_small_050", "num_classes": 7}))
    built = build("checkpoint", tmp_path.name, tmp_path.parent, sizes={"height": 64, "width": 64})
    assert built.module is not None
    assert all(torch.equal(a, b) for a, b in zip(built.module.parameters(), made.module.parameters(), strict=True))
    assert run(built)[0].shape == (2, 7)
