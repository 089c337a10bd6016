"""Nets that tell speakers, keywords and letters: ECAPA-TDNN, x-vectors, DS-CNN, BC-ResNet, Deep Speech 2, QuartzNet, RNN-T.

mel: [batch, 20, frames]; spectrum: [batch, 1, ...]. Spectrograms are the caller's; discriminators, losses and text front ends
are left out. Weight normalisation is folded into the weights.
"""

from __future__ import annotations

import torch
from porting.models.layers import Built
from torch import Tensor, nn

MELS = 20


class ECAPA(nn.Module):
    """Desplanques, Thienpondt and Demuynck 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in TDNN
    Based Speaker Verification", arXiv:2005.07143. mel: [batch, 20, 31] to an embedding."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.into = TDNN(MELS, width, 5)
        self.blocks = nn.ModuleList(Res2Block(width, dilation) for dilation in (2, 3))
        self.join, self.score = TDNN(2 * width, 48, 1), nn.Sequential(TDNN(144, 16, 1), nn.Tanh(), nn.Conv1d(16, 48, 1))
        self.out = nn.Sequential(nn.BatchNorm1d(96), nn.Linear(96, 24))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.into(mel)
        first = self.blocks[0](x)
        second = self.blocks[1](x + first)
        x = self.join(torch.cat([first, second], dim=1))
        mean, std = x.mean(-1, keepdim=True), (x.var(-1, keepdim=True) + 1e-5).sqrt()
        share = self.score(torch.cat([x, mean.expand_as(x), std.expand_as(x)], dim=1)).softmax(-1)
        mean = (share * x).sum(-1)
        std = ((share * x.square()).sum(-1) - mean.square()).clamp(min=1e-5).sqrt()
        return self.out(torch.cat([mean, std], dim=-1))


class TDNN(nn.Sequential):
    """Convolution over time, ReLU, BatchNorm."""

    def __init__(self, inner: int, outer: int, kernel: int, dilation: int = 1) -> None:
        conv = nn.Conv1d(inner, outer, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        super().__init__(conv, nn.ReLU(), nn.BatchNorm1d(outer))


class Res2Block(nn.Module):
    """Parts of the channels convolved one after the other, then squeeze and excitation, beside a shortcut."""

    def __init__(self, width: int, dilation: int, parts: int = 4) -> None:
        super().__init__()
        self.parts, self.first, self.last = parts, TDNN(width, width, 1), TDNN(width, width, 1)
        self.convs = nn.ModuleList(TDNN(width // parts, width // parts, 3, dilation) for _ in range(parts - 1))
        self.squeeze = nn.Sequential(nn.Conv1d(width, 8, 1), nn.ReLU(), nn.Conv1d(8, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(self.parts, dim=1))
        for number, conv in enumerate(self.convs, 1):
            parts[number] = conv(parts[number] + parts[number - 1] if number > 1 else parts[number])
        made = self.last(torch.cat(parts, dim=1))
        return x + made * self.squeeze(made.mean(-1, keepdim=True))


class XVector(nn.Module):
    """Snyder et al. 2018, "X-Vectors: Robust DNN Embeddings for Speaker Recognition" (ICASSP): a TDNN with statistics pooled."""

    def __init__(self, width: int = 24, speakers: int = 10) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            TDNN(MELS, width, 5), TDNN(width, width, 3, 2), TDNN(width, width, 3, 3), TDNN(width, width, 1), TDNN(width, 48, 1)
        )
        self.embedding, self.out = nn.Linear(96, 24), nn.Sequential(nn.ReLU(), nn.BatchNorm1d(24), nn.Linear(24, speakers))

    def forward(self, mel: Tensor) -> dict[str, Tensor]:
        x = self.frames(mel)
        vector = self.embedding(torch.cat([x.mean(-1), (x.var(-1) + 1e-5).sqrt()], dim=-1))
        return {"embedding": vector, "speaker": self.out(vector)}


class DSCNN(nn.Module):
    """Zhang et al. 2017, "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128: depthwise separable
    convolutions. spectrum: [batch, 1, 49, 10], frames of MFCCs; returns 12 logits."""

    def __init__(self, width: int = 16, depth: int = 4, words: int = 12) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, width, (10, 4), (2, 2), (5, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, words))

    def forward(self, spectrum: Tensor) -> Tensor:
        return self.layers(spectrum)


class BCResNet(nn.Module):
    """Kim et al. 2021, "Broadcasted Residual Learning for Efficient Keyword Spotting", arXiv:2106.04140: what is averaged over
    frequency and convolved over time is added back to all frequencies. spectrum: [batch, 1, 20, 31], frequencies by frames."""

    def __init__(self, width: int = 16, depth: int = 2, words: int = 12) -> None:
        super().__init__()
        self.into = nn.Sequential(nn.Conv2d(1, width, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.by_frequency = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, (3, 1), padding=(1, 0), groups=width, bias=False), nn.BatchNorm2d(width))
            for _ in range(depth)
        )
        self.by_time = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, (1, 3), padding=(0, 2**n), dilation=(1, 2**n), groups=width, bias=False),
                nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, width, 1, bias=False),
            )
            for n in range(depth)
        )  # fmt: skip
        self.out = nn.Conv2d(width, words, 1)

    def forward(self, spectrum: Tensor) -> Tensor:
        x = self.into(spectrum)
        for frequency, time in zip(self.by_frequency, self.by_time, strict=True):
            seen = frequency(x)
            x = (x + seen + time(seen.mean(2, keepdim=True))).relu()
        return self.out(x.mean((2, 3), keepdim=True)).flatten(1)


class DeepSpeech2(nn.Module):
    """Amodei et al. 2015, "Deep Speech 2: End-to-End Speech Recognition in English and Mandarin", arXiv:1512.02595: 2-D
    convolutions, GRUs in both directions, logits a frame. spectrum: [batch, 1, 20, 31]."""

    def __init__(self, width: int = 24, letters: int = 29) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 8, (11, 5), (2, 2), (5, 2), bias=False), nn.BatchNorm2d(8), nn.Hardtanh(0, 20),
            nn.Conv2d(8, 8, (11, 5), (2, 1), (5, 2), bias=False), nn.BatchNorm2d(8), nn.Hardtanh(0, 20),
        )  # fmt: skip
        self.grus = nn.GRU(40, width, 2, batch_first=True, bidirectional=True)
        self.out = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, letters))

    def forward(self, spectrum: Tensor) -> Tensor:
        x = self.convs(spectrum).flatten(1, 2).transpose(1, 2)
        return self.out(self.grus(x)[0])


class QuartzNet(nn.Module):
    """Kriman et al. 2019, "QuartzNet: Deep Automatic Speech Recognition with 1D Time-Channel Separable Convolutions",
    arXiv:1910.10261. mel: [batch, 20, 31]; returns logits a frame."""

    def __init__(self, width: int = 24, depth: int = 2, letters: int = 29) -> None:
        super().__init__()
        self.into = nn.Sequential(*self._separable(MELS, width, 11), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(*self._separable(width, width, 13), nn.ReLU(), *self._separable(width, width, 13)) for _ in range(depth)
        )
        self.shortcuts = nn.ModuleList(nn.Sequential(nn.Conv1d(width, width, 1), nn.BatchNorm1d(width)) for _ in range(depth))
        self.out = nn.Conv1d(width, letters, 1, dilation=2)

    @staticmethod
    def _separable(inner: int, outer: int, kernel: int) -> list[nn.Module]:
        along = nn.Conv1d(inner, inner, kernel, padding=kernel // 2, groups=inner, bias=False)
        return [along, nn.Conv1d(inner, outer, 1, bias=False), nn.BatchNorm1d(outer)]

    def forward(self, mel: Tensor) -> Tensor:
        x = self.into(mel)
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            x = (block(x) + shortcut(x)).relu()
        return self.out(x)


class Transducer(nn.Module):
    """Graves 2012, "Sequence Transduction with Recurrent Neural Networks", arXiv:1211.3711 (RNN-T): encoder, prediction net,
    and a joint net over every pair of frame and letter. mel: [batch, 20, 13]; input_ids: [batch, 7]."""

    def __init__(self, letters: int = 29, width: int = 24) -> None:
        super().__init__()
        self.encoder, self.table = nn.LSTM(MELS, width, batch_first=True, bidirectional=True), nn.Embedding(letters, width)
        self.prediction, self.hear = nn.LSTM(width, width, batch_first=True), nn.Linear(2 * width, width)
        self.say, self.out = nn.Linear(width, width), nn.Linear(width, letters + 1)

    def forward(self, mel: Tensor, input_ids: Tensor) -> Tensor:
        heard = self.hear(self.encoder(mel.transpose(1, 2))[0]).unsqueeze(2)
        said = self.say(self.prediction(self.table(input_ids))[0]).unsqueeze(1)
        return self.out((heard + said).tanh())


def _mel(net: nn.Module, frames: int = 31) -> Built:
    return net, {"mel": torch.randn(2, MELS, frames)}


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of two, the largest among them."""
    ids = torch.randint(0, high, (2, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def ecapa() -> Built:
    return _mel(ECAPA())


def xvector() -> Built:
    return _mel(XVector())


def ds_cnn() -> Built:
    return DSCNN(), {"spectrum": torch.randn(2, 1, 49, 10)}


def bc_resnet() -> Built:
    return BCResNet(), {"spectrum": torch.randn(2, 1, 20, 31)}


def deepspeech2() -> Built:
    return DeepSpeech2(), {"spectrum": torch.randn(2, 1, 20, 31)}


def quartznet() -> Built:
    return _mel(QuartzNet())


def transducer() -> Built:
    return Transducer(), {"mel": torch.randn(2, MELS, 13), "input_ids": _ids(29, 7)}
