"""Nets for differential equations and functions: neural operators, PINNs, neural ODEs, KAN.

Data scaling, losses and time stepping beyond what is said are left out everywhere.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp
from torch import Tensor, nn


class SpectralConv1d(nn.Module):
    """Multiply the lowest `modes` of a Fourier transform by matrices. [batch, width, points]."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes, self.weight = modes, nn.Parameter(torch.randn(width, width, modes, 2) / width)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x)
        low = torch.einsum("bim,iom->bom", spectrum[..., : self.modes], torch.view_as_complex(self.weight))
        return torch.fft.irfft(F.pad(low, (0, spectrum.shape[-1] - self.modes)), n=x.shape[-1])


class SpectralConv2d(nn.Module):
    """The same in two dimensions, where the lowest modes of the first axis are at both ends. [batch, width, rows, columns].

    Real and imaginary parts are multiplied apart: more backends have a Fourier transform than have complex numbers.
    """

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes, self.weight = modes, nn.Parameter(torch.randn(2, 2, width, width, modes, modes) / width)

    def forward(self, x: Tensor) -> Tensor:
        m = self.modes
        spectrum = torch.view_as_real(torch.fft.rfft2(x))
        top = self._multiply(spectrum[:, :, :m, :m], self.weight[0])
        end = self._multiply(spectrum[:, :, -m:, :m], self.weight[1])
        gap = top.new_zeros((*top.shape[:2], spectrum.shape[2] - 2 * m, m, 2))
        low = F.pad(torch.cat([top, gap, end], dim=2), (0, 0, 0, spectrum.shape[3] - m))
        return torch.fft.irfft2(torch.view_as_complex(low), s=x.shape[-2:])

    @staticmethod
    def _multiply(x: Tensor, weight: Tensor) -> Tensor:
        (real, imaginary), (a, b) = x.unbind(-1), weight
        rule = "bixy,ioxy->boxy"
        first = torch.einsum(rule, real, a) - torch.einsum(rule, imaginary, b)
        return torch.stack([first, torch.einsum(rule, real, b) + torch.einsum(rule, imaginary, a)], dim=-1)


class FNO(nn.Module):
    """Li et al. 2020, "Fourier Neural Operator for Parametric Partial Differential Equations", arXiv:2010.08895.

    field: [batch, points] or [batch, rows, columns], to which coordinates from 0 to 1 are added. Returns a field of the same
    shape.
    """

    def __init__(self, dimensions: int, width: int = 16, modes: int = 6, depth: int = 3) -> None:
        super().__init__()
        spectral, point = ((SpectralConv1d, nn.Conv1d), (SpectralConv2d, nn.Conv2d))[dimensions - 1]
        self.lift = point(1 + dimensions, width, 1)
        self.spectral = nn.ModuleList(spectral(width, modes) for _ in range(depth))
        self.point = nn.ModuleList(point(width, width, 1) for _ in range(depth))
        self.project = nn.Sequential(point(width, 32, 1), nn.GELU(), point(32, 1, 1))

    def forward(self, field: Tensor) -> Tensor:
        lines = [torch.linspace(0, 1, n, dtype=field.dtype, device=field.device) for n in field.shape[1:]]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij")).expand(field.shape[0], *[-1] * field.dim())
        x = self.lift(torch.cat([field.unsqueeze(1), grid], dim=1))
        for number, (spectral, point) in enumerate(zip(self.spectral, self.point, strict=True), 1):
            x = spectral(x) + point(x)
            x = F.gelu(x) if number < len(self.point) else x
        return self.project(x).squeeze(1)


class DeepONet(nn.Module):
    """Lu, Jin and Karniadakis 2019, "DeepONet: Learning nonlinear operators for identifying differential equations based on the
    universal approximation theorem of operators", arXiv:1910.03193.

    sensors: [batch, 20], the input function at fixed places; places: [batch, points, 2], where the answer is asked for.
    """

    def __init__(self, sensors: int = 20, width: int = 32) -> None:
        super().__init__()
        self.branch, self.trunk = mlp([sensors, width, width]), mlp([2, width, width], nn.Tanh, last=True)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, sensors: Tensor, places: Tensor) -> Tensor:
        return torch.einsum("bw,bpw->bp", self.branch(sensors), self.trunk(places)) + self.bias


class GalerkinTransformer(nn.Module):
    """Cao 2021, "Choose a Transformer: Fourier or Galerkin", arXiv:2105.14995: attention without softmax, keys and values normed.

    values: [batch, points, 2]; places: [batch, points, 2].
    """

    def __init__(self, width: int = 32, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.heads, self.into, self.out = heads, nn.Linear(4, width), mlp([width, width, 1], nn.SiLU)
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width // heads) for _ in range(2 * depth))
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.mlps = nn.ModuleList(mlp([width, 2 * width, width], nn.GELU) for _ in range(depth))

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        x = self.into(torch.cat([values, places], dim=-1))
        for number, (qkv, mix, feed) in enumerate(zip(self.qkv, self.mixes, self.mlps, strict=True)):
            query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv(x).chunk(3, dim=-1))
            key, value = self.norms[2 * number](key), self.norms[2 * number + 1](value)
            seen = query @ (key.transpose(-1, -2) @ value) / x.shape[1]
            x = x + mix(seen.transpose(1, 2).flatten(2))
            x = x + feed(x)
        return self.out(x)


class Transolver(nn.Module):
    """Wu et al. 2024, "Transolver: A Fast Transformer Solver for PDEs on General Geometries", arXiv:2402.02366: points are
    pooled to `slices` by learned weights, attention runs among these. places: [batch, points, 3]; values: [batch, points,
    2]."""

    def __init__(self, width: int = 32, heads: int = 4, slices: int = 6, depth: int = 2) -> None:
        super().__init__()
        self.heads, self.into, self.out = heads, mlp([5, width, width], nn.GELU), nn.Linear(width, 1)
        size = width // heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.feature, self.place = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(2))
        self.slice = nn.ModuleList(nn.Linear(size, slices) for _ in range(depth))
        self.qkv = nn.ModuleList(nn.Linear(size, 3 * size, bias=False) for _ in range(depth))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.mlps = nn.ModuleList(mlp([width, 2 * width, width], nn.GELU) for _ in range(depth))

    def forward(self, places: Tensor, values: Tensor) -> Tensor:
        x = self.into(torch.cat([places, values], dim=-1))
        for number, feed in enumerate(self.mlps):
            x = x + self._physics(self.norms[2 * number](x), number)
            x = x + feed(self.norms[2 * number + 1](x))
        return self.out(x)

    def _physics(self, x: Tensor, number: int) -> Tensor:
        feature, place = (part[number](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.feature, self.place))
        share = self.slice[number](place).softmax(-1)  # batch, heads, points, slices
        tokens = share.transpose(-1, -2) @ feature / (share.sum(-2).unsqueeze(-1) + 1e-5)
        query, key, value = self.qkv[number](tokens).chunk(3, dim=-1)
        seen = share @ F.scaled_dot_product_attention(query, key, value)
        return self.mix[number](seen.transpose(1, 2).flatten(2))


class PINN(nn.Module):
    """Raissi, Perdikaris and Karniadakis 2017, "Physics Informed Deep Learning (Part I)", arXiv:1711.10561: the net of Burgers'
    equation.

    points: [batch, 2], place and time. Returns u and its derivative by place, carried along with it (forward mode).
    """

    def __init__(self, width: int = 20, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2 if n == 0 else width, width) for n in range(depth))
        self.out = nn.Linear(width, 1)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        x, slope = points, torch.stack([torch.ones_like(points[:, 0]), torch.zeros_like(points[:, 0])], dim=-1)
        for layer in self.layers:
            x, slope = layer(x).tanh(), F.linear(slope, layer.weight)
            slope = slope * (1 - x.square())
        return {"u": self.out(x), "u_x": F.linear(slope, self.out.weight)}


class Siren(nn.Module):
    """Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions", arXiv:2006.09661.

    points: [batch, 2], in -1 to 1; omega is 30 in the paper's first layer, and smaller here, so that rounding stays visible as
    such.
    """

    def __init__(self, width: int = 32, depth: int = 3, omega: float = 6.0) -> None:
        super().__init__()
        self.omega, self.out = omega, nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(2 if n == 0 else width, width) for n in range(depth))

    def forward(self, points: Tensor) -> Tensor:
        x = self.omega * self.layers[0](points)
        for layer in self.layers[1:]:
            x = layer(x.sin())
        return self.out(x.sin())


class NeuralODE(nn.Module):
    """Chen et al. 2018, "Neural Ordinary Differential Equations", arXiv:1806.07366, by the classic Runge-Kutta method at fixed
    steps.

    start: [batch, 6]; the end time is 1. The adjoint method is training's.
    """

    def __init__(self, width: int = 6, steps: int = 6) -> None:
        super().__init__()
        self.steps, self.field = steps, mlp([width + 1, 32, width], nn.Tanh)

    def forward(self, start: Tensor) -> Tensor:
        x, step = start, 1 / self.steps
        for number in range(self.steps):
            time = number * step
            first = self._slope(x, time)
            second = self._slope(x + step / 2 * first, time + step / 2)
            third = self._slope(x + step / 2 * second, time + step / 2)
            fourth = self._slope(x + step * third, time + step)
            x = x + step / 6 * (first + 2 * second + 2 * third + fourth)
        return x

    def _slope(self, x: Tensor, time: float) -> Tensor:
        return self.field(torch.cat([x, torch.full_like(x[:, :1], time)], dim=-1))


class KAN(nn.Module):
    """Liu et al. 2024, "KAN: Kolmogorov-Arnold Networks", arXiv:2404.19756: a cubic spline on every edge, beside SiLU.

    x: [batch, 5]. Grids are fixed from -2 to 2; their refinement is left out.
    """

    def __init__(self, sizes: tuple[int, ...] = (5, 8, 3), cells: int = 5, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.register_buffer("knots", -2 + 4 / cells * torch.arange(-order, cells + order + 1).float())
        pairs = list(itertools.pairwise(sizes))
        self.base = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        self.splines = nn.ParameterList(nn.Parameter(torch.randn(b, a, cells + order) / a**0.5) for a, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        for base, spline in zip(self.base, self.splines, strict=True):
            x = base(F.silu(x)) + torch.einsum("big,oig->bo", self._basis(x), spline)
        return x

    def _basis(self, x: Tensor) -> Tensor:
        """B-splines by the recursion of Cox and de Boor. [batch, inputs] to [batch, inputs, cells + order]."""
        x, t = x.unsqueeze(-1), self.knots
        basis = ((x >= t[:-1]) & (x < t[1:])).to(x.dtype)
        for k in range(1, self.order + 1):
            left = (x - t[: -k - 1]) / (t[k:-1] - t[: -k - 1]) * basis[..., :-1]
            basis = left + (t[k + 1 :] - x) / (t[k + 1 :] - t[1:-k]) * basis[..., 1:]
        return basis


def fno1d() -> Built:
    return FNO(1), {"field": torch.randn(2, 33)}


def fno2d() -> Built:
    return FNO(2), {"field": torch.randn(2, 24, 20)}


def deeponet() -> Built:
    return DeepONet(), {"sensors": torch.randn(2, 20), "places": torch.randn(2, 13, 2)}


def galerkin() -> Built:
    return GalerkinTransformer(), {"values": torch.randn(2, 21, 2), "places": torch.randn(2, 21, 2)}


def transolver() -> Built:
    return Transolver(), {"places": torch.randn(2, 21, 3), "values": torch.randn(2, 21, 2)}


def pinn() -> Built:
    return PINN(), {"points": torch.randn(9, 2)}


def siren() -> Built:
    return Siren(), {"points": torch.randn(9, 2)}


def neural_ode() -> Built:
    return NeuralODE(), {"start": torch.randn(3, 6)}


def kan() -> Built:
    return KAN(), {"x": torch.randn(4, 5)}
