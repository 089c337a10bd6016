"""Nets that make images by adversaries or by style: DCGAN, StyleGAN2, BigGAN, pix2pix, CycleGAN, AdaIN.

noise: where a net starts from. Discriminators are there where they are half of the paper; losses are left out.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp
from torch import Tensor, nn


class DCGAN(nn.Module):
    """Radford, Metz and Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
    Networks", arXiv:1511.06434: the generator, and what the discriminator says of the image. noise: [batch, 16]."""

    def __init__(self, latent: int = 16, width: int = 8) -> None:
        super().__init__()
        sizes = (latent, 4 * width, 2 * width, width)
        layers: list[nn.Module] = []
        for n, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers += [nn.ConvTranspose2d(a, b, 4, 2 if n else 1, 1 if n else 0, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.generator = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 8),
        )  # fmt: skip

    def forward(self, noise: Tensor) -> dict[str, Tensor]:
        image = self.generator(noise[:, :, None, None])
        return {"image": image, "real": self.discriminator(image).flatten(1)}


class ModulatedConv(nn.Module):
    """Convolution whose kernel is scaled by a style, and normed again, sample by sample: as one grouped convolution over the
    batch."""

    def __init__(self, inner: int, outer: int, kernel: int, style: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight, self.style = nn.Parameter(torch.randn(outer, inner, kernel, kernel)), nn.Linear(style, inner)
        nn.init.ones_(self.style.bias)
        self.demodulate, self.scale = demodulate, 1 / math.sqrt(inner * kernel * kernel)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.scale * self.weight * self.style(w)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        made = F.conv2d(x.flatten(0, 1).unsqueeze(0), weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=x.shape[0])
        return made.squeeze(0).unflatten(0, (-1, weight.shape[1]))


class StyleGAN2(nn.Module):
    """Karras et al. 2019, "Analyzing and Improving the Image Quality of StyleGAN" (StyleGAN2), arXiv:1912.04958: mapping and
    synthesis without the custom operators; upsampling is bilinear where the paper filters. z: [batch, 16]; noise: [batch, 1,
    16, 16], pooled for the lower resolutions."""

    def __init__(self, latent: int = 16, width: int = 16, levels: int = 3) -> None:
        super().__init__()
        self.mapping, self.start = mlp([latent, latent, latent], nn.LeakyReLU, last=True), nn.Parameter(torch.randn(width, 4, 4))
        self.convs = nn.ModuleList(ModulatedConv(width, width, 3, latent) for _ in range(levels))
        self.colours = nn.ModuleList(ModulatedConv(width, 3, 1, latent, False) for _ in range(levels))
        self.strengths, self.biases = (
            nn.Parameter(0.3 * torch.randn(levels)),
            nn.Parameter(0.1 * torch.randn(levels, width, 1, 1)),
        )

    def forward(self, z: Tensor, noise: Tensor) -> Tensor:
        w = self.mapping(z * (z.square().mean(-1, keepdim=True) + 1e-8).rsqrt())
        x = self.start.expand(z.shape[0], -1, -1, -1)
        image = torch.zeros_like(x[:, :3])
        for number, (layer, colour) in enumerate(zip(self.convs, self.colours, strict=True)):
            if number:
                x, image = (F.interpolate(part, scale_factor=2.0, mode="bilinear") for part in (x, image))
            near = F.avg_pool2d(noise, 2 ** (len(self.convs) - 1 - number))
            x = F.leaky_relu(layer(x, w) + self.strengths[number] * near + self.biases[number], 0.2)
            image = image + colour(x, w)
        return image


class BigGAN(nn.Module):
    """Brock, Donahue and Simonyan 2018, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096:
    the generator, with BatchNorm scaled by class and a part of the noise, and self-attention. noise: [batch, 24]; class_labels:
    [batch]."""

    def __init__(self, classes: int = 6, width: int = 16) -> None:
        super().__init__()
        self.table, self.start = nn.Embedding(classes, 8), nn.Linear(8, width * 16)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for _ in range(4))
        self.films = nn.ModuleList(nn.Linear(16, 2 * width) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.shortcuts = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))
        self.qkv, self.gamma = nn.Conv2d(width, 2 * (width // 4) + width, 1), nn.Parameter(torch.zeros(1))
        self.out = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    def forward(self, noise: Tensor, class_labels: Tensor) -> Tensor:
        first, *parts = noise.chunk(3, dim=-1)
        kind, x = self.table(class_labels), self.start(first).unflatten(-1, (-1, 4, 4))
        for number, (part, shortcut) in enumerate(zip(parts, self.shortcuts, strict=True)):
            condition = torch.cat([part, kind], dim=-1)
            hidden = F.interpolate(self._norm(x, condition, 2 * number), scale_factor=2.0)
            hidden = self.convs[2 * number + 1](self._norm(self.convs[2 * number](hidden), condition, 2 * number + 1))
            x = hidden + shortcut(F.interpolate(x, scale_factor=2.0))
            x = self._attend(x) if number == 0 else x
        return self.out(x)

    def _norm(self, x: Tensor, condition: Tensor, number: int) -> Tensor:
        scale, shift = self.films[number](condition)[:, :, None, None].chunk(2, dim=1)
        return (self.norms[number](x) * (1 + scale) + shift).relu()

    def _attend(self, x: Tensor) -> Tensor:
        narrow = x.shape[1] // 4
        query, key, value = self.qkv(x).split([narrow, narrow, x.shape[1]], dim=1)
        share = (query.flatten(2).transpose(1, 2) @ F.max_pool2d(key, 2).flatten(2)).softmax(-1)
        seen = F.max_pool2d(value, 2).flatten(2) @ share.transpose(1, 2)
        return x + self.gamma * seen.unflatten(-1, x.shape[-2:])


class Pix2Pix(nn.Module):
    """Isola et al. 2016, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: a U-Net of strided
    convolutions, and the patch discriminator's map for source and answer. image: [batch, 3, 32, 32]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)) for a, b in itertools.pairwise(sizes)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in ((4 * width, 2 * width), (4 * width, width))
        )
        self.out = nn.Sequential(nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh())
        self.discriminator = nn.Sequential(
            nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 4, 1, 1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, skips = image, []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            x = torch.cat([layer(x), skips.pop()], dim=1)
        answer = self.out(x)
        return {"answer": answer, "real": self.discriminator(torch.cat([image, answer], dim=1))}


class CycleGAN(nn.Module):
    """Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593: a
    generator of residual blocks with instance norm and reflected borders, one for each direction: there and back again."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.there, self.back = self._generator(width), self._generator(width)

    @staticmethod
    def _generator(width: int) -> nn.Sequential:
        norm, relu = nn.InstanceNorm2d, nn.ReLU
        return nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), norm(width), relu(), nn.Conv2d(width, 2 * width, 3, 2, 1),
            norm(2 * width), relu(), InstanceResidual(2 * width), InstanceResidual(2 * width),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), norm(width), relu(), nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        other = self.there(image)
        return {"other": other, "again": self.back(other)}


class InstanceResidual(nn.Module):
    """Two convolutions with reflected borders and instance norm beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width))
        other = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width))
        self.layers = nn.Sequential(*half, nn.ReLU(), *other)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class AdaIN(nn.Module):
    """Huang and Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", arXiv:1703.06868:
    the features of the content get mean and spread of those of the style. image, style: [batch, 3, 32, 32]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(3, width, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
        )
        self.decoder = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.ReLU(), nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1),
            nn.Conv2d(width, 3, 3),
        )  # fmt: skip

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        content, wanted = self.encoder(image), self.encoder(style)
        (mean, std), (new_mean, new_std) = self._statistics(content), self._statistics(wanted)
        return self.decoder((content - mean) / std * new_std + new_mean)

    @staticmethod
    def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + 1e-5).sqrt()


def dcgan() -> Built:
    return DCGAN(), {"noise": torch.randn(2, 16)}


def stylegan2() -> Built:
    return StyleGAN2(), {"z": torch.randn(2, 16), "noise": torch.randn(2, 1, 16, 16)}


def biggan() -> Built:
    return BigGAN(), {"noise": torch.randn(2, 24), "class_labels": torch.tensor([0, 5])}


def pix2pix() -> Built:
    return Pix2Pix(), {"image": torch.randn(2, 3, 32, 32)}


def cyclegan() -> Built:
    return CycleGAN(), {"image": torch.randn(2, 3, 32, 32)}


def adain() -> Built:
    return AdaIN(), {"image": torch.randn(2, 3, 32, 32), "style": torch.randn(2, 3, 32, 32)}
