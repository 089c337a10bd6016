"""What is handed in as a model and is none: one line that says so, exit status 2, and no code is run that nobody asked for."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cli_kit import Run
from onnx import TensorProto, helper

from porting.bundles.given import read_cases, store_inputs
from porting.errors import ModelError
from porting.types import InputSpec
from porting.workspace import Workspace

ON = ("--on", "onnxruntime:cpu:fp32")


def linear(path: Path, location: str = "") -> Path:
    """Write a small ONNX model; location: where its weights lie, as external data."""
    weight = onnx.numpy_helper.from_array(np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4), "weight")
    if location:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weight],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
    return path


def test_a_bare_onnx_file_has_no_other_form_at_any_precision_and_in_any_order(porting: Run, setting: Path) -> None:
    linear(setting / "net.onnx")
    first = porting("check", "net.onnx", "--on", "onnxruntime:cpu:fp32,openvino:cpu:bf16", "--format", "json").json()
    assert {r["outcome"] for r in first} <= {"pass", "degraded"}
    torch = porting("check", "net.onnx", "--on", "torch:cpu:fp32,torch:cpu:bf16", "--format", "json").json()
    assert [(r["stage"], r["outcome"], r["cause"]) for r in torch] == [("export", "unsupported", "no_form")] * 2


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> object:
        return open, ("was_run", "w")


def test_a_file_that_is_no_model_is_refused(porting: Run, setting: Path) -> None:
    for name, content in (("model.onnx", b"no model"), ("model.pt2", b"{}"), ("empty.onnx", b""), ("notes.txt", b"text")):
        (setting / name).write_bytes(content)
        ended = porting("check", name, *ON)
        assert ended.code == 2
        assert name in ended.complaint()


def test_a_truncated_onnx_file_is_refused(porting: Run, setting: Path) -> None:
    whole = linear(setting / "whole.onnx").read_bytes()
    (setting / "cut.onnx").write_bytes(whole[: len(whole) * 2 // 3])
    ended = porting("check", "cut.onnx", *ON)
    assert ended.code == 2
    assert "cut.onnx" in ended.complaint()


def test_external_data_outside_the_folder_is_refused_and_not_read(porting: Run, setting: Path) -> None:
    (setting.parent / "secret.bin").write_bytes(bytes(96))
    for location in ("../secret.bin", str(setting.parent / "secret.bin")):
        linear(setting / "reaches_out.onnx", location)
        ended = porting("check", "reaches_out.onnx", *ON)
        assert ended.code == 2
        assert "secret.bin" in ended.complaint()


def test_a_pickle_is_not_loaded_without_trust(porting: Run, setting: Path) -> None:
    (setting / "weights.pt").write_bytes(pickle.dumps(Bomb()))
    with zipfile.ZipFile(setting / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Bomb()))
        archive.writestr("model/constants.pkl", pickle.dumps(Bomb()))
        archive.writestr("model/code/net.py", "")
    for name in ("weights.pt", "model.pt"):
        ended = porting("check", name, *ON)
        assert ended.code == 2
        assert "can run code" in ended.complaint()
    assert not (setting / "was_run").exists()


FACTORIES = {
    "small_models:needs_a_file": "FileNotFoundError: weights.bin is not there at small_models.py:",
    "small_models:several_lines": "first line second line third line",
    "small_models:leaves": "SystemExit",
    "small_models:value": "an int, which is no torch.nn.Module",
    "small_models:narow": "It has: ",
    "small_modles:narrow": "No module named 'small_modles'",
    "small_models:no_inputs": "nothing says what inputs the model takes",
    "small_models:wrong_example": "mat1 and mat2",
    "sample_models:raises": "ValueError: no such checkpoint",
    "sample_models:no_module": "returned a str, which is no torch.nn.Module",
}


def test_factories_that_give_no_model_are_wrong_usage_each_with_a_line_of_its_own(porting: Run) -> None:
    ended = porting("check", *FACTORIES, "small_models:narrow", *ON, "--format", "json")
    assert ended.code == 2
    complaints = ended.complaints()
    assert len(complaints) == len(FACTORIES)
    for complaint, wanted in zip(complaints, FACTORIES.values(), strict=True):
        assert wanted in complaint
    results = ended.json()
    assert {(r["outcome"], r["cause"]) for r in results[:-1]} == {("invalid", "usage")}
    assert results[-1]["outcome"] == "pass", "what is sound beside them has its result"


def test_a_factory_by_itself_that_gives_no_model_ends_with_nothing_but_the_line(porting: Run) -> None:
    ended = porting("check", "sample_models:raises", *ON, "--format", "json")
    assert ended.code == 2
    assert "no such checkpoint at sample_models.py:" in ended.complaint()
    assert ended.out == ""
    recorded = porting("explain", "sample_models:raises", "onnxruntime:cpu:fp32", "--format", "json").json()[0]
    assert (recorded["stage"], recorded["outcome"], recorded["cause"]) == ("build", "invalid", "usage")


def test_an_entry_of_a_catalog_that_cannot_be_built_is_a_failure_of_that_entry(porting: Run, setting: Path) -> None:
    (setting / "porting.toml").write_text('[[models]]\nid = "mine"\nsource = "factory"\nname = "sample_models:raises"\n')
    ended = porting("check", *ON)
    assert ended.code == 1
    assert "no such checkpoint" in ended.out


def test_a_mended_factory_is_tried_again_without_being_asked(porting: Run, setting: Path) -> None:
    (setting / "own.py").write_text(
        "import pathlib, small_models\n\ndef build():\n"
        "    assert pathlib.Path('state/../licence').exists(), 'no licence'\n    return small_models.narrow()\n"
    )
    assert "no licence" in porting("check", "own:build", *ON).complaint()
    (setting / "licence").touch()
    (setting / "state").mkdir()
    assert porting("check", "own:build", *ON).code == 0


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"input": np.zeros((2, 7))}, "It takes input float32['batch', 6]; case given has input float32[2, 7]."),
        ({"input": np.zeros((2, 6), complex)}, "complex128"),
        ({"input": np.array([["a"] * 6] * 2)}, "no array of real numbers"),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_wrong_usage(porting: Run, arrays: Any, wanted: str) -> None:
    np.savez("inputs.npz", **arrays)
    ended = porting("check", "small_models:narrow", *ON, "--inputs", "inputs.npz")
    assert ended.code == 2
    assert wanted in ended.complaint()


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"ids": np.zeros((1, 2), np.int64)}, "which takes input_ids. missing: input_ids; unknown: ids."),
        ({"input_ids": np.array([[0.5, 1.0]])}, "'input_ids' is given as float64, but the model takes int64."),
        ({"input_ids": np.array([[2**40]]).astype(np.uint64) * 2**23}, "given as uint64"),
    ],
)
def test_names_and_dtypes_are_looked_at_before_the_model_runs(arrays: Any, wanted: str) -> None:
    folder = store_inputs(arrays, Workspace.find())
    with pytest.raises(ModelError, match=re.escape(wanted)):
        read_cases(folder, [InputSpec("input_ids", "int64", ("batch", "sequence"), "ids")])


def test_a_file_that_holds_no_arrays_is_wrong_usage(porting: Run, setting: Path) -> None:
    (setting / "text.npz").write_text("no arrays")
    np.savez("whole.npz", input=np.zeros((2, 6), np.float32))
    (setting / "cut.npz").write_bytes((setting / "whole.npz").read_bytes()[:200])
    np.savez("pickled.npz", input=np.array([{}], object))
    for name in ("text.npz", "cut.npz", "pickled.npz", "."):
        ended = porting("check", "small_models:narrow", *ON, "--inputs", name)
        assert ended.code == 2
        assert "numpy.savez" in ended.complaint() or "no array of real numbers" in ended.complaint()


def test_inputs_that_fit_are_used_at_their_own_sizes(porting: Run) -> None:
    generator = np.random.default_rng(1)
    for rows in (3, 5, 8):
        np.savez(f"{rows}.npz", input=generator.standard_normal((rows, 6)))  # in double precision, as people have them
    options = [word for rows in (3, 5, 8) for word in ("--inputs", f"{rows}.npz")]
    result = porting("check", "small_models:narrow", *ON, *options, "--format", "json").json()[0]
    assert result["outcome"] == "pass"
    assert [case["name"] for case in result["cases"]] == [
        "given-1",
        "given-2",
        "given-3",
        "given-1-rolled",
    ]  # no two alike in size
    assert result["axes"] == {"batch": "dynamic"}
    assert result["reproduce"].count("--inputs") == 3
    again = porting(*result["reproduce"].split()[1:], "--format", "json").json()[0]
    assert again["key"] == result["key"]
