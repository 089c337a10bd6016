"""Planted faults and answers: each does what its name says, and nothing else."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from porting.confusion import answers, faults, surgery
from porting.confusion.margins import eager_margins, recorded_margins
from porting.confusion.table import cells, change_to_json, margin_to_json
from porting.confusion.trial import PRECISIONS, Trial, rule_sets, rules_from_json, rules_to_json
from porting.numerics.compare import RULES
from porting.types import Precision

FAULTS = {fault.name: fault for fault in faults.FAULTS}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def planted(name: str, module: nn.Module) -> nn.Module:
    """A copy with the fault."""
    wrong = copy.deepcopy(module).eval()
    FAULTS[name].plant(wrong, ())
    return wrong


def answer_of(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = module(*inputs)
    return answer


# ---- faults -------------------------------------------------------------------------------------------------------


def test_names_are_unique() -> None:
    assert len(FAULTS) == len(faults.FAULTS)
    assert len({a.name for a in answers.ANSWERS}) == len(answers.ANSWERS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_leaves_a_module_alone_that_has_no_place_for_it(name: str) -> None:
    module = nn.Sequential(nn.Embedding(5, 4), nn.ReLU()).eval()
    ids = torch.tensor([[1, 2]])
    wrong = planted(name, module)
    if name != "all weights rounded to bf16":
        assert torch.equal(answer_of(wrong, ids), answer_of(module, ids))


@pytest.mark.parametrize(("mine", "other"), [("none", "tanh"), ("tanh", "none")])
def test_the_other_gelu_is_computed(mine: str, other: str) -> None:
    x = torch.randn(3, 5)
    wrong = planted("GELU: tanh for erf, erf for tanh", nn.GELU(approximate=mine))
    assert torch.equal(answer_of(wrong, x), F.gelu(x, approximate=other))


def test_every_epsilon_or_one_is_changed() -> None:
    module = nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.BatchNorm1d(4), nn.RMSNorm(4, eps=1e-6))
    assert [n.eps for n in planted("norm epsilon 1e-3, all", module)] == [1e-3] * 4
    assert [n.eps for n in planted("norm epsilon 1e-3, one", module)] == [1e-5, 1e-5, 1e-3, 1e-6]


def test_one_bias_is_zero() -> None:
    module = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    assert [float(part.bias.detach().abs().sum()) == 0 for part in planted("one bias dropped", module)] == [False, True, False]


class Attends(nn.Module):
    """Calls the fused kernel with the arguments given."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()
        self.arguments = arguments

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = x.unbind(0)
        if self.arguments.get("enable_gqa"):
            k, v = k[:, ::2], v[:, ::2]
        return F.scaled_dot_product_attention(q, k, v, **self.arguments)


QKV = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(4))
BOOL_MASK = torch.ones(6, 6, dtype=torch.bool).tril(1)
ADDED_MASK = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"is_causal": True}, {"attn_mask": BOOL_MASK}, {"attn_mask": ADDED_MASK}, {"scale": 0.7}, {"enable_gqa": True}],
    ids=str,
)
def test_the_stand_in_for_the_attention_kernel_is_right_but_for_its_axis(arguments: dict[str, object]) -> None:
    q, k, v = QKV.unbind(0)
    if arguments.get("enable_gqa"):
        k, v = k[:, ::2], v[:, ::2]
    right = F.scaled_dot_product_attention(q, k, v, **arguments)
    mine = faults._attention({"query": q, "key": k, "value": v, **arguments}, -1)
    assert torch.allclose(mine, right, atol=1e-5)
    wrong = answer_of(planted("softmax over the wrong axis, all", Attends(**arguments)), QKV)
    assert (wrong - right).norm() > 0.1 * right.norm()


def test_masks_are_lost_inside() -> None:
    plain = answer_of(Attends(), QKV)
    for arguments in ({"is_causal": True}, {"attn_mask": BOOL_MASK}):
        assert torch.equal(answer_of(planted("attention masks lost inside", Attends(**arguments)), QKV), plain)


def test_the_scale_is_applied_twice() -> None:
    wrong = answer_of(planted("attention scaled twice", Attends()), QKV)
    assert torch.allclose(wrong, answer_of(Attends(scale=1 / 8), QKV))


def test_softmax_is_taken_over_the_axis_before_in_one_call_or_in_all() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.softmax(-1), torch.softmax(x, dim=-1), F.softmax(x, dim=-1, dtype=torch.float64).float()])

    x = torch.randn(3, 4)
    right, wrong = x.softmax(-1), x.softmax(-2)
    every, one = (answer_of(planted(f"softmax over the wrong axis, {n}", Twice()), x) for n in ("all", "one"))
    assert torch.allclose(every, torch.stack([wrong] * 3))
    assert torch.allclose(one, torch.stack([wrong, right, right]))


def test_only_the_first_call_of_every_run_is_wrong() -> None:
    wrong = planted("softmax over the wrong axis, one", nn.Softmax(-1))
    x = torch.randn(3, 4)
    assert torch.equal(answer_of(wrong, x), answer_of(wrong, x))


def test_a_mask_input_is_ignored() -> None:
    from porting.types import InputSpec

    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return x * keep

    module = Masked()
    specs = (InputSpec("x", "float32", (2,), "normal"), InputSpec("keep", "int64", (2,), "mask"))
    FAULTS["attention mask input ignored"].plant(module, specs)
    assert module(x=torch.ones(2), keep=torch.tensor([1, 0])).tolist() == [1, 1]


def test_learned_positions_are_shifted_and_other_tables_are_not() -> None:
    module = nn.ModuleDict({"position_embedding": nn.Embedding(4, 2), "words": nn.Embedding(4, 2)})
    wrong = planted("positions off by one", module)
    assert torch.equal(wrong["position_embedding"].weight[1:], module["position_embedding"].weight[:-1])
    assert torch.equal(wrong["words"].weight, module["words"].weight)


def test_the_middle_square_weight_is_transposed() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    wrong = planted("square weight transposed", module)
    assert torch.equal(wrong[1].weight, module[1].weight.t())
    assert torch.equal(wrong[0].weight, module[0].weight)


def test_two_layers_get_each_others_weights() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 4))
    wrong = planted("weights of two layers swapped", module)
    assert torch.equal(wrong[0].weight, module[2].weight)
    assert torch.equal(wrong[2].weight, module[0].weight)


def test_batch_norm_faults_change_the_statistics_as_they_say() -> None:
    norm = nn.BatchNorm1d(3).eval()
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    lost, drifted, training = (
        planted(name, nn.Sequential(norm))[0]
        for name in ("BatchNorm statistics lost", "BatchNorm statistics drifted one step", "BatchNorm in training mode")
    )
    assert (float(lost.running_mean[0]), float(lost.running_var[0])) == (0, 1)
    assert (float(drifted.running_mean[0]), float(drifted.running_var[0])) == pytest.approx((1.8, 3.7))
    assert (training.training, norm.training) == (True, False)


def test_padding_moves_by_one_pixel_in_strided_convolutions_only() -> None:
    x = torch.randn(1, 2, 8, 8)
    strided, plain = nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(2, 3, 3, 1, 1)
    wrong = answer_of(planted("strided convolution padded elsewhere", strided), x)
    with torch.no_grad():
        assert torch.allclose(wrong, F.conv2d(F.pad(x, (0, 2, 0, 2)), strided.weight, strided.bias, 2), atol=1e-6)
    assert torch.equal(answer_of(planted("strided convolution padded elsewhere", plain), x), answer_of(plain, x))


@pytest.mark.parametrize("aligned", [None, True])
def test_interpolation_takes_the_other_corners(aligned: bool | None) -> None:
    x = torch.randn(1, 2, 4, 4)
    wrong = answer_of(
        planted("interpolation with other corners", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=aligned)), x
    )
    assert torch.equal(wrong, F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=not aligned))


def test_int8_keeps_255_steps_of_one_weight() -> None:
    module = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))
    wrong = planted("one weight rounded to int8", module)
    steps = wrong[1].weight / wrong[1].weight.abs().max() * 127
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert torch.equal(wrong[0].weight, module[0].weight)
    assert 1e-3 < (wrong[1].weight - module[1].weight).norm() / module[1].weight.norm() < 1e-2


def test_all_weights_are_rounded_to_bf16_and_stay_float32() -> None:
    module = nn.Linear(8, 8)
    wrong = planted("all weights rounded to bf16", module)
    assert torch.equal(wrong.weight, module.weight.bfloat16().float())
    assert torch.equal(wrong.bias, module.bias.bfloat16().float())


@pytest.mark.parametrize(("name", "dtype"), [("one layer in fp16", torch.float16), ("one layer in bf16", torch.bfloat16)])
def test_one_layer_computes_in_low_precision_and_gives_float32_back(name: str, dtype: torch.dtype) -> None:
    layer = nn.Linear(8, 8)
    x = torch.randn(2, 8)
    got = answer_of(planted(name, layer), x)
    assert got.dtype == torch.float32
    assert torch.equal(got, answer_of(copy.deepcopy(layer).to(dtype), x.to(dtype)).float())


def test_tf32_keeps_ten_bits_of_the_mantissa_rounded_to_nearest() -> None:
    kept = torch.tensor([1.0, 1 + 2**-10, -(1 + 2**-10), 0.0, 3e38, 1e-30])
    assert torch.equal(surgery.tf32(kept[:4]), kept[:4])
    assert surgery.tf32(torch.tensor([1 + 2**-11 + 2**-20])).item() == 1 + 2**-10
    assert surgery.tf32(torch.tensor([1 + 2**-12])).item() == 1
    assert ((surgery.tf32(kept[4:]) - kept[4:]).abs() / kept[4:] <= 2**-11).all()
    ids = torch.tensor([1, 2])
    assert surgery.tf32(ids) is ids


def test_products_in_tf32_err_as_tf32_does() -> None:
    layer, x = nn.Linear(256, 64), torch.randn(8, 256)
    right, wrong = answer_of(layer, x), answer_of(planted("products in TF32", layer), x)
    assert 1e-5 < (wrong - right).norm() / right.norm() < 1e-3


# ---- answers ------------------------------------------------------------------------------------------------------


def given(**outputs: np.ndarray) -> answers.Given:
    """Two cases of the same shapes, the second with other values."""
    right = {"one": dict(outputs), "two": {n: (np.flip(a) * 2 if a.dtype.kind == "f" else ~a) for n, a in outputs.items()}}
    truth = {case: {n: a + 1e-6 if a.dtype.kind == "f" else a for n, a in o.items()} for case, o in right.items()}
    return answers.Given(right, truth)


def plant(name: str, of: answers.Given) -> dict[str, dict[str, np.ndarray]]:
    before = copy.deepcopy(of.right)
    result = next(a for a in answers.ANSWERS if a.name == name).plant(of)
    assert answers._equal(of.right, before), "the right answer is never changed in place"
    return result


@pytest.mark.parametrize("name", [a.name for a in answers.ANSWERS])
def test_an_answer_can_be_planted_whatever_the_outputs_are(name: str) -> None:
    masked = np.arange(12.0).reshape(2, 3, 2)
    masked[0, 0] = -math.inf
    for outputs in (
        {"x": np.arange(24.0).reshape(2, 3, 4)}, {"x": np.arange(3.0)}, {"x": np.array(2.5)}, {"x": np.ones((0, 4))},
        {"ids": np.arange(4)}, {"x": masked}, {"x": np.zeros((2, 2)), "keep": np.array([True, False])},
    ):  # fmt: skip
        plant(name, given(**outputs))


def test_answers_are_what_they_are_called() -> None:
    x = np.arange(24.0).reshape(2, 3, 4) - 11
    g = given(x=x)
    assert np.isnan(plant("one NaN", g)["two"]["x"]).sum() == 1
    assert not np.isnan(plant("one NaN", g)["one"]["x"]).any()
    assert np.isposinf(plant("one infinity", g)["two"]["x"]).sum() == 1
    assert np.array_equal(plant("another case's answer", g)["one"]["x"], g.right["two"]["x"])
    assert np.array_equal(plant("negated", g)["one"]["x"], -x)
    assert np.array_equal(plant("rolled by one", g)["one"]["x"][..., 1:], x[..., :-1])
    assert np.abs(plant("clipped at half its range", g)["one"]["x"]).max() == 6
    assert np.array_equal(plant("mean of the cases", g)["one"]["x"], plant("mean of the cases", g)["two"]["x"])
    assert np.array_equal(plant("first item for the whole batch", g)["one"]["x"][1], x[0])
    assert plant("output dropped", g) == {"one": {}, "two": {}}
    assert set(plant("output too many", g)["one"]) == {"x", "extra"}
    assert plant("extra axis", g)["one"]["x"].shape == (1, 2, 3, 4)
    assert set(plant("no answer for one case", g)) == {"one"}
    assert np.allclose(plant("last row x 1.2", g)["one"]["x"][1, 2], 1.2 * x[1, 2])
    assert np.array_equal(plant("last row x 1.2", g)["one"]["x"][0], x[0])
    assert np.allclose(plant("last token x 1.1", g)["one"]["x"][:, 2], 1.1 * x[:, 2])
    assert (plant("one element x 2", g)["two"]["x"] != g.right["two"]["x"]).sum() == 1
    assert np.allclose(plant("10 times eager's noise", g)["one"]["x"] - g.truth["one"]["x"], -1e-5)


def test_a_missing_case_and_an_equal_answer_are_told_apart() -> None:
    g = given(x=np.arange(4.0))
    assert answers._equal(g.right, copy.deepcopy(g.right))
    assert not answers._equal(plant("no answer for one case", g), g.right)
    assert not answers._equal(plant("extra axis", g), g.right)


# ---- rules and counts ---------------------------------------------------------------------------------------------


def test_rules_are_tried_at_the_precisions_asked_for_only() -> None:
    assert rule_sets({"factor": None}, PRECISIONS) == [RULES]
    now, then = rule_sets({"factor": 3.0, "floor": 1e-5, "ceiling": None}, [Precision.FP32])
    assert now == RULES
    assert (then[Precision.FP32].factor, then[Precision.FP32].floor, then[Precision.FP32].ceiling) == (3.0, 1e-5, 1e-3)
    assert then[Precision.BF16] == RULES[Precision.BF16]


def test_rules_survive_the_way_into_a_job() -> None:
    assert rules_from_json(rules_to_json(RULES)) == RULES


def test_only_what_has_an_effect_is_counted_and_an_invalid_reference_is_not_wrong() -> None:
    outcome = {"a": ("caught",), "b": ("passed",), "c": ("invalid",), "d": ()}
    trials = [Trial("fault", "f", model, Precision.FP32, said, "caught") for model, said in outcome.items()]
    (cell,) = cells(trials)
    assert cell.words() == "1 caught, 1 pass, 1 invalid"
    assert cell.wrong == ["b"]
    assert cell.without_effect == 1
    assert cell.to_json()["passed"] == 1
    assert change_to_json(Trial("fault", "f", "m", Precision.FP32, ("passed", "caught")))["after"] == "caught"


def test_recorded_passes_count_when_they_were_held_against_this_very_reference() -> None:
    from pathlib import Path

    from porting.bundles.bundle import Bundle
    from porting.numerics.compare import Noise
    from porting.types import CaseNumbers, Outcome, OutputNumbers, Result, Stage

    bundle = Bundle("m", Path(), "eager", noise={"fp32": {"y": Noise(1e-6, 1e-6, 4e-6)}})

    def result(outcome: Outcome, noise: float, asked: str = "fp32", effective: str = "fp32") -> Result:
        numbers = OutputNumbers("y", rel_norm=2e-6, row=3e-6, peak=1e-5, noise_rel_norm=noise)
        cases = (CaseNumbers("nominal", (numbers,)),)
        return Result("m", f"torch:cpu:{asked}", Stage.COMPARE, outcome, effective_precision=effective, cases=cases)

    results = [result(Outcome.PASS, 1e-6), result(Outcome.MISMATCH, 1e-6), result(Outcome.PASS, 9e-7)]
    results.append(result(Outcome.PASS, 1e-6, "fp32", "tf32"))  # judged by fp32: no margin of TF32
    results.append(result(Outcome.DEGRADED, 1e-6, "bf16"))  # computed in fp32 and judged by it: a margin of fp32
    sets = rule_sets({"factor": 2.5}, PRECISIONS)
    margin, computed_finer = recorded_margins(results, bundle, PRECISIONS, sets)
    assert margin.of == "torch:cpu:fp32"
    assert computed_finer.of == "torch:cpu:bf16"
    assert computed_finer.precision is Precision.FP32
    assert margin.shares == pytest.approx((0.6, 1.0))
    assert margin_to_json(margin)["present_share"] == pytest.approx(0.6)
    (own,) = eager_margins(bundle, PRECISIONS, sets)
    assert own.shares == pytest.approx((0.4, 0.4), rel=0.5)
