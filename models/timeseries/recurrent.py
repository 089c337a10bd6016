"""Forecasters of convolutions and recurrent nets: TimesNet, TCN, SCINet, DeepAR, LSTNet.

past_values: [batch, 32] or, for nets that see several series, [batch, 32, 4]; answers are the next 8 values, in the same
layout. Series are taken to be scaled already where a net does not do it itself; losses and sampling are left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built
from torch import Tensor, nn

PAST, FUTURE, SERIES = 32, 8, 4


class TimesNet(nn.Module):
    """Wu et al. 2022, "TimesNet: Temporal 2D-Variation Modeling for General Time Series Analysis", arXiv:2210.02186: the series
    folded by its periods, 2-D convolutions over the folds, weighted by the periods' strength.

    The periods are fixed, where the paper picks the strongest of each batch; their strength is measured by a Fourier transform,
    as there.
    """

    def __init__(self, width: int = 16, periods: tuple[int, ...] = (20, 10, 5), depth: int = 2) -> None:
        super().__init__()
        self.periods, length = periods, PAST + FUTURE
        self.into, self.extend, self.out = nn.Linear(SERIES, width), nn.Linear(PAST, length), nn.Linear(width, SERIES)
        self.blocks = nn.ModuleList(nn.Sequential(Kernels(width), nn.GELU(), Kernels(width)) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        angles = 2 * math.pi * torch.arange(length)[:, None] / torch.tensor(periods)
        self.register_buffer("waves", torch.stack([angles.cos(), angles.sin()]) / length)

    def forward(self, past_values: Tensor) -> Tensor:
        x = self.extend(self.into(past_values).transpose(1, 2))  # batch, width, length
        for block, norm in zip(self.blocks, self.norms, strict=True):
            strength = (torch.einsum("bwl,klp->kbwp", x, self.waves).square().sum(0) + 1e-9).sqrt().mean(1)
            folded = [block(x.unflatten(-1, (-1, period))).flatten(2) for period in self.periods]
            mixed = (torch.stack(folded, dim=-1) * strength.softmax(-1)[:, None, None]).sum(-1)
            x = norm((x + mixed).transpose(1, 2)).transpose(1, 2)
        return self.out(x.transpose(1, 2))[:, -FUTURE:]


class Kernels(nn.Module):
    """The mean of convolutions of several sizes (TimesNet's inception block)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, size, padding=size // 2) for size in (1, 3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([conv(x) for conv in self.convs]).mean(0)


class TCN(nn.Module):
    """Bai, Kolter and Koltun 2018, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling", arXiv:1803.01271: dilated causal convolutions. Its weight normalisation is folded into the weights."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        self.shortcuts = nn.ModuleList(nn.Conv1d(SERIES, width, 1) if n == 0 else nn.Identity() for n in range(depth))
        for n in range(depth):
            self.convs.append(nn.Conv1d(SERIES if n == 0 else width, width, 3, dilation=2**n))
            self.convs.append(nn.Conv1d(width, width, 3, dilation=2**n))
        self.out = nn.Linear(width, FUTURE * SERIES)

    def forward(self, past_values: Tensor) -> Tensor:
        x = past_values.transpose(1, 2)
        for number, shortcut in enumerate(self.shortcuts):
            hidden = x
            for conv in self.convs[2 * number : 2 * number + 2]:
                hidden = conv(F.pad(hidden, (2 * 2**number, 0))).relu()
            x = (hidden + shortcut(x)).relu()
        return self.out(x[:, :, -1]).unflatten(-1, (FUTURE, SERIES))


class SCINet(nn.Module):
    """Liu et al. 2021, "SCINet: Time Series Modeling and Forecasting with Sample Convolution and Interaction",
    arXiv:2106.09305: even and odd steps apart, scaled and shifted by each other, two levels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.ModuleList(self._conv(width) for _ in range(4)) for _ in range(3))
        self.out = nn.Linear(PAST, FUTURE)

    @staticmethod
    def _conv(width: int) -> nn.Sequential:
        first = nn.Conv1d(SERIES, width, 3, padding=1, padding_mode="replicate")
        return nn.Sequential(first, nn.LeakyReLU(), nn.Conv1d(width, SERIES, 3, padding=1, padding_mode="replicate"), nn.Tanh())

    def forward(self, past_values: Tensor) -> Tensor:
        x = past_values.transpose(1, 2)
        even, odd = self._level(x, 0)
        quarters = (*self._level(even, 1), *self._level(odd, 2))
        mixed = torch.stack([torch.stack(quarters[n::2], dim=-1).flatten(2) for n in range(2)], dim=-1).flatten(2)
        return self.out(x + mixed).transpose(1, 2)

    def _level(self, x: Tensor, number: int) -> tuple[Tensor, Tensor]:
        scale_odd, scale_even, add, take = self.parts[number]
        even, odd = x[..., ::2], x[..., 1::2]
        even, odd = even * scale_even(odd).exp(), odd * scale_odd(even).exp()
        return even + add(odd), odd - take(even)


class DeepAR(nn.Module):
    """Salinas, Flunkert and Gasthaus 2017, "DeepAR: Probabilistic Forecasting with Autoregressive Recurrent Networks",
    arXiv:1704.04110.

    past_values: [batch, 32]; future_features: [batch, 40, 3]; noise: [batch, 8], with which each step is sampled and fed back.
    Returns samples, means and standard deviations of a Gaussian.
    """

    def __init__(self, features: int = 3, width: int = 24) -> None:
        super().__init__()
        self.lstm, self.mean, self.spread = (
            nn.LSTM(1 + features, width, batch_first=True),
            nn.Linear(width, 1),
            nn.Linear(width, 1),
        )

    def forward(self, past_values: Tensor, future_features: Tensor, noise: Tensor) -> dict[str, Tensor]:
        scale = 1 + past_values.abs().mean(1, keepdim=True)
        value = past_values / scale
        earlier = torch.cat([value.unsqueeze(-1)[:, :-1], future_features[:, 1:PAST]], dim=-1)
        _, state = self.lstm(earlier)
        value, means, stds, samples = value[:, -1:], [], [], []
        for step in range(FUTURE):
            seen = torch.cat([value, future_features[:, PAST + step]], dim=-1).unsqueeze(1)
            x, state = self.lstm(seen, state)
            mean, std = self.mean(x[:, 0]), F.softplus(self.spread(x[:, 0]))
            value = mean + std * noise[:, step : step + 1]
            means.append(mean * scale)
            stds.append(std * scale)
            samples.append(value * scale)
        return {name: torch.cat(x, -1) for name, x in (("samples", samples), ("means", means), ("stds", stds))}


class LSTNet(nn.Module):
    """Lai et al. 2017, "Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks", arXiv:1703.07015:
    convolution, GRU, a GRU that skips by a period, and an autoregressive path. One step ahead: [batch, 4]."""

    def __init__(self, width: int = 16, skip: int = 6) -> None:
        super().__init__()
        self.skip, self.steps = skip, (PAST - 2) // skip
        self.conv = nn.Conv2d(1, width, (3, SERIES))
        self.gru, self.skipping = nn.GRU(width, width, batch_first=True), nn.GRU(width, 5, batch_first=True)
        self.out, self.straight = nn.Linear(width + skip * 5, SERIES), nn.Linear(8, 1)

    def forward(self, past_values: Tensor) -> Tensor:
        x = self.conv(past_values.unsqueeze(1)).relu().squeeze(-1).transpose(1, 2)
        _, state = self.gru(x)
        apart = x[:, -self.steps * self.skip :].unflatten(1, (self.steps, self.skip)).transpose(1, 2).flatten(0, 1)
        _, skipped = self.skipping(apart)
        skipped = skipped[0].unflatten(0, (-1, self.skip)).flatten(1)
        deep = self.out(torch.cat([state[0], skipped], dim=-1))
        return deep + self.straight(past_values[:, -8:].transpose(1, 2)).squeeze(-1)


def _many(net: nn.Module) -> Built:
    return net, {"past_values": torch.randn(2, PAST, SERIES)}


def timesnet() -> Built:
    return _many(TimesNet())


def tcn() -> Built:
    return _many(TCN())


def scinet() -> Built:
    return _many(SCINet())


def deepar() -> Built:
    examples = {"past_values": torch.randn(2, PAST), "future_features": torch.randn(2, PAST + FUTURE, 3)}
    return DeepAR(), {**examples, "noise": torch.randn(2, FUTURE)}


def lstnet() -> Built:
    return _many(LSTNet())
