"""Small nets in which every kind of fault has a place: factories for the tests of the pass rule."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

Built = tuple[nn.Module, dict[str, torch.Tensor]]


class Block(nn.Module):
    """A pre-norm transformer block. kernel: fused attention, or written out."""

    def __init__(self, width: int, kernel: bool, causal: bool) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        h = self.before(x)
        q, k, v = (layer(h).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mask = keep[:, None, None, :] if keep is not None else None
        if self.kernel:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        else:
            scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            attended = F.softmax(scores, dim=-1) @ v
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.after(x))


class Text(nn.Module):
    """An encoder with learned positions and a padding mask."""

    def __init__(self, kernel: bool) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(60, 32), nn.Embedding(64, 32)
        self.blocks = nn.ModuleList([Block(32, kernel, False) for _ in range(2)])
        self.head = nn.Linear(32, 12)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        for block in self.blocks:
            x = block(x, attention_mask.bool())
        logits = self.head(x)
        return {"logits": logits, "ids": logits.argmax(-1)}


def _text(kernel: bool) -> Built:
    ids = torch.randint(0, 60, (2, 11))
    return Text(kernel).eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def encoder() -> Built:
    return _text(kernel=True)


def written_out() -> Built:
    return _text(kernel=False)


class Causal(nn.Module):
    """Causal attention over features, no mask given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 32)
        self.block = Block(32, True, True)
        self.lstm = nn.LSTM(32, 16, batch_first=True)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, _ = self.lstm(self.block(self.stem(features), None))
        return hidden, hidden.mean(1)


def causal() -> Built:
    return Causal().eval(), {"features": torch.randn(2, 9, 8)}


class Image(nn.Module):
    """Strided convolutions with BatchNorm, and a decoder that interpolates."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(self._conv(3, 12), self._conv(12, 12))
        self.up = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.GELU(), nn.Conv2d(12, 4, 1))

    @staticmethod
    def _conv(inner: int, outer: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inner, outer, 3, 2, 1), nn.BatchNorm2d(outer), nn.ReLU())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.up(F.interpolate(self.down(pixel_values), scale_factor=2.0, mode="bilinear"))


def image() -> Built:
    """With running statistics, as after some training."""
    net = Image().train()
    with torch.no_grad():
        for _ in range(8):
            net(0.5 + 1.5 * torch.randn(4, 3, 32, 48))
    return net.eval(), {"pixel_values": torch.randn(2, 3, 32, 48)}
