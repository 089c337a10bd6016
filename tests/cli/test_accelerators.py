"""What a person does about cards that are not here: look up a model's operators, run a program on a stand-in, ask if it fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import Ended

Porting = Callable[..., Ended]

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "dtype": "bfloat16",
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip
"""Llama 3 of 70 billion parameters, as its config.json describes it."""


@pytest.fixture
def seventy_billion(setting: Path) -> Path:
    folder = setting / "seventy"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


# ---- operators of a model


def test_a_models_operators_are_looked_up_in_every_list(porting: Porting) -> None:
    ended = porting("ops", "timm/resnet18", "--on", "ascend,mlu,torch_musa", "--train", "--format", "json")
    assert ended.code == 0, ended.err
    found = {each["accelerator"]: each for each in json.loads(ended.out)}
    assert set(found) == {"ascend", "cambricon", "moore_threads"}
    for each in found.values():
        assert each["evidence"] == "static"
        assert any("backward" in operator["name"] for operator in each["operators"])
        assert sum(operator["count"] for operator in each["operators"]) > 100
        assert not each["refusals"]


def test_a_model_of_any_size_is_walked_without_memory_for_it(porting: Porting, seventy_billion: Path) -> None:
    ended = porting("ops", seventy_billion, "--on", "ascend", "--size", "sequence=4096", "--format", "json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    assert found["parameters"] == 70_553_706_496
    assert found["sizes"]["sequence"] == 4096
    attention = next(o for o in found["operators"] if o["name"] == "aten::scaled_dot_product_attention")
    assert (attention["count"], attention["dtypes"]) == (80, {"bfloat16": 240, "bool": 80})


def test_the_onnx_operators_of_a_model_of_any_size_and_the_opset_they_want(porting: Porting, seventy_billion: Path) -> None:
    ended = porting("ops", seventy_billion, "--onnx", "--on", "npu", "--format", "json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    assert found["parameters"] == 70_553_706_496
    assert found["weightless"]
    assert found["evidence"] == "static"
    assert found["layers"] == {"model.layers": {"exported": 1, "of": 80}}
    operators = {each["name"]: each for each in found["operators"]}
    assert operators["MatMul"]["count"] > 7  # projections, scores and values of one layer, and the head
    assert found["needs_opset"] == max(each["since"] for each in operators.values()) <= found["opset"]
    assert set(found["not_listed"]) == {"ascend"}
    assert set(found["not_listed"]["ascend"]) <= set(operators)


def test_a_small_model_that_looks_at_values_is_exported_whole(porting: Porting) -> None:
    ended = porting("ops", "transformers/mamba2", "--onnx")
    assert ended.code == 0, ended.err
    assert "built with its weights" in ended.out
    assert "Softplus" in ended.out
    assert "operators there" in ended.out


def test_the_table_names_what_is_not_listed_with_its_line(porting: Porting) -> None:
    ended = porting("ops", "transformers/bert", "--on", "cambricon")
    assert ended.code == 0
    assert "aten::isneginf, 2 calls, at transformers/integrations/sdpa_attention.py:" in ended.out
    assert "static" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ops", "timm/resnet18", "--on", "hygon"], "no list of PyTorch operators for Hygon DCU"),
        (["ops", "timm/resnet18", "--on", "asend"], "Did you mean ascend"),
        (["ops", "timm/resnet18", "--size", "width"], "no AXIS=SIZE"),
        (["ops", "timm/resnet18", "--on", "npu", "--size", "sequence=3"], "no axis 'sequence'"),
        (["ops", "--train"], "about a MODEL"),
        (["ops", "--onnx"], "about a MODEL"),
        (["ops", "timm/resnet18", "--onnx", "--train"], "not with --onnx"),
        (["ops", "timm/resnet18", "--onnx", "--on", "cambricon"], "lists of ONNX operators for ascend"),
        (["ops", "pretrained/silero-vad", "--onnx"], "an ONNX file already"),
        (["ops", "pretrained/silero-vad", "--on", "npu"], "an ONNX file is no module"),
        (["run", "--device", "npu", "nowhere.py"], "no file nowhere.py"),
        (["run", "--device", "gcu", "nowhere.py"], "no list of PyTorch operators for Enflame"),
        (["fit", "timm/resnet18", "--on", "sunrise"], "no card of Sunrise"),
        (["profile", "show", "abacus"], "unknown accelerator"),
        (["profile", "build", "ascend", "--from", "nowhere.whl"], "nowhere.whl cannot be read"),
        (["profile", "diff", "ascend", "hygon"], "no list of PyTorch operators for Hygon"),
    ],
)
def test_a_wrong_request_gets_one_clear_error(porting: Porting, words: list[str], said: str) -> None:
    ended = porting(*words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


# ---- a program

PROGRAM = """
import sys
import torch
import torch_mlu
x = torch.randn(4, 4).to("mlu")
print(sys.argv[1:], (x @ x).device)
{}
"""


def program(folder: Path, line: str) -> Path:
    file = folder / "program.py"
    file.write_text(PROGRAM.format(line))
    return file


def test_a_program_runs_with_its_arguments_and_its_own_output(command: Porting, setting: Path) -> None:
    ended = command("run", "--device", "cambricon", program(setting, ""), "--epochs", "3")
    assert ended.code == 0, ended.err
    assert ended.out == "['--epochs', '3'] mlu:0\n"
    assert "Virtual: nothing ran on mlu" in ended.err


def test_what_the_card_would_refuse_ends_it_with_the_line(command: Porting, setting: Path) -> None:
    ended = command("run", "--device", "mlu", "--no-fallback", "-o", "report.json", program(setting, "torch.lgamma(x)"))
    assert ended.code == 1
    assert "program.py:7" in ended.err
    assert "not in the list, is refused:" in ended.err
    report = json.loads((setting / "report.json").read_text())
    assert (report["evidence"], report["refusals"][0]["operator"]) == ("virtual", "aten::lgamma")


def test_a_model_of_the_catalog_answers_and_trains_a_step_as_on_the_cpu(command: Porting) -> None:
    ended = command("run", "--device", "ascend", "transformers/bert")
    assert ended.code == 0, ended.err
    assert "inference: 1 outputs" in ended.out
    assert ended.out.count("(alike)") == 2


def test_a_program_that_fails_or_is_killed_is_no_success(command: Porting, setting: Path) -> None:
    assert command("run", "--device", "mlu", program(setting, "sys.exit(4)")).code == 1
    killed = command("run", "--device", "mlu", program(setting, "import os; os.kill(os.getpid(), 9)"))
    assert killed.code != 0
    assert "signal 9" in killed.err


# ---- size, and what is known


def test_a_fit_adds_up_and_says_how_each_figure_was_had(porting: Porting, seventy_billion: Path) -> None:
    ended = porting("fit", seventy_billion, "--on", "metax", "--context", "8192", "--batch", "2", "--format", "json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    figures = {figure["what"]: figure for figure in found["figures"]}
    assert figures["weights in bfloat16"]["bytes"] == 2 * 70_553_706_496
    assert figures["keys and values"]["bytes"] == 2 * 80 * 8 * 128 * 8192 * 2 * 2
    assert figures["largest tensor"]["bytes"] >= 2 * 8192 * 128256 * 2  # the logits
    assert all(len(figure["how"]) > 20 for figure in figures.values())
    rest = figures["keys and values"]["bytes"] + 2 * figures["largest tensor"]["bytes"]
    for card in found["cards"]:
        assert card["maker"] == "MetaX"
        room = card["memory_gib"] * (1 << 30) * 0.9
        assert (card["needed"]["bfloat16"] - 1) * room < 2 * 70_553_706_496 + rest + 1024 < card["needed"]["bfloat16"] * room


def test_a_fit_counts_compressed_keys_and_values_as_what_is_kept_of_them(porting: Porting, setting: Path) -> None:
    heads = {"num_attention_heads": 32, "num_key_value_heads": 32, "qk_nope_head_dim": 64, "v_head_dim": 64}
    shape = {"hidden_size": 1024, "num_hidden_layers": 2, "first_k_dense_replace": 2, "vocab_size": 1000, "q_lora_rank": 256}
    folder = setting / "latent"
    folder.mkdir()
    config = {"model_type": "deepseek_v3", **heads, **shape, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    (folder / "config.json").write_text(json.dumps({"architectures": ["DeepseekV3ForCausalLM"], **config}))
    (found,) = json.loads(porting("fit", folder, "--on", "metax", "--context", "100", "--format", "json").out)
    (cache,) = [figure for figure in found["figures"] if figure["what"] == "keys and values"]
    assert cache["bytes"] == 2 * (512 + 64) * 100 * 2
    assert "latent" in cache["how"]


def test_a_fit_of_a_mixture_counts_no_copy_of_the_experts_weights_for_each_token(porting: Porting, setting: Path) -> None:
    shape = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 4, "num_attention_heads": 32}
    experts = {"num_local_experts": 8, "num_experts_per_tok": 2, "num_key_value_heads": 8, "vocab_size": 32000}
    folder = setting / "mixture"
    folder.mkdir()
    config = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], **shape, **experts}
    (folder / "config.json").write_text(json.dumps(config))
    (found,) = json.loads(porting("fit", folder, "--on", "metax", "--context", "8192", "--format", "json").out)
    (largest,) = [figure["bytes"] for figure in found["figures"] if figure["what"] == "largest tensor"]
    assert largest == 8192 * 2 * (2 * 14336) * 2, "gates and values of two experts a token, in bfloat16"


def test_profiles_are_listed_shown_built_and_compared(porting: Porting, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(porting("profile", "list", "--format", "json").out)
    assert len(listed) >= 18
    shown = porting("profile", "show", "metax").out
    assert "version tag: \\+metax" in shown
    assert shown.count("source: ") >= 6
    (setting / "names.txt").write_text("add.out\nmul.out\n")
    built = porting("profile", "build", "cambricon", "--from", "names.txt", "--version", "9.9")
    assert built.code == 0, built.err
    assert "2 operators of torch_mlu 9.9" in built.out
    monkeypatch.setenv("PORTING_PROFILES", "profiles")
    assert "torch_mlu 9.9" in porting("profile", "list").out
    changed = porting("profile", "diff", "names.txt", "ascend", "--format", "json")
    assert changed.code == 1
    assert json.loads(changed.out)[0]["common"] == 2
    assert porting("profile", "diff", "cambricon", "names.txt").code == 0


def test_doctor_tells_of_a_makers_tool_though_nothing_runs_on_its_card(setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.environments import doctor

    assert not [f for f in doctor._accelerators() if "Ascend" in f.detail]
    (setting / "npu-smi").write_text("#!/bin/sh\n")
    (setting / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(setting), prepend=":")
    (found,) = [f for f in doctor._accelerators() if "Ascend" in f.detail]
    assert "PyTorch reaches it as npu, by torch_npu" in found.detail
    assert "`npu-smi info`" in found.hint


# ---- targets


def test_a_model_is_checked_on_virtual_and_static_targets(porting: Porting) -> None:
    targets = "virtual:npu:fp32,virtual:mlu:fp32,virtual:mlu-nofallback:fp32,static:musa:fp32,static_onnx:npu:fp32"
    ended = porting("check", "transformers/bert", "--on", targets, "--route", "usual", "--format", "json")
    found = {each["target"]: each for each in json.loads(ended.out)}
    assert found["virtual:npu:fp32"]["outcome"] == "pass"
    assert found["virtual:npu:fp32"]["evidence"] == "virtual"
    assert found["virtual:mlu:fp32"]["outcome"] == "degraded"
    assert found["virtual:mlu:fp32"]["placement"]["detail"]["aten::isneginf (not in the list)"] == 2
    refused = found["virtual:mlu-nofallback:fp32"]
    assert (refused["outcome"], refused["cause"]) == ("unsupported", "unsupported_op")
    assert "called at models/bert/modeling_bert.py:" in refused["message"]
    assert found["static:musa:fp32"]["evidence"] == "static"
    assert "nothing ran" in found["static:musa:fp32"]["message"]
    assert found["static_onnx:npu:fp32"]["outcome"] == "degraded"
    assert ended.code == 1


def test_what_is_stood_in_for_or_only_listed_has_to_be_named() -> None:
    from porting.api import Setting, choose_targets

    with Setting.find().pipeline() as pipeline:
        by_default, every = choose_targets((), pipeline), choose_targets(("all",), pipeline)
    assert {target.adapter for target in every} >= {"virtual", "static", "static_onnx", "torch"}
    assert {target.adapter for target in by_default}.isdisjoint({"virtual", "static", "static_onnx"})
    assert "torch" in {target.adapter for target in by_default}
