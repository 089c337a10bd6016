"""Nets that rank by crossing features: DLRM, factorization machines, Deep & Cross, AutoInt and others.

fields: [batch, 6], one id of 20 a field; dense: [batch, 5], numbers; Answers are logits unless a
net says so. Losses, sampling and tables sharded over machines are left out.
"""

from __future__ import annotations

import itertools

import torch
from porting.models.layers import Attention, Built, mlp
from porting.models.recommendation.examples import DENSE, FIELDS, IDS, WIDTH, with_examples
from torch import Tensor, nn


class Fields(nn.Module):
    """One table for all fields, with an offset each. [batch, fields] to [batch, fields, width]."""

    def __init__(self, width: int = WIDTH, fields: int = FIELDS) -> None:
        super().__init__()
        self.table = nn.Embedding(fields * IDS, width)
        self.register_buffer("offsets", IDS * torch.arange(fields))

    def forward(self, fields: Tensor) -> Tensor:
        return self.table(fields + self.offsets)


def pair_index(count: int) -> tuple[Tensor, Tensor]:
    """Both ends of every pair out of `count`."""
    pairs = list(itertools.combinations(range(count), 2))
    return torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs])


class DLRM(nn.Module):
    """Naumov et al. 2019, "Deep Learning Recommendation Model for Personalization and Recommendation Systems",
    arXiv:1906.00091: a table a field, products of every pair, an MLP before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(IDS, WIDTH) for _ in range(FIELDS))
        self.bottom = mlp([DENSE, 16, WIDTH], last=True)
        first, second = pair_index(FIELDS + 1)
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.top = mlp([WIDTH + len(first), 16, 1])

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        x = self.bottom(dense)
        rows = torch.stack([x, *(table(fields[:, n]) for n, table in enumerate(self.tables))], dim=1)
        products = (rows @ rows.transpose(1, 2))[:, self.first, self.second]
        return self.top(torch.cat([x, products], dim=-1)).squeeze(-1)


class FM(nn.Module):
    """A factorization machine: weights of each id, and products of the vectors of every pair by the square trick."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.bias = Fields(1), nn.Parameter(torch.zeros(1))

    def forward(self, fields: Tensor, vectors: Tensor) -> Tensor:
        pairs = 0.5 * (vectors.sum(1).square() - vectors.square().sum(1)).sum(-1)
        return self.linear(fields).sum((1, 2)) + pairs + self.bias


class DeepFM(nn.Module):
    """Guo et al. 2017, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", arXiv:1703.04247."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors, self.fm, self.deep = Fields(), FM(), mlp([FIELDS * WIDTH, 16, 16, 1])

    def forward(self, fields: Tensor) -> Tensor:
        vectors = self.vectors(fields)
        return self.fm(fields, vectors) + self.deep(vectors.flatten(1)).squeeze(-1)


class NFM(nn.Module):
    """He and Chua 2017, "Neural Factorization Machines for Sparse Predictive Analytics", arXiv:1708.05027: pairs pooled, then
    an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors, self.linear = Fields(), Fields(1)
        self.deep = nn.Sequential(nn.BatchNorm1d(WIDTH), mlp([WIDTH, 16, 1]))

    def forward(self, fields: Tensor) -> Tensor:
        x = self.vectors(fields)
        pooled = 0.5 * (x.sum(1).square() - x.square().sum(1))
        return self.linear(fields).sum((1, 2)) + self.deep(pooled).squeeze(-1)


class AFM(nn.Module):
    """Xiao et al. 2017, "Attentional Factorization Machines: Learning the Weight of Feature Interactions via Attention Networks",
    arXiv:1708.04617."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors, self.linear = Fields(), Fields(1)
        first, second = pair_index(FIELDS)
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.score, self.out = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 1, bias=False)), nn.Linear(WIDTH, 1)

    def forward(self, fields: Tensor) -> Tensor:
        x = self.vectors(fields)
        pairs = x[:, self.first] * x[:, self.second]
        pooled = (self.score(pairs).softmax(1) * pairs).sum(1)
        return self.linear(fields).sum((1, 2)) + self.out(pooled).squeeze(-1)


class WideDeep(nn.Module):
    """Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems", arXiv:1606.07792. crosses: [batch, 3], ids of feature
    crosses."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.vectors = Fields(1, 3), Fields()
        self.deep = mlp([DENSE + FIELDS * WIDTH, 32, 16, 1])

    def forward(self, dense: Tensor, fields: Tensor, crosses: Tensor) -> Tensor:
        deep = self.deep(torch.cat([dense, self.vectors(fields).flatten(1)], dim=-1))
        return self.wide(crosses).sum((1, 2)) + deep.squeeze(-1)


class DCN(nn.Module):
    """Wang et al. 2017, "Deep & Cross Network for Ad Click Predictions", arXiv:1708.05123: x0 times a number a layer."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        width = DENSE + FIELDS * WIDTH
        self.vectors, self.deep = Fields(), mlp([width, 16, 16], last=True)
        self.cross = nn.ModuleList(nn.Linear(width, 1, bias=False) for _ in range(depth))
        self.bias, self.out = nn.Parameter(torch.zeros(depth, width)), nn.Linear(width + 16, 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        start = x = torch.cat([dense, self.vectors(fields).flatten(1)], dim=-1)
        for linear, bias in zip(self.cross, self.bias, strict=True):
            x = start * linear(x) + bias + x
        return self.out(torch.cat([x, self.deep(start)], dim=-1)).squeeze(-1)


class DCNv2(nn.Module):
    """Wang et al. 2020, "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems",
    arXiv:2008.13535: a low-rank mixture of experts in every cross layer, stacked before the MLP."""

    def __init__(self, depth: int = 2, experts: int = 2, rank: int = 8) -> None:
        super().__init__()
        width = DENSE + FIELDS * WIDTH
        self.vectors, self.deep = Fields(), mlp([width, 16, 1])
        self.down = nn.ParameterList(nn.Parameter(torch.randn(experts, width, rank) / width**0.5) for _ in range(depth))
        self.middle = nn.ParameterList(nn.Parameter(torch.randn(experts, rank, rank) / rank**0.5) for _ in range(depth))
        self.up = nn.ParameterList(nn.Parameter(torch.randn(experts, rank, width) / rank**0.5) for _ in range(depth))
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, experts) for _ in range(depth))

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        start = x = torch.cat([dense, self.vectors(fields).flatten(1)], dim=-1)
        for down, middle, up, bias, gate in zip(self.down, self.middle, self.up, self.bias, self.gates, strict=True):
            low = torch.einsum("bw,ewr->ber", x, down).tanh()
            low = torch.einsum("ber,ers->bes", low, middle).tanh()
            made = start.unsqueeze(1) * (torch.einsum("ber,erw->bew", low, up) + bias)
            x = x + (gate(x).softmax(-1).unsqueeze(-1) * made).sum(1)
        return self.deep(x).squeeze(-1)


class XDeepFM(nn.Module):
    """Lian et al. 2018, "xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender Systems",
    arXiv:1803.05170: a compressed interaction network beside an MLP."""

    def __init__(self, maps: int = 6, depth: int = 2) -> None:
        super().__init__()
        self.vectors, self.linear, self.deep = Fields(), Fields(1), mlp([FIELDS * WIDTH, 16, 1])
        self.layers = nn.ModuleList(nn.Conv1d(FIELDS * (FIELDS if n == 0 else maps), maps, 1) for n in range(depth))
        self.out = nn.Linear(depth * maps, 1)

    def forward(self, fields: Tensor) -> Tensor:
        start = x = self.vectors(fields)
        pooled = []
        for layer in self.layers:
            x = layer(torch.einsum("bfw,bmw->bfmw", start, x).flatten(1, 2)).relu()
            pooled.append(x.sum(-1))
        crossed = self.out(torch.cat(pooled, dim=-1)) + self.deep(start.flatten(1))
        return self.linear(fields).sum((1, 2)) + crossed.squeeze(-1)


class AutoInt(nn.Module):
    """Song et al. 2018, "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
    arXiv:1810.11921."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.vectors, self.numbers = Fields(), nn.Parameter(torch.randn(DENSE, WIDTH))
        self.attention = nn.ModuleList(Attention(WIDTH, 2) for _ in range(depth))
        self.own = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(depth))
        self.out = nn.Linear((FIELDS + DENSE) * WIDTH, 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        x = torch.cat([self.vectors(fields), dense.unsqueeze(-1) * self.numbers], dim=1)
        for attention, own in zip(self.attention, self.own, strict=True):
            x = (attention(x) + own(x)).relu()
        return self.out(x.flatten(1)).squeeze(-1)


class FiBiNET(nn.Module):
    """Huang, Zhang and Zhang 2019, "FiBiNET: Combining Feature Importance and Bilinear feature Interaction for Click-Through Rate
    Prediction", arXiv:1905.09433: squeeze and excitation over fields, then bilinear products."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors, self.squeeze = Fields(), mlp([FIELDS, 3, FIELDS], last=True)
        first, second = pair_index(FIELDS)
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.plain, self.scaled = (nn.Parameter(torch.randn(len(first), WIDTH, WIDTH) / WIDTH**0.5) for _ in range(2))
        self.out = mlp([2 * len(first) * WIDTH, 16, 1])

    def forward(self, fields: Tensor) -> Tensor:
        x = self.vectors(fields)
        scaled = x * self.squeeze(x.mean(-1)).unsqueeze(-1)
        pairs = torch.cat([self._pairs(x, self.plain), self._pairs(scaled, self.scaled)], dim=1)
        return self.out(pairs.flatten(1)).squeeze(-1)

    def _pairs(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("bpw,pwv->bpv", x[:, self.first], weight) * x[:, self.second]


class MaskNet(nn.Module):
    """Wang, She and Zhang 2021, "MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models by Instance-Guided Mask",
    arXiv:2102.07619: the serial model."""

    def __init__(self, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        inner = FIELDS * WIDTH
        self.vectors, self.norm = Fields(), nn.LayerNorm(WIDTH)
        sizes = [inner] + [width] * depth
        self.masks = nn.ModuleList(mlp([inner, 2 * inner, size]) for size in sizes[:-1])
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b, bias=False), nn.LayerNorm(b), nn.ReLU()) for a, b in itertools.pairwise(sizes)
        )
        self.out = nn.Linear(width, 1)

    def forward(self, fields: Tensor) -> Tensor:
        x = self.vectors(fields)
        seen, x = x.flatten(1), self.norm(x).flatten(1)
        for mask, layer in zip(self.masks, self.layers, strict=True):
            x = layer(mask(seen) * x)
        return self.out(x).squeeze(-1)


def dlrm() -> Built:
    return with_examples(DLRM(), "dense", "fields")


def deepfm() -> Built:
    return with_examples(DeepFM(), "fields")


def nfm() -> Built:
    return with_examples(NFM(), "fields")


def afm() -> Built:
    return with_examples(AFM(), "fields")


def wide_deep() -> Built:
    return with_examples(WideDeep(), "dense", "fields", "crosses")


def dcn() -> Built:
    return with_examples(DCN(), "dense", "fields")


def dcn_v2() -> Built:
    return with_examples(DCNv2(), "dense", "fields")


def xdeepfm() -> Built:
    return with_examples(XDeepFM(), "fields")


def autoint() -> Built:
    return with_examples(AutoInt(), "dense", "fields")


def fibinet() -> Built:
    return with_examples(FiBiNET(), "fields")


def masknet() -> Built:
    return with_examples(MaskNet(), "fields")
