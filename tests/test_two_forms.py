"""Where the first form of a model does not lead to right numbers, the next one is tried, and the record tells of both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from porting.types import Result

HERE = Path(__file__).parent

REFUSED = "unsupported (unsupported_op) at convert: "

# device: (stage, outcome, cause), the form the result tells of, how the line of the other one begins
EXPECTED = {
    "right": (("compare", "pass", None), "onnx", ""),
    "first_refused": (("compare", "pass", None), "pt2", f"onnx-fp32-dynamic: {REFUSED}"),
    "first_mended": (
        ("compare", "pass", None),
        "onnx",
        f"onnx-fp32-dynamic: {REFUSED}NotImplementedError: no kernel: two_forms has no layer for Gelu",
    ),
    "first_wrong": (("compare", "pass", None), "pt2", "onnx-fp32-dynamic: mismatch (tolerance) at compare: "),
    "first_crashes": (("compare", "pass", None), "pt2", "onnx-fp32-dynamic: fail (crash) at convert: "),
    # A refusal never covers wrong numbers, whichever came first.
    "refused_then_wrong": (("compare", "mismatch", "tolerance"), "pt2", f"onnx-fp32-dynamic: {REFUSED}"),
    "wrong_then_refused": (("compare", "mismatch", "tolerance"), "onnx", f"pt2-fp32-static: {REFUSED}"),
    # What is wrong at other sizes alone would be hidden by fixed ones, of whatever form, and whatever is refused since.
    "wrong_at_other_sizes": (("compare", "mismatch", "tolerance"), "onnx", "onnx-fp32-dynamic+capture=torchscript: mismatch"),
    "wrong_then_refuses_sizes": (
        ("compare", "mismatch", "tolerance"),
        "onnx",
        "onnx-fp32-dynamic+capture=torchscript: fail (dynamic_shape) at convert: ",
    ),
    "both_refused": (("convert", "unsupported", "unsupported_op"), "onnx", f"pt2-fp32-static: {REFUSED}"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """Every device, checked once, in one run."""
    from porting import registry
    from porting.api import check

    home = tmp_path_factory.mktemp("two-forms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTING_HOME", str(home / "state"))
        patch.setenv("PORTING_CACHE", str(home / "cache"))
        patch.setattr(sys, "path", [str(HERE / "faulty_adapter"), str(HERE), *sys.path])
        patch.chdir(home)
        registry.refresh()
        found = check("sample_models:two_outputs", targets=["two_forms:*"])
        yield {r.target.split(":")[1]: r for r in found}
    registry.refresh()


@pytest.mark.parametrize("device", EXPECTED)
def test_the_result_tells_of_the_form_that_works_or_got_furthest(results: dict[str, Result], device: str) -> None:
    result, (expected, form, _) = results[device], EXPECTED[device]
    got = (result.stage.value, result.outcome.value, result.cause.value if result.cause else None)
    assert got == expected, result.message
    assert result.form.partition("-")[0] == form
    assert form == "pt2" or any("onnx" in step for step in result.route)


@pytest.mark.parametrize("device", EXPECTED)
def test_the_other_form_is_told_of_as_well(results: dict[str, Result], device: str) -> None:
    (_, outcome, _), _, line = EXPECTED[device]
    attempts = results[device].attempts
    assert bool(attempts) == bool(line)
    assert not line or any(attempt.startswith(line) for attempt in attempts)
    assert outcome != "pass" or len(attempts) == bool(line)


def test_what_answers_the_trouble_goes_before_a_form_of_fixed_sizes(results: dict[str, Result]) -> None:
    mended = results["first_mended"]
    assert (mended.form, mended.passes_with) == ("onnx-fp32-dynamic+expand=Gelu", ("expand=Gelu",))
    assert set(mended.axes.values()) == {"dynamic"}
    tried = [line.partition(":")[0] for line in results["both_refused"].attempts]
    assert tried[0] == "pt2-fp32-static", "before what is tried for want of anything better"


def test_no_fixed_size_follows_what_is_wrong_at_others(results: dict[str, Result]) -> None:
    for device in ("wrong_at_other_sizes", "wrong_then_refuses_sizes"):
        tried = [line.partition(":")[0] for line in results[device].attempts]
        assert not [form for form in tried if "static" in form or "batch" in form or "fix=" in form]
    assert results["first_wrong"].form == "pt2-fp32-static", "which is wrong at the nominal sizes, where a fixed form shows it"


def test_a_static_form_that_is_right_proves_no_axis(results: dict[str, Result]) -> None:
    assert set(results["right"].axes.values()) == {"dynamic"}
    assert set(results["first_refused"].axes.values()) == {"static"}
    assert len(results["right"].cases) > len(results["first_refused"].cases)


def test_a_signature_is_that_of_what_is_reported(results: dict[str, Result]) -> None:
    assert results["first_wrong"].signature is None
    assert results["refused_then_wrong"].signature
    assert results["both_refused"].signature != results["refused_then_wrong"].signature
