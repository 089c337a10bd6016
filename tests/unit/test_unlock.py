"""Unlock: what stands between recorded cells and a pass, and what to mend first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porting.cli import run
from porting.diagnose.blockers import Blocker, blockers, operators
from porting.diagnose.notes import Smallest
from porting.diagnose.unlock import blocked_cells, plan, remedies, weights
from porting.store import Store
from porting.types import CaseNumbers, Cause, Evidence, Outcome, OutputNumbers, Placement, Result, Stage

TARGET = "static:mlu:fp32"


def cell(model: str, outcome: Outcome = Outcome.PASS, cause: Cause | None = None, message: str = "", **more: Any) -> Result:
    values = {"stage": Stage.CONVERT, "evidence": Evidence.STATIC, "family": model.partition("-")[0], **more}
    return Result(model, values.pop("target", TARGET), outcome=outcome, cause=cause, message=message, **values)


def left_out(model: str, *names: str, **more: Any) -> Result:
    detail = {"listed": 9, **{f"{name} (not in the list)": 2 for name in names}}
    return cell(model, Outcome.DEGRADED, Cause.FALLBACK, placement=Placement(9, 2, "mlu", detail), **more)


def test_operators_that_the_target_took_are_no_blockers() -> None:
    detail = {"Add (ND)": 4, "Multiply (ND, X32)": 2, "aten::mm (left to ExecuTorch)": 1, "aten::foo (not PyTorch's own)": 1}
    degraded = cell("m", Outcome.DEGRADED, Cause.FALLBACK, placement=Placement(6, 2, "XnnpackBackend", detail))
    assert {b.name for b in blockers(degraded)} == {"aten::mm", "aten::foo"}


def off(by: float) -> dict[str, Any]:
    return {"cases": (CaseNumbers("a", (OutputNumbers("y", rel_norm=by, allowed_rel_norm=1.0),)),), "stage": Stage.COMPARE}


@pytest.mark.parametrize(
    ("result", "kind", "names"),
    [
        (left_out("m", "aten::isneginf", "aten::bucketize.Tensor"), "operator", {"aten::isneginf", "aten::bucketize"}),
        (cell("m", Outcome.DEGRADED, Cause.FALLBACK, placement=Placement(9, 2, "x", {"CPU": 2})), "placement", None),
        (cell("m", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, "Lowering not found: aten.roll"), "operator", {"aten::roll"}),
        (cell("m", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, "no kernel"), "bug", {"no kernel"}),
        (
            cell("m", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_DTYPE, "aten::arange.out: Maker lacks float64, called at a.py:1"),
            "dtype",
            {"float64"},
        ),
        (
            cell("m", Outcome.FAIL, Cause.EXCEPTION, "Could not guard on data-dependent expression", stage=Stage.EXPORT),
            "shape",
            {"sizes that depend on data"},
        ),
        (cell("m", Outcome.FAIL, Cause.TIMEOUT, "no result"), "limit", {"timeout"}),
        (cell("m", Outcome.FAIL, Cause.CRASH, "the process crashed (SIGSEGV)"), "bug", {"the process crashed (SIGSEGV)"}),
        (cell("m", Outcome.MISMATCH, Cause.TOLERANCE, **off(1.5)), "wrong numbers", {"off by up to twice what is allowed"}),
        (cell("m", Outcome.MISMATCH, Cause.TOLERANCE, **off(3.0)), "wrong numbers", {"off by more than twice what is allowed"}),
    ],
)  # fmt: skip
def test_a_record_tells_what_stands_in_the_way(result: Result, kind: str, names: set[str] | None) -> None:
    found = blockers(result)
    assert {each.kind for each in found} == {kind}
    assert names is None or {each.name for each in found} == names


@pytest.mark.parametrize(
    "outcome", [Outcome.PASS, Outcome.INVALID, Outcome.UNAVAILABLE, Outcome.SKIPPED, Outcome.MISSING], ids=lambda o: o.value
)
def test_what_passes_or_says_nothing_about_the_target_is_not_counted(outcome: Outcome) -> None:
    assert blockers(cell("m", outcome, Cause.HARNESS, "something")) == frozenset()


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("Could not find an implementation for Where(16) node with name 'a'", ["Where"]),
        ("AssertionError: Unsupported function types ['sym_min', 'sym_float', 'truediv']", ["sym_min", "sym_float", "truediv"]),
        ("These Op Not Support: ONNX::Col2Im | ONNX::Roll", ["Col2Im", "Roll"]),
        ("has no layer for Tensor.reshape, torch.unbind; it said: rank 5", ["Tensor.reshape", "torch.unbind"]),
        ("failed to legalize operation 'tfl.pow' that was explicitly marked illegal", ["tfl.pow"]),
        ("nothing of the kind", []),
    ],
)
def test_operators_are_read_from_messages(message: str, names: list[str]) -> None:
    assert list(operators(message)) == names


def test_a_remedy_turns_only_cells_that_have_no_other_reason() -> None:
    results = [left_out("a", "Gelu"), left_out("b", "Gelu", "IsNaN"), left_out("c", "IsNaN"), cell("d")]
    found = {each.name: each for each in remedies(blocked_cells(results, {}), weights(results))}
    assert [(found[n].turns, found[n].blocks) for n in ("Gelu", "IsNaN")] == [(1, 2), (1, 2)]
    assert (found["Gelu"].model, found["Gelu"].others) == ("a", 0)


def test_a_large_family_counts_as_one_model() -> None:
    results = [*(left_out(f"big-{n}", "Gelu") for n in range(20)), left_out("one", "IsNaN"), left_out("two", "IsNaN")]
    first, second = remedies(blocked_cells(results, {}), weights(results))
    assert (first.name, first.weight, first.turns) == ("IsNaN", 2.0, 2)
    assert (second.name, second.weight, second.turns, second.families) == ("Gelu", 1.0, 20, 1)


def test_the_smallest_case_has_the_fewest_reasons_and_then_the_smallest_model() -> None:
    results = [left_out("large", "Gelu"), left_out("small", "Gelu"), left_out("tiny", "Gelu", "IsNaN")]
    found = remedies(blocked_cells(results, {"large": 9, "small": 2, "tiny": 1}), weights(results))
    assert next(each.model for each in found if each.name == "Gelu") == "small"


def test_a_remedy_has_the_smallest_case_that_shows_it() -> None:
    results = [left_out("a", "aten::gelu"), left_out("b", "aten::gelu"), left_out("c", "aten::gelu", "aten::relu")]
    cases = {
        ("a", TARGET): Smallest("exception", "1", ("gelu",), {"x": "float32[4]"}, 90),
        ("b", TARGET): Smallest("exception", "1", ("gelu",), {"x": "float32[1]"}, 60),
        ("c", TARGET): Smallest("exception", "2", ("relu",), {"x": "float32[1]"}, 30),
    }
    found = {r.name: r.case for r in remedies(blocked_cells(results, {}, cases), weights(results))}
    assert found == {"aten::gelu": cases["b", TARGET], "aten::relu": cases["c", TARGET]}
    assert str(found["aten::gelu"]) == "gelu of float32[1] (60 bytes)"


def test_a_case_of_a_cell_with_several_reasons_speaks_for_no_bug() -> None:
    crash = cell("m", Outcome.FAIL, Cause.CRASH, "the process crashed (SIGSEGV)")
    case = Smallest("crash", "1", ("Conv",), {"x": "float32[1]"}, 30)
    (alone,) = remedies(blocked_cells([crash], {}, {("m", TARGET): case}), weights([crash]))
    assert alone.case == case
    (blocked,) = blocked_cells([crash], {}, {("m", TARGET): case})
    both = replace(blocked, blockers=blocked.blockers | {Blocker("dtype", "float64")})
    assert {r.case for r in remedies([both], weights([crash]))} == {None}


def test_an_operator_is_one_remedy_on_all_targets_and_a_bug_is_one_targets_own() -> None:
    crash = (Outcome.FAIL, Cause.CRASH, "the process crashed (SIGSEGV)")
    results = [cell("a", *crash, target=t) for t in ("x:cpu:fp32", "y:cpu:fp32")]
    results += [left_out("a", "Gelu", target=t) for t in ("v:npu:fp32", "w:npu:fp32")]
    found = remedies(blocked_cells(results, {}), weights(results))
    assert [(each.kind, each.targets) for each in found] == [("operator", 2), ("bug", 1), ("bug", 1)]


def test_a_plan_takes_together_what_only_together_brings_anything() -> None:
    results = [*(left_out(f"m{n}", "Gelu", "IsNaN") for n in range(5)), left_out("z", "If"), cell("p")]
    cells = blocked_cells(results, {})
    found = plan(TARGET, results, cells, weights(results), steps=3)
    assert (found.passing, found.blocked, found.evidence) == (1, 6, "static")
    assert [(step.remedies, step.cells) for step in found.steps] == [
        (("operator: Gelu", "operator: IsNaN"), 5),
        (("operator: If",), 6),
    ]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTING_HOME", str(tmp_path / "home"))
    path = str(tmp_path / "results.db")
    with Store.open(path) as records:
        for result in (
            left_out("a", "Gelu"),
            left_out("b", "Gelu", target="static:npu:fp32"),
            cell("c"),
            left_out("onnx/node/test_x", "Y"),
        ):
            records.append(result)
    return path


def test_the_command_tells_remedies_and_plans_in_words_and_for_programs(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["unlock", "--store", store]) == 0
    text = capsys.readouterr().out
    assert "Gelu" in text
    assert "static:npu:fp32 (static): 0 pass, 1 are blocked" in text
    assert run(["unlock", "--store", store, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["remedy"]["name"] for each in found if "remedy" in each] == ["Gelu"]
    assert [each["plan"]["target"] for each in found if "plan" in each] == ["static:mlu:fp32", "static:npu:fp32"]


def test_the_command_takes_targets_by_glob_and_says_when_there_are_none(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["unlock", "static:n*", "--store", store, "--format", "json"]) == 0
    assert [each["remedy"]["blocks"] for each in json.loads(capsys.readouterr().out) if "remedy" in each] == [1]
    assert run(["unlock", "nobody:*", "--store", store]) == 2
    assert "no results of such targets" in capsys.readouterr().err


def test_a_remedy_names_the_change_that_is_known_to_answer_it() -> None:
    cells = blocked_cells([left_out("m", "Gelu", "Conv")], {})
    assert {r.name: r.known for r in remedies(cells, weights(cells))} == {"Gelu": ("expand=Gelu",), "Conv": ()}
