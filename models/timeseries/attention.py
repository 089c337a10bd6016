"""Forecasters with attention or Fourier transforms: iTransformer, Crossformer, FEDformer, TFT, CSDI.

past_values: [batch, 32] or, for nets that see several series, [batch, 32, 4]; answers are the next 8 values, in the same
layout. Series are taken to be scaled already where a net does not do it itself; losses and sampling are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Block, Built, mlp, waves
from torch import Tensor, nn

PAST, FUTURE, SERIES = 32, 8, 4


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


def _many(net: nn.Module) -> Built:
    return net, {"past_values": torch.randn(2, PAST, SERIES)}


def itransformer() -> Built:
    return _many(ITransformer())


def crossformer() -> Built:
    return _many(Crossformer())


def tft() -> Built:
    examples = {"past_values": torch.randn(2, PAST, SERIES), "future_features": torch.randn(2, FUTURE, 3)}
    return TFT(), {**examples, "static": torch.tensor([0, 5])}


def fedformer() -> Built:
    return _many(FEDformer())


def csdi() -> Built:
    examples = {"noisy": torch.randn(2, PAST, SERIES), "known": torch.randn(2, PAST, SERIES)}
    return CSDI(), {**examples, "timestep": torch.randint(0, 50, (2,))}
