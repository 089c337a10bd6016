"""Nets for motion and depth between and in images: RAFT, PWC-Net, GC-Net, MiDaS.

Losses are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Built, ResBlock, conv
from torch import Tensor, nn


def encoder(width: int) -> nn.Sequential:
    """Features at an eighth of the size, with instance norm."""
    layers: list[nn.Module] = []
    for a, b in ((3, width), (width, width), (width, width)):
        layers += [nn.Conv2d(a, b, 3, 2, 1), nn.InstanceNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, width, 1))


def grid_of(x: Tensor) -> Tensor:
    """Column and row of each place, [1, 2, height, width]."""
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[-2:])
    y, across = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([across, y]).unsqueeze(0)


def sampled(x: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples. places: [batch, rows, columns, 2], column and row, in pixels."""
    size = torch.tensor([x.shape[-1] - 1, x.shape[-2] - 1], dtype=x.dtype, device=x.device)
    return F.grid_sample(x, 2 * places / size - 1, align_corners=True)


class RAFT(nn.Module):
    """Teed and Deng 2020, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", arXiv:2003.12039: all pairs
    correlated, looked up in a pyramid around where the flow points, a convolutional GRU; three rounds. The learned upsampling
    is bilinear here. image, next_image: [batch, 3, 64, 96]."""

    def __init__(self, width: int = 16, levels: int = 2, radius: int = 2, rounds: int = 3) -> None:
        super().__init__()
        self.levels, self.radius, self.rounds, self.width = levels, radius, rounds, width
        self.features, self.context = encoder(width), encoder(2 * width)
        self.motion = nn.Sequential(nn.Conv2d(levels * (2 * radius + 1) ** 2 + 2, width, 3, padding=1), nn.ReLU())
        self.gates, self.new = nn.Conv2d(3 * width, 2 * width, 3, padding=1), nn.Conv2d(3 * width, width, 3, padding=1)
        self.flow = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 3, padding=1))

    def forward(self, image: Tensor, next_image: Tensor) -> Tensor:
        first, second = self.features(image), self.features(next_image)
        state, context = self.context(image).split([self.width, self.width], dim=1)
        state, context, start = state.tanh(), context.relu(), grid_of(first)
        pyramid, places = self._correlate(first, second), start.expand(first.shape[0], -1, -1, -1)
        for _ in range(self.rounds):
            seen = self.motion(torch.cat([self._look(pyramid, places), places - start], dim=1))
            seen = torch.cat([context, seen], dim=1)
            update, reset = self.gates(torch.cat([state, seen], dim=1)).sigmoid().chunk(2, dim=1)
            new = self.new(torch.cat([reset * state, seen], dim=1)).tanh()
            state = (1 - update) * state + update * new
            places = places + self.flow(state)
        return 8 * F.interpolate(places - start, scale_factor=8.0, mode="bilinear", align_corners=True)

    def _correlate(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Correlations, [batch * places, 1, rows, columns], and the same pooled."""
        pairs = first.flatten(2).transpose(1, 2) @ second.flatten(2) / self.width**0.5
        level = pairs.flatten(0, 1).unflatten(-1, first.shape[-2:]).unsqueeze(1)
        found = [level]
        for _ in range(self.levels - 1):
            found.append(F.avg_pool2d(found[-1], 2))
        return found

    def _look(self, pyramid: list[Tensor], places: Tensor) -> Tensor:
        line = torch.arange(-self.radius, self.radius + 1, dtype=places.dtype, device=places.device)
        around = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)
        centre = places.permute(0, 2, 3, 1).flatten(0, 2)[:, None, None]
        seen = [sampled(level, centre / 2**n + around).flatten(1) for n, level in enumerate(pyramid)]
        return torch.cat(seen, dim=-1).unflatten(0, (-1, *places.shape[-2:])).permute(0, 3, 1, 2)


class PWCNet(nn.Module):
    """Sun et al. 2017, "PWC-Net: CNNs for Optical Flow Using Pyramid, Warping, and Cost Volume", arXiv:1709.02371: two levels,
    from coarse to fine. image, next_image: [batch, 3, 32, 48]."""

    def __init__(self, width: int = 16, reach: int = 2) -> None:
        super().__init__()
        self.reach, cost = reach, (2 * reach + 1) ** 2
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, width, 3, s, 1), nn.LeakyReLU(0.1), nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.1)
            )
            for a, s in ((3, 4), (width, 2))
        )
        self.flows = nn.ModuleList(
            nn.Sequential(nn.Conv2d(cost + width + n, 32, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(32, 2, 3, padding=1))
            for n in (0, 2)
        )

    def forward(self, image: Tensor, next_image: Tensor) -> Tensor:
        first, second = self.down[0](image), self.down[0](next_image)
        low_first, low_second = self.down[1](first), self.down[1](second)
        flow = self.flows[0](torch.cat([self._cost(low_first, low_second), low_first], dim=1))
        flow = 2 * F.interpolate(flow, scale_factor=2.0, mode="bilinear")
        warped = sampled(second, (grid_of(second) + flow).permute(0, 2, 3, 1))
        flow = flow + self.flows[1](torch.cat([self._cost(first, warped), first, flow], dim=1))
        return 4 * F.interpolate(flow, scale_factor=4.0, mode="bilinear")

    def _cost(self, first: Tensor, second: Tensor) -> Tensor:
        """Correlation with all places up to `reach` away."""
        height, width = first.shape[-2:]
        padded, count = F.pad(second, [self.reach] * 4), 2 * self.reach + 1
        moved = [padded[:, :, y : y + height, x : x + width] for y in range(count) for x in range(count)]
        return torch.stack([(first * other).mean(1) for other in moved], dim=1)


class StereoNet(nn.Module):
    """Kendall et al. 2017, "End-to-End Learning of Geometry and Context for Deep Stereo Regression" (GC-Net), arXiv:1703.04309:
    features of both images joined at every disparity, 3-D convolutions, the expected disparity. left, right: [batch, 3, 16,
    32]."""

    def __init__(self, width: int = 8, disparities: int = 6) -> None:
        super().__init__()
        self.disparities = disparities
        self.features = nn.Sequential(conv(3, width, 5, 2), nn.Conv2d(width, width, 3, padding=1))
        self.volume = nn.Sequential(
            nn.Conv3d(2 * width, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, 1, 3, padding=1)
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        first, second = self.features(left), self.features(right)
        moved = [F.pad(second, (n, 0))[..., : second.shape[-1]] for n in range(self.disparities)]
        cost = self.volume(torch.stack([torch.cat([first, other], dim=1) for other in moved], dim=2)).squeeze(1)
        line = torch.arange(self.disparities, dtype=cost.dtype, device=cost.device)
        return ((-cost).softmax(1) * line[:, None, None]).sum(1)


class MiDaS(nn.Module):
    """Ranftl et al. 2019, "Towards Robust Monocular Depth Estimation: Mixing Datasets for Zero-shot Cross-dataset Transfer",
    arXiv:1907.01341: fusion blocks over the features of a backbone, here three strided convolutions. image: [batch, 3, 32,
    64]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stages = nn.ModuleList((conv(3, width, 3, 4), conv(width, width, 3, 2), conv(width, width, 3, 2)))
        self.sides = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(3))
        self.fuse = nn.ModuleList(ResBlock(width, width) for _ in range(6))
        self.out = nn.Sequential(
            nn.Conv2d(width, 8, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Softplus(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        x, levels = image, []
        for stage, side in zip(self.stages, self.sides, strict=True):
            x = stage(x)
            levels.append(side(x))
        x = torch.zeros_like(levels[-1])
        for n, level in enumerate(reversed(levels)):
            x = self.fuse[2 * n + 1](x + self.fuse[2 * n](level))
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        return self.out(x).squeeze(1)


def _images(height: int, width: int, *names: str) -> dict[str, Tensor]:
    return {name: torch.randn(2, 3, height, width) for name in names}


def raft() -> Built:
    return RAFT(), _images(64, 96, "image", "next_image")


def pwcnet() -> Built:
    return PWCNet(), _images(32, 48, "image", "next_image")


def stereo() -> Built:
    return StereoNet(), _images(16, 32, "left", "right")


def midas() -> Built:
    return MiDaS(), _images(32, 64, "image")
