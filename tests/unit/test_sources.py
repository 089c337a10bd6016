"""Sources: what each builds, what inputs it works out, and what it refuses. Transformers configs have tests of their own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from porting.cases import cases
from porting.errors import EnvironmentMissing, ModelError, UnknownName, UntrustedError
from porting.sources import BuiltModel, _inputs, _pt2_guard, source
from porting.types import InputSpec, ModelSpec

torch.set_num_threads(1)


def spec(kind: str, name: str, root: Path | None = None, **more: Any) -> ModelSpec:
    return ModelSpec(id=f"{kind}/{name}", source=kind, name=name, root=str(root or ""), **more)


def build(kind: str, name: str, root: Path | None = None, **more: Any) -> BuiltModel:
    return source(kind).build(spec(kind, name, root, **more))


def run(built: BuiltModel, varying: frozenset[str] = frozenset()) -> list[Any]:
    """Run every case in eager PyTorch."""
    assert built.module is not None
    assert not built.module.training
    with torch.no_grad():
        return [
            built.module(**_inputs.tensors(case.arrays), **built.constants)
            for case in cases(built.inputs, built.sizes, varying, "test")
        ]


def test_an_unknown_source_is_answered_with_near_names() -> None:
    with pytest.raises(UnknownName, match="timm"):
        source("tim")


# ---- inputs from examples -----------------------------------------------------------------------------------------


def test_well_known_names_say_kind_and_axes() -> None:
    inputs, sizes = _inputs.specs_from_examples(
        {
            "input_ids": torch.zeros(2, 17, dtype=torch.int64),
            "attention_mask": torch.ones(2, 17, dtype=torch.int64),
            "pixel_values": torch.zeros(2, 3, 64, 96),
            "timestep": torch.tensor(3),
        },
        bounds={"input_ids": (5, 90)},
    )
    assert [(i.kind, i.shape) for i in inputs] == [
        ("ids", ("batch", "sequence")),
        ("mask", ("batch", "sequence")),
        ("image", ("batch", 3, "height", "width")),
        ("timestep", ()),
    ]
    assert (inputs[0].low, inputs[0].high) == (5, 90)
    assert sizes == {"batch": 2, "sequence": 17, "height": 64, "width": 96}


def test_the_same_word_for_two_lengths_becomes_two_axes() -> None:
    examples = {"input_ids": torch.zeros(2, 17, dtype=torch.int64), "position_ids": torch.zeros(2, 9, dtype=torch.int64)}
    inputs, sizes = _inputs.specs_from_examples(examples)
    assert inputs[1].shape == ("batch", "position_ids_sequence")
    assert sizes == {"batch": 2, "sequence": 17, "position_ids_sequence": 9}


def test_an_input_with_another_leading_size_has_no_batch_axis() -> None:
    examples = {"input_ids": torch.zeros(2, 5, dtype=torch.int64), "attention_mask": torch.ones(2, 5), "x": torch.zeros(3, 4)}
    assert _inputs.specs_from_examples(examples)[0][2].shape == (3, 4)


def test_given_axes_may_be_expressions_and_have_to_fit() -> None:
    example = {"input_features": torch.zeros(2, 80, 60)}
    inputs, _ = _inputs.specs_from_examples(example, axes={"input_features": ["batch", "", "2*frames"]}, sizes={"frames": 30})
    assert inputs[0].shape == ("batch", 80, "2*frames")
    with pytest.raises(ModelError, match="'input_features' has shape"):
        _inputs.specs_from_examples(example, axes={"input_features": ["batch", "", "2*frames"]}, sizes={"frames": 31})
    with pytest.raises(ModelError, match="3 axes"):
        _inputs.specs_from_examples(example, axes={"input_features": ["batch"]})


# ---- factory ------------------------------------------------------------------------------------------------------

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.table = nn.Embedding(30, width)
        self.drop = nn.Dropout(0.5)
    def forward(self, tokens, scale):
        return self.drop(self.table(tokens.long().reshape(-1))).sum() * scale

class WithExamples(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
    def example_inputs(self):
        return (torch.zeros(1, 3),)

def by_name():
    return Net(), {"tokens": torch.zeros(2, 7, dtype=torch.int32), "scale": torch.ones(2, 5)}

def wide(width):
    return Net(width), {"tokens": torch.zeros(2, 7, dtype=torch.int64), "scale": torch.ones(2, 5)}

instance = nn.Linear(3, 2)

def bare():
    return nn.Linear(3, 2)

def raises():
    raise KeyError("no weights")

def leaves():
    raise SystemExit(3)

def nothing():
    return None

def misfit():
    return nn.Linear(3, 2), {"input": torch.zeros(2, 4)}

def misnamed():
    return nn.Linear(3, 2), {"x": "text"}

class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(1, 3) * 2

def one_at_a_time():
    return Fixed(), torch.zeros(1, 3)
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(FACTORIES)
    return tmp_path


def test_a_factory_with_example_inputs_is_ready_to_run_and_draws_ids_inside_the_table(nets: Path) -> None:
    built = build("factory", "nets.py:by_name", nets)
    tokens, scale = built.inputs
    assert (tokens.kind, tokens.dtype, tokens.shape, tokens.low, tokens.high) == ("ids", "int32", ("batch", "sequence"), 0, 30)
    assert (scale.kind, scale.shape) == ("normal", ("batch", 5))
    assert built.sizes == {"batch": 2, "sequence": 7}
    run(built)


def test_a_module_name_is_looked_up_from_the_folder_of_the_project(nets: Path) -> None:
    (nets / "package_of_mine").mkdir()
    (nets / "package_of_mine" / "__init__.py").write_text("from package_of_mine.inner import make\n")
    (nets / "package_of_mine" / "inner.py").write_text(FACTORIES + "\nmake = by_name\n")
    assert build("factory", "package_of_mine.inner:make", nets).sizes["sequence"] == 7


def test_config_is_given_to_the_factory(nets: Path) -> None:
    built = build("factory", "nets.py:wide", nets, config={"width": 6})
    assert built.module is not None
    assert built.module.table.weight.shape == (30, 6)


def test_a_module_with_example_inputs_needs_no_more_and_its_batch_of_one_becomes_two(nets: Path) -> None:
    built = build("factory", "nets.py:WithExamples", nets)
    assert [(i.name, i.shape) for i in built.inputs] == [("input", ("batch", 3))]
    assert built.sizes == {"batch": 2}
    run(built, frozenset({"batch"}))


def test_a_model_that_takes_one_at_a_time_keeps_its_batch_of_one(nets: Path) -> None:
    assert build("factory", "nets.py:one_at_a_time", nets).sizes == {"batch": 1}


def test_inputs_may_be_listed_instead(nets: Path) -> None:
    given = (InputSpec("input", "float32", ("batch", 3), "normal"),)
    for name in ("nets.py:bare", "nets.py:instance"):
        built = build("factory", name, nets, inputs=given)
        assert built.inputs == given
        assert run(built)[0].shape == (2, 2)


def test_an_axis_without_a_size_is_an_error_that_names_it(nets: Path) -> None:
    with pytest.raises(ModelError, match="no size is given for axis 'hops'"):
        build("factory", "nets.py:bare", nets, inputs=(InputSpec("input", "float32", ("hops", 3), "normal"),))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets.py:raises", r"factory 'nets\.py:raises' raised KeyError: 'no weights' at nets\.py:\d+"),
        ("nets.py:leaves", "raised SystemExit: 3"),
        ("nets.py:nothing", r"returned None, which is no torch\.nn\.Module"),
        ("nets.py:bare", "nothing says what inputs the model takes"),
        ("nets.py:misfit", "called on its example inputs, raised RuntimeError"),
        ("nets.py:misnamed", "example input 'x' is a str, not a tensor"),
        ("nets.py:absent", "has no 'absent'"),
        ("elsewhere.py:make", "does not exist"),
        ("no_such_package_of_mine:make", "raised ModuleNotFoundError"),
        ("nets.py", "names no factory"),
    ],
)
def test_what_is_wrong_with_a_factory_is_one_line(nets: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        build("factory", name, nets)
    assert "\n" not in str(raised.value)


def test_the_fingerprint_of_a_factory_follows_its_code_and_the_weights_beside_it_and_nothing_else(nets: Path) -> None:
    def mark() -> Any:
        return source("factory").fingerprint(spec("factory", "nets.py:by_name", nets))

    first = mark()
    (nets / "results.sqlite").write_text("grows with every run")
    assert mark() == first
    (nets / "nets.py").write_text(FACTORIES + "\n# changed\n")
    second = mark()
    assert second != first
    (nets / "weights.safetensors").write_bytes(b"new")
    assert mark() != second
    assert source("factory").fingerprint(spec("factory", "absent:make", nets))["factory"] == "not found"


def test_the_code_of_an_editable_install_counts_though_a_finder_of_its_own_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util
    import sys

    (tmp_path / "elsewhere.py").write_text("first = 1")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            return importlib.util.spec_from_file_location(name, tmp_path / "elsewhere.py") if name == "editable_net" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found = source("factory").fingerprint(spec("factory", "editable_net:make", tmp_path / "nowhere"))
    assert found["factory"].startswith("sha256:")


# ---- timm ---------------------------------------------------------------------------------------------------------


def test_a_timm_model_runs_at_the_size_that_the_entry_wants() -> None:
    built = build("timm", "mobilenetv3_small_050", sizes={"height": 64, "width": 96})
    assert built.inputs == (InputSpec("x", "float32", ("batch", 3, "height", "width"), "image"),)
    assert {answer.shape[1] for answer in run(built, frozenset({"batch", "height", "width"}))} == {1000}
    assert set(source("timm").fingerprint(spec("timm", "a"))) == {"timm", "torch"}


def test_a_timm_model_of_one_size_says_which() -> None:
    built = build("timm", "vit_tiny_patch16_224", config={"img_size": [64, 96], "depth": 1})
    assert (built.sizes["height"], built.sizes["width"]) == (64, 96)
    run(built)


def test_an_unknown_timm_model_and_a_wrong_config_are_one_line() -> None:
    with pytest.raises(ModelError, match="no model 'resnet81'") as raised:
        build("timm", "resnet81")
    assert "Did you mean" in raised.value.hint
    with pytest.raises(ModelError, match="timm cannot build 'resnet18'"):
        build("timm", "resnet18", config={"no_such_argument": 1})


# ---- pt2 ----------------------------------------------------------------------------------------------------------


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(40, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, scale: float = 1.0, *, more: Any = None) -> dict[str, torch.Tensor]:
        rows = self.table(ids) * mask[..., None] * scale
        return {"rows": rows + more["a"], "sum": rows.sum(1)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dynamic = torch.export.Dim.DYNAMIC
    arguments = (torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64), 2.0)
    axes = {0: dynamic, 1: dynamic}
    exported = torch.export.export(
        Scaled().eval(),
        arguments,
        {"more": {"a": torch.ones(8)}},
        dynamic_shapes={"ids": axes, "mask": axes, "scale": None, "more": {"a": None}},
    )
    path = tmp_path_factory.mktemp("pt2") / "scaled.pt2"
    torch.export.save(exported, path)
    return path


def test_a_saved_program_brings_its_inputs_axes_and_constants(program: Path) -> None:
    built = build("pt2", program.name, program.parent)
    assert [(i.name, i.kind, i.shape) for i in built.inputs] == [
        ("ids", "ids", ("batch", "sequence")),
        ("mask", "mask", ("batch", "sequence")),
        ("more_a", "normal", (8,)),
    ]
    assert built.inputs[0].high == 40
    assert built.sizes == {"batch": 2, "sequence": 7}
    assert len(run(built, frozenset({"batch", "sequence"}))) == 7


def test_a_saved_program_can_be_exported_again(program: Path) -> None:
    built = build("pt2", program.name, program.parent)
    assert built.module is not None
    nominal = _inputs.tensors(cases(built.inputs, built.sizes, frozenset(), "test")[0].arrays)
    again = torch.export.export(built.module, (), nominal)
    assert set(again.graph_signature.user_inputs) == {"ids", "mask", "more_a"}


def rewrite(program: Path, folder: Path, change: Any) -> Path:
    """A copy of the archive with every member passed through `change`."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


def test_a_program_that_names_a_function_of_its_own_choice_needs_trust(program: Path, tmp_path: Path) -> None:
    path = rewrite(program, tmp_path, lambda _, content: content.replace(b"torch.ops.aten.embedding.default", b"torch.os.system"))
    with pytest.raises(UntrustedError, match=r"calls 'torch\.os\.system'"):
        build("pt2", path.name, tmp_path)


def test_a_program_with_a_pickle_of_code_needs_trust(program: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pickle = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    path = rewrite(program, tmp_path, lambda name, content: pickle if "sample_inputs" in name else content)
    with pytest.raises(UntrustedError, match="holds a pickle of more than tensors"):
        build("pt2", path.name, tmp_path)
    assert not ran.exists()


def test_a_program_whose_guards_are_code_needs_trust(program: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        return json.dumps({**json.loads(content), "guards_code": ["__import__('os').system('true') == 0"]}).encode()

    path = rewrite(program, tmp_path, change)
    with pytest.raises(UntrustedError, match="an expression that is no arithmetic"):
        build("pt2", path.name, tmp_path)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("L['ids'].size()[1] == L['mask'].size()[1]", True),
        ("Mul(Integer(8), Symbol('s27', positive=True, integer=True))", True),
        ("4*s3 + Mod(s1, 2)", True),
        ("exec('x')", False),
        ("chr(104)", False),
        ("Symbol('a\"b')", False),
        ("().__class__", False),
        ("L['x'].system('a')", False),
        ("[x for x in y]", False),
        ("lambda: 1", False),
        ("1 +", False),
    ],
)
def test_only_arithmetic_on_sizes_counts_as_harmless(text: str, harmless: bool) -> None:
    assert _pt2_guard.is_arithmetic(text) is harmless


def test_an_archive_that_is_no_program_and_a_damaged_one_are_one_line(program: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(ModelError, match="no exported program"):
        build("pt2", "other.pt2", tmp_path)
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(program.read_bytes()[:-200])
    with pytest.raises(ModelError, match="is damaged"):
        build("pt2", "cut.pt2", tmp_path)
    broken = rewrite(program, tmp_path, lambda name, content: b"{}" if name.endswith("models/model.json") else content)
    with pytest.raises(ModelError, match="cannot read"):
        build("pt2", broken.name, tmp_path)


# ---- checkpoint folders -------------------------------------------------------------------------------------------


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


# ---- TorchScript --------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path) -> Path:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 2))).save(str(tmp_path / "net.pt"))
    return tmp_path


LINEAR = (InputSpec("input", "float32", ("batch", 3), "normal"),)


def test_torchscript_runs_only_with_trust_and_stated_inputs(script: Path) -> None:
    assert run(build("torchscript", "net.pt", script, trust=True, inputs=LINEAR))[0].shape == (2, 2)
    with pytest.raises(UntrustedError, match="--trust"):
        build("torchscript", "net.pt", script, inputs=LINEAR)
    with pytest.raises(ModelError, match="does not say what inputs it takes"):
        build("torchscript", "net.pt", script, trust=True)


def test_a_part_of_a_torchscript_file_can_be_meant(script: Path) -> None:
    assert run(build("torchscript", "net.pt", script, trust=True, inputs=LINEAR, config={"_part": "0"}))[0].shape == (2, 2)
    with pytest.raises(ModelError, match="no module 'x' inside"):
        build("torchscript", "net.pt", script, trust=True, inputs=LINEAR, config={"_part": "x"})


def test_a_pickle_needs_trust_and_holds_no_net_even_so(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    for trust, error in ((False, UntrustedError), (True, ModelError)):
        with pytest.raises(error, match="pickle"):
            build("torchscript", "weights.pt", tmp_path, trust=trust, inputs=LINEAR)


# ---- files inside packages ----------------------------------------------------------------------------------------


def test_a_package_that_is_not_installed_is_answered_with_the_command_that_brings_it() -> None:
    with pytest.raises(EnvironmentMissing, match="pip install --no-deps no-such-package"):
        build("onnx", "package:no_such_package/a.onnx", requires=("no-such-package",))


def test_the_fingerprint_of_what_is_not_there_says_so_and_ends_no_run() -> None:
    for kind in ("onnx", "pt2", "torchscript", "checkpoint"):
        made = source(kind).fingerprint(spec(kind, "package:no_such_package/a", requires=("no-such-package",)))
        assert made["model"].startswith("not read: ")


def test_a_path_may_not_leave_its_package() -> None:
    with pytest.raises(ModelError, match="leaves its package"):
        build("onnx", "package:numpy/../torch/version.py")


def test_the_fingerprint_of_a_file_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    path.write_bytes(b"one")
    first = source("pt2").fingerprint(spec("pt2", "a.pt2", tmp_path))
    path.write_bytes(b"another")
    assert source("pt2").fingerprint(spec("pt2", "a.pt2", tmp_path)) != first


def test_arrays_become_tensors_of_the_same_values_also_in_bfloat16() -> None:
    import ml_dtypes

    made = _inputs.tensors({"a": np.array([1.5, -2], ml_dtypes.bfloat16), "b": np.array(3)})
    assert made["a"].dtype == torch.bfloat16
    assert made["a"].tolist() == [1.5, -2]
    assert made["b"].item() == 3
