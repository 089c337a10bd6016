"""Greedy generation: the loop that reference and targets share, and what is made of tokens that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from porting.bundles.generation import Prompt, greedy
from porting.numerics.compare import Noise
from porting.numerics.tokens import judge
from porting.types import Precision

VOCABULARY = 11


class Counter:
    """A model whose next token is the number of tokens it has seen, padding left out; its cache holds the ids themselves."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(inputs)
        rows, size = inputs["input_ids"].shape
        new = inputs["input_ids"].astype(float).reshape(rows, 1, size, 1)
        cached = np.concatenate([inputs["past_key_values.0.key"], new], 2)
        seen = inputs["attention_mask"].sum(1)
        logits = np.zeros((rows, size, VOCABULARY))
        for row, count in enumerate(seen):
            logits[row, -1, count % VOCABULARY] = 1.0
        return {"logits": logits, "present.0.key": cached}


def start(length: int, padding: tuple[int, ...] = (0, 0), window: int = 0) -> dict[str, Any]:
    ids = np.arange(2 * length).reshape(2, length) % VOCABULARY
    mask = (np.arange(length) >= np.array(padding)[:, None]).astype(np.int64)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": np.zeros((2, 1), np.int64),
        "past_key_values.0.key": np.zeros((2, 1, window, 1)),
        "past_key_values.0.encoder.key": np.full((2, 1, 3, 1), 7.0),
    }


def test_each_call_gets_the_cache_of_the_one_before_and_the_token_it_chose() -> None:
    model = Counter()
    made = greedy(model, start(4), Prompt("p", 4, tokens=3))
    assert made["tokens"].tolist() == [[4, 5, 6], [4, 5, 6]]
    assert made["logits"].shape == (2, 3, VOCABULARY)
    assert [call["input_ids"].tolist() for call in model.calls[1:]] == [[[4], [4]], [[5], [5]]]
    assert model.calls[2]["past_key_values.0.key"][0, 0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert all((call["past_key_values.0.encoder.key"] == 7).all() for call in model.calls)


def test_a_chunked_prompt_comes_to_the_same_tokens_in_more_calls() -> None:
    model = Counter()
    made = greedy(model, start(5), Prompt("p", 5, chunk=2, tokens=3))
    assert [call["input_ids"].shape[1] for call in model.calls] == [2, 2, 1, 1, 1]
    assert made["tokens"].tolist() == greedy(Counter(), start(5), Prompt("p", 5, tokens=3))["tokens"].tolist()


def test_padding_on_the_left_moves_positions_and_is_never_seen() -> None:
    model = Counter()
    made = greedy(model, start(4, (0, 2)), Prompt("p", 4, tokens=2))
    assert made["tokens"].tolist() == [[4, 5], [2, 3]]
    assert model.calls[0]["position_ids"].tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert model.calls[1]["position_ids"].tolist() == [[4], [2]]
    assert model.calls[1]["attention_mask"].tolist() == [[1] * 5, [0, 0, 1, 1, 1]]


def test_a_window_of_fixed_length_is_filled_from_the_right() -> None:
    model = Counter()
    made = greedy(model, start(3, window=6), Prompt("p", 3, chunk=1, tokens=2))
    assert made["tokens"].tolist() == [[3, 4], [3, 4]]
    assert {call["past_key_values.0.key"].shape for call in model.calls} == {(2, 1, 6, 1)}
    assert {call["attention_mask"].shape for call in model.calls} == {(2, 7)}
    assert model.calls[0]["attention_mask"][0].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert model.calls[-1]["past_key_values.0.key"][0, 0, :, 0].tolist() == [0, 0, 0, 0, 1, 2]
    assert model.calls[-1]["attention_mask"][0].tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_forced_tokens_are_gone_on_with_and_the_models_own_are_reported() -> None:
    model = Counter()
    forced = np.array([[9, 9, 9], [8, 8, 8]])
    made = greedy(model, start(4), Prompt("p", 4, tokens=3), forced)
    assert [call["input_ids"].tolist() for call in model.calls[1:]] == [[[9], [8]], [[9], [8]]]
    assert made["tokens"].tolist() == [[4, 5, 6], [4, 5, 6]]


def test_a_model_that_wants_no_mask_and_no_positions_gets_none() -> None:
    calls: list[set[str]] = []

    def step(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(set(inputs))
        return {"logits": np.eye(VOCABULARY)[inputs["input_ids"]], "present_state.0": inputs["past_state.0"] + 1}

    made = greedy(step, {"input_ids": np.array([[3, 4]]), "past_state.0": np.zeros((1, 2))}, Prompt("p", 2, chunk=1, tokens=2))
    assert made["tokens"].tolist() == [[4, 4]]
    assert calls == [{"input_ids", "past_state.0"}] * 3


# ---- the verdict --------------------------------------------------------------------------------------------------

NOISE = Noise(1e-7, 1e-7, 1e-6)


def truth(lead: float = 1.0) -> dict[str, dict[str, Any]]:
    """Two rows of four tokens; the second best token is behind by `lead`."""
    tokens = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    logits = np.random.default_rng(0).uniform(-2.0, -1.0, (2, 4, VOCABULARY))
    for row, step in np.ndindex(2, 4):
        logits[row, step, tokens[row, step]] = 1.0
        logits[row, step, 10] = 1.0 - lead
    return {"greedy": {"tokens": tokens, "logits": logits}}


def changed(right: dict[str, dict[str, Any]], row: int, step: int, token: int) -> dict[str, dict[str, Any]]:
    tokens = right["greedy"]["tokens"].copy()
    tokens[row, step:] = token
    return {"greedy": {**right["greedy"], "tokens": tokens}}


def test_equal_tokens_are_right_and_their_scores_are_measured() -> None:
    right = truth()
    actual = {"greedy": {**right["greedy"], "logits": right["greedy"]["logits"] + 0.25}}
    said = judge(actual, right, NOISE, Precision.FP32)
    (numbers,) = said.numbers
    assert not said.complaint
    assert (numbers.equal, numbers.tokens, numbers.distinct, numbers.row) == (4, 4, 8, None)
    assert numbers.max_abs == pytest.approx(0.25)
    assert said.message == "8 greedy tokens equal eager's"


def test_a_token_that_the_truth_is_far_from_is_named_with_its_gap() -> None:
    said = judge(changed(truth(), 1, 2, 10), truth(), NOISE, Precision.FP32)
    (numbers,) = said.numbers
    assert (numbers.row, numbers.step, numbers.expected, numbers.got, numbers.tie) == (1, 2, 7, 10, False)
    assert numbers.equal == 2
    assert numbers.gap == pytest.approx(1.0)
    assert "token 3 of 4 in row 1 is 10, eager's 7" in said.complaint


def test_a_token_that_the_truth_hardly_prefers_is_a_tie_and_what_follows_is_not_held_against_it() -> None:
    said = judge(changed(truth(1e-6), 0, 1, 10), truth(1e-6), NOISE, Precision.FP32)
    assert not said.complaint
    assert said.numbers[0].tie
    (note,) = said.notes
    assert note.startswith("prompt greedy: token 2 of 4 in row 0")
    assert note.endswith(", a tie")


@pytest.mark.parametrize(("precision", "tie"), [(Precision.FP32, False), (Precision.FP16, False), (Precision.BF16, True)])
def test_how_near_a_tie_must_be_depends_on_the_precision(precision: Precision, tie: bool) -> None:
    assert judge(changed(truth(0.1), 0, 0, 10), truth(0.1), NOISE, precision).numbers[0].tie is tie


def test_a_real_difference_in_one_row_counts_beside_a_tie_in_another() -> None:
    right = truth(1e-6)
    right["greedy"]["logits"][1, :, 10] = -1.0
    actual = changed(changed(right, 0, 0, 10), 1, 3, 10)
    said = judge(actual, right, NOISE, Precision.FP32)
    assert (said.numbers[0].row, said.numbers[0].step) == (1, 3)
    assert said.complaint


@pytest.mark.parametrize(
    "answer", [{}, {"greedy": {}}, {"greedy": {"tokens": np.ones((2, 3), int), "logits": np.ones((2, 3, 11))}}]
)
def test_tokens_that_did_not_come_back_are_a_complaint(answer: dict[str, dict[str, Any]]) -> None:
    assert "prompt greedy" in judge(answer, truth(), NOISE, Precision.FP32).complaint


def test_a_token_outside_the_vocabulary_is_never_a_tie() -> None:
    said = judge(changed(truth(), 0, 0, 99), truth(), NOISE, Precision.BF16)
    assert said.numbers[0].gap is None
    assert said.complaint


def test_a_model_that_repeats_one_token_is_said_to_prove_little() -> None:
    right = truth()
    right["greedy"] = {"tokens": np.full((2, 4), 3), "logits": right["greedy"]["logits"]}
    assert any("proves little" in note for note in judge(right, right, NOISE, Precision.FP32).notes)


def test_scores_that_are_not_finite_leave_no_number() -> None:
    right = truth()
    actual = {"greedy": {**right["greedy"], "logits": np.full((2, 4, VOCABULARY), np.nan)}}
    assert judge(actual, right, NOISE, Precision.FP32).numbers[0].max_abs is None
