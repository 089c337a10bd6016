"""`porting ops`: node cases on real and on faulty targets, what is recorded, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import node_cases
import pytest
from cli_kit import Ended, Run

TESTS = Path(__file__).parents[1]
ORT = "onnxruntime:cpu:fp32"
THREE = ("--case", "test_add", "--case", "test_relu", "--case", "test_split_equal_parts_1d_opset13")
FAULTS = {
    "none": ("compare", "pass", None),
    "nan": ("compare", "mismatch", "nonfinite"),
    "one_nan": ("compare", "mismatch", "nonfinite"),
    "inf": ("compare", "mismatch", "nonfinite"),
    "sign": ("compare", "mismatch", "tolerance"),
    "scale": ("compare", "mismatch", "tolerance"),
    "zeros": ("compare", "mismatch", "tolerance"),
    "low_precision": ("compare", "mismatch", "tolerance"),
    "drop": ("compare", "mismatch", "output_structure"),
    "extra": ("compare", "mismatch", "output_structure"),
    "empty": ("compare", "mismatch", "output_structure"),
    "dtype": ("compare", "mismatch", "output_structure"),
    "shape": ("compare", "mismatch", "output_structure"),
    "fallback": ("compare", "unsupported", "fallback"),
    "cannot_tell": ("compare", "fail", "nothing_executed"),
    "partial": ("compare", "degraded", "fallback"),
    "convert_abort": ("convert", "fail", "crash"),
    "exit0_convert": ("convert", "fail", "crash"),
    "load_segfault": ("load", "fail", "crash"),
    "run_segfault": ("run", "fail", "crash"),
    "exit0_run": ("run", "fail", "crash"),
    "hang": ("run", "fail", "hang"),
    "loop": ("run", "fail", "timeout"),
    "no_artifact": ("convert", "fail", "no_artifact"),
    "wrong_return": ("convert", "fail", "no_artifact"),
    "system_exit": ("convert", "fail", "exception"),
    "raises": ("run", "fail", "exception"),
    "not_utf8": ("run", "fail", "exception"),
    "chip-whole": ("convert", "pass", None),
    "chip-nothing": ("convert", "fail", "nothing_executed"),
}


@pytest.fixture(autouse=True)
def suite(cache: Path) -> Path:
    return node_cases.make_suite(cache)


def verdicts(ended: Ended) -> dict[str, tuple[str, str, str | None]]:
    """Stage, outcome and cause by case."""
    return {r["case"]: (r["stage"], r["outcome"], r["cause"]) for r in ended.json()}


# ---- a real backend -----------------------------------------------------------------------------------------------


def test_cases_are_counted_by_operator_and_by_opset(porting: Run) -> None:
    done = porting("ops", "--on", ORT)
    assert done.code == 0, done.out
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "Add 14 8/8" in lines
    assert "Relu 14 1/1" in lines
    assert "Relu (as function) 18 1/1" in lines
    assert any(re.fullmatch(r"Shape 25 (\d+)/\1, \1 degraded", line) for line in lines), "its answer is known while compiling"
    assert "ai.onnx.preview.training.Adagrad 1 0/2, 2 unsupported" in lines
    assert any(line.startswith("ai.onnx 14 ") for line in lines)
    assert any(line.startswith(f"{ORT}: ") and line.endswith("not tested") for line in lines)


def test_what_is_known_to_be_wrong_is_explained_and_no_failure(porting: Run) -> None:
    done = porting("ops", "--on", ORT, "--op", "MaxUnpool")
    assert done.code == 0
    assert "1 mismatch, spec, seen with" in done.out
    assert "NOT LOOKED INTO" not in done.out
    wrong = [r for r in porting("ops", "--on", ORT, "--op", "MaxUnpool", "--format", "json").json() if r["outcome"] == "mismatch"]
    assert [r["known"]["kind"] for r in wrong] == ["spec"]


def test_a_record_tells_the_case_and_how_to_do_it_again(porting: Run) -> None:
    (record,) = porting("ops", "--on", ORT, "--case", "test_add", "--format", "json").json()
    assert (record["case"], record["operator"], record["opset"], record["expanded"]) == ("test_add", "Add", 14, False)
    assert (record["model"], record["evidence"], record["known"]) == ("onnx/node/test_add", "host", None)
    assert record["placement"]["target_ops"] == 1
    assert [stage["name"] for stage in record["stages"]] == ["convert", "load", "run"]
    assert record["reproduce"] == f"porting ops --on {ORT} --case test_add"
    assert record["environment"]["onnx"]


def test_what_cannot_be_compared_is_no_pass(porting: Run) -> None:
    found = {r["case"]: r for r in porting("ops", "--on", ORT, "--format", "json").json()}
    assert found["test_identity_sequence"]["outcome"] == "skipped"
    assert "of a kind that adapters are not given: sequence" in found["test_identity_sequence"]["message"]
    assert found["test_training_dropout"]["outcome"] == "skipped"
    assert "drawn by chance" in found["test_training_dropout"]["message"]
    assert found["test_training_dropout_zero_ratio"]["outcome"] == "pass", "nothing is drawn there"


def test_unchanged_cases_are_not_run_again(porting: Run) -> None:
    first = porting("ops", "--on", ORT, "--op", "Add", "--format", "json")
    again = porting("ops", "--on", ORT, "--op", "Add", "--op", "Relu", "--format", "json")
    assert "8 with a result for the same contents" in again.err
    records = {r["case"]: r for r in again.json()}
    assert [records[r["case"]] for r in first.json()] == first.json()
    assert "0 with a result" in porting("ops", "--on", ORT, "--op", "Add", "--rerun").err


def test_a_run_that_was_interrupted_goes_on_where_it_was(porting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from porting.operators import run
    from porting.operators.chunk import ChunkRun

    whole, begun = ChunkRun.run, []

    def interrupted(self: ChunkRun) -> Any:
        begun.append(self)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(run, "CHUNK", 3)
    monkeypatch.setattr(ChunkRun, "run", interrupted)
    done = porting("ops", "--on", ORT, "--op", "Add", "--workers", 1)
    assert done.code == 3
    assert "goes on from there" in done.complaint()
    monkeypatch.setattr(ChunkRun, "run", whole)
    again = porting("ops", "--on", ORT, "--op", "Add", "--workers", 1, "--format", "json")
    assert "8 cells, 3 with a result for the same contents" in again.err
    assert {outcome for _, outcome, _ in verdicts(again).values()} == {"pass"}


# ---- faults -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faults(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One case on every faulty target, in one run."""
    node_cases.make_suite(cache)
    targets = ",".join(f"faulty:{fault}:fp32" for fault in FAULTS)
    home = tmp_path_factory.mktemp("faults")
    folders = (TESTS / "cli", TESTS, TESTS / "faulty_adapter", TESTS.parent)
    paths = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PORTING_HOME": str(home), "PORTING_CACHE": str(cache)}
    words = ["ops", "--on", targets, "--case", "test_relu", "--timeout", "6", "--silence", "3", "--format", "json"]
    line, environment = [sys.executable, "-m", "porting", *words], {**os.environ, **paths}
    done = subprocess.run(line, env=environment, cwd=home, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stderr
    return {r["target"].split(":")[1]: r for r in json.loads(done.stdout)}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_comes_back_as_what_it_is(faults: dict[str, Any], fault: str) -> None:
    record = faults[fault]
    assert (record["stage"], record["outcome"], record["cause"]) == FAULTS[fault], record["message"]
    if FAULTS[fault][1] != "pass":
        assert record["signature"]
        assert record["known"] is None


@pytest.mark.parametrize(("fault", "cause"), [("crash_on_sum", "crash"), ("hang_on_sum", "hang")])
def test_what_ends_a_process_is_laid_to_the_one_case(porting: Run, fault: str, cause: str) -> None:
    options = ("--workers", 1, "--timeout", 20, "--silence", 3, "--format", "json")
    chosen = [word for glob in ("test_adagrad", "test_add", "test_relu*", "test_split_*") for word in ("--filter", glob)]
    found = verdicts(porting("ops", "--on", f"faulty:{fault}:fp32", *chosen, *options))
    assert found.pop("test_adagrad") == ("load", "fail", "exception"), "an exception ends no process"
    assert found.pop("test_add") == ("run", "fail", cause)
    assert len(found) > 10
    assert {outcome for _, outcome, _ in found.values()} == {"pass"}, "the rest goes on in a new process"


def test_a_case_that_fails_only_after_others_is_right_alone_and_says_so(porting: Run) -> None:
    done = porting("ops", "--on", "faulty:crash_second:fp32", *THREE, "--workers", 1, "--format", "json")
    assert {outcome for _, outcome, _ in verdicts(done).values()} == {"pass"}
    notes = [note for record in done.json() for note in record["notes"]]
    assert len(notes) == 1
    assert "it ended a process that had worked 1 other cases before (the process crashed (SIGSEGV))" in notes[0]


def test_a_wrong_case_that_nobody_looked_into_is_said_to_be_so(porting: Run) -> None:
    done = porting("ops", "--on", "faulty:drop:fp32", *THREE)
    assert done.code == 1
    assert "faulty:drop:fp32: 1 mismatch, NOT LOOKED INTO: the answer lacks sum\n    test_add" in done.out


# ---- the store ----------------------------------------------------------------------------------------------------


def test_cases_lie_in_the_store_beside_models_and_reports_leave_them_out(porting: Run, tmp_path: Path) -> None:
    porting("ops", "--on", ORT, *THREE)
    assert porting("report").code == 2, "there is nothing else to show"
    shown = porting("report", "onnx/node/*", "--format", "json").json()
    assert [r["model"] for r in shown] == [f"onnx/node/{name}" for name in sorted(THREE[1::2])]
    assert "test_add" in porting("explain", "onnx/node/test_add", ORT).out
    exported = tmp_path / "cases.jsonl"
    porting("results", "export", exported)
    assert "3 new results" in porting("results", "import", exported, "--store", "other.db").out
    again = porting("ops", "--on", ORT, *THREE, "--store", "other.db")
    assert "3 with a result for the same contents" in again.err


def test_a_case_is_written_for_a_bug_report(porting: Run, tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    folder = tmp_path / "bugs"
    assert porting("ops", "--on", "faulty:sign:fp32", "--case", "test_add", "-o", folder).code == 1
    place = folder / "test_add"
    model = onnx.load(place / "model.onnx")
    tensors = {
        file.stem: numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
        for file in sorted((place / "test_data_set_0").iterdir())
    }
    assert list(tensors) == ["input_0", "input_1", "output_0"]
    (answer,) = ReferenceEvaluator(model).run(None, {"x": tensors["input_0"], "y": tensors["input_1"]})
    np.testing.assert_allclose(answer, tensors["output_0"])
    (record,) = json.loads((place / "results.json").read_text())
    assert (record["target"], record["outcome"]) == ("faulty:sign:fp32", "mismatch")


# ---- wrong usage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--on", "torch:cpu:fp32"), "takes pt2 programs, and node cases are ONNX models"),
        (("--on", ORT, "--case", "test_ad"), "Did you mean test_add"),
        (("--on", ORT, "--op", "Realu"), "Did you mean Relu"),
        (("--on", ORT, "--filter", "nothing*"), "no node case matches"),
        (("--on", ORT, "-o", "x"), "-o needs --case"),
        (("--on", ORT, "--case", "test_identity_sequence", "-o", "x"), "test_identity_sequence is not tested"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(porting: Run, arguments: tuple[str, ...], words: str) -> None:
    done = porting("ops", *arguments)
    assert done.code == 2
    assert words in done.complaint()


def test_targets_that_take_no_onnx_or_are_not_here_are_named(porting: Run) -> None:
    done = porting("ops", "--on", f"{ORT},torch:cpu:fp32,onnxruntime:cuda:fp32", "--case", "test_add")
    assert done.code == 3
    assert "torch:cpu:fp32 takes pt2 programs, and node cases are ONNX models: left out" in done.err
    assert "onnxruntime:cuda:fp32 is not here: " in done.err
    alone = porting("ops", "--on", "onnxruntime:cuda:fp32", "--case", "test_add")
    assert alone.code == 3
    assert "onnxruntime:cuda:fp32 is not here" in alone.complaint()


# ---- from Python ---------------------------------------------------------------------------------------------------


def test_node_cases_are_run_and_recorded_from_python() -> None:
    import porting
    from porting.errors import EnvironmentMissing, UsageError

    seen: list[str] = []
    results = porting.ops(["onnxruntime:cpu:fp32"], ["test_add", "test_relu"], on_event=lambda event: seen.append(event.kind))
    assert [(r.model, r.outcome.value) for r in results] == [("onnx/node/test_add", "pass"), ("onnx/node/test_relu", "pass")]
    assert "plan" in seen
    (again,) = porting.ops(["onnxruntime:cpu:fp32"], ["test_ad?"], ["Add"])
    assert again == results[0]
    for targets, cases, kind, words in (
        (["torch:cpu:fp32"], ["test_add"], UsageError, "takes pt2 programs"),
        (["onnxruntime:cuda:fp32"], ["test_add"], EnvironmentMissing, "is not here"),
        (["onnxruntime:cpu:fp32"], ["nothing"], UsageError, "no node case matches"),
    ):
        with pytest.raises(kind, match=words):
            porting.ops(targets, cases)
