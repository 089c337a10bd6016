"""Metrics: what is measured, and what no number may hide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from porting.numerics.metrics import METRICS, SENTINEL, Errors, measure

RNG = np.random.default_rng(3)
TRUTH = RNG.standard_normal((2, 5, 8))


def off(place: tuple[int, ...], value: float, truth: np.ndarray = TRUTH) -> Errors:
    actual = truth.copy()
    actual[place] = value
    return measure(actual, truth)


def uncomparable(errors: Errors) -> bool:
    return errors.nonfinite > 0 and all(getattr(errors, metric) == math.inf for metric in METRICS)


def test_equal_arrays_have_no_error() -> None:
    errors = measure(TRUTH, TRUTH)
    assert errors[:4] == (0, 0, 0, 0)
    assert errors.cosine == 1
    assert errors.sqnr_db == math.inf


def test_a_scale_error_of_one_percent_is_one_percent_and_forty_decibels() -> None:
    errors = measure(1.01 * TRUTH, TRUTH)
    assert errors.rel == pytest.approx(0.01)
    assert errors.row == pytest.approx(0.01)
    assert errors.sqnr_db == pytest.approx(40)
    assert errors.max_abs == pytest.approx(0.01 * np.abs(TRUTH).max())


def test_cosine_does_not_see_a_scale_error_and_that_is_why_it_is_no_gate() -> None:
    assert measure(2 * TRUTH, TRUTH).cosine == pytest.approx(1)
    assert measure(-TRUTH, TRUTH).cosine == pytest.approx(-1)


def test_the_worst_row_shows_in_row_where_rel_thins_it_out() -> None:
    truth = RNG.standard_normal((100, 8))
    actual = truth.copy()
    actual[-1] *= 1.2
    errors = measure(actual, truth)
    assert errors.row == pytest.approx(0.2)
    assert errors.rel < 0.05


def test_one_element_shows_in_peak_where_rel_and_row_thin_it_out() -> None:
    truth = RNG.standard_normal((10, 1000))
    actual = truth.copy()
    actual[3, 7] += 2
    errors = measure(actual, truth)
    assert errors.peak == pytest.approx(2, rel=0.1)
    assert max(errors.rel, errors.row) < 0.1


def test_a_row_of_nearly_nothing_counts_as_a_tenth_of_the_rms() -> None:
    truth = np.ones((9, 4))
    truth[0] = 1e-9
    actual = truth.copy()
    actual[0] += 1e-3
    assert measure(actual, truth).row == pytest.approx(1e-2, rel=0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_element_that_is_not_finite_makes_every_metric_infinite(value: float) -> None:
    errors = off((1, 2, 3), value)
    assert uncomparable(errors)
    assert errors.nonfinite == 1


@pytest.mark.parametrize("sentinel", [-math.inf, math.inf, -1.8e308, 3e38])
@pytest.mark.parametrize("low", [65504.0, 3.4e38, math.inf])
def test_a_mask_value_may_come_out_as_the_largest_of_a_narrower_type(sentinel: float, low: float) -> None:
    truth = TRUTH.copy()
    truth[0, 0] = sentinel
    actual = truth * (1 + 1e-9)
    actual[0, 0] = math.copysign(low, sentinel)
    errors = measure(actual, truth)
    assert errors.nonfinite == 0
    assert 0 < errors.rel < 2e-9


@pytest.mark.parametrize("wrong", [math.inf, 65504.0, math.nan, 0.0, -9999.0])
def test_a_mask_value_of_the_wrong_sign_or_size_is_an_error(wrong: float) -> None:
    truth = TRUTH.copy()
    truth[0, 0, 0] = -math.inf
    assert uncomparable(off((0, 0, 0), wrong, truth))


def test_a_value_below_the_sentinel_is_an_ordinary_number() -> None:
    truth = np.full((2, 2), SENTINEL / 10)
    assert measure(truth * 1.01, truth).rel == pytest.approx(0.01)


def test_a_nan_in_the_truth_matches_only_a_nan() -> None:
    truth = TRUTH.copy()
    truth[0, 0, 0] = math.nan
    assert measure(truth, truth).rel == 0
    assert uncomparable(off((0, 0, 0), 0.0, truth))


def test_nothing_but_zero_is_right_where_the_truth_is_zero_everywhere() -> None:
    zero = np.zeros((2, 3))
    assert measure(zero, zero).rel == 0
    errors = measure(zero + 1e-30, zero)
    assert errors.rel == math.inf
    assert errors.nonfinite == 0
    assert errors.max_abs == pytest.approx(1e-30)
    assert errors.sqnr_db == -math.inf


@pytest.mark.parametrize("scale", [1e-300, 1e-13, 1e25])
def test_errors_are_relative_at_any_scale(scale: float) -> None:
    assert measure(scale * TRUTH * 1.001, scale * TRUTH).rel == pytest.approx(1e-3, rel=1e-3)


def test_an_answer_of_absurd_size_is_an_error_and_no_warning() -> None:
    assert not measure(TRUTH * 1e300, TRUTH * 1e-300).rel < 1e300


def test_arrays_without_elements_are_equal() -> None:
    empty = np.zeros((0, 4))
    assert measure(empty, empty).rel == 0


def test_scalars_are_measured() -> None:
    assert measure(np.array(1.5), np.array(1.0)).peak == pytest.approx(0.5)


def test_half_and_bfloat16_answers_are_measured_in_float64() -> None:
    import ml_dtypes

    for dtype, bound in ((np.float16, 1e-3), (ml_dtypes.bfloat16, 8e-3)):
        assert 0 < measure(TRUTH.astype(dtype), TRUTH).rel < bound


def test_an_error_in_the_imaginary_part_is_an_error() -> None:
    truth = TRUTH + 1j * RNG.standard_normal(TRUTH.shape)
    assert measure(truth, truth).rel == 0
    assert measure(truth.conj(), truth).rel > 0.5
    assert measure(truth.real, truth).rel > 0.5
    assert measure(truth[0, 0, 0], truth[0, 0, 0].conj()).rel > 0


def test_arrays_of_different_shapes_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        measure(TRUTH[:1], TRUTH)
