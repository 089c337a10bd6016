"""Node cases by themselves: what is right and what is not, what is known of wrong ones, how they are counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from porting import registry
from porting.errors import CatalogError
from porting.operators import coverage, known
from porting.operators.judge import ROUNDED, TOLERANCES, judge
from porting.operators.suite import NodeCase
from porting.types import Outcome, Precision, Result, Stage

FP32 = Precision.FP32
ADAPTERS = [name for name in registry.names() if known.known_of(name)]


def case(name: str = "test_case", **more: Any) -> NodeCase:
    plain = NodeCase(name, "Add", "", 14, False, False, "", 1e-3, 1e-7, (), (), "")
    return dataclasses.replace(plain, **more)


def said(actual: Any, expected: Any, precision: Precision = FP32, **more: Any) -> tuple[Outcome, str]:
    """Outcome and cause of a case with one output."""
    verdict = judge(case(**more), {"y": np.asarray(actual)}, {"y": np.asarray(expected)}, precision)
    return verdict.outcome, verdict.cause.value if verdict.cause else ""


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


# ---- the pass rule ------------------------------------------------------------------------------------------------


def test_nan_matches_nan_and_an_infinity_its_own_sign() -> None:
    odd = f32(np.nan, np.inf, -np.inf, 1)
    assert said(odd, odd) == (Outcome.PASS, "")
    for place, value in ((0, 1.0), (1, np.nan), (1, 3.4028235e38), (1, -np.inf), (3, np.nan), (3, np.inf)):
        wrong = odd.copy()
        wrong[place] = value
        assert said(wrong, odd) == (Outcome.MISMATCH, "nonfinite")


def test_an_element_may_be_off_by_a_part_of_itself_or_of_the_largest() -> None:
    right = f32(1000, 1, 0)
    assert said(right * np.float32(1 + 5e-5), right)[0] is Outcome.PASS
    assert said(right * np.float32(1 + 2e-4), right) == (Outcome.MISMATCH, "tolerance")
    assert said(f32(1000, 1, 1e-3), right)[0] is Outcome.PASS, "as far as sums of a thousand cancel"
    assert said(f32(1000, 1, 1e-2), right) == (Outcome.MISMATCH, "tolerance")


@pytest.mark.parametrize(("dtype", "off"), [(np.float16, 2e-3), (ml_dtypes.bfloat16, 1.6e-2)])
def test_an_output_of_a_coarser_dtype_may_be_off_by_its_own_rounding(dtype: Any, off: float) -> None:
    right = np.array([1, 2, 3], dtype)
    assert said((right * (1 + off)).astype(dtype), right)[0] is Outcome.PASS
    assert said((right * 1.1).astype(dtype), right) == (Outcome.MISMATCH, "tolerance")


def test_a_coarser_precision_allows_more_and_never_a_tenth() -> None:
    right = f32(1, 2, 3)
    for precision, tolerance in TOLERANCES.items():
        assert said(right * np.float32(1 + tolerance.rtol / 2), right, precision)[0] is Outcome.PASS
        assert said(right * np.float32(1.1), right, precision)[0] is Outcome.MISMATCH


def test_values_written_with_four_digits_keep_the_tolerance_they_came_with() -> None:
    assert said(f32(0.15105), f32(0.1511))[0] is Outcome.MISMATCH
    assert said(f32(0.15105), f32(0.1511), name=min(ROUNDED))[0] is Outcome.PASS


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_mask_value_excuses_no_other_element(dtype: Any) -> None:
    lowest = ml_dtypes.finfo(dtype).min
    right, wrong = np.array([1, lowest], dtype), np.array([2, lowest], dtype)
    assert said(right, right)[0] is Outcome.PASS
    assert said(wrong, right) == (Outcome.MISMATCH, "tolerance")


@pytest.mark.parametrize("dtype", ["int8", "uint64", "bool"])
def test_integers_and_bools_have_to_be_equal(dtype: str) -> None:
    right = np.array([1, 0, 1], dtype)
    assert said(right, right)[0] is Outcome.PASS
    assert said(np.array([1, 1, 1], dtype), right) == (Outcome.MISMATCH, "tolerance")


def test_structure_comes_first() -> None:
    right = f32(1, 2)
    for wrong in (right[:1], right[None], right.astype(np.float64), right.astype(np.int32)):
        assert said(wrong, right) == (Outcome.MISMATCH, "output_structure")
    for answer in ({}, {"z": right}, {"y": right, "z": right}, None):
        assert judge(case(), answer, {"y": right}, FP32).outcome is Outcome.MISMATCH


def test_what_is_drawn_by_chance_is_no_pass_and_its_structure_counts_all_the_same() -> None:
    assert said(f32(1, 2), f32(3, 4), random=True) == (Outcome.SKIPPED, "")
    assert said(f32(1), f32(3, 4), random=True) == (Outcome.MISMATCH, "output_structure")


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_scalars_and_empty_outputs_are_compared(shape: tuple[int, ...]) -> None:
    right = np.full(shape, 2.0, np.float32)
    assert said(right, right)[0] is Outcome.PASS
    if right.size:
        assert said(right + 1, right)[0] is Outcome.MISMATCH


def test_a_complaint_names_the_first_wrong_element() -> None:
    verdict = judge(case(), {"y": f32(1, 5)}, {"y": f32(1, 2)}, FP32)
    assert "output y: 1 of 2 elements" in verdict.message
    assert "at [1] 5.0, expected 2.0" in verdict.message


# ---- what is known ------------------------------------------------------------------------------------------------

ENTRY = """
[[known]]
cases = ["test_tile*"]
outcome = "mismatch"
kind = "backend-bug"
version = "1.0"
targets = ["*:cpu:*"]
reason = "Tile is wrong"
"""


def result(name: str, outcome: Outcome, target: str = "faulty:cpu:fp32", message: str = "") -> Result:
    return Result(f"onnx/node/{name}", target, Stage.COMPARE, outcome, message=message)


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[known.Known, ...]:
    path = tmp_path / "operators.toml"
    path.write_text(ENTRY)
    found = known.read(path)
    monkeypatch.setattr(known, "known_of", lambda _: found)
    return found


def test_an_entry_explains_its_own_cases_targets_and_outcome(entries: tuple[known.Known, ...]) -> None:
    (entry,) = entries
    assert known.explanation(result("test_tile", Outcome.MISMATCH)) is entry
    assert known.explanation(result("test_tile_precomputed", Outcome.MISMATCH)) is entry
    assert known.explanation(result("test_tile", Outcome.FAIL)) is None, "a wrong answer explains no crash"
    assert known.explanation(result("test_add", Outcome.MISMATCH)) is None
    assert known.explanation(result("test_tile", Outcome.MISMATCH, "faulty:gpu:fp32")) is None


def test_what_is_known_as_wrong_and_right_now_is_found(entries: tuple[known.Known, ...]) -> None:
    right, wrong = result("test_tile", Outcome.PASS), result("test_tile", Outcome.MISMATCH)
    assert known.mended([right, wrong]) == [right]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "backend-bug"', 'kind = "bad luck"', "kind is one of"),
        ('outcome = "mismatch"', 'outcome = "pass"', "outcome mismatch or fail"),
        ('version = "1.0"', "", "has no version"),
        ('version = "1.0"', "version = 1.0", "version is not known, or of another type"),
        ('version = "1.0"', 'versions = "1.0"', "versions is not known"),
        ("[[known]]", "[[unknown]]", "there are only"),
        ("[[known]]", "[[known]", "cannot be read"),
    ],
)
def test_a_file_that_is_not_valid_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "operators.toml"
    path.write_text(ENTRY.replace(old, new))
    with pytest.raises(CatalogError, match=words):
        known.read(path)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_entries_of_the_built_in_adapters_say_something(adapter: str) -> None:
    for entry in known.known_of(adapter):
        assert len(entry.reason) > 20
        assert len(entry.reason) < 160


def test_what_is_known_decides_no_result(tmp_path: Path) -> None:
    labels = [label for label, _ in registry._sources(registry._find("openvino"))]
    assert "openvino/adapter.py" in labels
    assert "openvino/operators.toml" not in labels


# ---- counting -----------------------------------------------------------------------------------------------------


def test_counts_say_how_many_of_those_tested_are_right() -> None:
    counts = Counter({Outcome.PASS: 3, Outcome.DEGRADED: 1, Outcome.MISMATCH: 2, Outcome.SKIPPED: 4})
    assert coverage.words(counts) == "4/6, 1 degraded, 2 mismatch, 4 not tested"


def test_cases_are_counted_by_what_is_asked() -> None:
    cases = [case("test_a", opset=13), case("test_b", opset=14), case("test_c", operator="Mul", opset=14)]
    found = {("onnx/node/test_a", "t"): result("test_a", Outcome.PASS, "t")}
    by_operator = coverage.lines(cases, found, ["t"], lambda c: c.subject)
    assert [(line.name, line.cases, sorted(line.opsets)) for line in by_operator] == [("Add", 2, [13, 14]), ("Mul", 1, [14])]
    assert by_operator[0].by_target["t"] == {Outcome.PASS: 1, Outcome.MISSING: 1}
    assert [line.name for line in coverage.lines(cases, found, ["t"], lambda c: str(c.opset))] == ["13", "14"]


def test_wrong_cases_are_grouped_by_explanation_those_without_first(entries: tuple[known.Known, ...]) -> None:
    results = [
        result("test_tile", Outcome.MISMATCH, message="one"),
        result("test_tile_two", Outcome.MISMATCH, message="two"),
        result("test_add", Outcome.FAIL, message="boom"),
        result("test_mul", Outcome.FAIL, message="boom"),
        result("test_ok", Outcome.PASS),
        result("test_no", Outcome.UNSUPPORTED),
    ]
    found = [(group.known, [r.model.rpartition("/")[2] for r in group.results]) for group in coverage.wrong(results)]
    assert found == [(None, ["test_add", "test_mul"]), (entries[0], ["test_tile", "test_tile_two"])]


# ---- the suite ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_suite_is_written_and_every_known_case_is_in_it(tmp_path: Path) -> None:
    from fnmatch import fnmatchcase

    from porting.operators import suite

    assert suite.write({"folder": str(tmp_path / "suite")}, None, None) > 1700
    found = suite._read(tmp_path / "suite")
    tested = [c for c in found.cases if not c.untested]
    assert len(tested) > 1500
    for one in tested:
        assert found.expected(one).keys() == {spec.name for spec in one.outputs}
        assert [str(a.dtype) for a in found.expected(one).values()] == [spec.dtype for spec in one.outputs]
    names = [c.name for c in tested]
    globs = [glob for adapter in ADAPTERS for entry in known.known_of(adapter) for glob in entry.cases]
    assert [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)] == []
    assert {c.name for c in found.cases if c.random} >= {"test_bernoulli", "test_training_dropout", "test_bernoulli_expanded"}
    assert set(names) >= ROUNDED
