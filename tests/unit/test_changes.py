"""What two sets of results differ in, and what is too little to be told."""

from __future__ import annotations

import dataclasses

import pytest
from sample_results import output, result

from porting.records.diff import Factors, diff
from porting.types import CaseNumbers, Cause, Evidence, Outcome, Perf, Result, Stage, StageTime

MIB = 1 << 20


def cell(outcome: Outcome = Outcome.PASS, evidence: Evidence | None = Evidence.HOST, **fields: object) -> Result:
    return result("a/b", "onnxruntime:cpu:fp32", outcome, evidence, **fields)


def passed(share: float = 0.2, **fields: object) -> Result:
    return cell(cases=(CaseNumbers("nominal", (output("y", 1e-3, share),)),), **fields)


def peak(size: int) -> tuple[StageTime, ...]:
    """Costs of a target's stage, below those of an export that differ every time."""
    return StageTime(Stage.EXPORT, 1.0, 1.0, (7000 - 3 * size) * MIB), StageTime(Stage.RUN, 1.0, 1.0, size * MIB)


def kinds(a: Result | None, b: Result | None, factors: Factors | None = None) -> list[str]:
    return [change.kind.value for change in diff([a] if a else [], [b] if b else [], factors).changes]


FAIL = {"outcome": Outcome.FAIL, "stage": Stage.CONVERT, "cause": Cause.EXCEPTION, "signature": "aaaaaa"}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (passed(), cell(Outcome.MISMATCH), ["broken"]),
        (cell(Outcome.DEGRADED), cell(Outcome.FAIL), ["broken"]),
        (cell(Outcome.FAIL), passed(), ["mended"]),
        (cell(Outcome.FAIL), cell(Outcome.MISMATCH), ["other outcome"]),
        (cell(**FAIL), cell(**FAIL), []),
        (cell(**FAIL), cell(**{**FAIL, "signature": "bbbbbb"}), ["other failure"]),
        (cell(**FAIL), cell(**{**FAIL, "stage": Stage.RUN}), ["other failure"]),
        (passed(), cell(Outcome.DEGRADED, cases=passed().cases), ["less of it"]),
        (passed(), passed(evidence=Evidence.STATIC), ["less of it"]),
        (passed(evidence=Evidence.HOST), passed(evidence=Evidence.HARDWARE), ["more of it"]),
        (passed(), cell(Outcome.UNAVAILABLE), ["no answer any more"]),
        (cell(Outcome.UNAVAILABLE), cell(Outcome.FAIL), ["answered now"]),
        (cell(Outcome.UNAVAILABLE), cell(Outcome.MISSING), []),
        (passed(), None, ["only in A"]),
        (None, passed(), ["only in B"]),
        (passed(0.2), passed(0.39), []),
        (passed(0.2), passed(0.41), ["drift"]),
        (passed(0.41), passed(0.2), ["drift"]),
        (passed(0.001), passed(0.009), []),
        (passed(perf=Perf("n", 9, 0.010, 0.009)), passed(perf=Perf("n", 9, 0.012, 0.011)), []),
        (passed(perf=Perf("n", 9, 0.010, 0.009)), passed(perf=Perf("n", 9, 0.013, 0.011)), ["slower"]),
        (passed(perf=Perf("n", 9, 0.013, 0.009)), passed(perf=Perf("n", 9, 0.010, 0.009)), ["faster"]),
        (passed(stages=peak(400)), passed(stages=peak(600)), ["more memory"]),
        (passed(stages=peak(20)), passed(stages=peak(60)), []),
        (passed(stages=peak(600)), passed(stages=peak(400)), ["less memory"]),
    ],
)
def test_a_step_has_its_name(a: Result | None, b: Result | None, expected: list[str]) -> None:
    assert kinds(a, b) == expected


def test_the_factors_are_a_persons() -> None:
    assert kinds(passed(0.2), passed(0.39), Factors(error=1.5)) == ["drift"]
    assert kinds(passed(0.2), passed(0.41), Factors(error=3)) == []


def test_the_most_urgent_comes_first_and_of_a_kind_the_largest() -> None:
    a = [dataclasses.replace(passed(0.1), model=name) for name in "abcd"]
    b = [dataclasses.replace(passed(share), model=name) for name, share in zip("abc", (0.25, 0.9, 0.5), strict=True)]
    b.append(dataclasses.replace(cell(Outcome.FAIL), model="d"))
    assert [(c.kind.value, c.model) for c in diff(a, b).changes] == [
        ("broken", "d"),
        ("drift", "b"),
        ("drift", "c"),
        ("drift", "a"),
    ]


def test_what_moved_is_told_where_each_side_agrees_with_itself() -> None:
    one = [passed(environment={"openvino": "2026.3", "torch": "2.13", "numpy": n}) for n in "12"]
    a = [dataclasses.replace(result, model=name) for result, name in zip(one, "ab", strict=True)]
    b = [passed(environment={"openvino": "2026.4", "torch": "2.13", "numpy": "3"})]
    assert dict(diff(a, b).moved) == {"openvino": ("2026.3", "2026.4")}
