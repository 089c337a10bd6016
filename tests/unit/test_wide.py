"""The wide run: float64 throughout, whatever a module hard-codes, and nothing left behind."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from porting.bundles.wide import widened

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def wide(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """The wide run, its first output."""
    with widened():
        answer = module(*(i.double() if i.is_floating_point() else i for i in inputs))
    first: torch.Tensor = answer[0] if isinstance(answer, tuple) else answer
    return first.double()


def doubled(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """Plain float64, which is the truth where nothing casts."""
    with torch.no_grad():
        answer = copy.deepcopy(module).double()(*(i.double() if i.is_floating_point() else i for i in inputs))
    first: torch.Tensor = answer[0] if isinstance(answer, tuple) else answer
    return first


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.GELU(),
            nn.ConvTranspose2d(8, 8, 2, 2),
            nn.GroupNorm(2, 8),
            nn.MaxPool2d(2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.body(x), scale_factor=2, mode="bilinear")


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(self.table(ids), src_key_padding_mask=ids > 25)
        return hidden @ self.table.weight.t()


class Flexible(nn.Module):
    """Attends by flex_attention, causally and with a score of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (part[:, None] for part in self.line(x).chunk(3, -1))
        block_mask = create_block_mask(lambda _b, _h, q, k: q >= k, None, None, x.shape[1], x.shape[1], device="cpu")
        answer = flex_attention(query, key, value, lambda score, _b, _h, q, k: score / (1 + q - k), block_mask)
        assert isinstance(answer, torch.Tensor)
        return answer


class Writes(nn.Module):
    """Writes in place into fresh tensors, into its own answers, and through `out`."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = torch.zeros(x.shape[0], 6, dtype=torch.float32)
        sums[:, ::2] = self.line(x)[:, ::2]
        sums.add_(self.line(x)).mul_(1 / 3)
        sums.index_add_(0, torch.tensor([0]), self.line(x)[:1])
        sums[sums < 0] /= 7
        torch.sin(sums, out=sums)
        return sums.masked_fill_(sums > 0.9, 0.1)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "linear": (lambda: nn.Linear(8, 4), (randn(3, 8),)),
    "convolutions": (Convolutions, (randn(2, 3, 16, 16),)),
    "one-dimensional convolution": (lambda: nn.Conv1d(4, 6, 3, padding="same"), (randn(2, 4, 9),)),
    "LSTM": (lambda: nn.LSTM(8, 8, 2, batch_first=True, bidirectional=True), (randn(2, 5, 8),)),
    "GRU": (lambda: nn.GRU(8, 8, batch_first=True), (randn(2, 5, 8),)),
    "plain recurrent net": (lambda: nn.RNN(8, 8), (randn(5, 2, 8),)),
    "LSTM cell": (lambda: nn.LSTMCell(8, 8), (randn(2, 8),)),
    "transformer encoder": (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (randn(2, 7, 16),)),
    "attention": (lambda: nn.MultiheadAttention(16, 4, batch_first=True), (randn(2, 7, 16),) * 3),
    "flex attention": (Flexible, (randn(2, 7, 16),)),
    "text": (Text, (torch.arange(18).reshape(2, 9) + 11,)),
    "PReLU": (lambda: nn.Sequential(nn.Linear(8, 4), nn.PReLU(4)), (randn(3, 8),)),
    "bilinear": (lambda: nn.Bilinear(4, 5, 3), (randn(2, 4), randn(2, 5, seed=1))),
}


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(1)
    make, inputs = MODELS[name]
    return make().eval(), inputs


@pytest.mark.parametrize("name", MODELS)
def test_it_equals_plain_float64_where_nothing_casts(name: str) -> None:
    module, inputs = made(name)
    assert far(wide(module, *inputs), doubled(module, *inputs)) < 1e-14


@pytest.mark.parametrize("name", MODELS)
def test_it_is_wider_than_a_run_in_the_models_own_precision(name: str) -> None:
    module, inputs = made(name)
    with torch.no_grad():
        answer = module(*inputs)
    first = answer[0] if isinstance(answer, tuple) else answer
    assert far(first.double(), wide(module, *inputs)) > 1e-9


def test_in_place_writes_into_fresh_tensors_are_as_wide_as_the_rest() -> None:
    torch.manual_seed(1)
    module, x = Writes().eval(), randn(3, 6)

    class Wide(Writes):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            real = torch.float32
            try:
                torch.float32 = torch.float64  # what the source would say if it did not hard-code the type
                return super().forward(x)
            finally:
                torch.float32 = real

    exact = copy.deepcopy(module).double()
    exact.__class__ = Wide
    with torch.no_grad():
        truth = exact(x.double())
    assert far(wide(module, x), truth) < 1e-14


@pytest.mark.parametrize("write", ["out", "copy", "add"])
def test_a_narrow_buffer_that_a_model_writes_into_is_written(write: str) -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if write == "out":
                torch.exp(x, out=self.kept)
            elif write == "copy":
                self.kept[:] = x.exp()
            else:
                self.kept.add_(x.exp())
            return self.kept + 0

    x = randn(4)
    assert far(wide(Keeps(), x), x.double().exp()) < 1e-7


class Casts(nn.Module):
    """Computes its middle in a narrow type, as many models' sources say."""

    def __init__(self, how: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.how(self.line(x))
        variance = hidden.pow(2).mean(-1, keepdim=True)
        return (hidden * torch.rsqrt(variance + 1e-6)).to(x.dtype)


CASTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "to(float32)": lambda t: t.to(torch.float32),
    "float()": lambda t: t.float(),
    "half()": lambda t: t.half(),
    "bfloat16()": lambda t: t.bfloat16(),
    "type_as": lambda t: t.type_as(torch.zeros(1, dtype=torch.float32)),
    "softmax(dtype=float32)": lambda t: F.softmax(t, -1, dtype=torch.float32),
    "to(other)": lambda t: t.to(torch.ones(1, dtype=torch.float32)),
    "new_zeros(dtype=float32)": lambda t: t.new_zeros(t.shape, dtype=torch.float32).copy_(t),
    "autocast": lambda t: _autocast(t),
}


def _autocast(t: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return t @ torch.eye(8, dtype=t.dtype) + 0 * t


@pytest.mark.parametrize("cast", CASTS)
def test_what_a_model_hard_codes_as_narrow_is_computed_wide_and_plain_double_is_not(cast: str) -> None:
    torch.manual_seed(1)
    narrow, x = Casts(CASTS[cast]).eval(), randn(4, 8)
    honest = Casts((lambda t: F.softmax(t, -1)) if "softmax" in cast else (lambda t: t)).eval()
    honest.load_state_dict(narrow.state_dict())
    truth = doubled(honest, x)
    assert far(wide(narrow, x), truth) < 1e-14
    if cast != "autocast":  # which leaves float64 alone
        assert far(doubled(narrow, x), truth) > 1e-9


def test_against_exact_arithmetic_it_errs_by_float64_rounding_only() -> None:
    """Root mean square norm of whole numbers, worked out with fractions and whole-number square roots."""
    from fractions import Fraction
    from math import isqrt

    class Rms(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.to(torch.float32)
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))

    values = [3, 1, 4, 1, 5, 9, 2, 6]
    square = Fraction(sum(v * v for v in values), len(values))
    digits = 10**40
    root = Fraction(isqrt(square.numerator * digits**2 // square.denominator), digits)
    got = wide(Rms(), torch.tensor([values], dtype=torch.float32))[0]
    for value, mine in zip(values, got.tolist(), strict=True):
        exact = Fraction(value) / root
        assert abs(Fraction(mine) - exact) / exact < Fraction(1, 2**51)


def test_weights_keep_their_own_precision_and_values() -> None:
    module, inputs = made("text")
    module.half()
    before = {n: (p.dtype, p.clone()) for n, p in module.named_parameters()}
    wide(module, *inputs)
    for name, parameter in module.named_parameters():
        assert parameter.dtype == before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_weights_in_half_precision_are_computed_with_as_they_are() -> None:
    module, inputs = made("text")
    module.half()
    assert far(wide(module, *inputs), doubled(module, *inputs)) < 1e-14


def state() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.nn.RNNBase.check_input,
        torch._C._get_mkldnn_enabled(),
        torch.is_grad_enabled(),
        (torch.ones(2) * 2).dtype,
    )


def test_everything_is_as_it_was_afterwards() -> None:
    before = state()
    wide(*(lambda m: (m[0], *m[1]))(made("LSTM")))
    assert state() == before


def test_everything_is_as_it_was_after_an_exception_too() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("at once")

    before = state()
    with pytest.raises(ValueError, match="at once"):
        wide(Fails(), randn(1))
    assert state() == before
    assert nn.Linear(2, 2)(randn(1, 2)).requires_grad


def test_runs_may_nest() -> None:
    module, inputs = made("linear")
    with widened():
        inner = wide(module, *inputs)
        outer = module(*(i.double() for i in inputs))
    assert torch.equal(inner, outer.double())
