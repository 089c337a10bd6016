"""Small functions, each with inputs, that together use every operator which is written for ncnn without pnnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Tensor = Any


class Wrapped(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


def floats(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator)


def whole(*shape: int, below: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(below)
    return torch.randint(0, below, shape, generator=generator)


def layer(module: nn.Module) -> nn.Module:
    """A module with weights that are always the same, for inference."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return module.eval()


def written(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 1] = 2.0
    y[:, ::2] += 1
    return y + x


def put(x: Tensor) -> Tensor:
    y = torch.zeros(2, 6, 4)
    y[:, torch.tensor([4, 0, 3])] = x
    return y.index_put((torch.tensor([0, 1]), torch.tensor([1, 5])), x[:, 0], accumulate=True)


def masked(x: Tensor, keep: Tensor, source: Tensor) -> Tensor:
    return x.masked_scatter((keep > 2).unsqueeze(-1).expand(2, 5, 3), source)


def attention(x: Tensor, keep: Tensor) -> Tensor:
    mask = torch.ones(5, 5, dtype=torch.bool).tril() & (keep > 1)[:, None, None, :]
    mask = mask | torch.eye(5, dtype=torch.bool)
    return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


class RowsAndVolumes(nn.Module):
    """Convolutions along one axis and along three."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.volumes = nn.Conv1d(3, 4, 3, padding=1), nn.Conv3d(1, 2, (1, 2, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.rows(x), self.volumes(x[:, None, :, :, None].expand(2, 1, 3, 8, 4))


TABLE, ROW = floats(9, 4), floats(3)
CASES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    # numbers
    "sums and products": (
        lambda x, y: (x + y * 2 - y / (x.abs() + 1), torch.maximum(x, y), torch.minimum(x, y)),
        (floats(2, 3, 1, 4), floats(3, 5, 1)),
    ),
    "more axes than a blob": (lambda x, y: x * y + x, (floats(2, 1, 3, 1, 2, 2), floats(1, 2, 1, 3, 1, 2))),
    "scaled sums": (
        lambda x, y: (torch.add(x, y, alpha=2), torch.sub(x, y, alpha=0.5), torch.rsub(x, y, alpha=3)),
        (floats(2, 3), floats(2, 3)),
    ),
    "quotients": (
        lambda x, y: (x // 2, torch.fmod(x, 2.5), torch.remainder(x, 0.7), torch.div(x, y, rounding_mode="trunc")),
        (floats(2, 3), floats(3)),
    ),
    "whole quotients": (
        lambda x, y: (
            x // 3,
            x % 3,
            x // -2,
            x // y,
            (x - 9) // y,
            torch.div(x - 9, y, rounding_mode="trunc"),
            torch.fmod(x - 9, 4),
        ),
        (whole(6, 7, below=20), whole(6, 7, below=4) + 1),
    ),
    "powers": (
        lambda x: (x**2, x**3, x**4, x.abs() ** 0.5, x.abs() ** -0.5, x.abs() ** 1.7, 2.0**x, x**1, x.reciprocal()),
        (floats(3, 4),),
    ),
    "roots and logarithms": (
        lambda x: (x.rsqrt(), x.sqrt(), x.log(), x.log2(), x.log10(), x.log1p(), x.expm1()),
        (floats(3, 4).abs() + 0.1,),
    ),
    "waves": (lambda x: (x.sin(), x.cos(), x.tan(), x.asin(), x.acos(), x.atan(), torch.atan2(x, x + 2)), (floats(3, 4).tanh(),)),
    "hyperbolas": (
        lambda x: (x.sinh(), x.cosh(), x.tanh(), x.asinh(), (x.abs() + 1).acosh(), (x * 0.3).atanh()),
        (floats(3, 4),),
    ),
    "rounding": (
        lambda x: (x.floor(), x.ceil(), (x * 3).round(), x.trunc(), x.sign(), x.neg(), x.abs(), x.to(torch.int64)),
        (floats(3, 4) * 2,),
    ),
    "activations": (
        lambda x: (x.relu(), x.sigmoid(), x.erf(), F.silu(x), F.gelu(x), F.gelu(x, approximate="tanh"), F.softplus(x)),
        (floats(3, 4),),
    ),
    "more activations": (
        lambda x: (F.elu(x, 0.7), F.leaky_relu(x, 0.2), F.hardtanh(x), x.clamp(-0.5), F.hardswish(x), F.mish(x), F.selu(x)),
        (floats(3, 4),),
    ),
    "bounds": (lambda x, y: (x.clamp(max=y), torch.clamp(x, y, y + 1), x.clamp(-1, 1), x.exp()), (floats(3, 4), floats(3, 4))),
    # flags
    "comparisons": (lambda x, y: (x > y, x < y, x >= y, x <= y, x == y, x != y, x > 0.5), (whole(3, 4), whole(3, 4, below=3))),
    "logic": (
        lambda x, y: (
            (x > 1) & (y > 1),
            (x > 1) | (y > 1),
            (x > 1) ^ (y > 1),
            ~(x > 1),
            torch.logical_not(x),
            torch.logical_and(x, y),
        ),
        (whole(3, 4), whole(3, 4)),
    ),
    "more logic": (
        lambda x, y: (torch.logical_or(x, y), torch.logical_xor(x, y), ~x, x.bool(), x.to(torch.float32) / 2),
        (whole(3, 4), whole(3, 4, below=2)),
    ),
    "choices": (
        lambda x, y: (torch.where(x > 0, x, y), x.masked_fill(y > 0, -torch.inf).softmax(-1), torch.where(x > 0, x, 0.0)),
        (floats(3, 4), floats(3, 4)),
    ),
    "infinity": (
        lambda x: ((y := torch.where(x > 0, -torch.inf, x)) == -torch.inf, torch.isinf(y), y != -torch.inf),
        (floats(3, 4),),
    ),
    # places
    "axes": (
        lambda x: (x.permute(2, 0, 3, 1), x.transpose(0, 3), x[0, 0].t(), x.unsqueeze(1).squeeze(1), x.flatten(1)),
        (floats(2, 3, 4, 5),),
    ),
    "six axes": (
        lambda x: (x.permute(5, 3, 1, 0, 2, 4), x.permute(0, 3, 2, 5, 4, 1), x.permute(1, 0, 3, 2, 5, 4)),
        (floats(2, 3, 2, 4, 3, 2),),
    ),
    "repeats": (
        lambda x: (x.expand(4, 2, 3, 5), x.repeat(2, 1, 3), x.repeat_interleave(2, 1), x[:, :1].expand(2, 7, 5)),
        (floats(2, 3, 5),),
    ),
    "parts": (
        lambda x: (x[:, 1:3], x[:, ::2], x[1], x[..., 1::3], *x.split(2, 1), *x.unbind(0), *x.tensor_split((1, 3), 2)),
        (floats(2, 5, 7),),
    ),
    "put together": (
        lambda x, y: (torch.cat([x, y], 1), torch.stack([x, x * 2], 1), torch.cat([x, torch.zeros(0), x], 0)),
        (floats(2, 3), floats(2, 4)),
    ),
    "padding": (
        lambda x: (
            F.pad(x, (1, 2, 0, 1), value=0.5),
            F.pad(x, (-1, 1)),
            F.pad(x, (2, 1), mode="reflect"),
            x.flip(1),
            x.roll(2, -1),
        ),
        (floats(2, 3, 5),),
    ),
    "windows": (lambda x: (x.unfold(1, 3, 2), x.unfold(2, 2, 1), F.unfold(x[None], 2, stride=1)), (floats(2, 6, 4),)),
    "written into": (written, (floats(2, 5, 3),)),
    "scattered slices": (
        lambda x, y: (
            torch.slice_scatter(x, y, 1, 1, 3),
            torch.slice_scatter(x, y, 1, 0, 4, 2),
            torch.select_scatter(x, y[:, 0], 1, 2),
        ),
        (floats(2, 4, 3), floats(2, 2, 3)),
    ),
    "known index": (
        lambda x: (
            x[:, torch.tensor([2, 0, 2, -1])],
            x[torch.tensor([[1], [0]]), torch.tensor([0, 3])],
            x[:, :, torch.arange(40) % 3],
        ),
        (floats(2, 4, 3),),
    ),
    "computed index": (
        lambda x, i: (x[:, i], x[:, i, i % 3], x[i % 2, :, i % 3], torch.index_select(x, 1, i[0]), x[0, i - 5]),
        (floats(2, 5, 3), whole(2, 3)),
    ),
    "gathered": (
        lambda x, i: (x.gather(1, i), x.gather(2, i[:, :4] % 3), torch.take_along_dim(x, i, 1)),
        (floats(2, 5, 3), whole(2, 5, 3)),
    ),
    "scattered": (
        lambda x, i: (
            torch.zeros(2, 5).scatter(1, i.sort(1).indices, x),
            torch.zeros(2, 5).scatter_add(1, i, x),
            torch.zeros(2, 5).scatter(1, i, 1.0),
        ),
        (floats(2, 5), whole(2, 5)),
    ),
    "put": (put, (floats(2, 3, 4),)),
    "masked scatter": (masked, (floats(2, 5, 3), whole(2, 5), floats(10, 3))),
    "masked numbers": (lambda x: x.masked_scatter(x > 0, x.flatten() * 2), (floats(3, 4),)),
    "flagged numbers": (lambda x, i: x.index_put((i > 2,), torch.tensor(7.0)), (floats(2, 5), whole(2, 5))),
    "tables": (
        lambda i, j: (
            F.embedding(i, TABLE),
            F.embedding((i + j) % 9, TABLE),
            F.embedding(i.flatten(), TABLE),
        ),
        (whole(2, 3, below=9), whole(2, 3)),
    ),
    "copies": (
        lambda x, y: (
            x.copy(y) if hasattr(x, "copy") else torch.ops.aten.copy(x, y),
            torch.full_like(x, 3) + y,
            x.new_zeros(2) + 1,
        ),
        (floats(2, 3), floats(1, 3)),
    ),
    # rows
    "reductions": (
        lambda x: (
            x.sum(),
            x.sum(1),
            x.mean((0, 2)),
            x.amax(1, True),
            x.amin(-1),
            x.prod(2),
            x.var(1),
            x.std(-1, correction=0),
            torch.var(x),
        ),
        (floats(2, 3, 4),),
    ),
    "norms": (
        lambda x: (
            x.norm(dim=1),
            torch.linalg.vector_norm(x, 1, -1),
            torch.linalg.vector_norm(x, torch.inf, 0),
            F.normalize(x, dim=1),
        ),
        (floats(2, 3, 4),),
    ),
    "of flags": (lambda x: ((x > 1).any(1), (x > 1).all(-1), x.any(), (x > 1).sum(1)), (whole(2, 3, 4),)),
    "best": (lambda x: (x.argmax(1), x.argmin(-1), x.argmax(), *x.max(1), *x.min(2, True)), (floats(2, 3, 4),)),
    "order": (
        lambda x: (*x.topk(3, 1), *x.topk(2, -1, largest=False), *x.sort(1), *x.sort(-1, descending=True)),
        (floats(2, 5, 4),),
    ),
    "running sums": (lambda x: (x.cumsum(1), x.cumsum(-1), (x > 0).cumsum(0)), (floats(2, 3, 4),)),
    "softmax": (lambda x: (x.softmax(-1), x.softmax(1), x.log_softmax(-1), x.logsumexp(1)), (floats(2, 3, 4),)),
    "products": (
        lambda x, y: (x @ y, x[0] @ y[0], torch.einsum("bij,bkj->bik", x, x), x[0] @ y[0, :, 0], y[0, :, 0].dot(y[0, :, 1])),
        (floats(2, 3, 4), floats(2, 4, 5)),
    ),
    "sums of products": (
        lambda x, y: (
            torch.baddbmm(x @ y, x, y, beta=0.5, alpha=2),
            torch.addmm(x[0, :, :1], x[0], y[0], alpha=2),
            x[0] @ TABLE.T[:, :6],
        ),
        (floats(2, 3, 4), floats(2, 4, 5)),
    ),
    "attention": (attention, (floats(2, 2, 5, 4), whole(2, 5))),
    "linear": (layer(nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3, bias=False))), (floats(2, 3, 4),)),
    "recurrence": (layer(nn.GRU(3, 4, batch_first=True)), (floats(2, 5, 3),)),
    # images
    "convolution": (layer(nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))), (floats(2, 3, 6, 7),)),
    "one image": (
        layer(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.GroupNorm(3, 6))),
        (floats(1, 4, 5, 6),),
    ),
    "normed convolutions": (
        layer(
            nn.Sequential(
                nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 4, 2, groups=2), nn.BatchNorm2d(4)
            )
        ),
        (floats(2, 4, 5, 6),),
    ),
    "rows and volumes": (layer(RowsAndVolumes()), (floats(2, 3, 8),)),
    "same padding": (layer(nn.Conv2d(2, 3, 3, padding="valid")), (floats(2, 2, 5, 5),)),
    "back": (
        layer(nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), output_padding=(1, 0), groups=2)),
        (floats(2, 4, 3, 5),),
    ),
    "back in rows": (layer(nn.ConvTranspose1d(3, 2, 4, stride=2)), (floats(2, 3, 5),)),
    "pools": (
        lambda x: (
            F.max_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, (2, 3)),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, ceil_mode=True),
        ),
        (floats(2, 3, 6, 8),),
    ),
    "adaptive pools": (
        lambda x: (
            F.adaptive_avg_pool2d(x, (2, 3)),
            F.adaptive_avg_pool2d(x, 1),
            F.max_pool1d(x[0], 2),
            F.avg_pool1d(x[0], 2),
            F.max_pool2d(x, 2, ceil_mode=True),
        ),
        (floats(2, 3, 5, 7),),
    ),
    "volumes": (
        lambda x: (F.max_pool3d(x, 2), F.avg_pool3d(x, (1, 2, 2)), F.adaptive_avg_pool3d(x, 2)),
        (floats(2, 3, 4, 4, 6),),
    ),
    "resizing": (
        lambda x: (
            F.interpolate(x, scale_factor=2),
            F.interpolate(x, (5, 3), mode="bilinear"),
            F.interpolate(x, (7, 9), mode="bicubic", align_corners=True),
        ),
        (floats(2, 3, 4, 6),),
    ),
    "antialias": (
        lambda x: (
            F.interpolate(x, (3, 4), mode="bilinear", antialias=True),
            F.interpolate(x[:, 0], 9, mode="linear"),
            F.interpolate(x[:, :, None], (2, 4, 3), mode="trilinear"),
        ),
        (floats(2, 3, 6, 8),),
    ),
    "grid": (lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False), (floats(2, 3, 5, 6), floats(2, 4, 3, 2))),
    "resized rows and volumes": (
        lambda x: (
            F.interpolate(x, 7),
            F.interpolate(x, 5, mode="nearest-exact"),
            F.interpolate(x[:, :, None, None], (1, 2, 9)),
            F.interpolate(x[:, None], (4, 7), mode="nearest-exact"),
            F.interpolate(x[:, None], (2, 5), mode="bicubic", antialias=True),
        ),
        (floats(2, 3, 6),),
    ),
    "core operators": (
        lambda x: (torch.ops.aten._native_batch_norm_legit_no_training(x, ROW, ROW + 1, ROW, ROW.abs() + 1, 0.1, 1e-5)[0],),
        (floats(2, 3, 4),),
    ),
}
