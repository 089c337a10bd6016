"""The confusion table: what the pass rule must catch, must let through, and cannot see, on nets with a place for every fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from porting.confusion.answers import ANSWERS
from porting.confusion.survey import Plan, Survey, outcomes_differ, survey
from porting.confusion.table import Cell, cells, lines, margin_lines
from porting.confusion.trial import CAUGHT, INVALID, PASSED, PRECISIONS, Trial, rule_sets
from porting.types import Precision

FP32, FP16, BF16 = PRECISIONS
MODELS = ("encoder", "written_out", "causal", "image")
# What no precision may let through.
GROSS = (
    "one NaN", "one infinity", "all zeros", "another case's answer", "negated", "rolled by one", "clipped at half its range",
    "mean of the cases", "output dropped", "output too many", "extra axis", "no answer for one case",
)  # fmt: skip
SEMANTIC_AT_ANY_PRECISION = (
    "attention mask input ignored", "softmax over the wrong axis, all", "softmax over the wrong axis, one",
    "square weight transposed", "weights of two layers swapped", "BatchNorm statistics lost",
)  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    """Everything planted in every model, by the rule as it is and by one that is twice as strict."""
    from porting.api import Setting
    from porting.cells.jobs import Options

    home = tmp_path_factory.mktemp("confusion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTING_HOME", str(home / "state"))
        patch.setenv("PORTING_CACHE", str(home / "cache"))
        patch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
        patch.chdir(home)
        setting = Setting.find()
        specs = setting.resolve([f"numeric_models:{name}" for name in MODELS])
        with setting.pipeline(None, Options()) as pipeline:
            yield survey(pipeline, specs, Plan(PRECISIONS, rule_sets({"factor": 1.5}, PRECISIONS)))


@pytest.fixture(scope="module")
def counted(found: Survey) -> dict[tuple[str, Precision], Cell]:
    """The table by the rule as it is."""
    now = [Trial(**{**vars(t), "outcomes": t.outcomes[:1]}) for t in found.trials]
    return {(cell.planted, cell.precision): cell for cell in cells(now)}


def test_every_model_could_be_looked_at(found: Survey) -> None:
    assert (found.lost, found.notes) == ([], [])
    assert {t.model for t in found.trials} == {f"numeric_models:{name}" for name in MODELS}


def test_every_reference_can_be_judged_at_every_precision(counted: dict[tuple[str, Precision], Cell]) -> None:
    assert [key for key, cell in counted.items() if INVALID in cell.models.values()] == []


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("planted", GROSS)
def test_a_grossly_wrong_answer_is_caught_in_every_model_at_every_precision(
    counted: dict[tuple[str, Precision], Cell], planted: str, precision: Precision
) -> None:
    cell = counted[planted, precision]
    assert set(cell.models.values()) == {CAUGHT}
    assert len(cell.models) == len(MODELS)


def test_every_answer_comes_out_as_the_table_says_it_has_to(counted: dict[tuple[str, Precision], Cell]) -> None:
    assert {key: cell.wrong for key, cell in counted.items() if cell.wrong} == {}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_twice_eagers_own_noise_passes(counted: dict[tuple[str, Precision], Cell], precision: Precision) -> None:
    assert set(counted["twice eager's noise", precision].models.values()) == {PASSED}


def faults_of(found: Survey) -> list[str]:
    return list(dict.fromkeys(t.planted for t in found.trials if t.kind == "fault"))


def test_every_fault_has_a_place_in_some_model(found: Survey, counted: dict[tuple[str, Precision], Cell]) -> None:
    names = faults_of(found)
    assert len(names) > 20
    assert [name for name in names if not counted[name, FP32].models] == []


def test_every_fault_that_shows_is_caught_at_fp32(found: Survey, counted: dict[tuple[str, Precision], Cell]) -> None:
    missed = {name: counted[name, FP32].wrong for name in faults_of(found)}
    assert {name: models for name, models in missed.items() if models} == {}


@pytest.mark.parametrize("precision", [FP16, BF16])
@pytest.mark.parametrize("planted", SEMANTIC_AT_ANY_PRECISION)
def test_a_gross_fault_is_caught_at_low_precision_too(
    counted: dict[tuple[str, Precision], Cell], planted: str, precision: Precision
) -> None:
    assert set(counted[planted, precision].models.values()) == {CAUGHT}


def test_another_gelu_is_visible_at_fp32_alone(counted: dict[tuple[str, Precision], Cell]) -> None:
    """Why a pass at a lower precision is said to exclude less."""
    for precision in (FP16, BF16):
        assert set(counted["GELU: tanh for erf, erf for tanh", precision].models.values()) == {PASSED}


def test_low_precision_is_no_fault_where_it_was_asked_for(counted: dict[tuple[str, Precision], Cell]) -> None:
    assert ("one layer in fp16", FP32) in counted
    assert ("one layer in fp16", FP16) not in counted
    assert ("all weights rounded to bf16", FP16) in counted
    assert ("all weights rounded to bf16", BF16) not in counted


def test_a_fault_without_a_place_does_not_count(found: Survey) -> None:
    (trial,) = [
        t for t in found.trials
        if (t.planted, t.precision, t.model) == ("BatchNorm statistics lost", FP32, "numeric_models:causal")
    ]  # fmt: skip
    assert (trial.outcomes, trial.effect) == ((), 0.0)


def test_a_changed_rule_shows_what_it_costs(found: Survey) -> None:
    changed = {(t.planted, t.outcomes) for t in outcomes_differ(found.trials)}
    assert ("twice eager's noise", (PASSED, CAUGHT)) in changed
    assert all(before == PASSED for _, (before, _) in changed), "a stricter rule lets nothing more through"


def test_right_results_stay_within_what_is_allowed(found: Survey) -> None:
    assert {m.of for m in found.margins} == {"eager"}
    assert len(found.margins) == len(MODELS) * len(PRECISIONS)
    assert max(m.shares[0] for m in found.margins) <= 0.25
    assert all(m.shares[1] >= m.shares[0] for m in found.margins)


def test_the_table_has_a_line_for_everything_planted(found: Survey) -> None:
    table = cells(found.trials)
    assert [line[0] for line in lines(table, "answer", PRECISIONS)] == [answer.name for answer in ANSWERS]
    assert lines(table, "answer", PRECISIONS)[0][1:] == ("4 caught",) * 3
    faults = {line[0]: line[1:] for line in lines(table, "fault", PRECISIONS)}
    assert faults["products in TF32"] == ("4 caught", "no fault", "no fault")
    assert [line[:3] for line in margin_lines(found.margins)] == [(p.value, "eager", "4") for p in PRECISIONS]
