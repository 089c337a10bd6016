"""Nets that see more than edges: relations, edge features, places, whole graphs. R-GCN, MPNN, Graphormer, GraphGPS and others.

x: [nodes, 12], features; edge_index: [2, edges], the source of each edge above its target; edge_attr: [edges, 3]. Training
losses are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.graph.convolutions import GCNLayer, GINLayer
from porting.models.layers import Block, Built, mlp, segment_mean, segment_softmax, segment_sum
from torch import Tensor, nn

NODES, EDGES, FEATURES, CLASSES = 14, 37, 12, 5


class RGCNLayer(nn.Module):
    """Schlichtkrull et al. 2017, "Modeling Relational Data with Graph Convolutional Networks", arXiv:1703.06103, by basis
    matrices."""

    def __init__(self, inner: int, outer: int, relations: int = 4, bases: int = 2) -> None:
        super().__init__()
        self.relations = relations
        self.bases = nn.Parameter(torch.randn(bases, inner, outer) / inner**0.5)
        self.mix, self.own = nn.Parameter(torch.randn(relations, bases)), nn.Linear(inner, outer)

    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        matrices = torch.einsum("rb,bio->rio", self.mix, self.bases)
        # The mean is by target and relation, so each pair of them is a segment.
        seen = segment_mean(x[source], target * self.relations + edge_type, nodes * self.relations)
        return self.own(x) + torch.einsum("nri,rio->no", seen.unflatten(0, (nodes, self.relations)), matrices)


class RGCN(nn.Module):
    """Two R-GCN layers (arXiv:1703.06103). edge_type: [edges], a relation each."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = RGCNLayer(FEATURES, width), RGCNLayer(width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index, edge_type).relu(), edge_index, edge_type)


class GraphTransformer(nn.Module):
    """Dwivedi and Bresson 2020, "A Generalization of Transformer Networks to Graphs", arXiv:2012.09699: attention over
    neighbours with edge features, which are updated, too; positions from Laplacian eigenvectors, given as `positions` [nodes,
    4]."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.edge_in, self.place = nn.Linear(FEATURES, width), nn.Linear(3, width), nn.Linear(4, width)
        self.query, self.key, self.value, self.edge = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.node_out, self.edge_out = nn.Linear(width, width), nn.Linear(width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.node_mlp, self.edge_mlp = mlp([width, 2 * width, width]), mlp([width, 2 * width, width])
        self.out, self.edge_head = nn.Linear(width, CLASSES), nn.Linear(width, 2)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, positions: Tensor) -> dict[str, Tensor]:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        x, edge = self.into(x) + self.place(positions), self.edge_in(edge_attr)
        query, key, value, near = (
            part(of).unflatten(-1, (self.heads, -1))
            for part, of in ((self.query, x), (self.key, x), (self.value, x), (self.edge, edge))
        )
        scores = query[target] * key[source] / query.shape[-1] ** 0.5 * near
        share = segment_softmax(scores.sum(-1, keepdim=True).clamp(-5, 5), target, nodes)
        x = self.norms[0](x + self.node_out(segment_sum(share * value[source], target, nodes).flatten(1)))
        edge = self.norms[1](edge + self.edge_out(scores.flatten(1)))
        x, edge = self.norms[2](x + self.node_mlp(x)), self.norms[3](edge + self.edge_mlp(edge))
        return {"nodes": self.out(x), "edges": self.edge_head(edge)}


class GatedGCN(nn.Module):
    """Bresson and Laurent 2017, "Residual Gated Graph ConvNets", arXiv:1711.07553, with edge features (two layers)."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.into, self.edge_in, self.out = nn.Linear(FEATURES, width), nn.Linear(3, width), nn.Linear(width, CLASSES)
        self.linears = nn.ModuleList(nn.ModuleList(nn.Linear(width, width) for _ in range(5)) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2 * depth))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        x, edge = self.into(x), self.edge_in(edge_attr)
        for number, (own, other, ends, starts, along) in enumerate(self.linears):
            fresh = along(edge) + ends(x)[target] + starts(x)[source]
            gate = fresh.sigmoid()
            total = segment_sum(gate, target, nodes) + 1e-6
            seen = segment_sum(gate * other(x)[source], target, nodes) / total
            x = x + self.norms[2 * number](own(x) + seen).relu()
            edge = edge + self.norms[2 * number + 1](fresh).relu()
        return self.out(x)


class MPNN(nn.Module):
    """Gilmer et al. 2017, "Neural Message Passing for Quantum Chemistry" (MPNN), arXiv:1704.01212: an edge network makes a
    matrix of each edge's features, a GRU updates the nodes, `steps` times; set2set is a gated sum here. Returns one answer for
    the graph."""

    def __init__(self, width: int = 8, steps: int = 3) -> None:
        super().__init__()
        self.width, self.steps = width, steps
        self.into, self.matrix = nn.Linear(FEATURES, width), mlp([3, 16, width * width])
        self.update, self.gate, self.value = nn.GRUCell(width, width), nn.Linear(width + FEATURES, 4), nn.Linear(width, 4)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        state, matrix = self.into(x).relu(), self.matrix(edge_attr).unflatten(-1, (self.width, self.width))
        for _ in range(self.steps):
            message = (matrix @ state[source].unsqueeze(-1)).squeeze(-1)
            state = self.update(segment_sum(message, target, nodes), state)
        return (self.gate(torch.cat([state, x], dim=-1)).sigmoid() * self.value(state)).sum(0, keepdim=True)


class GPS(nn.Module):
    """Rampášek et al. 2022, "Recipe for a General, Powerful, Scalable Graph Transformer" (GraphGPS), arXiv:2205.12454: message
    passing beside attention over all nodes, added. positions: [nodes, 4], encodings of place."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.into, self.place, self.out = nn.Linear(FEATURES, width - 4), nn.Linear(4, 4), nn.Linear(width, CLASSES)
        self.local, self.heads = GINLayer(width, width), 4
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norms, self.mlp = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(3)), mlp([width, 2 * width, width])

    def forward(self, x: Tensor, edge_index: Tensor, positions: Tensor) -> Tensor:
        x = torch.cat([self.into(x), self.place(positions)], dim=-1)
        near = self.norms[0](x + self.local(x, edge_index))
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3).unsqueeze(1).unbind(0)
        far = F.scaled_dot_product_attention(query, key, value)[0].transpose(0, 1).flatten(1)
        x = near + self.norms[1](x + self.mix(far))
        return self.out(self.norms[2](x + self.mlp(x)))


class Graphormer(nn.Module):
    """Ying et al. 2021, "Do Transformers Really Perform Bad for Graph Representation?" (Graphormer), arXiv:2106.05234.

    Attention among all nodes, biased by a table over the length of the shortest path; degrees have embeddings. x: [batch,
    nodes, 12]; degrees: [batch, nodes]; distances: [batch, nodes, nodes]. Edge features along the path are left out. The first
    token is the graph's.
    """

    def __init__(self, width: int = 32, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.into, self.degree = nn.Linear(FEATURES, width), nn.Embedding(8, width)
        self.path, self.graph = nn.Embedding(8, heads), nn.Parameter(torch.randn(1, width))
        self.to_graph = nn.Parameter(0.5 * torch.randn(heads, 1, 1))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, x: Tensor, degrees: Tensor, distances: Tensor) -> Tensor:
        x = self.into(x) + self.degree(degrees)
        x = torch.cat([self.graph.expand(x.shape[0], -1, -1), x], dim=1)
        bias = self.path(distances).permute(0, 3, 1, 2)
        side = self.to_graph.expand(x.shape[0], -1, x.shape[1] - 1, 1)
        top = torch.cat([self.to_graph.expand(x.shape[0], -1, 1, 1), side.transpose(2, 3)], dim=-1)
        bias = torch.cat([top, torch.cat([side, bias], dim=-1)], dim=2)
        for block in self.blocks:
            x = block(x, bias=bias)
        return self.out(x[:, 0])


class LightGCN(nn.Module):
    """He et al. 2020, "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", arXiv:2002.02126.

    users, items: [batch], whose scores are asked for; edge_index: [2, edges] between all nodes, users first, in both directions.
    """

    def __init__(self, users: int = 6, items: int = 8, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.count, self.depth, self.table = users, depth, nn.Parameter(torch.randn(users + items, width))

    def forward(self, users: Tensor, items: Tensor, edge_index: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), self.table.shape[0]
        ones = torch.ones_like(source, dtype=self.table.dtype)
        left, right = (segment_sum(ones, index, nodes).clamp(min=1).rsqrt()[index] for index in (source, target))
        x = total = self.table
        for _ in range(self.depth):
            x = segment_sum((left * right).unsqueeze(-1) * x[source], target, nodes)
            total = total + x
        total = total / (self.depth + 1)
        return (total[users] * total[self.count + items]).sum(-1)


class VGAE(nn.Module):
    """Kipf and Welling 2016, "Variational Graph Auto-Encoders", arXiv:1611.07308. noise: [nodes, 8]. Returns edge
    probabilities."""

    def __init__(self, width: int = 16, latent: int = 8) -> None:
        super().__init__()
        self.first, self.mean, self.log_std = GCNLayer(FEATURES, width), GCNLayer(width, latent), GCNLayer(width, latent)

    def forward(self, x: Tensor, edge_index: Tensor, noise: Tensor) -> dict[str, Tensor]:
        x = self.first(x, edge_index).relu()
        mean, log_std = self.mean(x, edge_index), self.log_std(x, edge_index)
        z = mean + log_std.exp() * noise
        return {"edges": (z @ z.T).sigmoid(), "mean": mean, "log_std": log_std}


def _graph(*more: str) -> dict[str, Tensor]:
    """Example inputs; the last node has no edge, the first ids are the range's ends."""
    index = torch.randint(0, NODES - 1, (2, EDGES))
    index[:, 0] = torch.tensor([0, NODES - 1])
    known = {"edge_attr": (EDGES, 3), "positions": (NODES, 4), "noise": (NODES, 8)}
    given = {name: torch.randn(*known[name]) for name in more}
    return {"x": torch.randn(NODES, FEATURES), "edge_index": index, **given}


def rgcn() -> Built:
    return RGCN(), {**_graph(), "edge_type": torch.arange(EDGES) % 4}


def graph_transformer() -> Built:
    return GraphTransformer(), _graph("edge_attr", "positions")


def gated_gcn() -> Built:
    return GatedGCN(), _graph("edge_attr")


def mpnn() -> Built:
    return MPNN(), _graph("edge_attr")


def gps() -> Built:
    return GPS(), _graph("positions")


def vgae() -> Built:
    return VGAE(), _graph("noise")


def graphormer() -> Built:
    examples = {"x": torch.randn(2, 9, FEATURES), "degrees": torch.randint(0, 8, (2, 9))}
    return Graphormer(), {**examples, "distances": torch.randint(0, 8, (2, 9, 9))}


def lightgcn() -> Built:
    examples = {"users": torch.tensor([0, 3, 5]), "items": torch.tensor([7, 2, 0])}
    return LightGCN(), {**examples, "edge_index": _graph()["edge_index"]}
