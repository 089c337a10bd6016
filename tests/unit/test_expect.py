"""Expectation files say what is wrong with them; conditions compare versions as makers write them; what counts for a cell."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from porting.expect.entry import Expectation, Gate, Judgement, Observed
from porting.expect.file import check_folder, file_name, read_folder, target_of
from porting.expect.judge import candidates, judge, judge_cell
from porting.expect.versions import holds, misfit
from porting.types import Cause, Evidence, Outcome, Result, Stage

ORT = "onnxruntime:cpu:fp32"
DAY = date(2026, 11, 28)
FAIL = 'outcome = "fail"\nreason = "it cannot"\nowner = "upstream"\n'


def folder(tmp_path: Path, text: str, name: str = "onnxruntime-cpu-fp32.toml") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path


def result(outcome: Outcome = Outcome.PASS, model: str = "a/b", **more: object) -> Result:
    values: dict[str, object] = {"stage": Stage.COMPARE, "evidence": Evidence.HOST, **more}
    return Result(model, ORT, outcome=outcome, **values)  # type: ignore[arg-type]


# ---- files --------------------------------------------------------------------------------------------------------

PROBLEMS = {
    "no TOML": ("[[expect]]\nmodels = [", 2, "not valid TOML"),
    "another table": ("[[expected]]\n", 1, "unknown key 'expected'. Did you mean expect?"),
    "no array": ("[expect]\nmodels = []\n", 1, "must be an array of tables"),
    "unknown key": (f'[[expect]]\nmodels = ["a"]\n{FAIL}raeson = "x"\n', 6, "unknown key 'raeson'. Did you mean reason"),
    "no models": (f"[[expect]]\n{FAIL}", 1, "needs 'models'"),
    "no outcome": ('[[expect]]\nmodels = ["a"]\n', 1, "needs 'outcome'"),
    "empty models": (f"[[expect]]\nmodels = []\n{FAIL}", 2, "at least one model"),
    "missing is nobody's to accept": ('[[expect]]\nmodels = ["a"]\noutcome = "missing"\n', 3, "nobody knows"),
    "near outcome": ('[[expect]]\nmodels = ["a"]\noutcome = "pas"\n', 3, "did you mean pass?"),
    "no owner": ('[[expect]]\nmodels = ["a"]\noutcome = "fail"\nreason = "x"\n', 3, "needs 'owner'"),
    "blank reason": ('[[expect]]\nmodels = ["a"]\noutcome = "fail"\nreason = " "\nowner = "ours"\n', 3, "needs 'reason'"),
    "unknown owner": ('[[expect]]\nmodels = ["a"]\noutcome = "fail"\nreason = "x"\nowner = "him"\n', 5, "'owner' is 'him'"),
    "signature": (f'[[expect]]\nmodels = ["a"]\nsignature = "9F2"\n{FAIL}', 3, "six hex digits"),
    "a pass with a cause": ('[[expect]]\nmodels = ["a"]\noutcome = "pass"\ncause = "crash"\n', 4, "a pass has no 'cause'"),
    "a failure with evidence": (f'[[expect]]\nmodels = ["a"]\nevidence = "host"\n{FAIL}', 3, "only a pass has 'evidence'"),
    "no day": (f'[[expect]]\nmodels = ["a"]\nexpires = "soon"\n{FAIL}', 3, "must be a day"),
    "a time": (f'[[expect]]\nmodels = ["a"]\nexpires = 2026-11-01T00:00:00Z\n{FAIL}', 3, "must be a day"),
    "backwards": (f'[[expect]]\nmodels = ["a"]\nsince = 2026-11-02\nexpires = 2026-11-01\n{FAIL}', 4, "before it began"),
    "no link": (f'[[expect]]\nmodels = ["a"]\nlink = "issue 5"\n{FAIL}', 3, "an address"),
    "always flaky": (f'[[expect]]\nmodels = ["a"]\nflaky = {{failed = 3, of = 3}}\n{FAIL}', 3, "some but not all"),
    "no condition": (f'[[expect]]\nmodels = ["a"]\nwhen = {{openvino = "=>2"}}\n{FAIL}', 3, "no comparison"),
    "twice": (f'[[expect]]\nmodels = ["a"]\n{FAIL}[[expect]]\nmodels = ["b",\n  "a"]\noutcome = "pass"\n', 8, "line 1, too"),
}


@pytest.mark.parametrize(("text", "line", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    _, problems = check_folder(folder(tmp_path, text))
    assert [(Path(p.file).name, p.line) for p in problems] == [("onnxruntime-cpu-fp32.toml", line)]
    assert message in str(problems[0])


def test_a_file_is_called_after_its_target(tmp_path: Path) -> None:
    for target in (ORT, "iree:rocm-gfx942:fp16", "onnxruntime_openvino:cpu:fp32"):
        assert str(target_of(Path(file_name(target)).stem)) == target
    _, problems = check_folder(folder(tmp_path, "", "openvino.toml"))
    assert "means no target" in problems[0].message


def test_all_of_an_entry_is_read(tmp_path: Path) -> None:
    text = (
        '[[expect]]\nmodels = ["a/*"]\noutcome = "fail"\nstage = "convert"\ncause = "unsupported_op"\nsignature = "9f2c1e"\n'
        'reason = "no such operator"\nowner = "upstream"\nlink = "https://example.org/1"\nsince = 2026-11-24\n'
        'expires = 2027-03-01\nflaky = {failed = 3, of = 20}\nwhen = {openvino = ">=2026.3", machine = "x86_64"}\n'
    )
    (entry,) = read_folder(folder(tmp_path, text)).of(ORT)
    assert (entry.outcome, entry.stage, entry.cause) == (Outcome.FAIL, Stage.CONVERT, Cause.UNSUPPORTED_OP)
    assert (entry.since, entry.expires, str(entry.flaky)) == (date(2026, 11, 24), date(2027, 3, 1), "3 of 20")
    assert entry.applies({"openvino": "2026.4", "machine": "x86_64"})
    assert not entry.applies({"openvino": "2026.2", "machine": "x86_64"})
    assert not entry.applies({"machine": "x86_64"}), "a version that is not known holds no condition"
    assert entry.line == 1


def test_the_more_particular_entry_counts(tmp_path: Path) -> None:
    text = (
        '[[expect]]\nmodels = ["a/b"]\noutcome = "mismatch"\nreason = "by name"\nowner = "ours"\n'
        '[[expect]]\nmodels = ["a/*"]\noutcome = "pass"\n'
        f'[[expect]]\nmodels = ["a/*"]\nwhen = {{torch = "<2.13"}}\n{FAIL}'
        f'[[expect]]\nmodels = ["*"]\n{FAIL}'
    )
    book = read_folder(folder(tmp_path, text))
    found = {
        (model, torch): entry.outcome.value
        for model in ("a/b", "a/c", "z")
        for torch in ("2.12.1", "2.13.0+cpu")
        if (entry := book.expected(model, ORT, {"torch": torch}))
    }
    assert found == {
        ("a/b", "2.12.1"): "mismatch",
        ("a/b", "2.13.0+cpu"): "mismatch",
        ("a/c", "2.12.1"): "fail",
        ("a/c", "2.13.0+cpu"): "fail",
        ("z", "2.12.1"): "fail",
        ("z", "2.13.0+cpu"): "fail",
    }
    assert book.expected("a/c", ORT, {"torch": "2.13.0"}).reason == "it cannot", "of equals the last"  # type: ignore[union-attr]
    assert book.expected("a/c", "openvino:cpu:fp32", {}) is None


# ---- versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "version", "whether"),
    [
        (">=2026.3,<2027", "2026.4.1-22982-e213a147257-releases/2026/4", True),
        (">=2026.3,<2026.4", "2026.4.1-22982-e213a147257-releases/2026/4", False),
        ("==2.13", "2.13.0+cpu", True),
        ("==2.13.*", "2.13.4", True),
        ("!=2.13.*", "2.13.4", False),
        (">2.9", "2.13.0", True),
        (">=3.13.0", "3.13.0rc20261016", False),
        (">=3.13.0rc1", "3.13.0rc20261016", True),
        (">0.27.0", "0.27.0.post1", True),
        ("<1.0", "1.0.dev3", True),
        ("==2.13.0", "torch_npu 2.13.0", True),
        (">=8", "8b583b3f (2026-01-19)", True),
        ("x86_64", "x86_64", True),
        ("x86_64", "aarch64", False),
        (">=1", "unknown", False),
        ("!=1", "unknown", True),
    ],
)
def test_a_condition_holds_for_a_version(condition: str, version: str, whether: bool) -> None:
    assert misfit(condition) is None
    assert holds(condition, version) is whether


@pytest.mark.parametrize("condition", ["", ">=", "=>2", ">=2;<3", ">=two", ">2.*", "==*", 3])
def test_a_condition_that_makes_no_sense_is_refused(condition: object) -> None:
    assert misfit(condition)


# ---- judging ------------------------------------------------------------------------------------------------------


def expectation(outcome: str = "fail", **more: object) -> Expectation:
    return Expectation(ORT, ("a/b",), Outcome(outcome), reason="it cannot", owner="upstream", **more)  # type: ignore[arg-type]


O = Outcome  # noqa: E741


@pytest.mark.parametrize(
    ("accepted", "came", "judgement"),
    [
        ("pass", O.DEGRADED, "regression"),
        ("degraded", O.PASS, "new pass"),
        ("fail", O.DEGRADED, "new pass"),
        ("unsupported", O.FAIL, "regression"),
        ("unsupported", O.MISMATCH, "regression"),
        ("fail", O.MISMATCH, "regression"),
        ("fail", O.UNSUPPORTED, "failure changed"),
        ("mismatch", O.FAIL, "failure changed"),
        ("pass", O.INVALID, "regression"),
        ("fail", O.INVALID, "regression"),
        ("invalid", O.INVALID, "as expected"),
        ("invalid", O.PASS, "new pass"),
        ("unavailable", O.UNAVAILABLE, "as expected"),
        ("unavailable", O.PASS, "new pass"),
        ("unavailable", O.FAIL, "new cell"),
        ("fail", O.UNAVAILABLE, "no answer"),
        ("pass", O.SKIPPED, "no answer"),
        ("skipped", O.SKIPPED, "as expected"),
    ],
)
def test_a_step_from_one_outcome_to_another(accepted: str, came: Outcome, judgement: str) -> None:
    judged = judge_cell(result(came), expectation(accepted), DAY)
    assert judged.judgement.value == judgement


def test_a_pass_on_weaker_evidence_is_none() -> None:
    entry = expectation("pass", evidence=Evidence.HARDWARE)
    assert judge_cell(result(evidence=Evidence.HARDWARE), entry, DAY).judgement is Judgement.AS_EXPECTED
    for weaker in (Evidence.SIMULATOR, Evidence.STATIC, None):
        assert judge_cell(result(evidence=weaker), entry, DAY).judgement is Judgement.REGRESSION


def test_an_expectation_counts_until_the_end_of_its_last_day() -> None:
    assert judge_cell(result(O.FAIL), expectation(expires=DAY), DAY).judgement is Judgement.AS_EXPECTED
    assert judge_cell(result(O.FAIL), expectation(expires=date(2026, 11, 27)), DAY).judgement is Judgement.EXPIRED


def test_a_flaky_entry_expires_too() -> None:
    entry = expectation(flaky=Observed(1, 4), expires=date(2026, 11, 27))
    for day, accepted in ((DAY, False), (date(2026, 11, 27), True)):
        judged = judge_cell(result(O.FAIL), entry, day, (O.PASS,))
        assert (judged.judgement, judged.accepted) == (Judgement.FLAKY, accepted)


def test_nothing_planned_is_not_as_expected() -> None:
    assert Gate({}).exit_code == 3


def test_a_target_that_broke_whole_is_not_run_again(tmp_path: Path) -> None:
    book = read_folder(folder(tmp_path, '[[expect]]\nmodels = ["*"]\noutcome = "pass"\n'))
    few = judge([result(O.FAIL, f"m{n}") for n in range(20)], book, ())
    many = judge([result(O.FAIL, f"m{n}") for n in range(21)], book, ())
    assert len(candidates(few, 1)) == 20
    assert candidates(many, 1) == {}
    refused = judge([result(O.UNSUPPORTED), result(O.DEGRADED, "m2")], book, ())
    assert candidates(refused, 1) == {}, "the same would come"


def test_a_cell_that_rarely_fails_is_run_less_often(tmp_path: Path) -> None:
    for rate, times in (("failed = 1, of = 100", 1), ("failed = 1, of = 4", 3), ("failed = 9, of = 10", 5)):
        text = f'[[expect]]\nmodels = ["a/b"]\nflaky = {{{rate}}}\n{FAIL}'
        gate = judge([result(O.FAIL)], read_folder(folder(tmp_path, text)), ())
        assert list(candidates(gate, 0).values()) == [times]


# ---- those of the toolkit's own catalog ---------------------------------------------------------------------------


def test_the_catalogs_own_expectations_name_models_and_targets_that_there_are() -> None:
    from porting import catalog, registry
    from porting.expect.file import folder_of

    book = read_folder(folder_of(None))
    known = catalog.load().ids()
    assert book.by_target
    assert [target for target in book.by_target if str(registry.target(target)) != target] == []
    named = {model for entries in book.by_target.values() for entry in entries for model in entry.models}
    assert sorted(named - set(known)) == []
