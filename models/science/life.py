"""Blocks and nets of structural biology and genomics: Evoformer, Pairformer, invariant point attention, ProteinMPNN, Enformer,
scVI.

Recycling, templates, dropout and losses are left out everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Built, mlp, rotation
from torch import Tensor, nn


class GatedAttention(nn.Module):
    """Attention with a bias from the pair representation and a gate on what comes out. x: [..., length, width]."""

    def __init__(self, width: int, heads: int = 4, pair: int | None = None) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.gate, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width), nn.Linear(width, width)
        self.bias = nn.Sequential(nn.LayerNorm(pair), nn.Linear(pair, heads, bias=False)) if pair else None

    def forward(self, x: Tensor, pair: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, dim=-1))
        bias = self.bias(pair).movedim(-1, -3) if self.bias is not None and pair is not None else None
        bias = bias.unsqueeze(1) if bias is not None and query.dim() == 5 else bias  # the same for all rows
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        seen = (scores if bias is None else scores + bias).softmax(-1) @ value
        return self.out(self.gate(x).sigmoid() * seen.transpose(-2, -3).flatten(-2))


class TriangleMultiplication(nn.Module):
    """Edges ik and jk (or ki and kj) of every triangle update edge ij. pair: [batch, length, length, width]."""

    def __init__(self, width: int, outgoing: bool) -> None:
        super().__init__()
        self.equation = "bikc,bjkc->bijc" if outgoing else "bkic,bkjc->bijc"
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.values, self.gates = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.gate, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, pair: Tensor) -> Tensor:
        x = self.norm(pair)
        left, right = (self.gates(x).sigmoid() * self.values(x)).chunk(2, dim=-1)
        return self.gate(x).sigmoid() * self.out(self.norm_out(torch.einsum(self.equation, left, right)))


class PairStack(nn.Module):
    """Triangle multiplications, triangle attention around both ends, transition: how both AlphaFolds update pairs."""

    def __init__(self, width: int, transition: nn.Module) -> None:
        super().__init__()
        self.outgoing, self.incoming = TriangleMultiplication(width, True), TriangleMultiplication(width, False)
        self.start, self.end, self.transition = GatedAttention(width, 2, width), GatedAttention(width, 2, width), transition

    def forward(self, pair: Tensor) -> Tensor:
        pair = pair + self.outgoing(pair)
        pair = pair + self.incoming(pair)
        pair = pair + self.start(pair, pair)
        turned = pair.transpose(1, 2)
        pair = pair + self.end(turned, turned).transpose(1, 2)
        return pair + self.transition(pair)


class Evoformer(nn.Module):
    """Jumper et al. 2021, "Highly accurate protein structure prediction with AlphaFold", Nature 596: one Evoformer block.

    msa: [batch, sequences, length, 16]; pair: [batch, length, length, 8].
    """

    def __init__(self, width: int = 16, pair: int = 8) -> None:
        super().__init__()
        self.rows, self.columns = GatedAttention(width, 4, pair), GatedAttention(width)
        self.transition = nn.Sequential(nn.LayerNorm(width), mlp([width, 4 * width, width]))
        self.norm, self.left, self.right = nn.LayerNorm(width), nn.Linear(width, 4), nn.Linear(width, 4)
        self.outer = nn.Linear(16, pair)
        self.pair = PairStack(pair, nn.Sequential(nn.LayerNorm(pair), mlp([pair, 4 * pair, pair])))

    def forward(self, msa: Tensor, pair: Tensor) -> dict[str, Tensor]:
        msa = msa + self.rows(msa, pair)
        msa = msa + self.columns(msa.transpose(1, 2)).transpose(1, 2)
        msa = msa + self.transition(msa)
        x = self.norm(msa)
        outer = torch.einsum("bsic,bsjd->bijcd", self.left(x), self.right(x)) / msa.shape[1]
        return {"msa_out": msa, "pair_out": self.pair(pair + self.outer(outer.flatten(-2)))}


class SwiGLU(nn.Module):
    """A transition with a gate (AlphaFold 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.into, self.out = nn.LayerNorm(width), nn.Linear(width, 4 * width, bias=False), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.into(self.norm(x)).chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)


class Pairformer(nn.Module):
    """Abramson et al. 2024, "Accurate structure prediction of biomolecular interactions with AlphaFold 3", Nature 630: two
    Pairformer blocks. single: [batch, length, 16]; pair: [batch, length, length, 8]."""

    def __init__(self, width: int = 16, pair: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(PairStack(pair, SwiGLU(pair)) for _ in range(depth))
        self.attentions = nn.ModuleList(GatedAttention(width, 4, pair) for _ in range(depth))
        self.transitions = nn.ModuleList(SwiGLU(width) for _ in range(depth))

    def forward(self, single: Tensor, pair: Tensor) -> dict[str, Tensor]:
        for update, attention, transition in zip(self.pairs, self.attentions, self.transitions, strict=True):
            pair = update(pair)
            single = single + attention(single, pair)
            single = single + transition(single)
        return {"single_out": single, "pair_out": pair}


class PointAttention(nn.Module):
    """AlphaFold 2 (Nature 596): invariant point attention and the update of frames, one step of the structure module.

    single: [batch, length, 16]; pair: [batch, length, length, 8]; quaternion: [batch, length, 4], any length; shift: [batch,
    length, 3]. Returns the single representation, and the new frames as rotation matrices and shifts.
    """

    def __init__(self, width: int = 16, pair: int = 8, heads: int = 4, size: int = 4, points: int = 3) -> None:
        super().__init__()
        self.heads, self.size, self.points = heads, size, points
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * heads * size)
        self.query_points, self.key_points = nn.Linear(width, 3 * heads * points), nn.Linear(width, 3 * heads * points)
        self.value_points, self.bias = nn.Linear(width, 3 * heads * points), nn.Linear(pair, heads, bias=False)
        self.sharpness = nn.Parameter(torch.randn(heads))
        self.out = nn.Linear(heads * (size + pair + 4 * points), width)
        self.transition, self.update = nn.Sequential(nn.LayerNorm(width), mlp([width, width, width])), nn.Linear(width, 6)

    def forward(self, single: Tensor, pair: Tensor, quaternion: Tensor, shift: Tensor) -> dict[str, Tensor]:
        turn = rotation(quaternion)
        single = single + self._attend(self.norm(single), pair, turn, shift)
        single = single + self.transition(single)
        vector, move = self.update(single).chunk(2, dim=-1)
        small = rotation(torch.cat([torch.ones_like(vector[..., :1]), vector], dim=-1))
        return {"single_out": single, "rotation": turn @ small, "shift_out": shift + (turn @ move.unsqueeze(-1)).squeeze(-1)}

    def _attend(self, x: Tensor, pair: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (self.heads, 3 * self.size)).chunk(3, dim=-1)
        q, k, v = (self._points(part(x), turn, shift) for part in (self.query_points, self.key_points, self.value_points))
        scores = torch.einsum("bihc,bjhc->bhij", query, key) / self.size**0.5 + self.bias(pair).movedim(-1, 1)
        apart = (q.unsqueeze(2) - k.unsqueeze(1)).square().sum((-1, -2)).movedim(-1, 1)  # batch, heads, i, j
        sharp = F.softplus(self.sharpness)[:, None, None] * (2 / (9 * self.points)) ** 0.5 / 2
        share = ((scores - sharp * apart) / 3**0.5).softmax(-1)
        seen = torch.einsum("bhij,bjhc->bihc", share, value).flatten(2)
        near = torch.einsum("bhij,bijc->bihc", share, pair).flatten(2)
        place = torch.einsum("bhij,bjhpx->bihpx", share, v) - shift[:, :, None, None]
        place = torch.einsum("biyx,bihpy->bihpx", turn, place)  # back into the frame of i: by the transpose
        length = (place.square().sum(-1) + 1e-8).sqrt().flatten(2)
        return self.out(torch.cat([seen, near, place.flatten(2), length], dim=-1))

    def _points(self, x: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
        local = x.unflatten(-1, (self.heads, self.points, 3))
        return torch.einsum("bixy,bihpy->bihpx", turn, local) + shift[:, :, None, None]


class ProteinMPNN(nn.Module):
    """Dauparas et al. 2022, "Robust deep learning-based protein sequence design using ProteinMPNN", Science 378.

    An encoder that updates nodes and edges to fixed neighbours, and a decoder that sees the residues before it in `order`.
    edges: [batch, length, neighbours, 16]; neighbours: [batch, length, neighbours]; residues: [batch, length]; order: [batch,
    length]. Returns 21 logits.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.edge_in, self.residue = nn.Linear(16, width), nn.Embedding(21, width)
        self.message, self.edge = mlp([3 * width, width, width], nn.GELU), mlp([3 * width, width, width], nn.GELU)
        self.feed, self.decode = mlp([width, 4 * width, width], nn.GELU), mlp([4 * width, width, width], nn.GELU)
        self.norms, self.out = nn.ModuleList(nn.LayerNorm(width) for _ in range(4)), nn.Linear(width, 21)

    def forward(self, edges: Tensor, neighbours: Tensor, residues: Tensor, order: Tensor) -> Tensor:
        edge = self.edge_in(edges)
        node = torch.zeros_like(edge[:, :, 0])
        node = self.norms[0](node + self.message(self._both(node, edge, neighbours)).sum(2) / 30)
        node = self.norms[1](node + self.feed(node))
        edge = self.norms[2](edge + self.edge(self._both(node, edge, neighbours)))
        earlier = self._at(order.unsqueeze(-1), neighbours) < order[:, :, None, None]
        seen = self._at(self.residue(residues), neighbours) * earlier.to(edge.dtype)
        carried = torch.cat([self._both(node, edge, neighbours), seen], dim=-1)
        return self.out(self.norms[3](node + self.decode(carried).sum(2) / 30))

    def _both(self, node: Tensor, edge: Tensor, neighbours: Tensor) -> Tensor:
        own = node.unsqueeze(2).expand_as(edge)
        return torch.cat([own, edge, self._at(node, neighbours)], dim=-1)

    @staticmethod
    def _at(x: Tensor, neighbours: Tensor) -> Tensor:
        """[batch, length, width] at the neighbours: [batch, length, neighbours, width]."""
        index = neighbours.flatten(1).unsqueeze(-1).expand(-1, -1, x.shape[-1])
        return x.gather(1, index).unflatten(1, tuple(neighbours.shape[1:]))


class Enformer(nn.Module):
    """Avsec et al. 2021, "Effective gene expression prediction from sequence by integrating long-range interactions", Nature
    Methods 18.

    bases: [batch, 128], 0 to 3. Convolutions with attention pooling, then attention with relative positions (exponential basis;
    the paper has two more), cropped, to tracks.
    """

    def __init__(self, width: int = 32, tracks: int = 6, levels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, width, 15, padding=7)
        self.tower = nn.ModuleList(self._conv(width, 5) for _ in range(levels))
        self.points = nn.ModuleList(self._conv(width, 1) for _ in range(levels))
        self.pools = nn.ModuleList(nn.Conv1d(width, width, 1, bias=False) for _ in range(levels))
        self.norm, self.attention, self.relative = nn.LayerNorm(width), Attention(width, 4), nn.Linear(8, 4, bias=False)
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width]))
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, tracks), nn.Softplus())
        apart = torch.arange(16)[:, None] - torch.arange(16)
        decay = (-apart.abs()[..., None] / 2.0 ** torch.arange(4)).exp()
        self.register_buffer("basis", torch.cat([decay, apart.sign()[..., None] * decay], dim=-1))

    @staticmethod
    def _conv(width: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.BatchNorm1d(width), nn.GELU(), nn.Conv1d(width, width, kernel, padding=kernel // 2))

    def forward(self, bases: Tensor) -> Tensor:
        x = self.stem(F.one_hot(bases, 4).to(self.stem.weight.dtype).transpose(1, 2))
        for conv, point, pool in zip(self.tower, self.points, self.pools, strict=True):
            x = conv(x)
            x = x + point(x)
            pairs, share = x.unflatten(-1, (-1, 2)), pool(x).unflatten(-1, (-1, 2)).softmax(-1)
            x = (pairs * share).sum(-1)
        x = x.transpose(1, 2)
        x = x + self.attention(self.norm(x), bias=self.relative(self.basis).movedim(-1, 0))
        return self.head((x + self.mlp(x))[:, 2:-2])


class ScVI(nn.Module):
    """Lopez et al. 2018, "Deep generative modeling for single-cell transcriptomics", Nature Methods 15 (scVI).

    expression: [batch, 40], counts as log(1 + x); batch_id: [batch], the experiment; noise: [batch, 6]. Returns mean, variance
    and dropout logits of the zero-inflated negative binomial. The latent library size is the sum of the counts here.
    """

    def __init__(self, genes: int = 40, batches: int = 3, latent: int = 6, width: int = 32) -> None:
        super().__init__()
        self.experiment = nn.Embedding(batches, 4)
        self.encoder = nn.Sequential(nn.Linear(genes, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent + 4, width), nn.BatchNorm1d(width), nn.ReLU())
        self.share, self.dropout = nn.Linear(width, genes), nn.Linear(width, genes)
        self.dispersion = nn.Parameter(torch.randn(genes))

    def forward(self, expression: Tensor, batch_id: Tensor, noise: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(expression).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * noise
        x = self.decoder(torch.cat([z, self.experiment(batch_id)], dim=-1))
        library = expression.abs().expm1().sum(-1, keepdim=True)
        rate = library * self.share(x).softmax(-1)
        variance = rate + rate.square() / self.dispersion.exp()
        return {"rate": rate, "variance": variance, "dropout": self.dropout(x), "latent": mean}


def evoformer() -> Built:
    return Evoformer(), {"msa": torch.randn(2, 5, 11, 16), "pair": torch.randn(2, 11, 11, 8)}


def pairformer() -> Built:
    return Pairformer(), {"single": torch.randn(2, 11, 16), "pair": torch.randn(2, 11, 11, 8)}


def point_attention() -> Built:
    examples = {"single": torch.randn(2, 11, 16), "pair": torch.randn(2, 11, 11, 8)}
    return PointAttention(), {**examples, "quaternion": torch.randn(2, 11, 4), "shift": torch.randn(2, 11, 3)}


def protein_mpnn() -> Built:
    examples = {"edges": torch.randn(2, 11, 5, 16), "neighbours": torch.randint(0, 11, (2, 11, 5))}
    order = torch.stack([torch.randperm(11), torch.randperm(11)])
    return ProteinMPNN(), {**examples, "residues": torch.randint(0, 21, (2, 11)), "order": order}


def enformer() -> Built:
    return Enformer(), {"bases": torch.randint(0, 4, (2, 128))}


def scvi() -> Built:
    examples = {"expression": torch.randn(3, 40), "batch_id": torch.tensor([0, 1, 2])}
    return ScVI(), {**examples, "noise": torch.randn(3, 6)}
