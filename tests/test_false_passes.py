"""Nothing that other tools take for a pass may come back as one: every fault through the path a user takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from porting.types import Evidence, Result

HERE = Path(__file__).parent

# fault: (stage, outcome, cause)
EXPECTED = {
    "none": ("compare", "pass", None),
    "nan": ("compare", "mismatch", "nonfinite"),
    "one_nan": ("compare", "mismatch", "nonfinite"),
    "inf": ("compare", "mismatch", "nonfinite"),
    "sign": ("compare", "mismatch", "tolerance"),
    "scale": ("compare", "mismatch", "tolerance"),
    "constant": ("compare", "mismatch", "tolerance"),
    "zeros": ("compare", "mismatch", "tolerance"),
    "drop": ("compare", "mismatch", "output_structure"),
    "extra": ("compare", "mismatch", "output_structure"),
    "empty": ("compare", "mismatch", "output_structure"),
    "dtype": ("compare", "mismatch", "output_structure"),
    "shape": ("compare", "mismatch", "output_structure"),
    "stale": ("compare", "mismatch", "tolerance"),
    "fallback": ("compare", "fail", "nothing_executed"),
    "partial": ("compare", "degraded", "fallback"),
    "cannot_tell": ("compare", "fail", "nothing_executed"),
    "low_precision": ("compare", "mismatch", "tolerance"),
    "admits_tf32": ("compare", "degraded", "precision"),
    "bad_probe_device": ("environment", "unavailable", "harness"),
    "convert_abort": ("convert", "fail", "crash"),
    "load_segfault": ("load", "fail", "crash"),
    "run_segfault": ("run", "fail", "crash"),
    "hang": ("run", "fail", "hang"),
    "child_hang": ("run", "fail", "hang"),
    "loop": ("run", "fail", "timeout"),
    "bomb": ("run", "fail", "host_oom"),
    "exit0_convert": ("convert", "fail", "crash"),
    "exit0_run": ("run", "fail", "crash"),
    "exit3_run": ("run", "fail", "crash"),
    "no_artifact": ("convert", "fail", "no_artifact"),
    "no_files": ("convert", "fail", "no_artifact"),
    "wrong_return": ("convert", "fail", "no_artifact"),
    "system_exit": ("convert", "fail", "exception"),
    "long_message": ("run", "fail", "exception"),
    "not_utf8": ("run", "fail", "exception"),
    "flood": ("run", "fail", "harness"),
    "raises": ("run", "fail", "exception"),
    "lies_in_classify": ("run", "fail", "exception"),
    "other_sizes": ("compare", "mismatch", "tolerance"),
    "batch_one": ("compare", "pass", None),  # with its axes fixed, and that is said
    "crash_on_sum": ("compare", "pass", None),  # these three show among node cases alone: tests/cli/test_ops.py
    "hang_on_sum": ("compare", "pass", None),
    "crash_second": ("compare", "pass", None),
    "first_fails": ("run", "fail", "exception"),  # the second time it would pass: tests/cli/test_gate.py
    "refuses": ("convert", "unsupported", "unsupported_op"),
    "nudged": ("compare", "pass", None),  # its numbers move from run to run: tests/cli/test_history.py
    "cache_off_by_one": ("compare", "pass", None),  # these two show in generation alone: tests/cli/test_served.py
    "token_dropped": ("compare", "pass", None),
    "chip-whole": ("convert", "pass", None),
    "chip-part": ("convert", "degraded", "fallback"),
    "chip-nothing": ("convert", "fail", "nothing_executed"),
    "chip-silent": ("convert", "fail", "nothing_executed"),
    "chip-unknown": ("environment", "unsupported", "unsupported_target"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """Every fault, checked once, in one run."""
    from porting import registry
    from porting.api import check
    from porting.cells.jobs import Options
    from porting.workers.runner import Limits

    home = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTING_HOME", str(home / "state"))
        patch.setenv("PORTING_CACHE", str(home / "cache"))
        patch.setattr(sys, "path", [str(HERE / "faulty_adapter"), str(HERE), *sys.path])
        patch.chdir(home)
        registry.refresh()
        limits = Limits(seconds=12.0, silent_seconds=3.0, memory_bytes=1500 << 20, log_bytes=64 << 20)
        found = check("sample_models:two_outputs", targets=["faulty:*", "faulty:chip-unknown:fp32"], options=Options(limits))
        yield {r.target.split(":")[1]: r for r in found}
    registry.refresh()


def test_every_fault_has_an_expectation(results: dict[str, Result]) -> None:
    assert set(results) == set(EXPECTED)


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_fault_comes_back_as_what_it_is(results: dict[str, Result], fault: str) -> None:
    result = results[fault]
    got = (result.stage.value, result.outcome.value, result.cause.value if result.cause else None)
    assert got == EXPECTED[fault], result.message


def test_every_failure_has_a_signature_a_message_and_a_way_to_do_it_again(results: dict[str, Result]) -> None:
    for fault, result in results.items():
        if EXPECTED[fault][1] != "pass":
            assert result.signature
            assert result.message
            assert result.reproduce == f"porting check sample_models:two_outputs --on faulty:{fault}:fp32"


def test_messages_stay_short_and_printable_whatever_was_thrown(results: dict[str, Result]) -> None:
    assert len(results["long_message"].message) < 5000
    for result in results.values():
        result.message.encode()
        assert "\x1b" not in result.log_tail
        assert "\x00" not in result.log_tail


def test_wrong_at_other_sizes_is_said_axis_by_axis(results: dict[str, Result]) -> None:
    assert results["none"].axes == {"batch": "dynamic", "sequence": "dynamic"}
    assert results["other_sizes"].axes == {"batch": "wrong at other sizes", "sequence": "wrong at other sizes"}


def test_a_stack_that_refuses_sizes_of_one_axis_passes_with_that_one_fixed_alone_and_says_so(results: dict[str, Result]) -> None:
    result = results["batch_one"]
    assert result.axes == {"batch": "static", "sequence": "unproven"}  # one case alone has another length and this batch
    assert result.passes_with == ("fix=batch",)
    assert len(result.attempts) == 2
    assert all("dynamic_shape" in attempt for attempt in result.attempts)
    fixed = "fixed at the nominal size, because the form with more axes fails at others: batch"
    assert fixed in result.notes


def test_what_was_compiled_only_claims_no_more(results: dict[str, Result]) -> None:
    whole = results["chip-whole"]
    assert whole.evidence is Evidence.COMPILED
    assert whole.message == "compiled 12 operators or kernels for chip-whole; nothing ran"
    assert whole.cases == ()
    assert whole.effective_precision is None
    assert "50.0% of the arithmetic" in results["chip-part"].message


def test_a_chip_that_the_stack_does_not_know_is_told_from_those_it_does(results: dict[str, Result]) -> None:
    unknown = results["chip-unknown"]
    assert unknown.message == "faulty does not know chip-unknown; it knows chip-whole, chip-part, chip-nothing, chip-silent"


def test_no_process_of_a_fault_is_left(results: dict[str, Result]) -> None:
    import psutil

    assert results
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if "600.125" in (p.info["cmdline"] or [])]
    assert left == []
