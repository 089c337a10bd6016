"""Nets for speech and sound that no library has: separation, vocoders, synthesis, speakers, keywords, codecs.

audio: [batch, samples] or [batch, 1, samples]; mel: [batch, 20, frames], a spectrogram. Spectrograms are the caller's;
discriminators, losses and text front ends are left out. Weight normalisation is folded into the weights everywhere.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Block, Built, Quantizer, mlp, waves
from torch import Tensor, nn

MELS = 20


# ---- separation and enhancement -----------------------------------------------------------------------------------


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


# ---- vocoders and codecs ------------------------------------------------------------------------------------------


class WaveNet(nn.Module):
    """van den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499: dilated causal convolutions with
    gates, conditioned on a spectrogram. codes: [batch, 64], mu-law samples of 32 levels; mel: [batch, 20, 8]. Returns logits of
    the next sample."""

    def __init__(self, levels: int = 32, width: int = 16, depth: int = 5) -> None:
        super().__init__()
        self.table, self.upsample = nn.Embedding(levels, width), nn.ConvTranspose1d(MELS, width, 8, 8)
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**n) for n in range(depth))
        self.condition = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(depth))
        self.ends = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(depth))
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, levels, 1))

    def forward(self, codes: Tensor, mel: Tensor) -> Tensor:
        x, near = self.table(codes).transpose(1, 2), self.upsample(mel)
        total = torch.zeros_like(x)
        for number, (conv, condition, end) in enumerate(zip(self.convs, self.condition, self.ends, strict=True)):
            value, gate = (conv(F.pad(x, (2**number, 0))) + condition(near)).chunk(2, dim=1)
            on, skip = end(value.tanh() * gate.sigmoid()).chunk(2, dim=1)
            x, total = x + on, total + skip
        return self.out(total)


class WaveGlow(nn.Module):
    """Prenger, Valle and Catanzaro 2018, "WaveGlow: A Flow-based Generative Network for Speech Synthesis", arXiv:1811.00002:
    the way from noise to sound, affine couplings and inverted 1x1 convolutions. noise: [batch, 4, 32], groups of samples; mel:
    [batch, 20, 8]."""

    def __init__(self, groups: int = 4, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose1d(MELS, width, 4, 4)
        turns = [torch.linalg.qr(torch.randn(groups, groups))[0].unsqueeze(-1) for _ in range(depth)]
        self.turns = nn.ParameterList(nn.Parameter(turn) for turn in turns)
        self.nets = nn.ModuleList(
            nn.ModuleList(
                (nn.Conv1d(groups // 2, width, 1), nn.Conv1d(width, 2 * width, 3, padding=1), nn.Conv1d(width, groups, 1))
            )
            for _ in range(depth)
        )
        self.condition = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(depth))

    def forward(self, noise: Tensor, mel: Tensor) -> Tensor:
        x, near = noise, self.upsample(mel)
        for turn, (start, middle, end), condition in zip(self.turns, self.nets, self.condition, strict=True):
            kept, changed = x.chunk(2, dim=1)
            value, gate = (middle(start(kept)) + condition(near)).chunk(2, dim=1)
            shift, log_scale = end(value.tanh() * gate.sigmoid()).chunk(2, dim=1)
            x = F.conv1d(torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1), turn)
        return x.transpose(1, 2).flatten(1)


class HiFiResidual(nn.Module):
    """Dilated convolutions of one kernel size, each pair beside a shortcut."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...] = (1, 3)) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=d * (kernel // 2), dilation=d) for d in dilations)
        self.second = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return x


class HiFiGAN(nn.Module):
    """Kong, Kim and Bae 2020, "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis",
    arXiv:2010.05646: the generator, with its fusion of receptive fields. mel: [batch, 20, 11] to 16 samples a frame."""

    def __init__(self, width: int = 32, rates: tuple[int, ...] = (4, 4), kernels: tuple[int, ...] = (3, 7)) -> None:
        super().__init__()
        self.into = nn.Conv1d(MELS, width, 7, padding=3)
        self.ups, self.fusions = nn.ModuleList(), nn.ModuleList()
        for number, rate in enumerate(rates):
            outer = width // 2 ** (number + 1)
            self.ups.append(nn.ConvTranspose1d(2 * outer, outer, 2 * rate, rate, rate // 2))
            self.fusions.append(nn.ModuleList(HiFiResidual(outer, kernel) for kernel in kernels))
        self.out = nn.Conv1d(width // 2 ** len(rates), 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.into(mel)
        for up, fusion in zip(self.ups, self.fusions, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = torch.stack([part(x) for part in fusion]).mean(0)
        return self.out(F.leaky_relu(x)).tanh()


class MelGAN(nn.Module):
    """Kumar et al. 2019, "MelGAN: Generative Adversarial Networks for Conditional Waveform Synthesis", arXiv:1910.06711: the
    generator, with reflected borders. mel: [batch, 20, 11]."""

    def __init__(self, width: int = 32, rates: tuple[int, ...] = (4, 4)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad1d(3), nn.Conv1d(MELS, width, 7)]
        for rate in rates:
            layers += [nn.LeakyReLU(0.2), nn.ConvTranspose1d(width, width // 2, 2 * rate, rate, rate // 2)]
            layers += [MelResidual(width // 2, dilation) for dilation in (1, 3)]
            width //= 2
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.ReflectionPad1d(3), nn.Conv1d(width, 1, 7), nn.Tanh())

    def forward(self, mel: Tensor) -> Tensor:
        return self.layers(mel)


class MelResidual(nn.Module):
    """A dilated convolution and a 1x1 one beside a 1x1 shortcut."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2), nn.ReflectionPad1d(dilation), nn.Conv1d(width, width, 3, dilation=dilation), nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 1),
        )  # fmt: skip
        self.shortcut = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.layers(x)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, alpha a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.log_alpha.exp()
        return x + (alpha * x).sin().square() / (alpha + 1e-9)


class BigVGAN(nn.Module):
    """Lee et al. 2022, "BigVGAN: A Universal Neural Vocoder with Large-Scale Training", arXiv:2206.04658: the generator, with
    Snake between a twofold upsampling and a low-pass filter that takes it back. mel: [batch, 20, 11]."""

    def __init__(self, width: int = 16, rate: int = 4) -> None:
        super().__init__()
        self.into, self.up = (
            nn.Conv1d(MELS, width, 7, padding=3),
            nn.ConvTranspose1d(width, width // 2, 2 * rate, rate, rate // 2),
        )
        self.snakes = nn.ModuleList(Snake(width // 2) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv1d(width // 2, width // 2, 3, padding=d, dilation=d) for d in (1, 3))
        self.out = nn.Conv1d(width // 2, 1, 7, padding=3)
        line = torch.arange(12) - 5.5
        window = torch.kaiser_window(12, periodic=False, beta=4.6) * torch.sinc(line / 2) / 2
        self.register_buffer("filter", (window / window.sum()).reshape(1, 1, -1))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.up(self.into(mel))
        for snake, conv in zip(self.snakes, self.convs, strict=False):
            x = x + conv(self._smooth(snake, x))
        return self.out(self._smooth(self.snakes[-1], x)).tanh()

    def _smooth(self, snake: Snake, x: Tensor) -> Tensor:
        weight = self.filter.expand(x.shape[1], -1, -1)
        x = 2 * F.conv_transpose1d(F.pad(x, (5, 5), mode="replicate"), weight, stride=2, groups=x.shape[1])[..., 15:-15]
        return F.conv1d(F.pad(snake(x), (5, 6), mode="replicate"), weight, stride=2, groups=x.shape[1])


class SoundStream(nn.Module):
    """Zeghidour et al. 2021, "SoundStream: An End-to-End Neural Audio Codec", arXiv:2107.03312: causal convolutions on both
    sides of a residual vector quantizer. audio: [batch, 1, 128] to 16 frames of 3 codes."""

    def __init__(self, width: int = 8, codes: int = 32, quantizers: int = 3, strides: tuple[int, ...] = (2, 4)) -> None:
        super().__init__()
        down, up, size = [CausalConv(1, width, 7)], [], width
        for stride in strides:
            down += [CausalResidual(size), nn.ELU(), CausalConv(size, 2 * size, 2 * stride, stride)]
            up = [nn.ELU(), CausalUp(2 * size, size, stride), CausalResidual(size), *up]
            size *= 2
        self.encoder = nn.Sequential(*down, nn.ELU(), CausalConv(size, 16, 3))
        self.quantizers = nn.ModuleList(Quantizer(codes, 16, 0.05) for _ in range(quantizers))
        self.decoder = nn.Sequential(CausalConv(16, size, 7), *up, nn.ELU(), CausalConv(width, 1, 7))

    def forward(self, audio: Tensor) -> dict[str, Tensor]:
        left = self.encoder(audio).transpose(1, 2)
        total, codes = torch.zeros_like(left), []
        for quantizer in self.quantizers:
            vector, index = quantizer(left)
            left, total = left - vector, total + vector
            codes.append(index)
        return {"codes": torch.stack(codes, dim=1), "reconstruction": self.decoder(total.transpose(1, 2))}


class CausalConv(nn.Module):
    """1-D convolution that sees nothing later."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.pad, self.layer = dilation * (kernel - 1) + 1 - stride, nn.Conv1d(inner, outer, kernel, stride, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.pad(x, (self.pad, 0)))


class CausalUp(nn.Module):
    """Transposed convolution whose last part, which would need later frames, is cut off."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.stride, self.layer = stride, nn.ConvTranspose1d(inner, outer, 2 * stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[..., : -self.stride]


class CausalResidual(nn.Module):
    """Three dilated pairs of convolutions, each beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.ELU(), CausalConv(width, width, 7, dilation=d), nn.ELU(), nn.Conv1d(width, width, 1))
            for d in (1, 3, 9)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


class DiffWave(nn.Module):
    """Kong et al. 2020, "DiffWave: A Versatile Diffusion Model for Audio Synthesis", arXiv:2009.09761: the denoiser. audio:
    [batch, 1, 64], noisy; timestep: [batch]; mel: [batch, 20, 4]."""

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.width, self.into = width, nn.Conv1d(1, width, 1)
        self.step = mlp([width, 32, 32], nn.SiLU, last=True)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(1, 1, (3, 8), (1, 4), (1, 2)), nn.LeakyReLU(0.4), nn.ConvTranspose2d(1, 1, (3, 8), (1, 4), (1, 2)),
            nn.LeakyReLU(0.4),
        )  # fmt: skip
        self.steps = nn.ModuleList(nn.Linear(32, width) for _ in range(depth))
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, padding=2**n, dilation=2**n) for n in range(depth))
        self.conditions = nn.ModuleList(nn.Conv1d(MELS, 2 * width, 1) for _ in range(depth))
        self.ends = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(depth))
        self.out = nn.Sequential(nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 1, 1))

    def forward(self, audio: Tensor, timestep: Tensor, mel: Tensor) -> Tensor:
        step, near = self.step(waves(timestep.to(audio.dtype), self.width)), self.up(mel.unsqueeze(1)).squeeze(1)
        x = self.into(audio).relu()
        total = torch.zeros_like(x)
        for add, conv, condition, end in zip(self.steps, self.convs, self.conditions, self.ends, strict=True):
            gate, value = (conv(x + add(step).unsqueeze(-1)) + condition(near)).chunk(2, dim=1)
            on, skip = end(gate.sigmoid() * value.tanh()).chunk(2, dim=1)
            x, total = (x + on) / 2**0.5, total + skip
        return self.out(total / len(self.ends) ** 0.5)


# ---- synthesis ----------------------------------------------------------------------------------------------------


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


# ---- recognition --------------------------------------------------------------------------------------------------


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


def conv_tasnet() -> Built:
    return ConvTasNet(), {"audio": torch.randn(2, 1, 320)}


def dprnn() -> Built:
    return DPRNN(), {"audio": torch.randn(2, 1, 328)}


def demucs() -> Built:
    return Demucs(), {"audio": torch.randn(2, 2, 340)}


def crn() -> Built:
    return CRN(), {"spectrum": torch.randn(2, 1, 20, 31)}


def wavenet() -> Built:
    return WaveNet(), {"codes": _ids(32, 64), "mel": torch.randn(2, MELS, 8)}


def waveglow() -> Built:
    return WaveGlow(), {"noise": torch.randn(2, 4, 32), "mel": torch.randn(2, MELS, 8)}


def hifigan() -> Built:
    return _mel(HiFiGAN(), 11)


def melgan() -> Built:
    return _mel(MelGAN(), 11)


def bigvgan() -> Built:
    return _mel(BigVGAN(), 11)


def soundstream() -> Built:
    return SoundStream(), {"audio": torch.randn(2, 1, 128)}


def diffwave() -> Built:
    examples = {"audio": torch.randn(2, 1, 64), "timestep": torch.randint(0, 50, (2,))}
    return DiffWave(), {**examples, "mel": torch.randn(2, MELS, 4)}


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
