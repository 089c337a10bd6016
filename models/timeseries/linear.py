"""Forecasters of linear maps and MLPs: N-BEATS, N-HiTS, DLinear, RevIN, TiDE, TSMixer.

past_values: [batch, 32] or, for nets that see several series, [batch, 32, 4]; answers are the next 8 values, in the same
layout. Series are taken to be scaled already where a net does not do it itself; losses and sampling are left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp
from torch import Tensor, nn

PAST, FUTURE, SERIES = 32, 8, 4


class NBeats(nn.Module):
    """Oreshkin et al. 2019, "N-BEATS: Neural basis expansion analysis for interpretable time series forecasting",
    arXiv:1905.10437: blocks that take away what they explain; trend and seasonality bases, or learned ones."""

    def __init__(self, interpretable: bool, width: int = 32, blocks: int = 2) -> None:
        super().__init__()
        time = torch.arange(-PAST, FUTURE) / FUTURE
        trend = torch.stack([time**power for power in range(3)])
        season = torch.stack([f(2 * math.pi * k * time) for k in range(1, 4) for f in (torch.cos, torch.sin)])
        bases = [trend] * blocks + [season] * blocks if interpretable else [0.3 * torch.randn(6, PAST + FUTURE)] * 2 * blocks
        self.bases = nn.ParameterList(nn.Parameter(base.clone(), requires_grad=not interpretable) for base in bases)
        self.layers = nn.ModuleList(mlp([PAST, width, width], last=True) for _ in bases)
        self.back, self.fore = (nn.ModuleList(nn.Linear(width, len(base), bias=False) for base in bases) for _ in range(2))

    def forward(self, past_values: Tensor) -> Tensor:
        left, total = past_values, torch.zeros_like(past_values[:, :FUTURE])
        for base, layers, back, fore in zip(self.bases, self.layers, self.back, self.fore, strict=True):
            x = layers(left)
            left = left - back(x) @ base[:, :PAST]
            total = total + fore(x) @ base[:, PAST:]
        return total


class NHiTS(nn.Module):
    """Challu et al. 2022, "N-HiTS: Neural Hierarchical Interpolation for Time Series Forecasting", arXiv:2201.12886: each block
    sees the past pooled at a rate of its own, and answers in few numbers that are interpolated."""

    def __init__(self, width: int = 32, pools: tuple[int, ...] = (8, 4, 1), steps: tuple[int, ...] = (2, 4, 8)) -> None:
        super().__init__()
        self.pools, self.steps = pools, steps
        self.layers = nn.ModuleList(
            mlp([PAST // pool, width, PAST // pool + step]) for pool, step in zip(pools, steps, strict=True)
        )

    def forward(self, past_values: Tensor) -> Tensor:
        left, total = past_values, torch.zeros_like(past_values[:, :FUTURE])
        for layers, pool, step in zip(self.layers, self.pools, self.steps, strict=True):
            seen = F.max_pool1d(left.unsqueeze(1), pool, pool).squeeze(1)
            back, fore = layers(seen).split([PAST // pool, step], dim=-1)
            left = left - F.interpolate(back.unsqueeze(1), size=PAST, mode="linear").squeeze(1)
            total = total + F.interpolate(fore.unsqueeze(1), size=FUTURE, mode="linear").squeeze(1)
        return total


class DLinear(nn.Module):
    """Zeng et al. 2022, "Are Transformers Effective for Time Series Forecasting?", arXiv:2205.13504: a moving average and what
    is left of it, a linear map each."""

    def __init__(self, window: int = 7) -> None:
        super().__init__()
        self.window, self.trend, self.season = window, nn.Linear(PAST, FUTURE), nn.Linear(PAST, FUTURE)

    def forward(self, past_values: Tensor) -> Tensor:
        x = past_values.transpose(1, 2)
        trend = F.avg_pool1d(F.pad(x, (self.window // 2, self.window // 2), mode="replicate"), self.window, 1)
        return (self.trend(trend) + self.season(x - trend)).transpose(1, 2)


class NLinear(nn.Module):
    """NLinear (arXiv:2205.13504): the last value is taken away before a linear map, and added after it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(PAST, FUTURE)

    def forward(self, past_values: Tensor) -> Tensor:
        last = past_values[:, -1:]
        return self.linear((past_values - last).transpose(1, 2)).transpose(1, 2) + last


class RLinear(nn.Module):
    """Kim et al. 2022, "Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution Shift"
    (RevIN, ICLR), around a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(SERIES)), nn.Parameter(torch.zeros(SERIES))
        self.linear = nn.Linear(PAST, FUTURE)

    def forward(self, past_values: Tensor) -> Tensor:
        mean = past_values.mean(1, keepdim=True)
        std = (past_values.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        x = (past_values - mean) / std * self.gain + self.shift
        x = self.linear(x.transpose(1, 2)).transpose(1, 2)
        return (x - self.shift) / self.gain * std + mean


class TiDE(nn.Module):
    """Das et al. 2023, "Long-term Forecasting with TiDE: Time-series Dense Encoder", arXiv:2304.08424. future_features: [batch,
    40, 3], known for past and future."""

    def __init__(self, features: int = 3, width: int = 32) -> None:
        super().__init__()
        self.project = self._dense(features, 2)
        self.encoder = self._dense(PAST + 2 * (PAST + FUTURE), width)
        self.decoder, self.temporal = self._dense(width, 4 * FUTURE), self._dense(6, 1)
        self.straight = nn.Linear(PAST, FUTURE)

    @staticmethod
    def _dense(inner: int, outer: int) -> nn.ModuleList:
        return nn.ModuleList((mlp([inner, 16, outer]), nn.Linear(inner, outer), nn.LayerNorm(outer)))

    @staticmethod
    def _through(block: nn.ModuleList, x: Tensor, norm: bool = True) -> Tensor:
        x = block[0](x) + block[1](x)
        return block[2](x) if norm else x

    def forward(self, past_values: Tensor, future_features: Tensor) -> Tensor:
        known = self._through(self.project, future_features)
        x = self._through(self.encoder, torch.cat([past_values, known.flatten(1)], dim=-1))
        x = self._through(self.decoder, x).unflatten(-1, (FUTURE, 4))
        # A norm over one number would leave nothing of it.
        x = self._through(self.temporal, torch.cat([x, known[:, PAST:]], dim=-1), norm=False)
        return x.squeeze(-1) + self.straight(past_values)


class TSMixer(nn.Module):
    """Chen et al. 2023, "TSMixer: An All-MLP Architecture for Time Series Forecasting", arXiv:2303.06053: MLPs over time and
    over series."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm1d(PAST * SERIES) for _ in range(2 * depth))
        self.time = nn.ModuleList(mlp([PAST, PAST], last=True) for _ in range(depth))
        self.series = nn.ModuleList(mlp([SERIES, 16, SERIES]) for _ in range(depth))
        self.out = nn.Linear(PAST, FUTURE)

    def forward(self, past_values: Tensor) -> Tensor:
        x = past_values
        for number, (time, series) in enumerate(zip(self.time, self.series, strict=True)):
            x = x + time(self._norm(x, 2 * number).transpose(1, 2)).transpose(1, 2)
            x = x + series(self._norm(x, 2 * number + 1))
        return self.out(x.transpose(1, 2)).transpose(1, 2)

    def _norm(self, x: Tensor, number: int) -> Tensor:
        return self.norms[number](x.flatten(1)).unflatten(1, (PAST, SERIES))


def _one(net: nn.Module) -> Built:
    return net, {"past_values": torch.randn(2, PAST)}


def _many(net: nn.Module) -> Built:
    return net, {"past_values": torch.randn(2, PAST, SERIES)}


def nbeats(interpretable: bool = True) -> Built:
    return _one(NBeats(interpretable))


def nhits() -> Built:
    return _one(NHiTS())


def dlinear() -> Built:
    return _many(DLinear())


def nlinear() -> Built:
    return _many(NLinear())


def rlinear() -> Built:
    return _many(RLinear())


def tide() -> Built:
    return TiDE(), {"past_values": torch.randn(2, PAST), "future_features": torch.randn(2, PAST + FUTURE, 3)}


def tsmixer() -> Built:
    return _many(TSMixer())
