"""`porting locate` and `porting reduce` as a person meets them; how well they find things is tests/test_diagnose.py's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_kit import Run

MODELS = str(Path(__file__).parents[1] / "planted_models.py")
MODEL = f"{MODELS}:perceptron"


def test_locate_tells_the_operators_and_their_source_lines(porting: Run) -> None:
    ended = porting("locate", MODEL, "planted:sign-Gemm:fp32")
    assert ended.code == 1
    assert "operators are wrong by themselves" in ended.out
    assert "Gemm" in ended.out
    assert "planted_models.py:" in ended.out
    assert "one operator of each kernel" in ended.err
    (found,) = porting("locate", MODEL, "planted:sign-Gemm:fp32", "--format", "json").json()
    assert {blamed["operator"] for blamed in found["blamed"]} == {"Gemm"}
    assert found["processes"] == 0, "what was found out is kept"


def test_a_form_is_looked_into_along_the_route_it_was_made(porting: Run) -> None:
    told = (f"{MODELS}:encoder", "planted:sign-Gelu:fp32", "--format", "json")
    (found,) = porting("locate", *told).json()
    assert {blamed["operator"] for blamed in found["blamed"]} == {"Gelu"}
    spread = porting("locate", *told, "--route", "expand=Gelu")
    assert (spread.code, spread.json()[0]["verdict"], spread.json()[0]["blamed"]) == (0, "right", [])


def test_locate_ends_well_where_nothing_is_wrong(porting: Run) -> None:
    ended = porting("locate", MODEL, "onnxruntime:cpu:fp32")
    assert ended.code == 0
    assert "so is every operator by itself" in ended.out


def test_a_target_that_takes_programs_is_looked_into_along_them(porting: Run) -> None:
    (found,) = porting("locate", MODEL, "planted_program:sign-relu:fp32", "--format", "json").json()
    assert {blamed["operator"] for blamed in found["blamed"]} == {"aten.relu.default"}


def test_reduce_writes_a_folder_of_the_cases_own_name(porting: Run, setting: Path) -> None:
    ended = porting("reduce", MODEL, "planted:refuse-Softmax:fp32")
    assert ended.code == 0, ended.err
    folder = setting / "planted_models.py-perceptron-planted-refuse-Softmax-fp32"
    assert f"wrote {folder.name}" in ended.out
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "backend", "case.json", "expected.npz", "inputs.npz", "model.onnx", "reproduce.py",
    }  # fmt: skip
    case = json.loads((folder / "case.json").read_text())
    assert (case["failure"], case["operators"]) == ("exception", ["Softmax"])
    assert str(setting.parent) not in (folder / "README.md").read_text()


def test_there_is_nothing_to_reduce_where_nothing_is_wrong(porting: Run) -> None:
    ended = porting("reduce", MODEL, "planted:none:fp32", "--out", "case")
    assert ended.code == 1
    assert "nothing to reduce" in ended.complaint()
    assert not Path("case").exists()


@pytest.mark.parametrize(
    ("model", "target", "says"),
    [
        (MODEL, "planted:none:fp32 --form pt2", "takes no pt2 form; it takes onnx"),
        (MODEL, "planted:none:fp32 --route host=Gemm", "makes parts of a model"),
        (MODEL, "planted_program:none:fp32 --route expand=Gelu", "is for no pt2 form"),
        (MODEL, "planted:none:fp32 --route whatever", "there is no change 'whatever' of a route"),
        (MODEL, "onnxruntime:cpu:int8", "quantises a model as a whole"),
        (MODEL, "onnxruntime:cpu:fp33", "unknown precision"),
        ("timm/*", "onnxruntime:cpu:fp32", "one can be looked into at a time"),
        ("nobody/knows", "onnxruntime:cpu:fp32", "nobody/knows"),
    ],
)
def test_what_cannot_be_looked_into_is_refused_in_one_line(porting: Run, model: str, target: str, says: str) -> None:
    for verb in ("locate", "reduce"):
        ended = porting(verb, model, *target.split())
        assert ended.code == 2
        assert says in ended.complaint()


def test_a_target_that_is_not_here_is_not_looked_into(porting: Run) -> None:
    ended = porting("locate", MODEL, "onnxruntime:cuda:fp32")
    assert ended.code == 3
    assert "is not here" in ended.complaint()


def test_explain_names_the_commands_that_look_into_a_failure(porting: Run) -> None:
    porting("check", MODEL, "--on", "planted:sign-Gemm:fp32,planted:none:fp32")
    text = porting("explain", MODEL, "planted:sign-Gemm:fp32").out
    assert f"porting locate {MODEL} planted:sign-Gemm:fp32" in text
    assert f"porting reduce {MODEL} planted:sign-Gemm:fp32" in text
    assert "porting locate" not in porting("explain", MODEL, "planted:none:fp32").out


def test_explain_tells_which_operators_were_located(porting: Run) -> None:
    target = "planted:scale-Softmax:fp32"
    porting("check", MODEL, "--on", target)
    assert "located" not in porting("explain", MODEL, target).out
    porting("locate", MODEL, target)
    text = porting("explain", MODEL, target).out
    assert "located     operators are wrong by themselves" in text
    assert "Softmax (mismatch) at " in text
    (found,) = porting("explain", MODEL, target, "--format", "json").json()
    assert [blamed["operator"] for blamed in found["located"]["blamed"]] == ["Softmax"]


def test_explain_and_unlock_tell_the_smallest_case(porting: Run) -> None:
    target = "planted:sign-Softmax:fp32"
    porting("check", MODEL, "--on", target)
    assert "reduced to" not in porting("explain", MODEL, target).out
    assert porting("reduce", MODEL, target, "--out", "case").code == 0
    text = porting("explain", MODEL, target).out
    assert "reduced to  Softmax of float32[" in text
    assert str(Path("case").resolve()) in text
    remedy = next(row["remedy"] for row in porting("unlock", target, "--format", "json").json() if "remedy" in row)
    assert (remedy["case"]["operators"], remedy["case"]["kind"]) == (["Softmax"], "mismatch")
    shutil.rmtree("case")
    (found,) = porting("explain", MODEL, target, "--format", "json").json()
    assert (found["reduced"]["operators"], found["reduced"]["folder"]) == (["Softmax"], "")


@pytest.mark.slow
def test_a_reduction_that_was_killed_goes_on(cache: Path, porting: Run) -> None:
    arguments = ["reduce", f"{MODELS}:gated", "planted:scale-Sigmoid:fp32", "--out", "case"]
    line = [sys.executable, "-m", "porting", *arguments]
    process = subprocess.Popen(
        line, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    before = set(cache.glob("diagnose/*/journal.jsonl"))
    tried: list[bytes] = []
    while len(tried) < 2 and process.poll() is None:
        time.sleep(0.05)
        journals = set(cache.glob("diagnose/*/journal.jsonl")) - before
        tried = [each for path in journals for each in path.read_bytes().splitlines() if each.startswith(b'["case ')]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("case").exists()
    (found,) = porting(*arguments, "--format", "json").json()
    assert found["located"]["processes"] == 0
    assert found["tries"] > 0
    (again,) = porting(*arguments, "--format", "json").json()
    assert again["tries"] == 0
    assert again["bytes"] == found["bytes"]
