"""The weight recipe: what it changes, what it leaves alone, and that nets which hide faults stop doing so."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from porting.bundles import weights

BF16_ALLOWS = 5e-2
"""About what bf16 may be off by: less sensitivity would let another image's answer pass."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def randomised(module: nn.Module) -> nn.Module:
    weights.randomise(module)
    return module


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in before if torch.equal(before[name], after[name])]


# ---- what it changes ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Every kind of parameter that the recipe tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.norm = nn.LayerNorm(16)
        self.line = nn.Linear(16, 16)
        self.gamma = nn.Parameter(1e-5 * torch.ones(16))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.head = nn.Linear(16, 4)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.line.weight, std=0.02)
        self.steps = nn.Parameter(torch.arange(3), requires_grad=False)
        self.none = nn.Parameter(torch.zeros(0, 4))


def test_no_parameter_stays_constant_and_what_has_values_is_only_scaled() -> None:
    block = Block()
    before = state(block)
    after = state(randomised(block))
    assert set(unchanged(before, after)) == {"table.weight", "temperature", "steps", "none", "line.bias"}
    ratio = after["line.weight"] / before["line.weight"]
    assert torch.allclose(ratio, ratio[0, 0])


def test_norm_weights_stay_near_one_and_biases_near_zero() -> None:
    after = state(randomised(Block()))
    assert 0.05 < after["norm.weight"].std() < 0.2
    assert after["norm.weight"].mean() == pytest.approx(1, abs=0.1)
    assert 0.05 < after["norm.bias"].std() < 0.2
    assert after["head.bias"].abs().max() > 0


def test_gates_that_start_near_zero_are_opened() -> None:
    gamma = randomised(Block()).gamma
    assert gamma.min() >= 0.5
    assert gamma.max() <= 0.75


def test_norms_that_multiply_by_one_plus_weight_stay_positive() -> None:
    class OnePlus(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(16))

    assert (randomised(OnePlus()).weight >= 0.5).all()


def test_a_zero_head_and_a_weak_matrix_get_unit_gain() -> None:
    after = state(randomised(Block()))
    for name in ("head.weight", "line.weight"):
        assert after[name].std() * 4 == pytest.approx(1, rel=0.25), name


def test_a_matrix_that_is_strong_enough_is_left_alone() -> None:
    line = nn.Linear(16, 16)
    before = line.weight.clone()
    assert torch.equal(randomised(line).weight, before)


def test_embeddings_are_not_scaled() -> None:
    table = nn.Embedding(1000, 4)
    nn.init.normal_(table.weight, std=1e-2)
    before = table.weight.clone()
    assert torch.equal(randomised(table).weight, before)


def test_tied_weights_are_changed_once_and_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(64, 64, bias=False)
            self.two = nn.Linear(64, 64, bias=False)
            nn.init.zeros_(self.one.weight)
            self.two.weight = self.one.weight

    tied = randomised(Tied())
    alone = nn.ModuleDict({"one": nn.Linear(64, 64, bias=False).requires_grad_(False)})
    nn.init.zeros_(alone["one"].weight)
    assert tied.one.weight is tied.two.weight
    assert torch.equal(tied.one.weight, randomised(alone)["one"].weight)


def test_the_same_module_gets_the_same_weights_whatever_was_drawn_before() -> None:
    block = Block()
    twin = copy.deepcopy(block)
    torch.rand(100)
    first = state(randomised(block))
    torch.rand(7)
    assert unchanged(first, state(randomised(twin))) == list(first)


def test_parameters_of_different_names_get_different_values() -> None:
    pair = randomised(nn.ModuleDict({"one": nn.LayerNorm(8), "two": nn.LayerNorm(8)}))
    assert not torch.equal(pair["one"].weight, pair["two"].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_and_gradient_flags_stay(dtype: torch.dtype) -> None:
    block = randomised(Block().to(dtype))
    assert block.norm.weight.dtype == dtype
    assert block.norm.weight.requires_grad
    assert all(torch.isfinite(p).all() for p in block.parameters() if p.is_floating_point())


# ---- BatchNorm ----------------------------------------------------------------------------------------------------


def image(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def convolutions() -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (3, 8, 8, 8):
        layers += [nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


def calibrated(module: nn.Module, margins: Callable[[], float] = lambda: weights.GOOD_MARGIN) -> nn.Module:
    weights.randomise(module)
    weights.calibrate(module, [lambda n=n: module(image(n)) for n in range(4)], margins)
    return module


def test_statistics_come_from_the_data_with_jitter() -> None:
    module = calibrated(convolutions())
    seen: dict[nn.Module, torch.Tensor] = {}
    for norm in weights.batch_norms(module):
        norm.register_forward_pre_hook(lambda m, args: seen.__setitem__(m, args[0]))
    with torch.no_grad():
        module(torch.cat([image(n) for n in range(4)]))
    for norm, value in seen.items():
        mean, variance = value.mean((0, 2, 3)), value.var((0, 2, 3))
        assert not torch.allclose(norm.running_mean, mean, rtol=1e-3)
        assert ((norm.running_mean - mean).abs() < 2 * variance.sqrt()).all()
        assert (norm.running_var / variance).min() > 0.3
        assert (norm.running_var / variance).max() < 3


def test_the_module_is_in_eval_mode_afterwards_and_keeps_its_momentum() -> None:
    module = calibrated(convolutions())
    assert not any(m.training for m in module.modules())
    assert {norm.momentum for norm in weights.batch_norms(module)} == {0.1}


def test_a_pass_that_raises_leaves_the_module_in_eval_mode() -> None:
    module = convolutions()

    def fails() -> None:
        raise ValueError("no such input")

    with pytest.raises(ValueError, match="no such input"):
        weights.calibrate(module, [fails], lambda: 1.0)
    assert not any(m.training for m in module.modules())
    assert {norm.momentum for norm in weights.batch_norms(module)} == {0.1}


def test_calibration_is_the_same_every_time() -> None:
    module = convolutions()
    twin = copy.deepcopy(module)
    assert unchanged(state(calibrated(module)), state(calibrated(twin))) == list(state(module))


def test_a_module_without_batch_norm_is_neither_run_nor_changed() -> None:
    block = Block()
    before = state(block)
    weights.calibrate(block, [lambda: pytest.fail("was run")], lambda: pytest.fail("was measured"))
    assert unchanged(before, state(block)) == list(before)


def floors(margins: dict[float, float]) -> list[float]:
    """Variance over the variance at floor 0, for the floors that were tried, by how the margins come out."""
    module = convolutions()
    (first, *_) = weights.batch_norms(module)
    tried: list[float] = []

    def margin() -> float:
        tried.append(float(first.running_var.mean()))
        return margins[weights.VARIANCE_FLOORS[len(tried) - 1]]

    calibrated(module, margin)
    kept = float(first.running_var.mean())
    return [len(tried), *(n for n, value in enumerate(tried) if value == pytest.approx(kept))]


def test_a_good_margin_ends_the_search_for_a_variance_floor() -> None:
    assert floors({0.0: 5e5}) == [1, 0]
    assert floors({0.0: 1e3, 0.03: 4e5}) == [2, 1]


def test_the_variance_floor_with_the_largest_margin_is_kept() -> None:
    assert floors({0.0: 10.0, 0.03: 500.0, 0.1: 40.0, 0.3: 100.0}) == [4, 1]
    assert floors({0.0: float("nan"), 0.03: 5.0, 0.1: 4.0, 0.3: 1.0}) == [4, 1]


# ---- what it cures ------------------------------------------------------------------------------------------------


class Gated(nn.Module):
    """gmlp's spatial gate: its weights start at zero and its bias at one, and the classifier at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.gate = nn.Linear(16, 16)
        self.head = nn.Linear(8, 5)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u, v = self.stem(x).flatten(2).transpose(1, 2).chunk(2, -1)
        return self.head((u * self.gate(self.norm(v).transpose(1, 2)).transpose(1, 2)).mean(1))


class LayerScaled(nn.Module):
    """cait's and convnext's residual branches: multiplied by 1e-6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.branches = nn.ModuleList([nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU()) for _ in range(2)])
        self.scales = nn.ParameterList([nn.Parameter(1e-6 * torch.ones(16)) for _ in range(2)])
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        hidden = self.cls_token.expand(x.shape[0], 1, 16)
        for branch, scale in zip(self.branches, self.scales, strict=True):
            hidden = hidden + scale * branch(tokens).mean(1, keepdim=True)
        return hidden[:, 0]


class ZeroResidual(nn.Module):
    """A CNN whose running statistics stay at 0 and 1 and whose gains shrink every layer, as in repvgg and shufflenet."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (3, 16, 16, 16, 16):
            conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
            nn.init.normal_(conv.weight, std=0.01)
            layers += [conv, nn.BatchNorm2d(16), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def sensitivity(module: nn.Module) -> float:
    """How much the answer to another image differs, relative."""
    with torch.no_grad():
        one, other = module(image(0)), module(image(1))
    return float((one - other).norm() / one.norm().clamp_min(1e-30))


@pytest.mark.parametrize("make", [Gated, LayerScaled, ZeroResidual])
def test_a_net_whose_random_weights_hide_the_input_shows_it_after_the_recipe(make: type[nn.Module]) -> None:
    module = make().eval()
    assert sensitivity(module) < 1e-3
    assert sensitivity(calibrated(module)) > BF16_ALLOWS


def test_a_masked_token_matters_after_the_recipe_where_initialisation_makes_attention_flat() -> None:
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True).eval()
    for parameter in layer.parameters():
        if parameter.dim() >= 2:
            nn.init.normal_(parameter, std=0.02)
    tokens = torch.randn(2, 8, 64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(8).expand(2, 8) > 5

    def moved() -> float:
        with torch.no_grad():
            plain, masked = layer(tokens)[:, :5], layer(tokens, src_key_padding_mask=mask)[:, :5]
        return float((plain - masked).norm() / plain.norm())

    before = moved()
    weights.randomise(layer)
    assert moved() > 5 * before
    assert moved() > BF16_ALLOWS


def test_lost_batch_norm_statistics_show_after_the_recipe() -> None:
    module = calibrated(ZeroResidual().eval())
    with torch.no_grad():
        right = module(image(0))
        for norm in weights.batch_norms(module):
            norm.reset_running_stats()
        wrong = module(image(0))
    assert float((right - wrong).norm() / right.norm()) > BF16_ALLOWS
