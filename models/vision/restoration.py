"""Nets that make images better: super-resolution and denoising. image: [batch, 3, height, width]."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp
from torch import Tensor, nn


def plain(inner: int, outer: int, kernel: int = 3) -> nn.Conv2d:
    """A padded convolution."""
    return nn.Conv2d(inner, outer, kernel, padding=kernel // 2)


def larger(width: int, scale: int = 2, outer: int = 3) -> nn.Sequential:
    """Sub-pixel convolution to a larger image."""
    return nn.Sequential(plain(width, outer * scale * scale), nn.PixelShuffle(scale))


class SRCNN(nn.Module):
    """Dong et al. 2014, "Image Super-Resolution Using Deep Convolutional Networks", arXiv:1501.00092: the enlarged image
    through three convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(plain(3, 16, 9), nn.ReLU(), plain(16, 8, 1), nn.ReLU(), plain(8, 3, 5))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(F.interpolate(image, scale_factor=2.0, mode="bicubic"))


class FSRCNN(nn.Module):
    """Dong, Loy and Tang 2016, "Accelerating the Super-Resolution Convolutional Neural Network", arXiv:1608.00367: shrink, map,
    expand, and a transposed convolution at the end."""

    def __init__(self, width: int = 16, narrow: int = 8) -> None:
        super().__init__()
        layers: list[nn.Module] = [plain(3, width, 5), nn.PReLU(width), plain(width, narrow, 1), nn.PReLU(narrow)]
        for _ in range(2):
            layers += [plain(narrow, narrow), nn.PReLU(narrow)]
        self.layers = nn.Sequential(*layers, plain(narrow, width, 1), nn.PReLU(width), nn.ConvTranspose2d(width, 3, 9, 2, 4, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class ESPCN(nn.Module):
    """Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network", arXiv:1609.05158."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(plain(3, 16, 5), nn.Tanh(), plain(16, 8), nn.Tanh(), larger(8, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class EDSR(nn.Module):
    """Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", arXiv:1707.02921: residual blocks
    without norms, scaled by 0.1."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.into, self.after, self.out = plain(3, width), plain(width, width), larger(width)
        self.blocks = nn.ModuleList(nn.Sequential(plain(width, width), nn.ReLU(), plain(width, width)) for _ in range(depth))

    def forward(self, image: Tensor) -> Tensor:
        x = first = self.into(image)
        for block in self.blocks:
            x = x + 0.1 * block(x)
        return self.out(first + self.after(x))


class RCAN(nn.Module):
    """Zhang et al. 2018, "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", arXiv:1807.02758:
    residual groups of blocks with attention over channels."""

    def __init__(self, width: int = 16, groups: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.depth, self.into, self.after, self.out = depth, plain(3, width), plain(width, width), larger(width)
        count = groups * depth
        self.blocks = nn.ModuleList(nn.Sequential(plain(width, width), nn.ReLU(), plain(width, width)) for _ in range(count))
        self.gates = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(1), plain(width, 4, 1), nn.ReLU(), plain(4, width, 1), nn.Sigmoid())
            for _ in range(count)
        )
        self.ends = nn.ModuleList(plain(width, width) for _ in range(groups))

    def forward(self, image: Tensor) -> Tensor:
        x = first = self.into(image)
        for number, end in enumerate(self.ends):
            group = x
            for n in range(number * self.depth, (number + 1) * self.depth):
                made = self.blocks[n](x)
                x = x + made * self.gates[n](made)
            x = group + end(x)
        return self.out(first + self.after(x))


class ESRGAN(nn.Module):
    """Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", arXiv:1809.00219: the generator,
    residual in residual dense blocks."""

    def __init__(self, width: int = 16, growth: int = 8) -> None:
        super().__init__()
        self.into, self.after, self.grow = plain(3, width), plain(width, width), plain(width, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(plain(width + n * growth, growth if n < 4 else width) for n in range(5)) for _ in range(3)
        )
        self.out = nn.Sequential(plain(width, width), nn.LeakyReLU(0.2), plain(width, 3))

    def forward(self, image: Tensor) -> Tensor:
        first = x = self.into(image)
        for block in self.blocks:
            x = x + 0.2 * self._dense(block, x)
        x = first + self.after(first + 0.2 * (x - first))
        return self.out(F.leaky_relu(self.grow(F.interpolate(x, scale_factor=2.0)), 0.2))

    @staticmethod
    def _dense(block: nn.ModuleList, x: Tensor) -> Tensor:
        for conv in list(block)[:-1]:
            x = torch.cat([x, F.leaky_relu(conv(x), 0.2)], dim=1)
        return block[-1](x)


class IMDN(nn.Module):
    """Hui et al. 2019, "Lightweight Image Super-Resolution with Information Multi-distillation Network", arXiv:1909.11856: a
    part of the channels is kept after each convolution, the rest goes on; contrast attention at the end."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        kept = width // 4
        self.kept, self.into, self.after, self.out = kept, plain(3, width), plain(width, width), larger(width)
        self.convs = nn.ModuleList(
            nn.ModuleList(
                (plain(width, width), plain(width - kept, width), plain(width - kept, width), plain(width - kept, kept))
            )
            for _ in range(depth)
        )
        self.gates = nn.ModuleList(
            nn.Sequential(plain(width, 4, 1), nn.ReLU(), plain(4, width, 1), nn.Sigmoid()) for _ in range(depth)
        )
        self.ends = nn.ModuleList(plain(width, width, 1) for _ in range(depth))

    def forward(self, image: Tensor) -> Tensor:
        x = first = self.into(image)
        for convs, gate, end in zip(self.convs, self.gates, self.ends, strict=True):
            left, parts = x, []
            for conv in list(convs)[:-1]:
                part, left = F.leaky_relu(conv(left), 0.05).split([self.kept, x.shape[1] - self.kept], dim=1)
                parts.append(part)
            joined = torch.cat([*parts, convs[-1](left)], dim=1)
            mean = joined.mean((2, 3), keepdim=True)
            contrast = ((joined - mean).square().mean((2, 3), keepdim=True) + 1e-6).sqrt() + mean
            x = x + end(joined * gate(contrast))
        return self.out(first + self.after(x))


class SwinIR(nn.Module):
    """Liang et al. 2021, "SwinIR: Image Restoration Using Swin Transformer", arXiv:2108.10257: window attention with relative
    positions, shifted every second time, a convolution beside a shortcut around it. image: [batch, 3, 16, 24]."""

    def __init__(
        self, width: int = 16, window: int = 4, heads: int = 2, depth: int = 2, size: tuple[int, int] = (16, 24)
    ) -> None:
        super().__init__()
        self.window, self.heads, self.into, self.after, self.out = (
            window,
            heads,
            plain(3, width),
            plain(width, width),
            larger(width),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.qkv, self.mix = (nn.ModuleList(nn.Linear(width, n * width) for _ in range(depth)) for n in (3, 1))
        self.mlps, self.group = nn.ModuleList(mlp([width, 2 * width, width], nn.GELU) for _ in range(depth)), plain(width, width)
        self.bias = nn.Parameter(torch.randn(depth, (2 * window - 1) ** 2, heads))
        place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = place[:, :, None] - place[:, None] + window - 1
        self.register_buffer("apart", apart[0] * (2 * window - 1) + apart[1])
        self.register_buffer("hidden", self._mask(*size))

    def _mask(self, height: int, width: int) -> Tensor:
        """-100 between places that the shift brought together over an edge."""
        rows, columns = ((torch.arange(n) >= n - self.window // 2).float() for n in (height, width))
        parts = self._windows((rows[:, None] + 2 * columns)[None, ..., None]).squeeze(-1)
        return torch.where(parts[:, :, None] == parts[:, None], 0.0, -100.0).unsqueeze(1)

    def _windows(self, x: Tensor) -> Tensor:
        x = x.unflatten(2, (-1, self.window)).unflatten(1, (-1, self.window)).transpose(2, 3)
        return x.flatten(3, 4).flatten(0, 2)

    def forward(self, image: Tensor) -> Tensor:
        first = self.into(image)
        x = first.permute(0, 2, 3, 1)
        for number, feed in enumerate(self.mlps):
            x = x + self._attend(self.norms[2 * number](x), number)
            x = x + feed(self.norms[2 * number + 1](x))
        x = first + self.group(x.permute(0, 3, 1, 2))
        return self.out(first + self.after(x))

    def _attend(self, x: Tensor, number: int) -> Tensor:
        _, height, width, _ = x.shape
        shift = self.window // 2 if number % 2 else 0
        parts = self._windows(torch.roll(x, (-shift, -shift), (1, 2)))
        query, key, value = self.qkv[number](parts).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + self.bias[number][self.apart].permute(2, 0, 1)
        if shift:
            scores = (scores.unflatten(0, (-1, self.hidden.shape[0])) + self.hidden).flatten(0, 1)
        seen = self.mix[number]((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        rows, columns = height // self.window, width // self.window
        seen = seen.unflatten(0, (-1, rows, columns)).unflatten(3, (self.window, self.window))
        return torch.roll(seen.transpose(2, 3).flatten(3, 4).flatten(1, 2), (shift, shift), (1, 2))


class DnCNN(nn.Module):
    """Zhang et al. 2016, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", arXiv:1608.03981: the
    noise is found and taken away."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [plain(3, width), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, plain(width, 3))

    def forward(self, image: Tensor) -> Tensor:
        return image - self.layers(image)


class FFDNet(nn.Module):
    """Zhang, Zuo and Zhang 2017, "FFDNet: Toward a Fast and Flexible Solution for CNN based Image Denoising", arXiv:1710.04026:
    on the image folded by two, with the noise level as a plane. level: [batch]."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [plain(13, width), nn.ReLU()]
        for _ in range(depth):
            layers += [plain(width, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, plain(width, 12))

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        x = F.pixel_unshuffle(image, 2)
        plane = level[:, None, None, None].expand(-1, 1, x.shape[2], x.shape[3])
        return F.pixel_shuffle(self.layers(torch.cat([x, plane], dim=1)), 2)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NAFBlock(nn.Module):
    """NAFNet's block: gates by products of halves in place of activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            ChannelNorm(width), plain(width, 2 * width, 1), nn.Conv2d(2 * width, 2 * width, 3, 1, 1, groups=2 * width)
        )
        self.attention, self.mix = plain(width, width, 1), plain(width, width, 1)
        self.second, self.last = nn.Sequential(ChannelNorm(width), plain(width, 2 * width, 1)), plain(width, width, 1)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, width, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).chunk(2, dim=1)
        made = left * right
        x = x + self.beta * self.mix(made * self.attention(made.mean((2, 3), keepdim=True)))
        left, right = self.second(x).chunk(2, dim=1)
        return x + self.gamma * self.last(left * right)


class NAFNet(nn.Module):
    """Chen et al. 2022, "Simple Baselines for Image Restoration" (NAFNet), arXiv:2204.04676."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.into, self.out, self.first, self.last = plain(3, width), plain(width, 3), NAFBlock(width), NAFBlock(width)
        self.down, self.middle = nn.Conv2d(width, 2 * width, 2, 2), NAFBlock(2 * width)
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1, bias=False), nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(self.into(image))
        x = first + self.up(self.middle(self.down(first)))
        return image + self.out(self.last(x))


class RestormerBlock(nn.Module):
    """Attention among channels, and a feed-forward net with a gate; both with depthwise convolutions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm, self.norm2 = heads, ChannelNorm(width), ChannelNorm(width)
        self.qkv = nn.Sequential(plain(width, 3 * width, 1), nn.Conv2d(3 * width, 3 * width, 3, 1, 1, groups=3 * width))
        self.temperature, self.mix = nn.Parameter(torch.ones(heads, 1, 1)), plain(width, width, 1)
        self.feed = nn.Sequential(plain(width, 4 * width, 1), nn.Conv2d(4 * width, 4 * width, 3, 1, 1, groups=4 * width))
        self.last = plain(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).unbind(1)
        share = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-1, -2) * self.temperature
        seen = (share.softmax(-1) @ value).flatten(1, 2).unflatten(-1, x.shape[-2:])
        x = x + self.mix(seen)
        gate, made = self.feed(self.norm2(x)).chunk(2, dim=1)
        return x + self.last(F.gelu(gate) * made)


class Restormer(nn.Module):
    """Zamir et al. 2021, "Restormer: Efficient Transformer for High-Resolution Image Restoration", arXiv:2111.09881; two
    levels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.into, self.out = plain(3, width), plain(2 * width, 3)
        self.first, self.middle = RestormerBlock(width, 1), RestormerBlock(2 * width, 2)
        self.last = RestormerBlock(2 * width, 1)
        self.down = nn.Sequential(nn.Conv2d(width, width // 2, 3, 1, 1, bias=False), nn.PixelUnshuffle(2))
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 3, 1, 1, bias=False), nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(self.into(image))
        x = torch.cat([self.up(self.middle(self.down(first))), first], dim=1)
        return image + self.out(self.last(x))


class ZeroDCE(nn.Module):
    """Guo et al. 2020, "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement", arXiv:2001.06826: curves for
    each pixel, put to use eight times. The image may be anything: a sigmoid brings it to between 0 and 1."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        sizes = (3, width, width, width)
        self.down = nn.ModuleList(plain(a, b) for a, b in itertools.pairwise(sizes))
        self.up = nn.ModuleList((plain(2 * width, width), plain(2 * width, 24)))

    def forward(self, image: Tensor) -> Tensor:
        image = image.sigmoid()
        first = self.down[0](image).relu()
        second = self.down[1](first).relu()
        x = self.up[0](torch.cat([second, self.down[2](second).relu()], dim=1)).relu()
        curves = self.up[1](torch.cat([first, x], dim=1)).tanh()
        for curve in curves.chunk(8, dim=1):
            image = image + curve * (image.square() - image)
        return image


def _image(net: nn.Module, height: int = 16, width: int = 24) -> Built:
    return net, {"image": torch.rand(2, 3, height, width)}


def srcnn() -> Built:
    return _image(SRCNN())


def fsrcnn() -> Built:
    return _image(FSRCNN())


def espcn() -> Built:
    return _image(ESPCN())


def edsr() -> Built:
    return _image(EDSR())


def rcan() -> Built:
    return _image(RCAN())


def esrgan() -> Built:
    return _image(ESRGAN())


def imdn() -> Built:
    return _image(IMDN())


def swinir() -> Built:
    return _image(SwinIR())


def dncnn() -> Built:
    return _image(DnCNN())


def ffdnet() -> Built:
    return FFDNet(), {"image": torch.rand(2, 3, 16, 24), "level": torch.rand(2)}


def nafnet() -> Built:
    return _image(NAFNet())


def restormer() -> Built:
    return _image(Restormer())


def zero_dce() -> Built:
    return _image(ZeroDCE())
