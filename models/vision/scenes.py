"""Scenes as nets: NeRF, hashed tables, Gaussians.

Rays and cameras are given; losses are left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp, rotation
from torch import Tensor, nn


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


def nerf() -> Built:
    return NeRF(), {"origin": torch.randn(7, 3), "direction": torch.randn(7, 3)}


def instant_ngp() -> Built:
    return InstantNGP(), {"points": torch.randn(9, 3)}


def gaussians() -> Built:
    return GaussianColour(), {"camera": torch.randn(3, 3), "turn": torch.randn(3, 4)}
