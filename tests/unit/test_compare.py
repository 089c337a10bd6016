"""The pass rule: what it lets through, what it catches, and when it refuses to say anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from porting.numerics.compare import (
    RULES,
    WIDTH,
    Noise,
    Rule,
    Verdict,
    allowed,
    allowed_flips,
    judge,
    noise_of,
    reference_problem,
)
from porting.types import Cause, Outcome, Precision, TensorSpec

FP32, FP16, BF16, INT8 = Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8
FLOATS = (FP32, Precision.TF32, FP16, BF16)
TYPICAL = {FP32: 6e-7, Precision.TF32: 1.8e-3, FP16: 1.8e-3, BF16: 1.2e-2}
Cases = dict[str, dict[str, np.ndarray]]


def drawn(number: int, shape: tuple[int, ...] = (2, 6, 16)) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(shape)


def truth_of(**outputs: Callable[[int], np.ndarray]) -> Cases:
    return {case: {name: make(n) for name, make in outputs.items()} for n, case in enumerate(("nominal", "contrast", "edge"))}


TRUTH = truth_of(output=drawn)


def noisy(truth: Cases, rel: float, seed: int = 99) -> Cases:
    """The truth with a random relative error, as eager at that precision would be."""
    rng = np.random.default_rng(seed)

    def one(r: np.ndarray) -> np.ndarray:
        finite = np.isfinite(r)
        if r.dtype.kind != "f" or not finite.any():
            return r
        error = rel * np.sqrt(np.mean(r[finite] ** 2)) * rng.standard_normal(r.shape)
        return np.where(finite, np.where(finite, r, 0) + error, r)

    return {case: {name: one(r) for name, r in outputs.items()} for case, outputs in truth.items()}


def noise_at(precision: Precision, truth: Cases = TRUTH) -> dict[str, Noise]:
    return noise_of(noisy(truth, TYPICAL[precision]), truth)


def said(actual: Mapping[str, Mapping[str, np.ndarray]], precision: Precision = FP32, truth: Cases = TRUTH) -> Verdict:
    return judge(actual, truth, [], noise_at(precision, truth) if precision is not INT8 else {}, precision)


def changed(change: Callable[[np.ndarray], np.ndarray], case: str = "", truth: Cases = TRUTH) -> Cases:
    """The truth, changed in one case or in all."""
    return {c: {n: change(r.copy()) if case in ("", c) else r for n, r in o.items()} for c, o in truth.items()}


def put(place: tuple[int, ...], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(r: np.ndarray) -> np.ndarray:
        r[place] = value
        return r

    return change


# ---- right answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", FLOATS)
def test_another_run_with_twice_the_noise_passes(precision: Precision) -> None:
    verdict = said(noisy(TRUTH, 2 * TYPICAL[precision], seed=5), precision)
    assert verdict.outcome is Outcome.PASS
    assert verdict.failed_cases == frozenset()


def test_a_pass_says_how_close_it_was_and_where() -> None:
    actual = noisy(TRUTH, 1e-7)
    actual["edge"]["output"] = actual["edge"]["output"] * (1 + 2e-6)
    assert "% of what is allowed (output output of case edge, " in said(actual).message


def test_the_numbers_of_every_case_and_output_are_kept() -> None:
    verdict = said(noisy(TRUTH, 1e-7))
    assert [case.name for case in verdict.cases] == list(TRUTH)
    numbers = verdict.cases[0].outputs[0]
    assert numbers.rel_norm == pytest.approx(1e-7, rel=0.3)
    assert numbers.sqnr_db == pytest.approx(140, abs=3)
    assert numbers.cosine == pytest.approx(1)
    assert numbers.elements == 192
    assert numbers.noise_rel_norm == pytest.approx(TYPICAL[FP32], rel=0.3)
    assert numbers.allowed_rel_norm is not None
    assert numbers.allowed_rel_norm == pytest.approx(5 * TYPICAL[FP32], rel=0.3)


# ---- wrong answers ------------------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "one NaN": put((1, 2, 3), math.nan),
    "one infinity": put((1, 2, 3), math.inf),
    "all NaN": lambda r: r * math.nan,
    "zeros": np.zeros_like,
    "negated": np.negative,
    "rolled": lambda r: np.roll(r, 1, -1),
    "scaled by 1.2": lambda r: 1.2 * r,
    "clipped": lambda r: np.clip(r, -1, 1),
    "one row lost": put((1, 5), 0.0),
}


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_in_any_single_case_is_a_mismatch(wrong: str, precision: Precision) -> None:
    for case in TRUTH:
        verdict = said(changed(WRONG[wrong], case), precision)
        assert verdict.outcome is Outcome.MISMATCH
        assert verdict.failed_cases == {case}
        assert verdict.cause is (Cause.NONFINITE if wrong in ("one NaN", "one infinity", "all NaN") else Cause.TOLERANCE)


def test_the_message_of_a_mismatch_names_case_output_metric_and_both_numbers() -> None:
    message = said(changed(lambda r: 1.01 * r, "contrast")).message
    assert message.startswith("case contrast, output output: rel error 1.0e-02, allowed ")
    assert message.endswith("(1 of 3 cases fail)")


def test_numbers_that_are_not_finite_are_left_out_of_the_record() -> None:
    numbers = said(changed(put((0, 0, 0), math.nan), "edge")).cases[2].outputs[0]
    assert numbers.nonfinite == 1
    assert (numbers.rel_norm, numbers.max_abs, numbers.sqnr_db) == (None, None, None)


@pytest.mark.parametrize("precision", [FP16, BF16])
def test_row_catches_a_wrong_last_token_that_rel_lets_through(precision: Precision) -> None:
    truth = truth_of(output=lambda n: drawn(n, (1, 400, 64)))
    factor = {FP16: 1.1, BF16: 1.6}[precision]

    def last_token(r: np.ndarray) -> np.ndarray:
        r[:, -1] *= factor
        return r

    verdict = said(changed(last_token, "", truth), precision, truth)
    numbers = verdict.cases[0].outputs[0]
    assert verdict.outcome is Outcome.MISMATCH
    assert "row error" in verdict.message
    assert numbers.rel_norm is not None
    assert numbers.allowed_rel_norm is not None
    assert numbers.rel_norm < numbers.allowed_rel_norm


@pytest.mark.parametrize("precision", [FP16, BF16])
def test_peak_catches_one_wrong_element_that_rel_and_row_let_through(precision: Precision) -> None:
    truth = truth_of(output=lambda n: drawn(n, (40, 4000)))

    def one_element(r: np.ndarray) -> np.ndarray:
        r[3, 5] += 100 * TYPICAL[precision]
        return r

    verdict = said(changed(one_element, "", truth), precision, truth)
    assert verdict.outcome is Outcome.MISMATCH
    assert "peak error" in verdict.message


def test_the_allowance_follows_the_noise_between_floor_and_ceiling() -> None:
    rule = Rule(5, 1e-6, 1e-3, 0.0)
    assert allowed(Noise(1e-8, 1e-8, 1e-8), rule) == pytest.approx({"rel": 1e-6, "row": 3e-6, "peak": 1e-5})
    assert allowed(Noise(1e-5, 2e-5, 3e-5), rule) == pytest.approx({"rel": 5e-5, "row": 1e-4, "peak": 1.5e-4})
    assert allowed(Noise(1.0, 1.0, 1.0), rule) == pytest.approx({"rel": 1e-3, "row": 3e-3, "peak": 1e-2})


def test_an_output_without_measured_noise_gets_the_floor_alone() -> None:
    assert judge(noisy(TRUTH, 5e-7), TRUTH, [], {}, FP32).outcome is Outcome.PASS
    assert judge(noisy(TRUTH, 2e-6), TRUTH, [], {}, FP32).outcome is Outcome.MISMATCH


def test_noise_is_the_largest_over_all_cases() -> None:
    eager = {case: dict(outputs) for case, outputs in TRUTH.items()}
    eager["edge"]["output"] = TRUTH["edge"]["output"] * (1 + 1e-6)
    assert noise_of(eager, TRUTH)["output"].rel == pytest.approx(1e-6)


@pytest.mark.parametrize("wrong", [{}, {"output": drawn(0, (2, 6))}])
def test_eager_with_another_structure_makes_a_reference_that_proves_nothing(wrong: dict[str, np.ndarray]) -> None:
    noise = noise_of({**TRUTH, "edge": wrong}, TRUTH)
    problem = reference_problem(TRUTH, noise, FP32)
    assert problem is not None
    assert problem.cause is Cause.UNSTABLE_REFERENCE


def test_noise_can_be_asked_for_where_a_case_lacks_an_output() -> None:
    assert noise_of(TRUTH, {**TRUTH, "edge": {}})["output"].rel == math.inf


def test_other_rules_can_be_tried() -> None:
    strict = {FP32: Rule(1, 1e-9, 1e-3, 0.0)}
    answer = noisy(TRUTH, 2 * TYPICAL[FP32], seed=5)
    assert judge(answer, TRUTH, [], noise_at(FP32), FP32, strict).outcome is Outcome.MISMATCH


# ---- structure ----------------------------------------------------------------------------------------------------

TWO = truth_of(scores=drawn, pooled=lambda n: drawn(n + 10, (2, 4)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda o: {"scores": o["scores"]}, "lacks pooled"),
        (lambda o: {**o, "more": o["pooled"]}, "has unexpected more"),
        (lambda o: {"scores": o["scores"], "pool": o["pooled"]}, "lacks pooled and has unexpected pool"),
        (lambda o: {}, "lacks scores, pooled"),
        (lambda o: {**o, "pooled": o["pooled"][None]}, r"shape (1, 2, 4), expected (2, 4)"),
        (lambda o: {**o, "pooled": o["pooled"][:1]}, r"shape (1, 4), expected (2, 4)"),
        (lambda o: {**o, "pooled": o["pooled"].T}, r"shape (4, 2), expected (2, 4)"),
    ],
)
def test_another_structure_is_a_mismatch_that_says_what_differs(
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], words: str
) -> None:
    verdict = said({**TWO, "contrast": change(TWO["contrast"])}, truth=TWO)
    assert (verdict.outcome, verdict.cause) == (Outcome.MISMATCH, Cause.OUTPUT_STRUCTURE)
    assert words in verdict.message
    assert verdict.failed_cases == {"contrast"}


def test_a_case_without_an_answer_is_a_mismatch() -> None:
    verdict = said({case: o for case, o in TRUTH.items() if case != "edge"})
    assert (verdict.outcome, verdict.cause) == (Outcome.MISMATCH, Cause.OUTPUT_STRUCTURE)
    assert verdict.failed_cases == {"edge"}


def test_another_dtype_than_the_artifact_declared_is_a_mismatch() -> None:
    declared = [TensorSpec("output", "float32", (2, 6, 16))]
    wide = judge(TRUTH, TRUTH, declared, noise_at(FP32), FP32)
    assert wide.cause is Cause.OUTPUT_STRUCTURE
    assert "dtype float64, declared float32" in wide.message
    narrow = {case: {"output": o["output"].astype(np.float32)} for case, o in TRUTH.items()}
    assert judge(narrow, TRUTH, declared, noise_at(FP32), FP32).outcome is Outcome.PASS


def test_a_wrong_shape_never_stops_the_other_cases_from_being_measured() -> None:
    verdict = said({**TRUTH, "nominal": {"output": drawn(0, (2, 6))}})
    assert [len(case.outputs) for case in verdict.cases] == [0, 1, 1]


# ---- references that prove nothing --------------------------------------------------------------------------------


def refused(truth: Cases, cause: Cause, precision: Precision = FP32, noise: Mapping[str, Noise] | None = None) -> str:
    verdict = judge(truth, truth, [], noise_of(truth, truth) if noise is None else noise, precision)
    assert (verdict.outcome, verdict.cause) == (Outcome.INVALID, cause)
    return verdict.message


def test_one_case_proves_nothing() -> None:
    assert "only one case" in refused({"nominal": TRUTH["nominal"]}, Cause.VACUOUS)


def test_a_constant_answer_proves_nothing() -> None:
    message = refused(truth_of(output=lambda n: drawn(7)), Cause.VACUOUS)
    assert "cases nominal and contrast would pass as each other's answer at fp32" in message


def test_answers_that_differ_less_than_is_allowed_prove_nothing_at_that_precision_only() -> None:
    truth = truth_of(output=lambda n: drawn(7) * (1 + 1e-2 * n))
    assert said(truth, FP32, truth).outcome is Outcome.PASS
    refused(truth, Cause.VACUOUS, BF16, noise_at(BF16, truth))


def test_one_output_that_tells_the_cases_apart_is_enough() -> None:
    truth = truth_of(constant=lambda n: drawn(7), moving=drawn)
    assert said(truth, FP32, truth).outcome is Outcome.PASS


def test_two_alike_cases_of_many_prove_nothing() -> None:
    refused({**TRUTH, "again": TRUTH["nominal"]}, Cause.VACUOUS)


def test_nan_in_the_truth_proves_nothing() -> None:
    assert "the reference has NaN" in refused(changed(put((0, 0, 0), math.nan), "edge"), Cause.NONFINITE)


def test_infinite_mask_values_in_the_truth_are_fine() -> None:
    truth = changed(put((0, 0, 0), -math.inf))
    assert said(changed(put((0, 0, 0), -3.4e38)), FP32, truth).outcome is Outcome.PASS
    assert said(changed(put((0, 0, 0), 3.4e38)), FP32, truth).outcome is Outcome.MISMATCH


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("metric", ["rel", "row", "peak"])
def test_noise_above_half_the_ceiling_in_any_metric_proves_nothing(metric: str, precision: Precision) -> None:
    ceiling = WIDTH[metric] * RULES[precision].ceiling
    for value, fine in ((0.49 * ceiling, True), (0.51 * ceiling, False), (math.nan, False), (math.inf, False)):
        problem = reference_problem(TRUTH, {"output": Noise(**{metric: value})}, precision)
        assert (problem is None) == fine
        if problem:
            assert problem.cause is Cause.UNSTABLE_REFERENCE
            assert f"({metric})" in problem.message


def test_no_outputs_and_no_elements_prove_nothing() -> None:
    assert "no outputs" in refused({"nominal": {}, "contrast": {}}, Cause.VACUOUS)
    assert "any elements" in refused(truth_of(boxes=lambda n: np.zeros((0, 4))), Cause.VACUOUS)


def test_an_output_that_is_empty_in_every_case_is_compared_by_shape_and_noted() -> None:
    truth = truth_of(output=drawn, boxes=lambda n: np.zeros((0, 4)))
    verdict = said(truth, FP32, truth)
    assert verdict.outcome is Outcome.PASS
    assert verdict.notes == ("output boxes has no elements in any case: only its shape was compared",)
    filled = {case: {**o, "boxes": np.zeros((1, 4))} for case, o in truth.items()}
    assert said(filled, FP32, truth).cause is Cause.OUTPUT_STRUCTURE


# ---- integers and bools -------------------------------------------------------------------------------------------


def ids(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 50, (2, 100))


IDS = truth_of(ids=ids)


def flipped(count: int, truth: Cases = IDS) -> Cases:
    """The truth with `count` ids of the nominal case changed."""
    wrong = truth["nominal"]["ids"].copy()
    wrong.flat[:count] += 1
    return {**truth, "nominal": {**truth["nominal"], "ids": wrong}}


@pytest.mark.parametrize(("precision", "limit"), [(FP32, 0), (FP16, 1), (BF16, 4), (INT8, 4)])
def test_ids_may_flip_only_in_the_share_of_their_precision(precision: Precision, limit: int) -> None:
    assert said(flipped(limit), precision, IDS).outcome is Outcome.PASS
    verdict = said(flipped(limit + 1), precision, IDS)
    assert (verdict.outcome, verdict.cause) == (Outcome.MISMATCH, Cause.TOLERANCE)
    assert f"{limit + 1} of 200 elements differ, allowed {limit}" in verdict.message


def test_ids_may_flip_four_times_as_often_as_in_eager() -> None:
    noise = noise_of(flipped(3), IDS)
    assert noise["ids"].flips == {"nominal": 3, "contrast": 0, "edge": 0}
    assert judge(flipped(12), IDS, [], noise, FP32).outcome is Outcome.PASS
    assert judge(flipped(13), IDS, [], noise, FP32).outcome is Outcome.MISMATCH
    assert allowed_flips(0, 3, RULES[BF16]) == 1


def test_ids_that_eager_itself_gets_wrong_in_a_quarter_of_the_elements_prove_nothing() -> None:
    every = {case: {"ids": o["ids"] + (np.arange(200).reshape(2, 100) % 3 == 0)} for case, o in IDS.items()}
    assert "eager itself differs in 201 of 600 elements" in refused(IDS, Cause.UNSTABLE_REFERENCE, FP16, noise_of(every, IDS))


def test_a_single_id_proves_nothing_where_one_may_flip() -> None:
    truth = truth_of(ids=lambda n: np.array([n, 7]))
    assert said(truth, FP32, truth).outcome is Outcome.PASS
    refused(truth, Cause.VACUOUS, BF16)


def test_bools_are_compared_element_by_element_and_another_integer_width_is_fine() -> None:
    truth = truth_of(keep=lambda n: drawn(n) > 0)
    assert said({case: {"keep": o["keep"].astype(np.uint8)} for case, o in truth.items()}, FP32, truth).outcome is Outcome.PASS
    wrong = {case: {"keep": ~o["keep"]} for case, o in truth.items()}
    assert said(wrong, FP32, truth).cause is Cause.TOLERANCE


def test_nan_instead_of_an_id_is_a_flip() -> None:
    wrong = {case: {"ids": o["ids"] * math.nan} for case, o in IDS.items()}
    assert said(wrong, BF16, IDS).cause is Cause.TOLERANCE


SCORED = truth_of(scores=lambda n: drawn(n, (2, 100, 8)), ids=lambda n: drawn(n, (2, 100, 8)).argmax(-1))


def second_best(case: dict[str, np.ndarray], lead: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Ids with the runner-up where `lead` says so of how far the best score is ahead."""
    ranks = np.argsort(case["scores"], -1)
    values = np.sort(case["scores"], -1)
    return {**case, "ids": np.where(lead(values[..., -1] - values[..., -2]), ranks[..., -2], ranks[..., -1])}


@pytest.mark.parametrize("precision", [FP16, BF16])
def test_ids_are_judged_through_their_scores_so_that_a_near_tie_may_flip(precision: Precision) -> None:
    near = {case: second_best(o, lambda lead: lead < TYPICAL[precision]) for case, o in SCORED.items()}
    assert said(near, precision, SCORED).outcome is Outcome.PASS


@pytest.mark.parametrize("precision", FLOATS)
def test_one_flipped_id_is_a_mismatch_where_its_scores_leave_no_doubt(precision: Precision) -> None:
    wrong = dict(SCORED)
    clear = np.sort(SCORED["edge"]["scores"], -1)
    widest = (clear[..., -1] - clear[..., -2]).max()
    wrong["edge"] = second_best(SCORED["edge"], lambda lead: lead == widest)
    verdict = said(wrong, precision, SCORED)
    assert verdict.cause is Cause.TOLERANCE
    assert "output ids: 1 of 200 elements differ, allowed 0" in verdict.message


def test_scores_may_lie_along_any_axis_and_may_be_masked() -> None:
    def scores(n: int) -> np.ndarray:
        values = drawn(n, (2, 8, 30))
        values[:, 5:] = -math.inf
        values[:, :, 0] = -math.inf  # nothing is left: every id is as good as any other
        return values

    truth = truth_of(scores=scores, ids=lambda n: scores(n).argmax(1))
    assert said(truth, FP32, truth).outcome is Outcome.PASS
    tied = {case: {**o, "ids": np.where(np.arange(30) == 0, 3, o["ids"])} for case, o in truth.items()}
    assert said(tied, FP32, truth).outcome is Outcome.PASS
    shifted = {case: {**o, "ids": o["ids"] + 1} for case, o in truth.items()}
    assert said(shifted, BF16, truth).outcome is Outcome.MISMATCH


# ---- int8 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decibels", "outcome"), [(30, Outcome.PASS), (16, Outcome.PASS), (14, Outcome.MISMATCH)])
def test_int8_needs_fifteen_decibels(decibels: float, outcome: Outcome) -> None:
    assert said(noisy(TRUTH, 10 ** (-decibels / 20)), INT8).outcome is outcome


def test_an_int8_mismatch_speaks_in_decibels() -> None:
    message = said(noisy(TRUTH, 10 ** (-10 / 20)), INT8).message
    assert "SQNR 1" in message
    assert "dB, needed 15.0 dB" in message


def test_int8_within_five_decibels_of_the_limit_is_noted() -> None:
    (note,) = said(noisy(TRUTH, 10 ** (-17 / 20)), INT8).notes
    assert "close to the limit" in note
    assert said(noisy(TRUTH, 10 ** (-25 / 20)), INT8).notes == ()


def test_int8_needs_three_decibels_more_than_another_cases_answer_scores() -> None:
    common = drawn(50, (20, 1000))
    truth = truth_of(output=lambda n: common + 0.15 * drawn(n, (20, 1000)))  # cases about 13.5 dB apart
    assert said(noisy(truth, 10 ** (-16 / 20)), INT8, truth).outcome is Outcome.MISMATCH
    assert said(noisy(truth, 10 ** (-17 / 20)), INT8, truth).outcome is Outcome.PASS


def test_int8_cases_that_are_fifteen_decibels_apart_or_less_prove_nothing() -> None:
    common = drawn(50)
    refused(truth_of(output=lambda n: common + 0.05 * drawn(n)), Cause.VACUOUS, INT8, {})


def test_an_output_that_is_the_same_in_every_case_does_not_ask_int8_for_the_impossible() -> None:
    truth = truth_of(anchors=lambda n: drawn(7), output=drawn)
    assert said(noisy(truth, 10 ** (-25 / 20)), INT8, truth).outcome is Outcome.PASS


def test_int8_answers_that_are_not_finite_are_no_matter_of_tolerance() -> None:
    assert said(changed(put((0, 0, 0), math.inf), "edge"), INT8).cause is Cause.NONFINITE
