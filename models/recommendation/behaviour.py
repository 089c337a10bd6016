"""Nets over users, items and what users did: NCF, two towers, DIN, SASRec, HSTU and others.

history: [batch, 7], items seen, the oldest first; target: [batch], the item asked about; dense: [batch, 5]. Answers are logits
unless a net says so. Losses, sampling and tables sharded over machines are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Block, Built, Transformer, mlp
from porting.models.recommendation.examples import DENSE, HISTORY, ITEMS, WIDTH, with_examples
from torch import Tensor, nn


class NCF(nn.Module):
    """He et al. 2017, "Neural Collaborative Filtering", arXiv:1708.05031: NeuMF, products beside an MLP. user, target:
    [batch]."""

    def __init__(self, users: int = 25) -> None:
        super().__init__()
        self.user_product, self.item_product = nn.Embedding(users, WIDTH), nn.Embedding(ITEMS, WIDTH)
        self.user_deep, self.item_deep = nn.Embedding(users, WIDTH), nn.Embedding(ITEMS, WIDTH)
        self.deep, self.out = mlp([2 * WIDTH, 16, 8], last=True), nn.Linear(WIDTH + 8, 1)

    def forward(self, user: Tensor, target: Tensor) -> Tensor:
        product = self.user_product(user) * self.item_product(target)
        deep = self.deep(torch.cat([self.user_deep(user), self.item_deep(target)], dim=-1))
        return self.out(torch.cat([product, deep], dim=-1)).squeeze(-1)


class TwoTower(nn.Module):
    """Covington, Adams and Sargin 2016, "Deep Neural Networks for YouTube Recommendations" (RecSys), in the form with a tower
    for items: pooled history and numbers on one side, the item on the other, unit vectors, a temperature."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(ITEMS, WIDTH, mode="mean")
        self.user, self.item_table = mlp([WIDTH + DENSE, 32, width]), nn.Embedding(ITEMS, WIDTH)
        self.item, self.log_scale = mlp([WIDTH, 32, width]), nn.Parameter(torch.tensor(1.5))

    def forward(self, history: Tensor, dense: Tensor, target: Tensor) -> dict[str, Tensor]:
        user = F.normalize(self.user(torch.cat([self.table(history), dense], dim=-1)), dim=-1)
        item = F.normalize(self.item(self.item_table(target)), dim=-1)
        return {"score": self.log_scale.exp() * (user * item).sum(-1), "user": user, "item": item}


class MultVAE(nn.Module):
    """Liang et al. 2018, "Variational Autoencoders for Collaborative Filtering", arXiv:1802.05814. clicks: [batch, 30]; noise:
    [batch, 8]."""

    def __init__(self, width: int = 32, latent: int = 8) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp([ITEMS, width, 2 * latent], nn.Tanh), mlp([latent, width, ITEMS], nn.Tanh)

    def forward(self, clicks: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = self.encoder(F.normalize(clicks, dim=-1)).chunk(2, dim=-1)
        return self.decoder(mean + (0.5 * log_variance).exp() * noise).log_softmax(-1)


class Dice(nn.Module):
    """The activation of DIN: a gate by the value's place in the batch statistics."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.alpha = nn.BatchNorm1d(width, affine=False), nn.Parameter(0.25 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.norm(x).sigmoid()
        return gate * x + (1 - gate) * self.alpha * x


class ActivationUnit(nn.Module):
    """How much each item of the history matters for the target (DIN): history, target, difference, product. Weights, no
    softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = mlp([4 * WIDTH, 16, 1], nn.PReLU)

    def forward(self, history: Tensor, target: Tensor) -> Tensor:
        target = target.unsqueeze(1).expand_as(history)
        return self.mlp(torch.cat([history, target, history - target, history * target], dim=-1))


class DIN(nn.Module):
    """Zhou et al. 2017, "Deep Interest Network for Click-Through Rate Prediction", arXiv:1706.06978. attention_mask: [batch,
    7]."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.unit = nn.Embedding(ITEMS, WIDTH), ActivationUnit()
        self.head = nn.Sequential(nn.Linear(2 * WIDTH + DENSE, 16), Dice(16), nn.Linear(16, 8), Dice(8), nn.Linear(8, 1))

    def forward(self, history: Tensor, attention_mask: Tensor, target: Tensor, dense: Tensor) -> Tensor:
        seen, item = self.items(history), self.items(target)
        weight = self.unit(seen, item) * attention_mask.unsqueeze(-1).to(seen.dtype)
        return self.head(torch.cat([(weight * seen).sum(1), item, dense], dim=-1)).squeeze(-1)


class DIEN(nn.Module):
    """Zhou et al. 2018, "Deep Interest Evolution Network for Click-Through Rate Prediction", arXiv:1809.03672: a GRU extracts
    interests, a GRU whose update gate is scaled by attention (AUGRU) lets them evolve towards the target."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.items, self.extract = nn.Embedding(ITEMS, WIDTH), nn.GRU(WIDTH, width, batch_first=True)
        self.score = nn.Linear(WIDTH, width, bias=False)
        self.update, self.reset, self.new = (nn.Linear(2 * width, width) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(width + WIDTH + DENSE, 16), Dice(16), nn.Linear(16, 1))

    def forward(self, history: Tensor, target: Tensor, dense: Tensor) -> Tensor:
        interests, _ = self.extract(self.items(history))
        item = self.items(target)
        share = (interests @ self.score(item).unsqueeze(-1)).softmax(1)
        state = torch.zeros_like(interests[:, 0])
        for step in range(interests.shape[1]):
            both = torch.cat([interests[:, step], state], dim=-1)
            update = share[:, step] * self.update(both).sigmoid()
            new = self.new(torch.cat([interests[:, step], self.reset(both).sigmoid() * state], dim=-1)).tanh()
            state = (1 - update) * state + update * new
        return self.head(torch.cat([state, item, dense], dim=-1)).squeeze(-1)


class BST(nn.Module):
    """Chen et al. 2019, "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba", arXiv:1905.06874: the target
    is the last of the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.positions = nn.Embedding(ITEMS, WIDTH), nn.Parameter(0.1 * torch.randn(HISTORY + 1, WIDTH))
        self.block, self.head = Block(WIDTH, 2), mlp([(HISTORY + 1) * WIDTH + DENSE, 32, 16, 1], nn.LeakyReLU)

    def forward(self, history: Tensor, target: Tensor, dense: Tensor) -> Tensor:
        x = self.items(torch.cat([history, target.unsqueeze(1)], dim=1)) + self.positions
        return self.head(torch.cat([self.block(x).flatten(1), dense], dim=-1)).squeeze(-1)


class MIND(nn.Module):
    """Li et al. 2019, "Multi-Interest Network with Dynamic Routing for Recommendation at Tmall", arXiv:1904.08030: capsules by
    routing with fixed starting logits, then attention by the label."""

    def __init__(self, interests: int = 3, rounds: int = 3) -> None:
        super().__init__()
        self.items, self.share = nn.Embedding(ITEMS, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.rounds = rounds
        self.register_buffer("start", torch.randn(interests, HISTORY))
        self.mlp = mlp([WIDTH, 16, WIDTH])

    def forward(self, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        seen = self.share(self.items(history))
        logits = self.start.expand(seen.shape[0], -1, -1)
        interest = seen
        for _ in range(self.rounds):
            interest = logits.softmax(1) @ seen
            size = interest.square().sum(-1, keepdim=True)
            interest = size / (1 + size) * interest / (size + 1e-8).sqrt()
            logits = logits + interest @ seen.transpose(1, 2)
        interest, item = self.mlp(interest), self.items(target)
        share = (interest @ item.unsqueeze(-1)).square().softmax(1)
        return {"score": ((share * interest).sum(1) * item).sum(-1), "interests": interest}


class SASRec(nn.Module):
    """Kang and McAuley 2018, "Self-Attentive Sequential Recommendation", arXiv:1808.09781. Scores of all items after each of
    the history."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.items, self.transformer = nn.Embedding(ITEMS, width), Transformer(width, HISTORY, 2, 2, causal=True)

    def forward(self, history: Tensor) -> Tensor:
        x = self.transformer(self.items(history) * self.items.embedding_dim**0.5)
        return x @ self.items.weight.T


class BERT4Rec(nn.Module):
    """Sun et al. 2019, "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer",
    arXiv:1904.06690: one more id stands for a masked item."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.items, self.transformer = nn.Embedding(ITEMS + 1, width), Transformer(width, HISTORY, 2, 2)
        self.project, self.bias = nn.Sequential(nn.Linear(width, width), nn.GELU()), nn.Parameter(torch.zeros(ITEMS + 1))

    def forward(self, history: Tensor) -> Tensor:
        return self.project(self.transformer(self.items(history))) @ self.items.weight.T + self.bias


class GRU4Rec(nn.Module):
    """Hidasi et al. 2015, "Session-based Recommendations with Recurrent Neural Networks", arXiv:1511.06939."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.items, self.gru, self.out = (
            nn.Embedding(ITEMS, width),
            nn.GRU(width, width, batch_first=True),
            nn.Linear(width, ITEMS),
        )

    def forward(self, history: Tensor) -> Tensor:
        states, _ = self.gru(self.items(history))
        return self.out(states[:, -1])


class Caser(nn.Module):
    """Tang and Wang 2018, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding", arXiv:1809.07426:
    convolutions across and along the history. user: [batch]."""

    def __init__(self, users: int = 25) -> None:
        super().__init__()
        self.items, self.user = nn.Embedding(ITEMS, WIDTH), nn.Embedding(users, WIDTH)
        self.across = nn.ModuleList(nn.Conv2d(1, 4, (height, WIDTH)) for height in (2, 3, 4))
        self.along, self.join = nn.Conv2d(1, 3, (HISTORY, 1)), nn.Linear(12 + 3 * WIDTH, WIDTH)
        self.out = nn.Linear(2 * WIDTH, ITEMS)

    def forward(self, history: Tensor, user: Tensor) -> Tensor:
        x = self.items(history).unsqueeze(1)
        across = [conv(x).relu().amax((2, 3)) for conv in self.across]
        x = self.join(torch.cat([*across, self.along(x).flatten(1)], dim=-1)).relu()
        return self.out(torch.cat([x, self.user(user)], dim=-1))


class HSTU(nn.Module):
    """Zhai et al. 2024, "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
    Recommendations", arXiv:2402.17152: pointwise attention by SiLU with a bias of relative place, and a gate. The bias of
    relative time and jagged batches are left out."""

    def __init__(self, width: int = 16, heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.heads, self.items = heads, nn.Embedding(ITEMS, width)
        self.into = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU()) for _ in range(depth)
        )
        self.bias = nn.Parameter(torch.randn(depth, heads, 2 * HISTORY - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.outs = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        line = torch.arange(HISTORY)
        self.register_buffer("apart", line[:, None] - line + HISTORY - 1)
        self.register_buffer("earlier", (line[:, None] >= line).float())

    def forward(self, history: Tensor) -> Tensor:
        x = self.items(history)
        for into, bias, norm, out in zip(self.into, self.bias, self.norms, self.outs, strict=True):
            gate, value, query, key = into(x).chunk(4, dim=-1)
            value, query, key = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (value, query, key))
            weight = F.silu(query @ key.transpose(-1, -2) + bias[:, self.apart]) / HISTORY * self.earlier
            x = x + out(norm((weight @ value).transpose(1, 2).flatten(2)) * gate)
        return x @ self.items.weight.T


def ncf() -> Built:
    return with_examples(NCF(), "user", "target")


def two_tower() -> Built:
    return with_examples(TwoTower(), "history", "dense", "target")


def mult_vae() -> Built:
    return with_examples(MultVAE(), "clicks", "noise")


def din() -> Built:
    return with_examples(DIN(), "history", "attention_mask", "target", "dense")


def dien() -> Built:
    return with_examples(DIEN(), "history", "target", "dense")


def bst() -> Built:
    return with_examples(BST(), "history", "target", "dense")


def mind() -> Built:
    return with_examples(MIND(), "history", "target")


def sasrec() -> Built:
    return with_examples(SASRec(), "history")


def bert4rec() -> Built:
    return with_examples(BERT4Rec(), "history")


def gru4rec() -> Built:
    return with_examples(GRU4Rec(), "history")


def caser() -> Built:
    return with_examples(Caser(), "history", "user")


def hstu() -> Built:
    return with_examples(HSTU(), "history")
