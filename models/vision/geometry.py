"""Nets for points, motion, depth and scenes: PointNet and its kin, DGCNN, PointPillars, RAFT, PWC-Net, MiDaS, NeRF, Gaussian
splats.

points: [batch, points, 3]. Which points form a group, where a net needs groups, is given as indices: sampling is the caller's.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, ResBlock, conv, mlp
from torch import Tensor, nn

POINTS = 24


def shared(inner: int, *outer: int) -> nn.Sequential:
    """1x1 convolutions with BatchNorm and ReLU: the same MLP for every point."""
    layers: list[nn.Module] = []
    for n in outer:
        layers += [nn.Conv1d(inner, n, 1), nn.BatchNorm1d(n), nn.ReLU()]
        inner = n
    return nn.Sequential(*layers)


def at(x: Tensor, index: Tensor) -> Tensor:
    """[batch, points, width] at [batch, ...] indices: [batch, ..., width]."""
    rows = index.flatten(1).unsqueeze(-1).expand(-1, -1, x.shape[-1])
    return x.gather(1, rows).unflatten(1, tuple(index.shape[1:]))


class Turn(nn.Module):
    """The net of PointNet that finds a matrix by which all points are turned."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.each, self.whole = size, shared(size, 16, 32), mlp([32, 16, size * size])

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.whole(self.each(x).amax(-1)).unflatten(-1, (self.size, self.size))
        matrix = matrix + torch.eye(self.size, dtype=x.dtype, device=x.device)
        return matrix.transpose(1, 2) @ x


class PointNet(nn.Module):
    """Qi et al. 2016, "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", arXiv:1612.00593: class
    logits, and part logits for every point."""

    def __init__(self, classes: int = 6, parts: int = 4) -> None:
        super().__init__()
        self.turn, self.turn_features = Turn(3), Turn(16)
        self.first, self.second = shared(3, 16), shared(16, 32, 48)
        self.whole, self.each = mlp([48, 32, classes]), nn.Sequential(shared(64, 32), nn.Conv1d(32, parts, 1))

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        near = self.turn_features(self.first(self.turn(points.transpose(1, 2))))
        whole = self.second(near).amax(-1)
        both = torch.cat([near, whole.unsqueeze(-1).expand(-1, -1, points.shape[1])], dim=1)
        return {"class": self.whole(whole), "parts": self.each(both).transpose(1, 2)}


class PointNetPlusPlus(nn.Module):
    """Qi et al. 2017, "PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space", arXiv:1706.02413: one
    level of grouping and the way back by distance. centres: [batch, 6]; groups: [batch, 6, 5], indices of points."""

    def __init__(self, width: int = 24, classes: int = 5) -> None:
        super().__init__()
        self.group, self.whole = shared(3, 16, width), shared(width + 3, 32)
        self.back, self.out = shared(width + 32, 32), nn.Conv1d(32, classes, 1)

    def forward(self, points: Tensor, centres: Tensor, groups: Tensor) -> Tensor:
        middle = at(points, centres)
        local = at(points, groups) - middle.unsqueeze(2)
        x = self.group(local.flatten(0, 1).transpose(1, 2)).amax(-1).unflatten(0, (-1, middle.shape[1]))
        whole = self.whole(torch.cat([x, middle], dim=-1).transpose(1, 2)).amax(-1)
        weight = 1 / ((points.unsqueeze(2) - middle.unsqueeze(1)).square().sum(-1) + 1e-3)  # all centres, not the nearest three
        spread = (weight / weight.sum(-1, keepdim=True)) @ x
        both = torch.cat([spread, whole.unsqueeze(1).expand(-1, points.shape[1], -1)], dim=-1)
        return self.out(self.back(both.transpose(1, 2))).transpose(1, 2)


class DGCNN(nn.Module):
    """Wang et al. 2018, "Dynamic Graph CNN for Learning on Point Clouds", arXiv:1801.07829: edges to the nearest points, found
    anew among the features of each layer."""

    def __init__(self, width: int = 16, near: int = 5, classes: int = 6) -> None:
        super().__init__()
        self.near, sizes = near, (3, width, width)
        self.edges = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * a, b, bias=False), nn.LayerNorm(b), nn.LeakyReLU(0.2))
            for a, b in itertools.pairwise(sizes)
        )
        self.join, self.out = nn.Linear(2 * width, 32), mlp([64, 32, classes])

    def forward(self, points: Tensor) -> Tensor:
        x, seen = points, []
        for edge in self.edges:
            square = x.square().sum(-1)
            apart = square.unsqueeze(2) - 2 * x @ x.transpose(1, 2) + square.unsqueeze(1)
            neighbours = at(x, apart.topk(self.near, dim=-1, largest=False).indices)
            own = x.unsqueeze(2).expand_as(neighbours)
            x = edge(torch.cat([own, neighbours - own], dim=-1)).amax(2)
            seen.append(x)
        x = F.leaky_relu(self.join(torch.cat(seen, dim=-1)), 0.2)
        return self.out(torch.cat([x.amax(1), x.mean(1)], dim=-1))


class PointTransformer(nn.Module):
    """Zhao et al. 2020, "Point Transformer", arXiv:2012.09164: attention by vectors among given neighbours, with places
    encoded. neighbours: [batch, 24, 5]."""

    def __init__(self, width: int = 16, classes: int = 6) -> None:
        super().__init__()
        self.into, self.query, self.key, self.value = nn.Linear(3, width), *(nn.Linear(width, width) for _ in range(3))
        self.place, self.score = mlp([3, width, width]), mlp([width, width, width])
        self.mix, self.out = nn.Linear(width, width), mlp([width, width, classes])

    def forward(self, points: Tensor, neighbours: Tensor) -> Tensor:
        x = self.into(points)
        place = self.place(points.unsqueeze(2) - at(points, neighbours))
        share = self.score(self.query(x).unsqueeze(2) - at(self.key(x), neighbours) + place).softmax(2)
        x = x + self.mix((share * (at(self.value(x), neighbours) + place)).sum(2))
        return self.out(x.mean(1))


class PointPillars(nn.Module):
    """Lang et al. 2018, "PointPillars: Fast Encoders for Object Detection from Point Clouds", arXiv:1812.05784: points of a
    pillar to a vector, vectors to an image from above, convolutions of two scales, an anchor head.

    pillars: [batch, 10, 6, 9], points with nine numbers; cells: [batch, 10], where each pillar stands in a grid of 8 x 12.
    """

    def __init__(self, width: int = 16, anchors: int = 2) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Linear(9, width, bias=False), nn.LayerNorm(width), nn.ReLU())
        self.first, self.second = conv(width, width, 3, 2), conv(width, width, 3, 2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, n, n, bias=False) for n in (2, 4))
        self.score, self.box = nn.Conv2d(2 * width, anchors, 1), nn.Conv2d(2 * width, 7 * anchors, 1)

    def forward(self, pillars: Tensor, cells: Tensor) -> dict[str, Tensor]:
        x = self.point(pillars).amax(2)
        seen = torch.zeros_like(x[:, :1]).expand(-1, 96, -1)
        seen = seen.scatter_add(1, cells.unsqueeze(-1).expand_as(x), x)
        first = self.first(seen.transpose(1, 2).unflatten(-1, (8, 12)))
        second = self.second(first)
        x = torch.cat([self.up[0](first), self.up[1](second)], dim=1)
        return {"scores": self.score(x), "boxes": self.box(x)}


class VoxNet(nn.Module):
    """Maturana and Scherer 2015, "VoxNet: A 3D Convolutional Neural Network for Real-Time Object Recognition" (IROS). volume:
    [batch, 1, 16, 16, 16], occupancy."""

    def __init__(self, width: int = 8, classes: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, width, 5, 2), nn.LeakyReLU(0.1), nn.Conv3d(width, width, 3), nn.LeakyReLU(0.1), nn.MaxPool3d(2),
            nn.Flatten(), nn.Linear(8 * width, 32), nn.ReLU(), nn.Linear(32, classes),
        )  # fmt: skip

    def forward(self, volume: Tensor) -> Tensor:
        return self.layers(volume)


# ---- motion and depth ---------------------------------------------------------------------------------------------


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


# ---- scenes -------------------------------------------------------------------------------------------------------


def encoded(x: Tensor, bands: int) -> Tensor:
    """The number itself, and sines and cosines of it times powers of two (NeRF)."""
    angles = x.unsqueeze(-1) * 2.0 ** torch.arange(bands, dtype=x.dtype, device=x.device) * math.pi
    return torch.cat([x, angles.sin().flatten(-2), angles.cos().flatten(-2)], dim=-1)


class NeRF(nn.Module):
    """Mildenhall et al. 2020, "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis", arXiv:2003.08934:
    points along rays to densities and colours, and these to the pixel. origin, direction: [rays, 3]; the depths of the samples
    are even."""

    def __init__(self, width: int = 32, bands: int = 4, samples: int = 8) -> None:
        super().__init__()
        self.bands, inner = bands, 3 * (1 + 2 * bands)
        self.first, self.second = mlp([inner, width, width], last=True), mlp([inner + width, width, width], last=True)
        self.density, self.feature = nn.Linear(width, 1), nn.Linear(width, width)
        self.colour = nn.Sequential(mlp([width + 3 * 5, width // 2, 3]), nn.Sigmoid())
        self.register_buffer("depths", torch.linspace(0.1, 1.0, samples))

    def forward(self, origin: Tensor, direction: Tensor) -> dict[str, Tensor]:
        along = F.normalize(direction, dim=-1)
        points = origin.unsqueeze(1) + along.unsqueeze(1) * self.depths[:, None]
        near = encoded(points, self.bands)
        x = self.second(torch.cat([near, self.first(near)], dim=-1))
        density = F.softplus(self.density(x)).squeeze(-1)
        view = encoded(along, 2).unsqueeze(1).expand(-1, len(self.depths), -1)
        colour = self.colour(torch.cat([self.feature(x), view], dim=-1))
        through = (density * (self.depths[1] - self.depths[0])).cumsum(-1)
        left = (-F.pad(through, (1, 0))).exp()
        share = left[:, :-1] - left[:, 1:]
        return {"colour": (share.unsqueeze(-1) * colour).sum(1), "depth": (share * self.depths).sum(-1)}


class InstantNGP(nn.Module):
    """Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding", arXiv:2201.05989: corners
    of cells of several sizes looked up in hashed tables, blended, and a small MLP. points: [points, 3], anything; a sigmoid
    brings them into the unit cube."""

    def __init__(self, levels: int = 4, rows: int = 64, width: int = 2) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for _ in range(levels))
        self.rows, self.mlp = rows, mlp([levels * width, 32, 4])
        self.register_buffer("corners", torch.tensor([[n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(8)]))
        self.register_buffer("primes", torch.tensor([1, 2654435761, 805459861]))

    def forward(self, points: Tensor) -> Tensor:
        place, seen = points.sigmoid(), []
        for level, table in enumerate(self.tables):
            scaled = place * (4 * 1.5**level)
            low = scaled.floor()
            corner = low.long().unsqueeze(1) + self.corners
            x, y, z = (corner * self.primes).unbind(-1)
            values = table((x ^ y ^ z) % self.rows)
            part = (scaled - low).unsqueeze(1)
            weight = torch.where(self.corners > 0, part, 1 - part).prod(-1, keepdim=True)
            seen.append((weight * values).sum(1))
        return self.mlp(torch.cat(seen, dim=-1))


class GaussianColour(nn.Module):
    """Kerbl et al. 2023, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", arXiv:2308.04079: what is computed a
    Gaussian before the tiles are drawn: covariance in the image, colour by spherical harmonics of degree two, opacity. All
    Gaussians are parameters.

    camera: [batch, 3]; turn: [batch, 4], a quaternion of any length. The sorting and blending of tiles are left out.
    """

    def __init__(self, count: int = 16) -> None:
        super().__init__()
        self.place, self.log_scale = nn.Parameter(torch.randn(count, 3)), nn.Parameter(0.3 * torch.randn(count, 3))
        self.turn, self.opacity = nn.Parameter(torch.randn(count, 4)), nn.Parameter(torch.randn(count))
        self.harmonics = nn.Parameter(0.3 * torch.randn(count, 9, 3))

    def forward(self, camera: Tensor, turn: Tensor) -> dict[str, Tensor]:
        view = rotation(turn)
        offset = self.place - camera.unsqueeze(1)
        local = offset @ view.transpose(1, 2)
        depth = F.softplus(local[..., 2]) + 1  # in front of the camera
        stretch = rotation(self.turn) * self.log_scale.exp().unsqueeze(1)
        zero = torch.zeros_like(depth)
        slope = [1 / depth, zero, -local[..., 0] / depth.square(), zero, 1 / depth, -local[..., 1] / depth.square()]
        flat = torch.stack(slope, dim=-1).unflatten(-1, (2, 3)) @ view.unsqueeze(1) @ stretch
        colour = torch.einsum("bgh,ghc->bgc", self._harmonics(F.normalize(offset, dim=-1)), self.harmonics) + 0.5
        opacity = self.opacity.sigmoid() * (-0.1 * depth).exp()
        return {
            "covariance": flat @ flat.transpose(-1, -2), "place": local[..., :2] / depth.unsqueeze(-1), "colour": colour.relu(),
            "opacity": opacity,
        }  # fmt: skip

    @staticmethod
    def _harmonics(direction: Tensor) -> Tensor:
        x, y, z = direction.unbind(-1)
        rows = [
            torch.full_like(x, 0.28209479), -0.48860251 * y, 0.48860251 * z, -0.48860251 * x, 1.09254843 * x * y,
            -1.09254843 * y * z, 0.31539157 * (2 * z * z - x * x - y * y), -1.09254843 * x * z, 0.54627421 * (x * x - y * y),
        ]  # fmt: skip
        return torch.stack(rows, dim=-1)


def rotation(quaternion: Tensor) -> Tensor:
    """Rotation matrices of quaternions of any length."""
    w, x, y, z = F.normalize(quaternion, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of two, the largest among them."""
    ids = torch.randint(0, high, (2, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def _points() -> dict[str, Tensor]:
    return {"points": torch.randn(2, POINTS, 3)}


def _images(height: int, width: int, *names: str) -> dict[str, Tensor]:
    return {name: torch.randn(2, 3, height, width) for name in names}


def pointnet() -> Built:
    return PointNet(), _points()


def pointnet_plus_plus() -> Built:
    return PointNetPlusPlus(), {**_points(), "centres": _ids(POINTS, 6), "groups": _ids(POINTS, 6, 5)}


def dgcnn() -> Built:
    return DGCNN(), _points()


def point_transformer() -> Built:
    return PointTransformer(), {**_points(), "neighbours": _ids(POINTS, POINTS, 5)}


def pointpillars() -> Built:
    return PointPillars(), {"pillars": torch.randn(2, 10, 6, 9), "cells": _ids(96, 10)}


def voxnet() -> Built:
    return VoxNet(), {"volume": torch.randn(2, 1, 16, 16, 16)}


def raft() -> Built:
    return RAFT(), _images(64, 96, "image", "next_image")


def pwcnet() -> Built:
    return PWCNet(), _images(32, 48, "image", "next_image")


def stereo() -> Built:
    return StereoNet(), _images(16, 32, "left", "right")


def midas() -> Built:
    return MiDaS(), _images(32, 64, "image")


def nerf() -> Built:
    return NeRF(), {"origin": torch.randn(7, 3), "direction": torch.randn(7, 3)}


def instant_ngp() -> Built:
    return InstantNGP(), {"points": torch.randn(9, 3)}


def gaussians() -> Built:
    return GaussianColour(), {"camera": torch.randn(3, 3), "turn": torch.randn(3, 4)}
