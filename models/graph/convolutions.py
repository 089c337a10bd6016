"""Graph convolutions over an edge list, with plain index_add and scatter: GCN, GraphSAGE, GAT, GIN, PNA and others.

x: [nodes, 12], features; edge_index: [2, edges], the source of each edge above its target. Answers are per node; dropout and
training losses are left out. Nodes without an incoming edge take part with nothing received.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp, segment_max, segment_mean, segment_softmax, segment_sum
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
