"""Weather models on grids: FourCastNet, Pangu-Weather, ClimaX, Aurora.

Data scaling, losses and time stepping beyond what is said are left out everywhere.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Block, Built, mlp, patches, unpatches, waves
from torch import Tensor, nn


class FourCastNet(nn.Module):
    """Pathak et al. 2022, "FourCastNet: A Global Data-driven High-resolution Weather Model using Adaptive Fourier Neural
    Operators", arXiv:2202.11214: a ViT whose tokens are mixed in Fourier space by a block-diagonal MLP with soft thresholds
    (AFNO, arXiv:2111.13587). weather: [batch, 4, 32, 64], patches of 4."""

    def __init__(self, variables: int = 4, width: int = 32, patch: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.patch = patch
        self.into = nn.Conv2d(variables, width, patch, patch)
        self.positions = nn.Parameter(0.1 * torch.randn(8, 16, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.filters = nn.ModuleList(AFNO(width) for _ in range(depth))
        self.mlps = nn.ModuleList(mlp([width, 2 * width, width], nn.GELU) for _ in range(depth))
        self.out = nn.Linear(width, variables * patch * patch)

    def forward(self, weather: Tensor) -> Tensor:
        x = self.into(weather).movedim(1, -1) + self.positions
        for number, (mixer, feed) in enumerate(zip(self.filters, self.mlps, strict=True)):
            x = x + mixer(self.norms[2 * number](x))
            x = x + feed(self.norms[2 * number + 1](x))
        return unpatches(self.out(x).flatten(1, 2), self.patch, 8)


class AFNO(nn.Module):
    """The mixer of AFNO. [batch, rows, columns, width]."""

    def __init__(self, width: int, blocks: int = 4, threshold: float = 0.01) -> None:
        super().__init__()
        self.blocks, self.threshold, size = blocks, threshold, width // blocks
        self.first, self.second = (nn.Parameter(torch.randn(2, blocks, size, size) / size) for _ in range(2))
        self.first_bias, self.second_bias = (nn.Parameter(0.1 * torch.randn(2, blocks, size)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft2(x, dim=(1, 2), norm="ortho"))
        real, imaginary = (part.unflatten(-1, (self.blocks, -1)) for part in spectrum.unbind(-1))
        real, imaginary = (part.relu() for part in self._multiply(real, imaginary, self.first, self.first_bias))
        both = torch.stack(self._multiply(real, imaginary, self.second, self.second_bias), dim=-1)
        both = F.softshrink(both, self.threshold).flatten(-3, -2)
        return torch.fft.irfft2(torch.view_as_complex(both), s=x.shape[1:3], dim=(1, 2), norm="ortho") + x

    @staticmethod
    def _multiply(real: Tensor, imaginary: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        rr, ii = torch.einsum("...ki,kio->...ko", real, weight[0]), torch.einsum("...ki,kio->...ko", imaginary, weight[1])
        ri, ir = torch.einsum("...ki,kio->...ko", real, weight[1]), torch.einsum("...ki,kio->...ko", imaginary, weight[0])
        return rr - ii + bias[0], ri + ir + bias[1]


class EarthBlock(nn.Module):
    """Window attention in three dimensions with a bias of its own for every window row and level (Pangu-Weather).

    x: [batch, levels, rows, columns, width]; shifted: whether windows are moved by half, around the globe in columns.
    """

    def __init__(
        self, width: int, grid: tuple[int, int, int], window: tuple[int, int, int], shifted: bool, heads: int = 4
    ) -> None:
        super().__init__()
        self.grid, self.window, self.shift = grid, window, [n // 2 if shifted else 0 for n in window]
        self.heads, size = heads, math.prod(window)
        self.types = (grid[0] // window[0]) * (grid[1] // window[1])
        self.bias = nn.Parameter(0.5 * torch.randn(self.types, 1, heads, size, size))
        self.norm, self.qkv, self.mix = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width], nn.GELU))
        self.register_buffer("hidden", self._mask())

    def _mask(self) -> Tensor:
        """0 where two places of a window may see each other, -100 where the shift brought them together over an edge."""
        levels, rows, columns = self.grid
        region = torch.zeros(levels, rows, columns)
        for axis in (0, 1):  # columns go around
            line = torch.arange(self.grid[axis]) >= self.grid[axis] - self.shift[axis]
            region += (axis + 1) * line.reshape([-1 if n == axis else 1 for n in range(3)]) * bool(self.shift[axis])
        parts = self._windows(region[None, ..., None]).squeeze(-1).flatten(0, 2)
        hidden = torch.where(parts[:, :, None] == parts[:, None, :], 0.0, -100.0)
        return hidden.unflatten(0, (self.types, -1)).unsqueeze(2)

    def _windows(self, x: Tensor) -> Tensor:
        """To [batch, types, windows of a type, places, width]."""
        (a, b, c), width = self.window, x.shape[-1]
        x = x.unflatten(3, (-1, c)).unflatten(2, (-1, b)).unflatten(1, (-1, a)).permute(0, 1, 3, 5, 2, 4, 6, 7)
        return x.flatten(4, 6).flatten(1, 2).reshape(-1, self.types, self.grid[2] // c, a * b * c, width)

    def _back(self, x: Tensor) -> Tensor:
        (a, b, c), (levels, rows, _) = self.window, self.grid
        x = x.unflatten(3, (a, b, c)).unflatten(1, (levels // a, rows // b)).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return x.flatten(5, 6).flatten(3, 4).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        moved = torch.roll(self.norm(x), [-n for n in self.shift], (1, 2, 3))
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(self._windows(moved)).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + self.bias + self.hidden
        seen = scores.softmax(-1) @ value
        seen = self._back(self.mix(seen.transpose(-2, -3).flatten(-2)))
        x = x + torch.roll(seen, self.shift, (1, 2, 3))
        return x + self.mlp(x)


class Pangu(nn.Module):
    """Bi et al. 2022, "Pangu-Weather: A 3D High-Resolution Model for Fast and Accurate Global Weather Forecast",
    arXiv:2211.02556.

    upper: [batch, 3, 4, 16, 32], variables on levels; surface: [batch, 2, 16, 32]. Patches, two 3-D blocks, a coarser pair,
    back, and the shortcut. The constant masks of the surface are left out.
    """

    def __init__(self, upper: int = 3, surface: int = 2, width: int = 16) -> None:
        super().__init__()
        grid, coarse = (3, 4, 8), (3, 2, 4)
        self.into_upper, self.into_surface = nn.Conv3d(upper, width, (2, 4, 4), (2, 4, 4)), nn.Conv2d(surface, width, 4, 4)
        self.fine = nn.Sequential(EarthBlock(width, grid, (3, 2, 4), False), EarthBlock(width, grid, (3, 2, 4), True))
        self.down, self.up = nn.Linear(4 * width, 2 * width, bias=False), nn.Linear(2 * width, 4 * width, bias=False)
        self.low = nn.Sequential(EarthBlock(2 * width, coarse, (3, 2, 4), False), EarthBlock(2 * width, coarse, (3, 2, 4), True))
        self.out_upper = nn.ConvTranspose3d(2 * width, upper, (2, 4, 4), (2, 4, 4))
        self.out_surface = nn.ConvTranspose2d(2 * width, surface, 4, 4)

    def forward(self, upper: Tensor, surface: Tensor) -> dict[str, Tensor]:
        x = torch.cat([self.into_surface(surface).unsqueeze(2), self.into_upper(upper)], dim=2).movedim(1, -1)
        x = fine = self.fine(x)
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).movedim(3, 4).flatten(4)  # columns, then 2 x 2 of them into the width
        x = self.up(self.low(self.down(x))).unflatten(-1, (2, 2, -1)).movedim(4, 3).flatten(4, 5).flatten(2, 3)
        x = torch.cat([fine, x], dim=-1).movedim(-1, 1)
        return {"upper_out": self.out_upper(x[:, :, 1:]), "surface_out": self.out_surface(x[:, :, 0])}


class ClimaX(nn.Module):
    """Nguyen et al. 2023, "ClimaX: A foundation model for weather and climate", arXiv:2301.10343.

    Each variable has tokens of its own; at each place a query gathers the variables; then a transformer that knows the lead time.
    weather: [batch, 5, 16, 32]; lead_time: [batch].
    """

    def __init__(self, variables: int = 5, width: int = 32, patch: int = 4) -> None:
        super().__init__()
        self.patch = patch
        self.into, self.variable = nn.Linear(patch * patch, width), nn.Parameter(torch.randn(variables, 1, width))
        self.query, self.gather = nn.Parameter(torch.randn(1, width)), Attention(width, 4)
        self.positions, self.lead = nn.Parameter(0.1 * torch.randn(32, width)), nn.Linear(1, width)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = mlp([width, width, variables * patch * patch], nn.GELU)

    def forward(self, weather: Tensor, lead_time: Tensor) -> Tensor:
        x = self.into(patches(weather.unsqueeze(2), self.patch)) + self.variable  # batch, variables, places, width
        x = x.transpose(1, 2).flatten(0, 1)
        x = self.gather(self.query.expand(x.shape[0], -1, -1), x).squeeze(1).unflatten(0, (-1, 32))
        x = x + self.positions + self.lead(lead_time[:, None, None])
        return unpatches(self.head(self.blocks(x)), self.patch, 4)


class Aurora(nn.Module):
    """Bodnar et al. 2024, "Aurora: A Foundation Model of the Atmosphere", arXiv:2405.13063: Perceiver encoder and decoder of
    levels.

    weather: [batch, 2, 5, 16, 32], variables on any levels; pressure: [batch, 5], of these levels. Latent queries gather the
    levels, a transformer mixes places (a 3-D Swin in the paper), queries of the pressures read out.
    """

    def __init__(self, variables: int = 2, width: int = 32, latents: int = 3, patch: int = 4) -> None:
        super().__init__()
        self.patch, self.width = patch, width
        self.into = nn.Linear(variables * patch * patch, width)
        self.latent, self.level = nn.Parameter(torch.randn(latents, width)), nn.Linear(width, width)
        self.encode, self.decode = Attention(width, 4), Attention(width, 4)
        self.encode_mlp, self.decode_mlp = (
            nn.Sequential(nn.LayerNorm(width), mlp([width, width, width], nn.GELU)) for _ in range(2)
        )
        self.positions = nn.Parameter(0.1 * torch.randn(32 * latents, width))
        self.backbone = nn.Sequential(Block(width), Block(width))
        self.out = nn.Linear(width, variables * patch * patch)

    def forward(self, weather: Tensor, pressure: Tensor) -> Tensor:
        level = self.level(waves(100 * pressure, self.width)).unsqueeze(2)  # batch, levels, 1, width
        x = self.into(patches(weather.transpose(1, 2), self.patch)) + level
        x = x.transpose(1, 2).flatten(0, 1)  # batch * places, levels, width
        x = self.encode(self.latent.expand(x.shape[0], -1, -1), x)
        x = (x + self.encode_mlp(x)).unflatten(0, (-1, 32)).flatten(1, 2)
        x = self.backbone(x + self.positions).unflatten(1, (32, -1)).flatten(0, 1)
        query = level.expand(-1, -1, 32, -1).transpose(1, 2).flatten(0, 1)
        x = self.decode(query, x)
        x = (x + self.decode_mlp(x)).unflatten(0, (-1, 32)).transpose(1, 2)
        return unpatches(self.out(x), self.patch, 4).transpose(1, 2)


def fourcastnet() -> Built:
    return FourCastNet(), {"weather": torch.randn(2, 4, 32, 64)}


def pangu() -> Built:
    return Pangu(), {"upper": torch.randn(2, 3, 4, 16, 32), "surface": torch.randn(2, 2, 16, 32)}


def climax() -> Built:
    return ClimaX(), {"weather": torch.randn(2, 5, 16, 32), "lead_time": torch.randn(2)}


def aurora() -> Built:
    return Aurora(), {"weather": torch.randn(2, 2, 5, 16, 32), "pressure": torch.randn(2, 5)}
