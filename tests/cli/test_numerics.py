"""`porting numerics`: the table, what a changed rule shows, and what the exit status means."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_kit import Run

MODEL = "sample_models:two_outputs"
ANSWERS = ("numerics", MODEL, "--faults", "answers")


def test_the_table_counts_what_is_caught_at_each_precision(porting: Run) -> None:
    ended = porting(*ANSWERS)
    assert ended.code == 0, ended.err
    rows = {line[:32].strip(): line[32:].split() for line in ended.out.splitlines()}
    assert rows["planted in the answer"] == ["fp32", "fp16", "bf16"]
    assert rows["one NaN"] == ["1", "caught"] * 3
    assert rows["twice eager's noise"] == ["1", "pass"] * 3
    assert "fp32: factor 5, floor 1e-06, ceiling 0.001, flips 0" in ended.out
    assert "planted in the model" not in ended.out


def test_a_program_gets_one_array_with_a_row_a_planted_thing_and_precision(porting: Run) -> None:
    rows = porting(*ANSWERS, "--precision", "fp32", "--format", "json").json()
    planted = [r for r in rows if r["kind"] == "answer"]
    assert {r["precision"] for r in planted} == {"fp32"}
    assert next(r for r in planted if r["planted"] == "one NaN") == {
        "kind": "answer", "planted": "one NaN", "precision": "fp32", "expected": "caught", "caught": 1, "passed": 0, "invalid": 0,
        "without_effect": 0, "wrong": [], "models": {MODEL: "caught"},
    }  # fmt: skip
    (margin,) = [r for r in rows if r["kind"] == "margin"]
    assert margin["of"] == "eager"
    assert 0 < margin["share"] <= 0.25


def test_a_rule_that_is_too_strict_fails_and_says_what_it_costs(porting: Run) -> None:
    ended = porting(*ANSWERS, "--precision", "fp32", "--factor", "1.5", "--floor", "1e-9")
    assert ended.code == 1
    assert "factor 1.5, floor 1e-09, ceiling 0.001, flips 0 (now: factor 5," in ended.out
    assert "trials are judged otherwise than by the rule as it is" in ended.out
    assert [line.split() for line in ended.out.splitlines() if line.startswith("twice eager's noise  fp32")] == [
        ["twice", "eager's", "noise", "fp32", MODEL, "passed", "caught"],
        ["twice", "eager's", "noise", "fp32", "passed", MODEL],
    ]


def test_a_rule_that_is_too_lax_fails_too(porting: Run) -> None:
    ended = porting(*ANSWERS, "--precision", "fp32", "--floor", "0.5", "--ceiling", "0.5", "--format", "json")
    assert ended.code == 1
    changes = [r for r in ended.json() if r["kind"] == "change"]
    assert {
        "kind": "change",
        "planted": "x 1.1",
        "precision": "fp32",
        "model": MODEL,
        "before": "caught",
        "after": "passed",
    } in changes


def test_recorded_passes_are_shown_with_their_margins(porting: Run) -> None:
    assert porting("check", MODEL, "--on", "onnxruntime:cpu:fp32").code == 0
    rows = porting(*ANSWERS, "--precision", "fp32", "--format", "json").json()
    assert [r["of"] for r in rows if r["kind"] == "margin"] == ["eager", "onnxruntime:cpu:fp32"]


def test_faults_are_planted_in_the_model_in_a_job_of_their_own(porting: Run) -> None:
    ended = porting("numerics", MODEL, "--faults", "model", "--precision", "fp32", "--format", "json")
    assert ended.code == 0, ended.err
    found = {r["planted"]: r for r in ended.json() if r["kind"] == "fault"}
    assert found["GELU: tanh for erf, erf for tanh"]["caught"] == 1
    assert found["BatchNorm statistics lost"]["without_effect"] == 1


@pytest.mark.parametrize("model", ["sample_models:nan_output", "sample_models:random_output", "sample_models:raises"])
def test_a_model_without_a_usable_reference_makes_the_run_incomplete_or_invalid_and_is_named(porting: Run, model: str) -> None:
    ended = porting("numerics", model, MODEL, "--precision", "fp32", "--faults", "answers", "--format", "json")
    rows = ended.json()
    if model == "sample_models:nan_output":
        (row,) = [r for r in rows if r.get("planted") == "all zeros"]
        assert row["models"] == {model: "invalid", MODEL: "caught"}
        assert ended.code == 0
    else:
        assert ended.code == 3
        assert [r["message"].split(":")[1] for r in rows if r["kind"] == "note"] == [model.split(":")[1]]


def test_wrong_usage_is_told_in_one_line(porting: Run) -> None:
    assert "--precision takes fp32, fp16, bf16; got 'fp8'" in porting(*ANSWERS, "--precision", "fp8").err
    assert porting(*ANSWERS, "--precision", "fp8").code == 2
    assert porting("numerics", "no/such-model").code == 2


def test_the_command_itself_never_imports_torch() -> None:
    code = (
        "import sys\nfrom porting.cli import run\n"
        f"status = run({[*ANSWERS, '--precision', 'fp32']!r})\n"
        "print(status, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.stderr.splitlines()[-1] == "0 False", done.stderr
