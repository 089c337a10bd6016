"""Segmentation nets that timm does not have: U-Net and its kin, FCN, SegNet, PSPNet, DeepLab, HRNet and others.

image: [batch, 3, height, width]; answers are logits of 5 classes a pixel unless a net says so. Backbones are a few convolutions
where a paper takes one from elsewhere; auxiliary heads and losses are left out.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Built, conv
from torch import Tensor, nn

CLASSES = 5


def twice(inner: int, outer: int) -> nn.Sequential:
    """Two convolutions."""
    return nn.Sequential(conv(inner, outer), conv(outer, outer))


def grown(x: Tensor, like: Tensor) -> Tensor:
    """Resized to the height and width of another, smoothly."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")


class UNet(nn.Module):
    """Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv:1505.04597;
    padded, so that the answer is as large as the image."""

    def __init__(self, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        sizes = [width * 2**n for n in range(depth + 1)]
        self.down = nn.ModuleList(twice(a, b) for a, b in zip([3, *sizes], sizes, strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in reversed(sizes[:-1]))
        self.up = nn.ModuleList(twice(2 * n, n) for n in reversed(sizes[:-1]))
        self.out = nn.Conv2d(width, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        x, skips = image, []
        for number, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        skips.pop()
        for grow, layer in zip(self.grow, self.up, strict=True):
            x = layer(torch.cat([skips.pop(), grow(x)], dim=1))
        return self.out(x)


class UNetPlusPlus(nn.Module):
    """Zhou et al. 2018, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", arXiv:1807.10165: a net of nodes
    between the two sides; the mean over the depths is the answer."""

    def __init__(self, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        sizes, self.depth = [width * 2**n for n in range(depth)], depth
        self.nodes = nn.ModuleDict()
        for j in range(depth):
            for i in range(depth - j):
                inner = (sizes[i - 1] if i else 3) if j == 0 else j * sizes[i] + sizes[i + 1]
                self.nodes[f"{i}_{j}"] = twice(inner, sizes[i])
        self.outs = nn.ModuleList(nn.Conv2d(width, CLASSES, 1) for _ in range(depth - 1))

    def forward(self, image: Tensor) -> Tensor:
        found: dict[tuple[int, int], Tensor] = {}
        for j in range(self.depth):
            for i in range(self.depth - j):
                if j:
                    parts = [found[i, k] for k in range(j)]
                    x = torch.cat([*parts, F.interpolate(found[i + 1, j - 1], scale_factor=2.0, mode="bilinear")], dim=1)
                else:
                    x = F.max_pool2d(found[i - 1, 0], 2) if i else image
                found[i, j] = self.nodes[f"{i}_{j}"](x)
        return torch.stack([out(found[0, j]) for j, out in enumerate(self.outs, 1)]).mean(0)


class AttentionUNet(nn.Module):
    """Oktay et al. 2018, "Attention U-Net: Learning Where to Look for the Pancreas", arXiv:1804.03999: the coarser level gates
    what the shortcut brings."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.second, self.third = twice(3, width), twice(width, 2 * width), twice(2 * width, 4 * width)
        self.keys, self.queries, self.scores, self.grow, self.up = (nn.ModuleList() for _ in range(5))
        for n in (2 * width, width):
            self.keys.append(nn.Conv2d(n, n, 2, 2, bias=False))
            self.queries.append(nn.Conv2d(2 * n, n, 1))
            self.scores.append(nn.Conv2d(n, 1, 1))
            self.grow.append(conv(2 * n, n))
            self.up.append(twice(2 * n, n))
        self.out = nn.Conv2d(width, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(F.max_pool2d(first, 2))
        x = self.third(F.max_pool2d(second, 2))
        for n, skip in enumerate((second, first)):
            gate = self.scores[n]((self.keys[n](skip) + self.queries[n](x)).relu()).sigmoid()
            x = self.up[n](torch.cat([skip * grown(gate, skip), self.grow[n](grown(x, skip))], dim=1))
        return self.out(x)


class UNet3D(nn.Module):
    """Çiçek et al. 2016, "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation", arXiv:1606.06650. volume:
    [batch, 1, 8, 16, 16]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.second = self._twice(1, width, 2 * width), self._twice(2 * width, 2 * width, 4 * width)
        self.grow, self.up = nn.ConvTranspose3d(4 * width, 4 * width, 2, 2), self._twice(6 * width, 2 * width, 2 * width)
        self.out = nn.Conv3d(2 * width, CLASSES, 1)

    @staticmethod
    def _twice(inner: int, middle: int, outer: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in ((inner, middle), (middle, outer)):
            layers += [nn.Conv3d(a, b, 3, padding=1), nn.BatchNorm3d(b), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, volume: Tensor) -> Tensor:
        first = self.first(volume)
        x = self.grow(self.second(F.max_pool3d(first, 2)))
        return self.out(self.up(torch.cat([first, x], dim=1)))


class FCN(nn.Module):
    """Long, Shelhamer and Darrell 2014, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038: FCN-8s,
    scores of three depths added, transposed convolutions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width)
        self.stages = nn.ModuleList(nn.Sequential(twice(a, b), nn.MaxPool2d(2)) for a, b in itertools.pairwise(sizes))
        self.scores = nn.ModuleList(nn.Conv2d(n, CLASSES, 1) for n in sizes[1:])
        self.up = nn.ModuleList(nn.ConvTranspose2d(CLASSES, CLASSES, 4, 2, 1, bias=False) for _ in range(3))

    def forward(self, image: Tensor) -> Tensor:
        x, scores = image, []
        for stage, score in zip(self.stages, self.scores, strict=True):
            x = stage(x)
            scores.append(score(x))
        x = scores.pop()
        for up in self.up[:-1]:
            x = up(x) + scores.pop()
        return self.up[-1](x)


class SegNet(nn.Module):
    """Badrinarayanan, Kendall and Cipolla 2015, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
    Segmentation", arXiv:1511.00561: the decoder puts values back where the maximum was found."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList((twice(3, width), twice(width, 2 * width)))
        self.up = nn.ModuleList((conv(2 * width, width), nn.Conv2d(width, CLASSES, 3, padding=1)))

    def forward(self, image: Tensor) -> Tensor:
        x, places = image, []
        for layer in self.down:
            x, place = F.max_pool2d(layer(x), 2, return_indices=True)
            places.append(place)
        for layer in self.up:
            x = layer(F.max_unpool2d(x, places.pop(), 2))
        return x


class PSPNet(nn.Module):
    """Zhao et al. 2016, "Pyramid Scene Parsing Network", arXiv:1612.01105: averages over grids of 1, 2, 3 and 6 cells join the
    features."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 3, 2), conv(width, width, 3, 2))
        self.pools = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(n), conv(width, width // 4, 1)) for n in (1, 2, 3, 6))
        self.out = nn.Sequential(conv(2 * width, width), nn.Conv2d(width, CLASSES, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = self.out(torch.cat([x, *(grown(pool(x), x) for pool in self.pools)], dim=1))
        return grown(x, image)


class DeepLab(nn.Module):
    """Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation" (DeepLab v3+),
    arXiv:1802.02611: dilated convolutions of several rates, a decoder with low-level features."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.low, self.high = (
            nn.Sequential(conv(3, width, 3, 2), conv(width, width, 3, 2)),
            nn.Sequential(conv(width, width, 3, 2)),
        )
        self.point = conv(width, width, 1)
        self.rates = nn.ModuleList(self._separable(width, width, rate) for rate in (2, 4, 6))
        self.whole, self.join = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(width, width, 1)), conv(5 * width, width, 1)
        self.narrow, self.out = conv(width, 8, 1), nn.Sequential(self._separable(width + 8, width), nn.Conv2d(width, CLASSES, 1))

    @staticmethod
    def _separable(inner: int, outer: int, rate: int = 1) -> nn.Sequential:
        depthwise = nn.Conv2d(inner, inner, 3, padding=rate, dilation=rate, groups=inner, bias=False)
        return nn.Sequential(depthwise, nn.BatchNorm2d(inner), nn.ReLU(), conv(inner, outer, 1))

    def forward(self, image: Tensor) -> Tensor:
        low = self.low(image)
        x = self.high(low)
        x = self.join(torch.cat([self.point(x), *(rate(x) for rate in self.rates), grown(self.whole(x), x)], dim=1))
        x = self.out(torch.cat([grown(x, low), self.narrow(low)], dim=1))
        return grown(x, image)


class HRNet(nn.Module):
    """Sun et al. 2019, "Deep High-Resolution Representation Learning for Human Pose Estimation", arXiv:1902.09212, with the
    segmentation head of arXiv:1904.04514: branches of three resolutions that exchange what they know."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.stem = conv(3, width, 3, 2)
        self.split = nn.ModuleList(conv(a, b, 3, 2) for a, b in itertools.pairwise(sizes))
        self.branches = nn.ModuleList(twice(n, n) for n in sizes)
        self.exchange = nn.ModuleList(nn.ModuleList(self._path(sizes, a, b) for a in range(3)) for b in range(3))
        self.out = nn.Sequential(conv(sum(sizes), 16, 1), nn.Conv2d(16, CLASSES, 1))

    @staticmethod
    def _path(sizes: list[int], a: int, b: int) -> nn.Module:
        """From branch a to b: strided convolutions down, a 1x1 one up (the resizing is forward's)."""
        if a == b:
            return nn.Identity()
        if a > b:
            return conv(sizes[a], sizes[b], 1, activation=None)
        last = conv(sizes[a], sizes[b], 3, 2, activation=None)
        return nn.Sequential(*(conv(sizes[a], sizes[a], 3, 2) for _ in range(b - a - 1)), last)

    def forward(self, image: Tensor) -> Tensor:
        levels = [self.stem(image)]
        for split in self.split:
            levels.append(split(levels[-1]))
        levels = [branch(x) for branch, x in zip(self.branches, levels, strict=True)]
        mixed = []
        for b, paths in enumerate(self.exchange):
            parts = [
                grown(path(x), levels[b]) if a > b else path(x) for a, (path, x) in enumerate(zip(paths, levels, strict=True))
            ]
            mixed.append(torch.stack(parts).sum(0).relu())
        x = torch.cat([mixed[0], *(grown(x, mixed[0]) for x in mixed[1:])], dim=1)
        return grown(self.out(x), image)


class BiSeNet(nn.Module):
    """Yu et al. 2018, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", arXiv:1808.00897: a
    shallow path for detail, a deep one for context with attention over channels, fused."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.spatial = nn.Sequential(conv(3, width, 7, 2), conv(width, width, 3, 2), conv(width, width, 3, 2))
        self.down = nn.ModuleList((nn.Sequential(conv(3, width, 3, 4), conv(width, width, 3, 4)), conv(width, width, 3, 2)))
        self.refine = nn.ModuleList(self._gate(width) for _ in range(2))
        self.fuse, self.gate = (
            conv(2 * width, width, 1),
            nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1)),
        )
        self.out = nn.Sequential(conv(width, width), nn.Conv2d(width, CLASSES, 1))

    @staticmethod
    def _gate(width: int) -> nn.Sequential:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        detail, middle = self.spatial(image), self.down[0](image)
        low = self.down[1](middle)
        low = low * self.refine[1](low) + low.mean((2, 3), keepdim=True)
        context = grown(middle * self.refine[0](middle) + grown(low, middle), detail)
        x = self.fuse(torch.cat([detail, context], dim=1))
        x = x + x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return grown(self.out(x), image)


class TransUNet(nn.Module):
    """Chen et al. 2021, "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation", arXiv:2102.04306:
    attention at the bottom of a U-Net. image: [batch, 3, 32, 48]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.second, self.third = twice(3, width), twice(width, 2 * width), conv(2 * width, 4 * width)
        self.positions = nn.Parameter(0.1 * torch.randn(96, 4 * width))
        self.norm, self.attention = nn.LayerNorm(4 * width), Attention(4 * width, 4)
        self.feed = nn.Sequential(
            nn.LayerNorm(4 * width), nn.Linear(4 * width, 8 * width), nn.GELU(), nn.Linear(8 * width, 4 * width)
        )
        self.up = nn.ModuleList((twice(6 * width, 2 * width), twice(3 * width, width)))
        self.out = nn.Conv2d(width, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(F.max_pool2d(first, 2))
        x = self.third(F.max_pool2d(second, 2))
        tokens = x.flatten(2).transpose(1, 2) + self.positions
        tokens = tokens + self.attention(self.norm(tokens))
        x = (tokens + self.feed(tokens)).transpose(1, 2).unflatten(-1, x.shape[-2:])
        for layer, skip in zip(self.up, (second, first), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear"), skip], dim=1))
        return self.out(x)


def _image(net: nn.Module, height: int = 32, width: int = 64) -> Built:
    return net, {"image": torch.randn(2, 3, height, width)}


def unet() -> Built:
    return _image(UNet())


def unet_plus_plus() -> Built:
    return _image(UNetPlusPlus())


def attention_unet() -> Built:
    return _image(AttentionUNet())


def unet_3d() -> Built:
    return UNet3D(), {"volume": torch.randn(2, 1, 8, 16, 16)}


def fcn() -> Built:
    return _image(FCN())


def segnet() -> Built:
    return _image(SegNet())


def pspnet() -> Built:
    return _image(PSPNet())


def deeplab() -> Built:
    return _image(DeepLab())


def hrnet() -> Built:
    return _image(HRNet())


def bisenet() -> Built:
    return _image(BiSeNet())


def transunet() -> Built:
    return _image(TransUNet(), 32, 48)
