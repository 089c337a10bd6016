"""Nets from text to a spectrogram: Tacotron 2, FastSpeech 2, Glow-TTS, Grad-TTS.

Spectrograms have 20 bands. Spectrograms are the caller's; discriminators, losses and text front ends are left out. Weight
normalisation is folded into the weights.
"""

from __future__ import annotations

import torch
from porting.models.layers import Block, Built, mlp, waves
from torch import Tensor, nn

MELS = 20


class Tacotron2Step(nn.Module):
    """Shen et al. 2017, "Natural TTS Synthesis by Conditioning WaveNet on Mel Spectrogram Predictions" (Tacotron 2),
    arXiv:1712.05884: one step of the decoder, with attention that knows where it was.

    frame: [batch, 20]; memory: [batch, letters, 24]; weights, total: [batch, letters], attention before; context: [batch, 24];
    hidden, cell, hidden2, cell2: [batch, 32]. Dropout in the prenet, which stays on in the paper, is left out.
    """

    def __init__(self, memory: int = 24, width: int = 32) -> None:
        super().__init__()
        self.prenet = mlp([MELS, 16, 16], last=True)
        self.first, self.second = nn.LSTMCell(16 + memory, width), nn.LSTMCell(width + memory, width)
        self.query, self.key = nn.Linear(width, 16, bias=False), nn.Linear(memory, 16, bias=False)
        self.where = nn.Sequential(nn.Conv1d(2, 8, 7, padding=3, bias=False))
        self.place, self.score = nn.Linear(8, 16, bias=False), nn.Linear(16, 1, bias=False)
        self.frame, self.stop = nn.Linear(width + memory, MELS), nn.Linear(width + memory, 1)

    def forward(
        self, frame: Tensor, memory: Tensor, weights: Tensor, total: Tensor, context: Tensor, hidden: Tensor, cell: Tensor,
        hidden2: Tensor, cell2: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        hidden, cell = self.first(torch.cat([self.prenet(frame), context], dim=-1), (hidden, cell))
        place = self.place(self.where(torch.stack([weights, total], dim=1)).transpose(1, 2))
        scores = self.score((self.query(hidden).unsqueeze(1) + self.key(memory) + place).tanh()).squeeze(-1)
        weights = scores.softmax(-1)
        context = (weights.unsqueeze(-1) * memory).sum(1)
        hidden2, cell2 = self.second(torch.cat([hidden, context], dim=-1), (hidden2, cell2))
        x = torch.cat([hidden2, context], dim=-1)
        return {
            "next_frame": self.frame(x), "stop": self.stop(x), "next_weights": weights, "next_total": total + weights,
            "next_context": context, "next_hidden": hidden, "next_cell": cell, "next_hidden2": hidden2, "next_cell2": cell2,
        }  # fmt: skip


class FastSpeech2(nn.Module):
    """Ren et al. 2020, "FastSpeech 2: Fast and High-Quality End-to-End Text to Speech", arXiv:2006.04558.

    input_ids: [batch, 11], phonemes; duration: [batch, 11], frames of each (given, as in training; their prediction is an
    answer). Pitch and energy are predicted, put into bins and added. Answers have 24 frames; those past the sum of the
    durations repeat nothing.
    """

    def __init__(self, symbols: int = 40, width: int = 32, frames: int = 24) -> None:
        super().__init__()
        self.symbols, self.frames = nn.Embedding(symbols, width), frames
        self.encoder, self.decoder = ConvBlock(width), ConvBlock(width)
        self.predictors = nn.ModuleList(Predictor(width) for _ in range(3))
        self.bins = nn.ModuleList(nn.Embedding(16, width) for _ in range(2))
        self.register_buffer("edges", torch.linspace(-2, 2, 15))
        self.out = nn.Linear(width, MELS)

    def forward(self, input_ids: Tensor, duration: Tensor) -> dict[str, Tensor]:
        x = self.symbols(input_ids)
        x = self.encoder(x + waves(torch.arange(x.shape[1], dtype=x.dtype, device=x.device), x.shape[-1]))
        log_duration, pitch, energy = (predictor(x) for predictor in self.predictors)
        for value, table in zip((pitch, energy), self.bins, strict=True):
            x = x + table((value.unsqueeze(-1) > self.edges).sum(-1))
        end = duration.cumsum(-1).unsqueeze(1)
        line = torch.arange(self.frames, device=x.device)[:, None]
        path = (line < end) & (line >= end - duration.unsqueeze(1))  # batch, frames, phonemes: which one is said
        x = path.to(x.dtype) @ x
        x = self.decoder(x + waves(torch.arange(self.frames, dtype=x.dtype, device=x.device), x.shape[-1]))
        return {"mel": self.out(x), "log_duration": log_duration, "pitch": pitch, "energy": energy}


class ConvBlock(nn.Module):
    """A transformer block with convolutions in place of the MLP (FastSpeech)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block, self.norm = Block(width), nn.LayerNorm(width)
        self.convs = nn.Sequential(nn.Conv1d(width, 2 * width, 9, padding=4), nn.ReLU(), nn.Conv1d(2 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return self.norm(x + self.convs(x.transpose(1, 2)).transpose(1, 2))


class Predictor(nn.Module):
    """Two convolutions, each with ReLU and a norm, to one number a place (FastSpeech 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.norms, self.out = nn.ModuleList(nn.LayerNorm(width) for _ in range(2)), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x.transpose(1, 2)).transpose(1, 2).relu())
        return self.out(x).squeeze(-1)


class GlowTTS(nn.Module):
    """Kim et al. 2020, "Glow-TTS: A Generative Flow for Text-to-Speech via Monotonic Alignment Search", arXiv:2005.11129: the
    flow from latents to a spectrogram, with actnorm, grouped 1x1 convolutions and WaveNet couplings. latents: [batch, 20,
    16]."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.log_scales, self.shifts = (
            nn.ParameterList(nn.Parameter(0.1 * torch.randn(MELS, 1)) for _ in range(depth)) for _ in range(2)
        )
        self.turns = nn.ParameterList(nn.Parameter(torch.linalg.qr(torch.randn(4, 4))[0]) for _ in range(depth))
        self.into = nn.ModuleList(nn.Conv1d(MELS // 2, width, 1) for _ in range(depth))
        self.middle = nn.ModuleList(nn.Conv1d(width, 2 * width, 5, padding=2) for _ in range(depth))
        self.ends = nn.ModuleList(nn.Conv1d(width, MELS, 1) for _ in range(depth))

    def forward(self, latents: Tensor) -> Tensor:
        x = latents
        for n, turn in enumerate(self.turns):
            kept, changed = x.chunk(2, dim=1)
            value, gate = self.middle[n](self.into[n](kept)).chunk(2, dim=1)
            shift, log_scale = self.ends[n](value.tanh() * gate.sigmoid()).chunk(2, dim=1)
            x = torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1)
            x = torch.einsum("ij,bjgt->bigt", turn, x.unflatten(1, (4, -1))).flatten(1, 2)
            x = (x - self.shifts[n]) * (-self.log_scales[n]).exp()
        return x


class GradTTS(nn.Module):
    """Popov et al. 2021, "Grad-TTS: A Diffusion Probabilistic Model for Text-to-Speech", arXiv:2105.06337: the score net, a
    U-Net over the spectrogram with linear attention. noisy, mean: [batch, 20, 16]; time: [batch]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width, self.time = width, mlp([width, 4 * width, width], nn.Mish)
        self.down, self.middle, self.up = (MishBlock(a, b, width) for a, b in ((2, width), (width, width), (2 * width, width)))
        self.shrink, self.grow = nn.Conv2d(width, width, 3, 2, 1), nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.qkv, self.mix, self.out = (
            nn.Conv2d(width, 3 * width, 1, bias=False),
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, noisy: Tensor, mean: Tensor, time: Tensor) -> Tensor:
        step = self.time(waves(1000 * time, self.width))
        high = self.down(torch.stack([mean, noisy], dim=1), step)
        low = self.shrink(high)
        query, key, value = self.qkv(low).flatten(2).unflatten(1, (3, 4, -1)).unbind(1)
        context = torch.einsum("bhdn,bhen->bhde", key.softmax(-1), value)
        seen = torch.einsum("bhde,bhdn->bhen", context, query).flatten(1, 2).unflatten(-1, low.shape[2:])
        low = self.middle(low + self.mix(seen), step)
        return self.out(self.up(torch.cat([self.grow(low), high], dim=1), step)).squeeze(1)


class MishBlock(nn.Module):
    """Two convolutions with GroupNorm and Mish; the time is added between them."""

    def __init__(self, inner: int, outer: int, condition: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Mish(), nn.Linear(condition, outer))
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(n, outer, 3, padding=1), nn.GroupNorm(4, outer), nn.Mish()) for n in (inner, outer)
        )
        self.shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.second(self.first(x) + self.time(condition)[:, :, None, None]) + self.shortcut(x)


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of two, the largest among them."""
    ids = torch.randint(0, high, (2, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def tacotron2_step() -> Built:
    examples = {
        "frame": torch.randn(2, MELS),
        "memory": torch.randn(2, 9, 24),
        "weights": torch.rand(2, 9),
        "total": torch.rand(2, 9),
    }
    states = {name: torch.randn(2, 32) for name in ("hidden", "cell", "hidden2", "cell2")}
    return Tacotron2Step(), {**examples, "context": torch.randn(2, 24), **states}


def fastspeech2() -> Built:
    return FastSpeech2(), {"input_ids": _ids(40, 11), "duration": _ids(4, 11)}


def glow_tts() -> Built:
    return GlowTTS(), {"latents": torch.randn(2, MELS, 16)}


def grad_tts() -> Built:
    return GradTTS(), {"noisy": torch.randn(2, MELS, 16), "mean": torch.randn(2, MELS, 16), "time": torch.rand(2)}
