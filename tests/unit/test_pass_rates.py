"""Pass rates before and after routes, and what still fails."""

from __future__ import annotations

from typing import Any

from porting.diagnose.notes import Smallest
from porting.report.pass_rates import failures, rates
from porting.types import Cause, Evidence, Outcome, Result, Stage


def record(model: str, outcome: Outcome, day: int = 1, form: str = "", **more: Any) -> Result:
    values: dict[str, Any] = {"stage": Stage.CONVERT, "evidence": Evidence.HOST, "started": f"2030-01-0{day}T00:00:00Z", **more}
    return Result(model, "a:cpu:fp32", outcome=outcome, form=form, **values)


def test_the_latest_record_counts_and_the_last_from_before_routes_is_what_was_before() -> None:
    results = [
        record("mended", Outcome.PASS, 2, "onnx-fp32-static"),
        record("mended", Outcome.FAIL, 1),
        record("new", Outcome.PASS, 2, "onnx-fp32-dynamic+view=reshape", passes_with=("view=reshape",)),
        record("plain", Outcome.PASS, 2, "onnx-fp32-dynamic"),
        record("part", Outcome.DEGRADED, 1),
        record("broken", Outcome.INVALID, 1),
        record("worse", Outcome.FAIL, 2, "onnx-fp32-dynamic"),
        record("worse", Outcome.PASS, 1),
    ]
    (rate,) = rates(results)
    assert (rate.target, rate.evidence, rate.recorded, rate.valid) == ("a:cpu:fp32", "host", 6, 5)
    assert (rate.before, rate.after, rate.degraded, rate.again) == (2, 3, 1, 4)


def test_failures_are_by_reason_smallest_model_first_with_their_owner() -> None:
    lacks = {"cause": Cause.UNSUPPORTED_OP, "message": "Lowering not found: aten.roll"}
    results = [
        record("big", Outcome.UNSUPPORTED, **lacks),
        record("small", Outcome.UNSUPPORTED, **lacks),
        record("other", Outcome.FAIL, stage=Stage.EXPORT, cause=Cause.TIMEOUT),
        record("fine", Outcome.PASS),
    ]
    found = failures(results, {"big": 100, "small": 1}, lambda model, _: "upstream" if model != "other" else "")
    assert [(f.reason, f.owner, f.models) for f in found] == [
        ("operator: aten::roll", "upstream", ("small", "big")),
        ("limit: timeout", "export", ("other",)),
    ]


def test_a_failure_has_the_smallest_case_of_its_models_that_shows_it() -> None:
    lacks = {"cause": Cause.UNSUPPORTED_OP, "message": "Lowering not found: aten.roll"}
    results = [record("one", Outcome.UNSUPPORTED, **lacks), record("other", Outcome.UNSUPPORTED, **lacks)]
    cases = {
        ("one", "a:cpu:fp32"): Smallest("exception", "1", ("roll",), {"x": "float32[4]"}, 90),
        ("other", "a:cpu:fp32"): Smallest("exception", "1", ("roll",), {"x": "float32[1]"}, 60),
        ("other", "b:cpu:fp32"): Smallest("exception", "1", ("roll",), {}, 1),
    }
    (found,) = failures(results, {"one": 1}, lambda *_: "", cases)
    assert (found.models, found.reduced, found.case) == (("one", "other"), "other", cases["other", "a:cpu:fp32"])
    other = {("one", "a:cpu:fp32"): Smallest("exception", "2", ("relu",), {}, 9)}
    assert failures(results, {}, lambda *_: "", other)[0].case is None, "the case is of another operator"
