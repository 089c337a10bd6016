"""Input cases: deterministic, in range, different in structure, and at enough sizes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from porting.bundles import shapes
from porting.bundles.cases import KINDS, STRUCTURES, cases, draw, other_size
from porting.errors import ModelError
from porting.types import InputSpec

IDS = InputSpec("input_ids", "int64", ("batch", "sequence"), "ids", 3, 100)
MASK = InputSpec("attention_mask", "int64", ("batch", "sequence"), "mask")
IMAGE = InputSpec("pixel_values", "float32", ("batch", 3, "height", "width"), "image")
TEXT_SIZES = {"batch": 2, "sequence": 17}
IMAGE_SIZES = {"batch": 2, "height": 64, "width": 96}


def drawn(spec: InputSpec, structure: str, sizes: dict[str, int] | None = None) -> np.ndarray:
    return draw([spec], sizes or {**TEXT_SIZES, **IMAGE_SIZES}, structure, "a model/a case")[spec.name]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_every_kind_has_the_declared_dtype_and_shape_and_is_finite(kind: str, structure: str, dtype: str) -> None:
    spec = InputSpec("x", dtype, ("batch", 4, "sequence"), kind, high=50, value=7.0)
    array = drawn(spec, structure)
    assert array.shape == (2, 4, 17)
    assert array.dtype == np.dtype(dtype)
    assert np.isfinite(array).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scalar_input_can_be_of_every_kind(kind: str) -> None:
    assert drawn(InputSpec("x", "float32", (), kind, high=9, value=1.5), "edge").shape == ()


def test_values_are_the_same_in_another_process() -> None:
    program = (
        "from porting.bundles.cases import draw; from porting.types import InputSpec;"
        "s = InputSpec('input_ids', 'int64', ('batch', 'sequence'), 'ids', 3, 100);"
        "print(draw([s], {'batch': 2, 'sequence': 17}, 'nominal', 'a model/a case')['input_ids'].tolist())"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(drawn(IDS, "nominal").tolist())


def test_another_model_or_input_name_draws_other_values() -> None:
    here = draw([IDS], TEXT_SIZES, "nominal", "one")["input_ids"]
    there = draw([IDS], TEXT_SIZES, "nominal", "another")["input_ids"]
    renamed = draw([InputSpec("decoder_input_ids", *(IDS.dtype, IDS.shape, "ids", 3, 100))], TEXT_SIZES, "nominal", "one")
    assert (here != there).any()
    assert (here != renamed["decoder_input_ids"]).any()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_ids_stay_in_their_range(structure: str) -> None:
    values = drawn(IDS, structure)
    assert values.min() >= 3
    assert values.max() < 100


def test_edge_ids_are_both_ends_of_the_range_and_contrast_ids_the_upper_half() -> None:
    assert set(drawn(IDS, "edge").ravel()) == {3, 99}
    assert drawn(IDS, "contrast").min() >= 51


def test_literal_ids_open_every_row_and_leave_room_for_drawn_ones_at_every_size() -> None:
    spec = InputSpec("input_ids", "int64", ("batch", "sequence"), "ids", 3, 100, prefix=(1, *[200] * 12))
    for case in cases([spec, MASK], TEXT_SIZES, frozenset({"batch", "sequence"}), "m"):
        ids, mask = case.arrays["input_ids"], case.arrays["attention_mask"]
        assert ids.shape[1] > 13
        assert (ids[:, :13] == [1, *[200] * 12]).all()
        assert (ids[:, 13:] < 100).all()
        assert (mask[:, :14] == 1).all()


def test_padded_masks_are_right_padded_to_another_length_in_each_row() -> None:
    mask = drawn(MASK, "padded", {"batch": 3, "sequence": 17})
    lengths = mask.sum(1)
    assert len(set(lengths)) == 3
    assert lengths.max() == 17
    assert all((row[:n] == 1).all() and (row[n:] == 0).all() for row, n in zip(mask, lengths, strict=True))
    assert drawn(MASK, "padded", {"batch": 1, "sequence": 17}).sum() < 17
    assert (drawn(MASK, "nominal") == 1).all()


def test_images_of_the_contrasting_case_have_clearly_less_contrast_and_no_edge_image_is_flat() -> None:
    within = {s: drawn(IMAGE, s).std(axis=(2, 3)).mean() for s in ("nominal", "contrast", "edge")}
    assert within["contrast"] < 0.7 * within["nominal"]
    assert drawn(IMAGE, "edge").std(axis=(1, 2, 3)).min() > 0.3
    assert np.abs(drawn(IMAGE, "edge")).max() < 6


def test_neighbouring_pixels_resemble_each_other() -> None:
    image = drawn(IMAGE, "nominal")[0, 0]
    assert np.corrcoef(image[:, :-1].ravel(), image[:, 1:].ravel())[0, 1] > 0.3


def test_sound_stays_within_full_scale_and_the_edge_case_opens_with_silence() -> None:
    spec = InputSpec("input_values", "float32", ("batch", "samples"), "audio")
    for structure in STRUCTURES:
        assert np.abs(drawn(spec, structure, {"batch": 2, "samples": 1601})).max() <= 1
    assert (drawn(spec, "edge", {"batch": 2, "samples": 1601})[:, :500] == 0).all()


def test_boxes_have_their_corners_in_order() -> None:
    for structure in STRUCTURES:
        boxes = drawn(InputSpec("bbox", "int64", ("batch", "sequence", 4), "boxes", 0, 1000), structure)
        assert (boxes[..., :2] <= boxes[..., 2:]).all()
        assert 0 <= boxes.min() <= boxes.max() < 1000


def test_positions_start_where_the_cache_ends_and_the_contrasting_case_has_a_gap() -> None:
    spec = InputSpec("position_ids", "int64", ("batch", "sequence"), "positions", 0, 256, start="past_sequence")
    sizes = {"batch": 2, "sequence": 6, "past_sequence": 5}
    assert drawn(spec, "nominal", sizes).tolist() == [[5, 6, 7, 8, 9, 10]] * 2
    assert drawn(spec, "contrast", sizes).tolist() == [[5, 6, 7, 11, 12, 13]] * 2


def test_positions_never_leave_a_short_table() -> None:
    spec = InputSpec("position_ids", "int64", ("batch", "sequence"), "positions", 0, 17)
    assert drawn(spec, "contrast").max() == 16


def test_a_constant_is_its_value() -> None:
    assert drawn(InputSpec("sr", "int64", (), "constant", value=16000), "edge") == 16000


def test_bfloat16_inputs_can_be_drawn() -> None:
    assert str(drawn(InputSpec("x", "bfloat16", ("batch", 3), "normal"), "nominal").dtype) == "bfloat16"


def test_every_varying_axis_is_seen_at_two_other_sizes_than_the_nominal_one() -> None:
    for inputs, sizes in (([IDS, MASK], TEXT_SIZES), ([IMAGE], IMAGE_SIZES)):
        made = cases(inputs, sizes, frozenset(sizes), "m")
        for axis, nominal in sizes.items():
            assert len({case.sizes[axis] for case in made} - {nominal}) >= 2, axis


def test_an_axis_that_does_not_vary_keeps_its_size_in_every_case() -> None:
    made = cases([IDS, MASK], TEXT_SIZES, frozenset({"batch"}), "m")
    assert {case.sizes["sequence"] for case in made} == {17}
    assert {case.sizes["batch"] for case in made} == {1, 2, 3}


def test_cases_of_a_text_model_have_these_names_and_only_some_are_nominal() -> None:
    made = cases([IDS, MASK], TEXT_SIZES, frozenset(TEXT_SIZES), "m")
    assert [case.name for case in made] == ["nominal", "contrast", "padded", "edge", "batch", "odd", "far"]
    assert [case.name for case in made if case.nominal] == ["nominal", "contrast", "padded", "edge"]
    assert {case.sizes["sequence"] % 2 for case in made} == {1}


def test_a_model_without_masks_or_varying_axes_has_three_cases() -> None:
    assert [c.name for c in cases([IMAGE], IMAGE_SIZES, frozenset(), "m")] == ["nominal", "contrast", "edge"]


def test_no_two_cases_hold_the_same_values() -> None:
    made = [case.arrays["input_ids"] for case in cases([IDS, MASK], TEXT_SIZES, frozenset(), "m")]
    assert all((a != b).any() for n, a in enumerate(made) for b in made[:n])


def test_a_language_model_with_a_cache_is_seen_at_prefill_and_at_one_new_token() -> None:
    inputs = [
        IDS,
        InputSpec("attention_mask", "int64", ("batch", "sequence+past_sequence"), "mask"),
        InputSpec("past_key_values.0.key", "float32", ("batch", 2, "past_sequence", 8), "normal"),
    ]
    sizes = {"batch": 2, "sequence": 3, "past_sequence": 5}
    made = {case.name: case for case in cases(inputs, sizes, frozenset(sizes), "m")}
    assert made["odd"].arrays["past_key_values.0.key"].shape == (1, 2, 0, 8)
    assert made["decode"].arrays["input_ids"].shape == (2, 1)
    assert made["decode"].arrays["attention_mask"].shape == (2, 6)


@pytest.mark.parametrize("nominal", range(1, 40))
def test_other_sizes_differ_from_each_other_and_from_the_nominal_one(nominal: int) -> None:
    for axis in ("batch", "sequence", "past_sequence", "height"):
        assert len({nominal, *other_size(axis, nominal)}) == 3, axis


def test_a_step_of_the_model_decides_its_other_sizes() -> None:
    assert other_size("height", 56, {"height": 14}) == (70, 84)
    assert other_size("height", 64) == (96, 128)


@pytest.mark.parametrize(
    ("expression", "size"),
    [("2*frames", 14), ("a+frames", 10), ("frames//2", 3), ("(a+1)*2", 8), ("frames-a-1", 3), ("a+2*frames", 17), (5, 5)],
)
def test_sizes_follow_from_other_axes(expression: str | int, size: int) -> None:
    assert shapes.evaluate(expression, {"frames": 7, "a": 3}) == size


@pytest.mark.parametrize("expression", ["", "2*", "a b", "b", "a-9", "a//0", "a**2", "(a", "a)", "__import__('os')", "a.b()"])
def test_an_expression_that_cannot_be_read_is_an_error(expression: str) -> None:
    with pytest.raises(ModelError):
        shapes.evaluate(expression, {"a": 3})


def test_an_unknown_kind_and_a_missing_size_are_errors_that_name_the_input_or_axis() -> None:
    with pytest.raises(ModelError, match="'x' is of unknown kind 'noise'"):
        drawn(InputSpec("x", "float32", (2,), "noise"), "nominal")
    with pytest.raises(ModelError, match="no size for axis 'frames'"):
        drawn(InputSpec("x", "float32", ("frames",), "normal"), "nominal")
