"""Forecasters of time series that no library has.

past_values: [batch, 32] or, for nets that see several series, [batch, 32, 4]; answers are the next 8 values, in the same
layout. Series are taken to be scaled already where a net does not do it itself; losses, covariates that are not named and
sampling are left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Block, Built, mlp, waves
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


class ITransformer(nn.Module):
    """Liu et al. 2023, "iTransformer: Inverted Transformers Are Effective for Time Series Forecasting", arXiv:2310.06625: a
    token is a whole series."""

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.into, self.blocks = nn.Linear(PAST, width), nn.Sequential(*(Block(width) for _ in range(depth)))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, FUTURE))

    def forward(self, past_values: Tensor) -> Tensor:
        mean, std = past_values.mean(1, keepdim=True), (past_values.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        x = self.blocks(self.into(((past_values - mean) / std).transpose(1, 2)))
        return self.out(x).transpose(1, 2) * std + mean


class Crossformer(nn.Module):
    """Zhang and Yan 2023, "Crossformer: Transformer Utilizing Cross-Dimension Dependency for Multivariate Time Series
    Forecasting" (ICLR): segments of each series, attention over time, then over series by way of a few routers. One level; the
    decoder is a linear map."""

    def __init__(self, width: int = 32, segment: int = 8, routers: int = 3) -> None:
        super().__init__()
        self.segment, places = segment, PAST // segment
        self.into, self.positions = nn.Linear(segment, width), nn.Parameter(0.1 * torch.randn(SERIES, places, width))
        self.time, self.router = Block(width), nn.Parameter(torch.randn(places, routers, width))
        self.send, self.receive, self.norm = Attention(width, 4), Attention(width, 4), nn.LayerNorm(width)
        self.feed, self.out = mlp([width, 2 * width, width], nn.GELU), nn.Linear(places * width, FUTURE)

    def forward(self, past_values: Tensor) -> Tensor:
        x = self.into(past_values.transpose(1, 2).unflatten(-1, (-1, self.segment))) + self.positions  # batch, series, places
        x = self.time(x.flatten(0, 1)).unflatten(0, (-1, SERIES)).transpose(1, 2)
        router = self.router.expand(x.shape[0], -1, -1, -1).flatten(0, 1)
        flat = x.flatten(0, 1)
        flat = self.norm(flat + self.receive(flat, self.send(router, flat)))
        x = (flat + self.feed(flat)).unflatten(0, (-1, PAST // self.segment)).transpose(1, 2)
        return self.out(x.flatten(2)).transpose(1, 2)


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


class GRN(nn.Module):
    """Gated residual network of TFT: ELU, two linear layers, a gate, a norm; a context may take part."""

    def __init__(self, inner: int, outer: int, context: int | None = None) -> None:
        super().__init__()
        self.first, self.second, self.gate = nn.Linear(inner, outer), nn.Linear(outer, outer), nn.Linear(outer, 2 * outer)
        self.context = nn.Linear(context, outer, bias=False) if context else None
        self.shortcut, self.norm = nn.Linear(inner, outer) if inner != outer else nn.Identity(), nn.LayerNorm(outer)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        hidden = self.first(x)
        if self.context is not None and context is not None:
            hidden = hidden + self.context(context)
        return self.norm(self.shortcut(x) + F.glu(self.gate(self.second(F.elu(hidden))), dim=-1))


class TFT(nn.Module):
    """Lim et al. 2019, "Temporal Fusion Transformers for Interpretable Multi-horizon Time Series Forecasting",
    arXiv:1912.09363.

    past_values: [batch, 32, 4]; future_features: [batch, 8, 3]; static: [batch], an id. Variable selection, LSTM encoder and
    decoder, attention with one head of values, quantiles [batch, 8, 3].
    """

    def __init__(self, features: int = 3, width: int = 16, ids: int = 6) -> None:
        super().__init__()
        self.static, self.lstm_state = nn.Embedding(ids, width), nn.ModuleList(GRN(width, width) for _ in range(2))
        self.past, self.future = self._selection(SERIES, width), self._selection(features, width)
        self.encoder, self.decoder = nn.LSTM(width, width, batch_first=True), nn.LSTM(width, width, batch_first=True)
        self.gates = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.enrich, self.feed = GRN(width, width, width), GRN(width, width)
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width // 2)
        self.mix, self.out = nn.Linear(width // 2, width), nn.Linear(width, 3)

    @staticmethod
    def _selection(variables: int, width: int) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                "into": nn.ModuleList(nn.Linear(1, width) for _ in range(variables)),
                "each": nn.ModuleList(GRN(width, width) for _ in range(variables)),
                "weights": GRN(variables * width, variables, width),
            }
        )

    @staticmethod
    def _select(parts: nn.ModuleDict, x: Tensor, context: Tensor) -> Tensor:
        seen = [into(x[..., n : n + 1]) for n, into in enumerate(parts["into"])]
        share = parts["weights"](torch.cat(seen, dim=-1), context).softmax(-1).unsqueeze(-2)
        return (torch.stack([each(one) for each, one in zip(parts["each"], seen, strict=True)], dim=-1) * share).sum(-1)

    def forward(self, past_values: Tensor, future_features: Tensor, static: Tensor) -> Tensor:
        context = self.static(static).unsqueeze(1)
        past, future = self._select(self.past, past_values, context), self._select(self.future, future_features, context)
        hidden, cell = (part(context).transpose(0, 1).contiguous() for part in self.lstm_state)
        before, state = self.encoder(past, (hidden, cell))
        after, _ = self.decoder(future, state)
        x = self._add(torch.cat([before, after], dim=1), torch.cat([past, future], dim=1), 0)
        rich = self.enrich(x, context)
        x = self._add(self._attend(rich), rich[:, PAST:], 1)
        return self.out(self._add(self.feed(x), after, 2))

    def _add(self, x: Tensor, shortcut: Tensor, number: int) -> Tensor:
        return self.norms[number](shortcut + F.glu(self.gates[number](x), dim=-1))

    def _attend(self, x: Tensor, heads: int = 2) -> Tensor:
        """Attention of the future steps on all that is not later, the values shared by the heads."""
        query, key = (part(x).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (self.query, self.key))
        scores = query[:, :, PAST:] @ key.transpose(-1, -2) / key.shape[-1] ** 0.5
        line = torch.arange(PAST + FUTURE, device=x.device)
        share = scores.masked_fill(line > line[PAST:, None], float("-inf")).softmax(-1).mean(1)
        return self.mix(share @ self.value(x))


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


class FEDformer(nn.Module):
    """Zhou et al. 2022, "FEDformer: Frequency Enhanced Decomposed Transformer for Long-term Series Forecasting",
    arXiv:2201.12740: the encoder, with the Fourier block (a fixed choice of modes, real arithmetic) and decomposition after
    each part."""

    def __init__(self, width: int = 16, modes: int = 6) -> None:
        super().__init__()
        self.modes, self.into = modes, nn.Conv1d(SERIES, width, 3, padding=1, padding_mode="circular")
        self.weight = nn.Parameter(torch.randn(2, width, width, modes) / width)
        self.feed, self.out = mlp([width, 2 * width, width], nn.GELU), nn.Linear(PAST, FUTURE)
        self.project = nn.Linear(width, SERIES)

    def forward(self, past_values: Tensor) -> Tensor:
        x = self.into(past_values.transpose(1, 2))
        x = x + self._fourier(x)
        x = x - self._average(x)
        x = x + self.feed(x.transpose(1, 2)).transpose(1, 2)
        x = x - self._average(x)
        season = self.project(self.out(x).transpose(1, 2))
        return season + past_values.mean(1, keepdim=True)

    def _fourier(self, x: Tensor) -> Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft(x))[:, :, : self.modes]
        (real, imaginary), (a, b) = spectrum.unbind(-1), self.weight
        rule = "bim,iom->bom"
        first = torch.einsum(rule, real, a) - torch.einsum(rule, imaginary, b)
        low = torch.stack([first, torch.einsum(rule, real, b) + torch.einsum(rule, imaginary, a)], dim=-1)
        padded = F.pad(low, (0, 0, 0, x.shape[-1] // 2 + 1 - self.modes))
        return torch.fft.irfft(torch.view_as_complex(padded), n=x.shape[-1])

    @staticmethod
    def _average(x: Tensor, window: int = 7) -> Tensor:
        return F.avg_pool1d(F.pad(x, (window // 2, window // 2), mode="replicate"), window, 1)


class CSDI(nn.Module):
    """Tashiro et al. 2021, "CSDI: Conditional Score-based Diffusion Models for Probabilistic Time Series Imputation",
    arXiv:2107.03502: the denoiser, with attention over time and over series in each residual layer.

    noisy, known: [batch, 32, 4]; timestep: [batch].
    """

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.width, self.into, self.step = width, nn.Linear(2, width), mlp([width, width, width], nn.SiLU, last=True)
        self.series, self.steps = (
            nn.Parameter(torch.randn(SERIES, width)),
            nn.ModuleList(nn.Linear(width, width) for _ in range(depth)),
        )
        self.time, self.across = (nn.ModuleList(Block(width, 2) for _ in range(depth)) for _ in range(2))
        self.middle, self.side = (nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth)) for _ in range(2))
        self.ends, self.out = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth)), mlp([width, width, 1])

    def forward(self, noisy: Tensor, known: Tensor, timestep: Tensor) -> Tensor:
        step = self.step(waves(timestep.to(noisy.dtype), self.width))[:, None, None]
        place = waves(torch.arange(noisy.shape[1], dtype=noisy.dtype, device=noisy.device), self.width).unsqueeze(1) + self.series
        x, total = self.into(torch.stack([known, noisy], dim=-1)).relu(), torch.zeros_like(place)
        for n, (time, across) in enumerate(zip(self.time, self.across, strict=True)):
            hidden = (x + self.steps[n](step)).transpose(1, 2)  # batch, series, time, width
            hidden = time(hidden.flatten(0, 1)).unflatten(0, (-1, SERIES)).transpose(1, 2)
            hidden = across(hidden.flatten(0, 1)).unflatten(0, (-1, noisy.shape[1]))
            gate, value = (self.middle[n](hidden) + self.side[n](place)).chunk(2, dim=-1)
            left, skip = self.ends[n](gate.sigmoid() * value.tanh()).chunk(2, dim=-1)
            x, total = (x + left) / 2**0.5, total + skip
        return self.out(total / len(self.time) ** 0.5).squeeze(-1)


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


def itransformer() -> Built:
    return _many(ITransformer())


def crossformer() -> Built:
    return _many(Crossformer())


def timesnet() -> Built:
    return _many(TimesNet())


def tcn() -> Built:
    return _many(TCN())


def scinet() -> Built:
    return _many(SCINet())


def deepar() -> Built:
    examples = {"past_values": torch.randn(2, PAST), "future_features": torch.randn(2, PAST + FUTURE, 3)}
    return DeepAR(), {**examples, "noise": torch.randn(2, FUTURE)}


def tft() -> Built:
    examples = {"past_values": torch.randn(2, PAST, SERIES), "future_features": torch.randn(2, FUTURE, 3)}
    return TFT(), {**examples, "static": torch.tensor([0, 5])}


def lstnet() -> Built:
    return _many(LSTNet())


def fedformer() -> Built:
    return _many(FEDformer())


def csdi() -> Built:
    examples = {"noisy": torch.randn(2, PAST, SERIES), "known": torch.randn(2, PAST, SERIES)}
    return CSDI(), {**examples, "timestep": torch.randint(0, 50, (2,))}
