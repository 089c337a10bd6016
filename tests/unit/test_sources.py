"""Sources: what each builds, what inputs it works out, and what it refuses. Transformers configs have tests of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from source_kit import build, run, spec

from porting.errors import EnvironmentMissing, ModelError, UnknownName, UntrustedError
from porting.sources import _inputs, source
from porting.types import InputSpec


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
