"""Nets that make sound of a spectrogram, and a codec: WaveNet, WaveGlow, HiFi-GAN, MelGAN, BigVGAN, DiffWave, SoundStream.

mel: [batch, 20, frames]; audio: [batch, 1, samples]. Spectrograms are the caller's; discriminators, losses and text front ends
are left out. Weight normalisation is folded into the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Built, Quantizer, mlp, waves
from torch import Tensor, nn

MELS = 20


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


def _mel(net: nn.Module, frames: int = 31) -> Built:
    return net, {"mel": torch.randn(2, MELS, frames)}


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of two, the largest among them."""
    ids = torch.randint(0, high, (2, *shape))
    ids.view(-1)[0] = high - 1
    return ids


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
