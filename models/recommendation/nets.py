"""Nets that rank and retrieve: crosses of features, behaviour sequences, many tasks, two towers.

fields: [batch, 6], one id of 20 a field; dense: [batch, 5], numbers; history: [batch, 7], items seen, the oldest first; target:
[batch], the item asked about. Answers are logits unless a net says so. Losses, sampling and tables sharded over machines are
left out.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Block, Built, Transformer, mlp
from torch import Tensor, nn

FIELDS, IDS, DENSE, ITEMS, HISTORY, WIDTH = 6, 20, 5, 30, 7, 8


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


# ---- crosses ------------------------------------------------------------------------------------------------------


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

    def __init__(self, width: int = 16, depth: int = 2) -> None:
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


# ---- users and items ----------------------------------------------------------------------------------------------


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


# ---- behaviour ----------------------------------------------------------------------------------------------------


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


# ---- many tasks ---------------------------------------------------------------------------------------------------


class Tasks(nn.Module):
    """What the nets for several tasks share: fields and numbers in, a tower and a logit a task out."""

    def __init__(self, width: int, tasks: int = 2) -> None:
        super().__init__()
        self.vectors, self.inner = Fields(), FIELDS * WIDTH + DENSE
        self.towers = nn.ModuleList(mlp([width, 8, 1]) for _ in range(tasks))

    def seen(self, dense: Tensor, fields: Tensor) -> Tensor:
        return torch.cat([dense, self.vectors(fields).flatten(1)], dim=-1)


class MMoE(Tasks):
    """Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts" (KDD)."""

    def __init__(self, experts: int = 3, width: int = 16) -> None:
        super().__init__(width)
        self.experts = nn.ModuleList(mlp([self.inner, width], last=True) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(self.inner, experts) for _ in self.towers)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        x = self.seen(dense, fields)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = [(gate(x).softmax(-1).unsqueeze(-1) * answers).sum(1) for gate in self.gates]
        return torch.cat([tower(part) for tower, part in zip(self.towers, mixed, strict=True)], dim=-1)


class PLE(Tasks):
    """Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for Personalized
    Recommendations" (RecSys): experts of each task and shared ones, two levels."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        sizes = (self.inner, width)
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(mlp([size, width], last=True) for _ in range(2)) for _ in range(3)) for size in sizes
        )
        self.gates = nn.ModuleList(
            nn.ModuleList(nn.Linear(size, n) for n in counts) for size, counts in zip(sizes, ((4, 4, 6), (4, 4)), strict=True)
        )

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        parts = [self.seen(dense, fields)] * 3  # two tasks, and what they share
        for experts, gates in zip(self.experts, self.gates, strict=True):
            answers = [[expert(x) for expert in group] for group, x in zip(experts, parts, strict=True)]
            first, second, shared = answers
            seen = (first + shared, second + shared, first + second + shared)
            parts = [
                (gate(x).softmax(-1).unsqueeze(-1) * torch.stack(known, dim=1)).sum(1)
                for gate, x, known in zip(gates, parts, seen, strict=False)
            ]
        return torch.cat([tower(part) for tower, part in zip(self.towers, parts, strict=True)], dim=-1)


class ESMM(Tasks):
    """Ma et al. 2018, "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate",
    arXiv:1804.07931: probabilities of a click, and of a click with conversion."""

    def __init__(self) -> None:
        super().__init__(FIELDS * WIDTH + DENSE)

    def forward(self, dense: Tensor, fields: Tensor) -> dict[str, Tensor]:
        x = self.seen(dense, fields)
        click, conversion = (tower(x).sigmoid().squeeze(-1) for tower in self.towers)
        return {"click": click, "click_and_conversion": click * conversion}


# ---- factories ----------------------------------------------------------------------------------------------------

_EXAMPLES = {
    "dense": lambda: torch.randn(3, DENSE),
    "fields": lambda: _ids(IDS, FIELDS),
    "crosses": lambda: _ids(IDS, 3),
    "user": lambda: _ids(25),
    "target": lambda: _ids(ITEMS),
    "history": lambda: _ids(ITEMS, HISTORY),
    "attention_mask": lambda: torch.ones(3, HISTORY, dtype=torch.int64),
    "clicks": lambda: torch.rand(3, ITEMS),
    "noise": lambda: torch.randn(3, 8),
}


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of three, the largest among them: the range is read off the example."""
    ids = torch.randint(0, high, (3, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def _with(net: nn.Module, *names: str) -> Built:
    return net, {name: _EXAMPLES[name]() for name in names}


def dlrm() -> Built:
    return _with(DLRM(), "dense", "fields")


def deepfm() -> Built:
    return _with(DeepFM(), "fields")


def nfm() -> Built:
    return _with(NFM(), "fields")


def afm() -> Built:
    return _with(AFM(), "fields")


def wide_deep() -> Built:
    return _with(WideDeep(), "dense", "fields", "crosses")


def dcn() -> Built:
    return _with(DCN(), "dense", "fields")


def dcn_v2() -> Built:
    return _with(DCNv2(), "dense", "fields")


def xdeepfm() -> Built:
    return _with(XDeepFM(), "fields")


def autoint() -> Built:
    return _with(AutoInt(), "dense", "fields")


def fibinet() -> Built:
    return _with(FiBiNET(), "fields")


def masknet() -> Built:
    return _with(MaskNet(), "fields")


def ncf() -> Built:
    return _with(NCF(), "user", "target")


def two_tower() -> Built:
    return _with(TwoTower(), "history", "dense", "target")


def mult_vae() -> Built:
    return _with(MultVAE(), "clicks", "noise")


def din() -> Built:
    return _with(DIN(), "history", "attention_mask", "target", "dense")


def dien() -> Built:
    return _with(DIEN(), "history", "target", "dense")


def bst() -> Built:
    return _with(BST(), "history", "target", "dense")


def mind() -> Built:
    return _with(MIND(), "history", "target")


def sasrec() -> Built:
    return _with(SASRec(), "history")


def bert4rec() -> Built:
    return _with(BERT4Rec(), "history")


def gru4rec() -> Built:
    return _with(GRU4Rec(), "history")


def caser() -> Built:
    return _with(Caser(), "history", "user")


def hstu() -> Built:
    return _with(HSTU(), "history")


def mmoe() -> Built:
    return _with(MMoE(), "dense", "fields")


def ple() -> Built:
    return _with(PLE(), "dense", "fields")


def esmm() -> Built:
    return _with(ESMM(), "dense", "fields")
