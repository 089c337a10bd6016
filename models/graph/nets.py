"""Graph networks over an edge list, with plain index_add and scatter.

x: [nodes, 12], features; edge_index: [2, edges], the source of each edge above its target; nothing else unless a net says so.
Answers are per node; dropout and training losses are left out. Nodes without an incoming edge take part with nothing received.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from porting.models.layers import Block, Built, mlp, segment_max, segment_mean, segment_softmax, segment_sum
from torch import Tensor, nn

NODES, EDGES, FEATURES, CLASSES = 14, 37, 12, 5
Layers = Callable[[int, int], nn.Module]


class Stack(nn.Module):
    """Two layers of one kind with a ReLU between them."""

    def __init__(self, layer: Layers, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = layer(FEATURES, width), layer(width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


def with_loops(edge_index: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Sources and targets with an edge from each node to itself added."""
    loops = torch.arange(nodes, device=edge_index.device)
    return torch.cat([edge_index[0], loops]), torch.cat([edge_index[1], loops])


class GCNLayer(nn.Module):
    """Kipf and Welling 2016, "Semi-Supervised Classification with Graph Convolutional Networks", arXiv:1609.02907."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.linear, self.bias = nn.Linear(inner, outer, bias=False), nn.Parameter(torch.zeros(outer))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = with_loops(edge_index, x.shape[0])
        scale = segment_sum(torch.ones_like(source, dtype=x.dtype), target, x.shape[0]).rsqrt()
        message = (scale[source] * scale[target]).unsqueeze(-1) * self.linear(x)[source]
        return segment_sum(message, target, x.shape[0]) + self.bias


class SAGELayer(nn.Module):
    """Hamilton, Ying and Leskovec 2017, "Inductive Representation Learning on Large Graphs", arXiv:1706.02216, the mean
    aggregator.

    The sampling of neighbours is the caller's.
    """

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(inner, outer), nn.Linear(inner, outer, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index.unbind(0)
        return F.normalize(self.own(x) + self.other(segment_mean(x[source], target, x.shape[0])), dim=-1)


class PoolSAGELayer(nn.Module):
    """GraphSAGE (arXiv:1706.02216) with the max-pooling aggregator."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.pool, self.join = nn.Linear(inner, outer), nn.Linear(inner + outer, outer)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index.unbind(0)
        seen = segment_max(self.pool(x).relu()[source], target, x.shape[0])
        return F.normalize(self.join(torch.cat([x, seen], dim=-1)), dim=-1)


class GATLayer(nn.Module):
    """Veličković et al. 2017, "Graph Attention Networks", arXiv:1710.10903: scores from both ends, added."""

    def __init__(self, inner: int, outer: int, heads: int = 2) -> None:
        super().__init__()
        self.linear, self.heads = nn.Linear(inner, heads * outer, bias=False), heads
        self.from_source, self.from_target = (nn.Parameter(torch.randn(heads, outer) / outer**0.5) for _ in range(2))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = with_loops(edge_index, x.shape[0])
        values = self.linear(x).unflatten(-1, (self.heads, -1))
        scores = (values * self.from_source).sum(-1)[source] + (values * self.from_target).sum(-1)[target]
        share = segment_softmax(F.leaky_relu(scores, 0.2), target, x.shape[0])
        return segment_sum(share.unsqueeze(-1) * values[source], target, x.shape[0]).mean(1)


class GATv2Layer(nn.Module):
    """Brody, Alon and Yahav 2021, "How Attentive are Graph Attention Networks?", arXiv:2105.14491: the activation before the
    score."""

    def __init__(self, inner: int, outer: int, heads: int = 2) -> None:
        super().__init__()
        self.source, self.target, self.heads = nn.Linear(inner, heads * outer), nn.Linear(inner, heads * outer), heads
        self.score = nn.Parameter(torch.randn(heads, outer) / outer**0.5)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = with_loops(edge_index, x.shape[0])
        values = self.source(x).unflatten(-1, (self.heads, -1))[source]
        both = values + self.target(x).unflatten(-1, (self.heads, -1))[target]
        share = segment_softmax((F.leaky_relu(both, 0.2) * self.score).sum(-1), target, x.shape[0])
        return segment_sum(share.unsqueeze(-1) * values, target, x.shape[0]).mean(1)


class GINLayer(nn.Module):
    """Xu et al. 2018, "How Powerful are Graph Neural Networks?", arXiv:1810.00826."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(nn.Linear(inner, outer), nn.BatchNorm1d(outer), nn.ReLU(), nn.Linear(outer, outer))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index.unbind(0)
        return self.mlp((1 + self.epsilon) * x + segment_sum(x[source], target, x.shape[0]))


class ChebLayer(nn.Module):
    """Defferrard, Bresson and Vandergheynst 2016, "Convolutional Neural Networks on Graphs with Fast Localized Spectral
    Filtering", arXiv:1606.09375: Chebyshev polynomials of the scaled Laplacian, whose largest eigenvalue is taken to be 2."""

    def __init__(self, inner: int, outer: int, order: int = 3) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(inner, outer, bias=n == 0) for n in range(order))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index.unbind(0)
        degree = segment_sum(torch.ones_like(source, dtype=x.dtype), target, x.shape[0]).clamp(min=1)
        weight = -(degree[source] * degree[target]).rsqrt().unsqueeze(-1)
        before, now = x, segment_sum(weight * x[source], target, x.shape[0])
        total = self.linears[0](before) + self.linears[1](now)
        for linear in self.linears[2:]:
            before, now = now, 2 * segment_sum(weight * now[source], target, x.shape[0]) - before
            total = total + linear(now)
        return total


class SGC(nn.Module):
    """Wu et al. 2019, "Simplifying Graph Convolutional Networks", arXiv:1902.07153: propagation `steps` times, then one linear
    layer."""

    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps, self.linear = steps, nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = propagate(x, edge_index)
        return self.linear(x)


def propagate(x: Tensor, edge_index: Tensor) -> Tensor:
    """Multiply by the adjacency with loops, normalised on both sides (GCN)."""
    source, target = with_loops(edge_index, x.shape[0])
    scale = segment_sum(torch.ones_like(source, dtype=x.dtype), target, x.shape[0]).rsqrt().unsqueeze(-1)
    return scale * segment_sum((scale * x)[source], target, x.shape[0])


class APPNP(nn.Module):
    """Gasteiger, Bojchevski and Günnemann 2018, "Predict then Propagate: Graph Neural Networks meet Personalized PageRank",
    arXiv:1810.05997."""

    def __init__(self, steps: int = 5, teleport: float = 0.1) -> None:
        super().__init__()
        self.steps, self.teleport, self.mlp = steps, teleport, mlp([FEATURES, 16, CLASSES])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        start = x = self.mlp(x)
        for _ in range(self.steps):
            x = (1 - self.teleport) * propagate(x, edge_index) + self.teleport * start
        return x


class GCN2(nn.Module):
    """Chen et al. 2020, "Simple and Deep Graph Convolutional Networks" (GCNII), arXiv:2007.02133: initial residual and
    identity."""

    def __init__(self, depth: int = 4, width: int = 16, alpha: float = 0.1, theta: float = 0.5) -> None:
        super().__init__()
        self.into, self.out, self.alpha, self.theta = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES), alpha, theta
        self.linears = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        start = x = self.into(x).relu()
        for number, linear in enumerate(self.linears, 1):
            beta = math.log(self.theta / number + 1)
            mixed = (1 - self.alpha) * propagate(x, edge_index) + self.alpha * start
            x = ((1 - beta) * mixed + beta * linear(mixed)).relu()
        return self.out(x)


class JumpingKnowledge(nn.Module):
    """Xu et al. 2018, "Representation Learning on Graphs with Jumping Knowledge Networks", arXiv:1806.03536: the largest over
    layers."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.ModuleList((GCNLayer(FEATURES, width), GCNLayer(width, width), GCNLayer(width, width)))
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        seen = []
        for layer in self.layers:
            x = layer(x, edge_index).relu()
            seen.append(x)
        return self.out(torch.stack(seen).amax(0))


class PNALayer(nn.Module):
    """Corso et al. 2020, "Principal Neighbourhood Aggregation for Graph Nets", arXiv:2004.05718.

    Mean, largest, smallest and standard deviation of the messages, each as it is, amplified and attenuated by degree. delta:
    mean of log(degree + 1) over the training set.
    """

    def __init__(self, inner: int, outer: int, delta: float = 1.2) -> None:
        super().__init__()
        self.delta, self.message, self.join = delta, nn.Linear(2 * inner, inner), nn.Linear(13 * inner, outer)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        message = self.message(torch.cat([x[target], x[source]], dim=-1))
        mean = segment_mean(message, target, nodes)
        spread = (segment_mean(message.square(), target, nodes) - mean.square()).relu()
        seen = [mean, segment_max(message, target, nodes), segment_max(message, target, nodes, True), (spread + 1e-5).sqrt()]
        seen = torch.cat(seen, dim=-1)
        degree = (segment_sum(torch.ones_like(source, dtype=x.dtype), target, nodes).clamp(min=1) + 1).log().unsqueeze(-1)
        return self.join(torch.cat([x, seen, seen * degree / self.delta, seen * self.delta / degree], dim=-1))


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


class TransformerLayer(nn.Module):
    """Shi et al. 2020, "Masked Label Prediction: Unified Message Passing Model for Semi-Supervised Classification" (UniMP),
    arXiv:2009.03509: attention over neighbours by queries and keys, and a gated residual. The label embedding is left out."""

    def __init__(self, inner: int, outer: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(inner, heads * outer) for _ in range(3))
        self.own, self.gate = nn.Linear(inner, outer), nn.Linear(3 * outer, 1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), x.shape[0]
        query, key, value = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.query, self.key, self.value))
        share = segment_softmax((query[target] * key[source]).sum(-1) / query.shape[-1] ** 0.5, target, nodes)
        seen = segment_sum(share.unsqueeze(-1) * value[source], target, nodes).mean(1)
        own = self.own(x)
        gate = self.gate(torch.cat([seen, own, seen - own], dim=-1)).sigmoid()
        return gate * own + (1 - gate) * seen


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


def gcn() -> Built:
    return Stack(GCNLayer), _graph()


def sage() -> Built:
    return Stack(SAGELayer), _graph()


def sage_pool() -> Built:
    return Stack(PoolSAGELayer), _graph()


def gat() -> Built:
    return Stack(GATLayer), _graph()


def gatv2() -> Built:
    return Stack(GATv2Layer), _graph()


def gin() -> Built:
    return Stack(GINLayer), _graph()


def cheb() -> Built:
    return Stack(ChebLayer), _graph()


def sgc() -> Built:
    return SGC(), _graph()


def appnp() -> Built:
    return APPNP(), _graph()


def gcn2() -> Built:
    return GCN2(), _graph()


def jumping_knowledge() -> Built:
    return JumpingKnowledge(), _graph()


def pna() -> Built:
    return Stack(PNALayer), _graph()


def unimp() -> Built:
    return Stack(TransformerLayer), _graph()


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
