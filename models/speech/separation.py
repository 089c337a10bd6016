"""Nets that take sounds apart or clean them: Conv-TasNet, DPRNN, Demucs, CRN.

audio: [batch, channels, samples]. Spectrograms are the caller's; discriminators, losses and text front ends are left out. Weight
normalisation is folded into the weights.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Built
from torch import Tensor, nn


class ConvTasNet(nn.Module):
    """Luo and Mesgarani 2018, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech Separation",
    arXiv:1809.07454: masks by dilated depthwise convolutions between a learned encoder and decoder. audio: [batch, 1, 320];
    returns two sources."""

    def __init__(self, filters: int = 32, width: int = 16, hidden: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv1d(1, filters, 16, 8, bias=False), nn.ConvTranspose1d(filters, 1, 16, 8, bias=False)
        self.into = nn.Sequential(nn.GroupNorm(1, filters), nn.Conv1d(filters, width, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden),
                nn.Conv1d(hidden, hidden, 3, padding=2**n, dilation=2**n, groups=hidden), nn.PReLU(), nn.GroupNorm(1, hidden),
                nn.Conv1d(hidden, 2 * width, 1),
            )
            for n in range(depth)
        )  # fmt: skip
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(width, 2 * filters, 1))

    def forward(self, audio: Tensor) -> Tensor:
        x = self.encoder(audio).relu()
        hidden, total = self.into(x), torch.zeros((), dtype=x.dtype, device=x.device)
        for block in self.blocks:
            on, skip = block(hidden).chunk(2, dim=1)
            hidden, total = hidden + on, total + skip
        masks = self.mask(total).unflatten(1, (2, -1)).sigmoid()
        return self.decoder((masks * x.unsqueeze(1)).flatten(0, 1)).unflatten(0, (-1, 2)).squeeze(2)


class DPRNN(nn.Module):
    """Luo, Chen and Yoshioka 2019, "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech
    separation", arXiv:1910.06379: LSTMs within chunks and across them. audio: [batch, 1, 328]; chunks do not overlap here."""

    def __init__(self, filters: int = 16, chunk: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.chunk, self.encoder = chunk, nn.Conv1d(1, filters, 16, 8, bias=False)
        self.decoder = nn.ConvTranspose1d(filters, 1, 16, 8, bias=False)
        self.lstms = nn.ModuleList(nn.LSTM(filters, filters, batch_first=True, bidirectional=True) for _ in range(2 * depth))
        self.backs = nn.ModuleList(nn.Linear(2 * filters, filters) for _ in range(2 * depth))
        self.norms = nn.ModuleList(nn.GroupNorm(1, filters) for _ in range(2 * depth))
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(filters, 2 * filters, 1))

    def forward(self, audio: Tensor) -> Tensor:
        encoded = self.encoder(audio).relu()
        x = encoded.transpose(1, 2).unflatten(1, (-1, self.chunk))  # batch, chunks, place, filters
        for number, (lstm, back, norm) in enumerate(zip(self.lstms, self.backs, self.norms, strict=True)):
            x = x.transpose(1, 2) if number % 2 else x
            made = back(lstm(x.flatten(0, 1))[0]).unflatten(0, (-1, x.shape[1]))
            x = x + norm(made.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            x = x.transpose(1, 2) if number % 2 else x
        masks = self.mask(x.flatten(1, 2).transpose(1, 2)).unflatten(1, (2, -1)).relu()
        return self.decoder((masks * encoded.unsqueeze(1)).flatten(0, 1)).unflatten(0, (-1, 2)).squeeze(2)


class Demucs(nn.Module):
    """Défossez et al. 2019, "Music Source Separation in the Waveform Domain", arXiv:1911.13254: strided convolutions with GLU,
    an LSTM, and the way back with shortcuts. audio: [batch, 2, 340], of which four stereo sources of 340 samples are made."""

    def __init__(self, width: int = 8, depth: int = 2) -> None:
        super().__init__()
        sizes = [2] + [width * 2**n for n in range(depth)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, b, 8, 4), nn.ReLU(), nn.Conv1d(b, 2 * b, 1), nn.GLU(1))
            for a, b in itertools.pairwise(sizes)
        )
        self.lstm, self.join = (
            nn.LSTM(sizes[-1], sizes[-1], 2, bidirectional=True, batch_first=True),
            nn.Linear(2 * sizes[-1], sizes[-1]),
        )
        self.up = nn.ModuleList()
        for number in reversed(range(depth)):
            outer = sizes[number] if number else 8
            layers = [nn.Conv1d(sizes[number + 1], 2 * sizes[number + 1], 3, padding=1), nn.GLU(1)]
            self.up.append(
                nn.Sequential(*layers, nn.ConvTranspose1d(sizes[number + 1], outer, 8, 4), *([nn.ReLU()] if number else []))
            )

    def forward(self, audio: Tensor) -> Tensor:
        x, skips = audio, []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.join(self.lstm(x.transpose(1, 2))[0]).transpose(1, 2)
        for layer in self.up:
            x = layer(x + skips.pop())
        return x.unflatten(1, (4, 2))


class CRN(nn.Module):
    """Tan and Wang 2018, "A Convolutional Recurrent Neural Network for Real-Time Speech Enhancement" (Interspeech): causal
    convolutions over a spectrogram, an LSTM, and back with shortcuts. spectrum: [batch, 1, 20, 31], frames by frequencies;
    returns a mask of that shape."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        sizes = (1, width, width, 2 * width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, (2, 3), (1, 2)), nn.BatchNorm2d(b), nn.ELU()) for a, b in itertools.pairwise(sizes)
        )
        self.lstm = nn.LSTM(6 * width, 6 * width, batch_first=True)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(2 * b, a, (2, 3), (1, 2)), nn.BatchNorm2d(a), nn.ELU() if a > 1 else nn.Sigmoid())
            for a, b in reversed(list(itertools.pairwise(sizes)))
        )

    def forward(self, spectrum: Tensor) -> Tensor:
        x, skips = spectrum, []
        for layer in self.down:
            x = layer(F.pad(x, (0, 0, 1, 0)))
            skips.append(x)
        seen, _ = self.lstm(x.transpose(1, 2).flatten(2))
        x = seen.unflatten(-1, (x.shape[1], x.shape[3])).transpose(1, 2)
        for layer in self.up:
            x = layer(torch.cat([x, skips.pop()], dim=1))[:, :, :-1]
        return x


def conv_tasnet() -> Built:
    return ConvTasNet(), {"audio": torch.randn(2, 1, 320)}


def dprnn() -> Built:
    return DPRNN(), {"audio": torch.randn(2, 1, 328)}


def demucs() -> Built:
    return Demucs(), {"audio": torch.randn(2, 2, 340)}


def crn() -> Built:
    return CRN(), {"spectrum": torch.randn(2, 1, 20, 31)}
