"""Autoencoders, normalizing flows and PixelCNN, and nets that compare images: VAE, VQ-VAE, RealNVP, Glow, ArcFace, capsules.

noise: where a net starts from, or samples with. Losses are left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, Quantizer, ResBlock, conv, mlp
from torch import Tensor, nn


class VAE(nn.Module):
    """Kingma and Welling 2013, "Auto-Encoding Variational Bayes", arXiv:1312.6114. image: [batch, 1, 16, 16]; noise: [batch,
    6]."""

    def __init__(self, latent: int = 6) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp([256, 64, 2 * latent], nn.Tanh), mlp([latent, 64, 256], nn.Tanh)

    def forward(self, image: Tensor, noise: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(image.flatten(1)).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * noise
        return {"picture": self.decoder(z).sigmoid().unflatten(-1, (1, 16, 16)), "mean": mean, "log_variance": log_variance}


class VQVAE(nn.Module):
    """van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv:1711.00937. image: [batch,
    3, 16, 24]."""

    def __init__(self, width: int = 16, codes: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, 2, 1),
            ResBlock(width, width),
            nn.Conv2d(width, width, 1),
        )
        self.quantizer = Quantizer(codes, width, 0.5)
        self.decoder = nn.Sequential(
            ResBlock(width, width), nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        codes, tokens = self.quantizer(self.encoder(image).movedim(1, -1))
        return {"tokens": tokens, "reconstruction": self.decoder(codes.movedim(-1, 1))}


class PixelCNN(nn.Module):
    """van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", arXiv:1606.05328: masked convolutions in
    a vertical and a horizontal stack, with gates. levels: [batch, 12, 16], pixels of 8 levels; class_labels: [batch]. Returns
    logits of every pixel."""

    def __init__(self, levels: int = 8, width: int = 16, classes: int = 5, depth: int = 2) -> None:
        super().__init__()
        self.table, self.kind = nn.Embedding(levels, width), nn.Embedding(classes, 2 * width)
        self.vertical = nn.ModuleList(nn.Conv2d(width, 2 * width, (2, 3)) for _ in range(depth))
        self.horizontal = nn.ModuleList(nn.Conv2d(width, 2 * width, (1, 2)) for _ in range(depth))
        self.across, self.join = (
            nn.ModuleList(nn.Conv2d(a, b, 1) for _ in range(depth)) for a, b in ((2 * width, 2 * width), (width, width))
        )
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(width, levels, 1))

    def forward(self, levels: Tensor, class_labels: Tensor) -> Tensor:
        x = self.table(levels).permute(0, 3, 1, 2)
        up, left = F.pad(x, (0, 0, 1, 0))[:, :, :-1], F.pad(x, (1, 0))[..., :-1]  # nothing sees itself
        kind = self.kind(class_labels)[:, :, None, None]
        for vertical, horizontal, across, join in zip(self.vertical, self.horizontal, self.across, self.join, strict=True):
            seen = vertical(F.pad(up, (1, 1, 1, 0)))
            up = self._gate(seen + kind)
            left = left + join(self._gate(horizontal(F.pad(left, (1, 0))) + across(seen) + kind))
        return self.out(left)

    @staticmethod
    def _gate(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=1)
        return value.tanh() * gate.sigmoid()


class RealNVP(nn.Module):
    """Dinh, Sohl-Dickstein and Bengio 2016, "Density estimation using Real NVP", arXiv:1605.08803: affine couplings with
    checkerboard and channel masks around a squeeze. image: [batch, 2, 8, 12]. Returns latents and the log-determinant."""

    def __init__(self, channels: int = 2, width: int = 16) -> None:
        super().__init__()
        self.fine = nn.ModuleList(self._net(channels, width, 2 * channels) for _ in range(2))
        self.coarse = nn.ModuleList(self._net(2 * channels, width, 4 * channels) for _ in range(2))
        board = (torch.arange(8)[:, None] + torch.arange(12)) % 2
        self.register_buffer("board", board.float())

    @staticmethod
    def _net(inner: int, width: int, outer: int) -> nn.Sequential:
        return nn.Sequential(conv(inner, width), conv(width, width), nn.Conv2d(width, outer, 3, padding=1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, total = image, torch.zeros_like(image[:, 0, 0, 0])
        for number, net in enumerate(self.fine):
            kept = self.board if number % 2 else 1 - self.board
            log_scale, shift = (part * (1 - kept) for part in net(x * kept).chunk(2, dim=1))
            log_scale = log_scale.tanh()
            x, total = x * log_scale.exp() + shift * (1 - kept), total + log_scale.sum((1, 2, 3))
        x = F.pixel_unshuffle(x, 2)
        for net in self.coarse:
            kept, changed = x.chunk(2, dim=1)
            log_scale, shift = net(kept).chunk(2, dim=1)
            log_scale = log_scale.tanh()
            x, total = torch.cat([changed * log_scale.exp() + shift, kept], dim=1), total + log_scale.sum((1, 2, 3))
        return {"latents": x, "log_determinant": total}


class Glow(nn.Module):
    """Kingma and Dhariwal 2018, "Glow: Generative Flow with Invertible 1x1 Convolutions", arXiv:1807.03039: actnorm, 1x1
    convolution, affine coupling. The 1x1 matrices are turns, whose determinant is one. image: [batch, 3, 8, 12]."""

    def __init__(self, channels: int = 12, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.log_scales, self.shifts = (nn.Parameter(0.1 * torch.randn(depth, channels, 1, 1)) for _ in range(2))
        self.turns = nn.ParameterList(nn.Parameter(torch.linalg.qr(torch.randn(channels, channels))[0]) for _ in range(depth))
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels // 2, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(),
                nn.Conv2d(width, channels, 3, padding=1),
            )
            for _ in range(depth)
        )  # fmt: skip

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = F.pixel_unshuffle(image, 2)
        total = torch.zeros_like(x[:, 0, 0, 0])
        for n, (turn, net) in enumerate(zip(self.turns, self.nets, strict=True)):
            x = F.conv2d((x + self.shifts[n]) * self.log_scales[n].exp(), turn[:, :, None, None])
            kept, changed = x.chunk(2, dim=1)
            shift, scale = net(kept).chunk(2, dim=1)
            scale = (scale + 2).sigmoid()
            x = torch.cat([kept, (changed + shift) * scale], dim=1)
            total = total + scale.log().sum((1, 2, 3)) + x.shape[2] * x.shape[3] * self.log_scales[n].sum()
        return {"latents": x, "log_determinant": total}


class Siamese(nn.Module):
    """Koch, Zemel and Salakhutdinov 2015, "Siamese Neural Networks for One-shot Image Recognition" (ICML workshop): one net for
    both images, the weighted distance of what it makes of them. image, other: [batch, 1, 32, 32]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, 2 * width, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(50 * width, 32), nn.Sigmoid(),
        )  # fmt: skip
        self.out = nn.Linear(32, 1)

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        return self.out((self.net(image) - self.net(other)).abs()).squeeze(-1)


class ArcFace(nn.Module):
    """Deng et al. 2018, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", arXiv:1801.07698: the head, with the
    margin added to the angle of the right class. image: [batch, 3, 32, 32]; labels: [batch]. Its backbone is three
    convolutions."""

    def __init__(self, people: int = 12, width: int = 16, margin: float = 0.5, scale: float = 16.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            conv(3, width, 3, 2), conv(width, width, 3, 2), conv(width, width, 3, 2), nn.Flatten(), nn.Linear(256, 24)
        )
        self.centres, self.margin, self.scale = nn.Parameter(torch.randn(people, 24)), margin, scale

    def forward(self, image: Tensor, labels: Tensor) -> dict[str, Tensor]:
        vector = F.normalize(self.net(image), dim=-1)
        cosine = vector @ F.normalize(self.centres, dim=-1).T
        sine = (1 - cosine.square()).clamp(min=1e-6).sqrt()
        moved = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        right = F.one_hot(labels, len(self.centres)).to(cosine.dtype)
        return {"logits": self.scale * (right * moved + (1 - right) * cosine), "embedding": vector}


class CapsNet(nn.Module):
    """Sabour, Frosst and Hinton 2017, "Dynamic Routing Between Capsules", arXiv:1710.09829: capsules, three rounds of routing.
    image: [batch, 1, 20, 20]; returns the lengths of the class capsules."""

    def __init__(self, width: int = 16, capsules: int = 4, size: int = 4, classes: int = 5, rounds: int = 3) -> None:
        super().__init__()
        self.size, self.rounds = size, rounds
        self.first, self.primary = nn.Conv2d(1, width, 9), nn.Conv2d(width, capsules * size, 5, 2)
        self.votes = nn.Parameter(torch.randn(16 * capsules, classes, size, 8) / 4)

    def forward(self, image: Tensor) -> Tensor:
        x = self.primary(self.first(image).relu()).unflatten(1, (-1, self.size)).permute(0, 1, 3, 4, 2).flatten(1, 3)
        votes = torch.einsum("bcs,cksd->bckd", self._squash(x), self.votes)
        logits, found = torch.zeros_like(votes[..., 0]), votes[:, 0]
        for _ in range(self.rounds):
            found = self._squash((logits.softmax(-1).unsqueeze(-1) * votes).sum(1))
            logits = logits + (votes * found.unsqueeze(1)).sum(-1)
        return (found.square().sum(-1) + 1e-9).sqrt()

    @staticmethod
    def _squash(x: Tensor) -> Tensor:
        size = x.square().sum(-1, keepdim=True)
        return size / (1 + size) * x / (size + 1e-8).sqrt()


def vae() -> Built:
    return VAE(), {"image": torch.rand(2, 1, 16, 16), "noise": torch.randn(2, 6)}


def vqvae() -> Built:
    return VQVAE(), {"image": torch.randn(2, 3, 16, 24)}


def pixelcnn() -> Built:
    levels = torch.randint(0, 8, (2, 12, 16))
    return PixelCNN(), {"levels": levels, "class_labels": torch.tensor([0, 4])}


def realnvp() -> Built:
    return RealNVP(), {"image": torch.randn(2, 2, 8, 12)}


def glow() -> Built:
    return Glow(), {"image": torch.randn(2, 3, 8, 12)}


def siamese() -> Built:
    return Siamese(), {"image": torch.randn(2, 1, 32, 32), "other": torch.randn(2, 1, 32, 32)}


def arcface() -> Built:
    return ArcFace(), {"image": torch.randn(2, 3, 32, 32), "labels": torch.tensor([0, 11])}


def capsnet() -> Built:
    return CapsNet(), {"image": torch.randn(2, 1, 20, 20)}
