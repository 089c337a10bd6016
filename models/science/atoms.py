"""Nets over atoms, meshes and graphs of the physical world: SchNet, PaiNN, EGNN, tensor products, GraphCast, MeshGraphNet and
others.

Edges are given: which atoms are near each other is the caller's to find. An edge goes from `edge_index[0]` to `edge_index[1]`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from porting.models.layers import Built, mlp, segment_softmax, segment_sum
from torch import Tensor, nn

ATOMS, EDGES, KINDS = 9, 24, 10


class ShiftedSoftplus(nn.Module):
    """softplus(x) - log 2."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x) - math.log(2)


def offsets(position: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors along the edges, and their lengths, [edges, 3] and [edges, 1]; never quite zero, so that it can be divided by."""
    along = position[edge_index[1]] - position[edge_index[0]]
    return along, (along.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def gaussians(length: Tensor, count: int, cutoff: float) -> Tensor:
    """Lengths, [edges, 1], spread over `count` Gaussians."""
    centres = torch.linspace(0, cutoff, count, dtype=length.dtype, device=length.device)
    return (-0.5 * ((length - centres) * count / cutoff).square()).exp()


def bessel(length: Tensor, count: int, cutoff: float) -> Tensor:
    """sin(n pi r / cutoff) / r for n from 1."""
    n = torch.arange(1, count + 1, dtype=length.dtype, device=length.device)
    return (n * math.pi * length / cutoff).sin() / length


def fade(length: Tensor, cutoff: float) -> Tensor:
    """Cosine from one to zero at the cutoff."""
    return torch.where(length < cutoff, 0.5 * ((math.pi * length / cutoff).cos() + 1), 0.0)


class SchNet(nn.Module):
    """Schütt et al. 2017, "SchNet: A continuous-filter convolutional neural network for modeling quantum interactions",
    arXiv:1706.08566.

    numbers: [atoms], kinds; position: [atoms, 3]; edge_index: [2, edges]. Returns the energy of the whole.
    """

    def __init__(self, width: int = 16, rbf: int = 12, depth: int = 2, cutoff: float = 5.0) -> None:
        super().__init__()
        self.rbf, self.cutoff, self.atom = rbf, cutoff, nn.Embedding(KINDS, width)
        self.filters = nn.ModuleList(mlp([rbf, width, width], ShiftedSoftplus, last=True) for _ in range(depth))
        self.into = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.outs = nn.ModuleList(mlp([width, width, width], ShiftedSoftplus) for _ in range(depth))
        self.head = mlp([width, width // 2, 1], ShiftedSoftplus)

    def forward(self, numbers: Tensor, position: Tensor, edge_index: Tensor) -> Tensor:
        _, length = offsets(position, edge_index)
        near, x = gaussians(length, self.rbf, self.cutoff), self.atom(numbers)
        for make, into, out in zip(self.filters, self.into, self.outs, strict=True):
            message = into(x)[edge_index[0]] * make(near) * fade(length, self.cutoff)
            x = x + out(segment_sum(message, edge_index[1], x.shape[0]))
        return self.head(x).sum(0)


class PaiNN(nn.Module):
    """Schütt, Unke and Gastegger 2021, "Equivariant message passing for the prediction of tensorial properties and molecular
    spectra", arXiv:2102.03150: scalars and vectors of each atom. Inputs as SchNet's. Returns the atoms' energies and a dipole."""

    def __init__(self, width: int = 16, rbf: int = 8, depth: int = 2, cutoff: float = 5.0) -> None:
        super().__init__()
        self.rbf, self.cutoff, self.atom = rbf, cutoff, nn.Embedding(KINDS, width)
        self.phi = nn.ModuleList(mlp([width, width, 3 * width], nn.SiLU) for _ in range(depth))
        self.filters = nn.ModuleList(nn.Linear(rbf, 3 * width) for _ in range(depth))
        self.mixes = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(depth))
        self.updates = nn.ModuleList(mlp([2 * width, width, 3 * width], nn.SiLU) for _ in range(depth))
        self.energy, self.dipole = mlp([width, width, 1], nn.SiLU), nn.Linear(width, 1, bias=False)

    def forward(self, numbers: Tensor, position: Tensor, edge_index: Tensor) -> dict[str, Tensor]:
        (source, target), atoms = edge_index.unbind(0), position.shape[0]
        along, length = offsets(position, edge_index)
        near, s = bessel(length, self.rbf, self.cutoff), self.atom(numbers)
        v = torch.zeros_like(s).unsqueeze(1).expand(-1, 3, -1)  # atoms, axes, width
        for phi, make, mix, update in zip(self.phi, self.filters, self.mixes, self.updates, strict=True):
            scalar, carry, fresh = (phi(s)[source] * make(near) * fade(length, self.cutoff)).chunk(3, dim=-1)
            s = s + segment_sum(scalar, target, atoms)
            direction = (along / length).unsqueeze(-1)
            v = v + segment_sum(carry.unsqueeze(1) * v[source] + fresh.unsqueeze(1) * direction, target, atoms)
            left, right = mix(v).chunk(2, dim=-1)
            size = (right.square().sum(1) + 1e-6).sqrt()
            from_v, from_both, from_s = update(torch.cat([s, size], dim=-1)).chunk(3, dim=-1)
            s, v = s + from_s + from_both * (left * right).sum(1), v + from_v.unsqueeze(1) * left
        return {"energies": self.energy(s).squeeze(-1), "dipole": self.dipole(v).sum((0, 2))}


class EGNN(nn.Module):
    """Satorras, Hoogeboom and Welling 2021, "E(n) Equivariant Graph Neural Networks", arXiv:2102.09844: positions are updated,
    too."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.atom = nn.Embedding(KINDS, width)
        self.edges = nn.ModuleList(mlp([2 * width + 1, width, width], nn.SiLU, last=True) for _ in range(depth))
        self.moves = nn.ModuleList(mlp([width, width, 1], nn.SiLU) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, 1) for _ in range(depth))
        self.nodes = nn.ModuleList(mlp([2 * width, width, width], nn.SiLU) for _ in range(depth))
        self.head = nn.Linear(width, 1)

    def forward(self, numbers: Tensor, position: Tensor, edge_index: Tensor) -> dict[str, Tensor]:
        (source, target), atoms = edge_index.unbind(0), position.shape[0]
        x = self.atom(numbers)
        for edge, move, gate, node in zip(self.edges, self.moves, self.gates, self.nodes, strict=True):
            along, length = offsets(position, edge_index)
            message = edge(torch.cat([x[target], x[source], length.square()], dim=-1))
            position = position + segment_sum(along / (length + 1) * move(message), target, atoms)
            seen = segment_sum(gate(message).sigmoid() * message, target, atoms)
            x = x + node(torch.cat([x, seen], dim=-1))
        return {"energy": self.head(x).sum(0), "position_out": position}


class TensorField(nn.Module):
    """Thomas et al. 2018, "Tensor field networks: Rotation- and translation-equivariant neural networks for 3D point clouds",
    arXiv:1802.08219: tensor products of features of orders 0 and 1 with spherical harmonics of orders 0 to 1, by plain tensors.

    Paths: 0x0->0, 1x1->0 (dot), 0x1->1, 1x0->1, 1x1->1 (cross), each with a radial net of its own; gates after each layer.
    Inputs as SchNet's.
    """

    def __init__(self, width: int = 8, rbf: int = 8, depth: int = 2, cutoff: float = 5.0) -> None:
        super().__init__()
        self.width, self.rbf, self.cutoff, self.atom = width, rbf, cutoff, nn.Embedding(KINDS, width)
        self.radial = nn.ModuleList(mlp([rbf, 16, 5 * width], nn.SiLU) for _ in range(depth))
        self.scalars = nn.ModuleList(nn.Linear(2 * width, 2 * width) for _ in range(depth))
        self.vectors = nn.ModuleList(nn.Linear(3 * width, width, bias=False) for _ in range(depth))
        self.energy, self.force = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)

    def forward(self, numbers: Tensor, position: Tensor, edge_index: Tensor) -> dict[str, Tensor]:
        (source, target), atoms = edge_index.unbind(0), position.shape[0]
        along, length = offsets(position, edge_index)
        near = gaussians(length, self.rbf, self.cutoff) * fade(length, self.cutoff)
        y = (math.sqrt(3) * along / length).unsqueeze(-1)  # edges, 3, 1
        s = self.atom(numbers)
        v = torch.zeros_like(s).unsqueeze(1).expand(-1, 3, -1)
        for radial, scalar, vector in zip(self.radial, self.scalars, self.vectors, strict=True):
            w = radial(near).unflatten(-1, (5, self.width)).unbind(1)
            s_in, v_in = s[source], v[source]
            to_scalar = torch.cat([w[0] * s_in, w[1] * (v_in * y).sum(1) / math.sqrt(3)], dim=-1)
            cross = torch.linalg.cross(v_in, y.expand_as(v_in), dim=1) / math.sqrt(2)
            to_vector = [w[2].unsqueeze(1) * s_in.unsqueeze(1) * y, w[3].unsqueeze(1) * v_in, w[4].unsqueeze(1) * cross]
            fresh, gate = scalar(segment_sum(to_scalar, target, atoms)).chunk(2, dim=-1)
            s = s + F.silu(fresh)
            v = v + gate.sigmoid().unsqueeze(1) * vector(segment_sum(torch.cat(to_vector, dim=-1), target, atoms))
        return {"energy": self.energy(s).sum(0), "forces": self.force(v).squeeze(-1)}


class GVP(nn.Module):
    """Geometric vector perceptron: scalars see the lengths of vectors, vectors are mixed without a bias and gated by scalars."""

    def __init__(self, scalars: tuple[int, int], vectors: tuple[int, int]) -> None:
        super().__init__()
        hidden = max(vectors)
        self.into, self.out = nn.Linear(vectors[0], hidden, bias=False), nn.Linear(hidden, vectors[1], bias=False)
        self.scalar, self.gate = nn.Linear(scalars[0] + hidden, scalars[1]), nn.Linear(scalars[1], vectors[1])

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.into(v)
        s = self.scalar(torch.cat([s, (hidden.square().sum(1) + 1e-6).sqrt()], dim=-1))
        return s.relu(), self.gate(s).sigmoid().unsqueeze(1) * self.out(hidden)


class GVPNet(nn.Module):
    """Jing et al. 2020, "Learning from Protein Structure with Geometric Vector Perceptrons", arXiv:2009.01411: vector messages.

    residues: [nodes, 6]; orientations: [nodes, 3, 2], vectors; position: [nodes, 3]; edge_index: [2, edges]. Returns 20 logits
    a node.
    """

    def __init__(self, width: int = 16, vectors: int = 4, rbf: int = 8) -> None:
        super().__init__()
        self.rbf, self.into = rbf, GVP((6, width), (2, vectors))
        self.message = GVP((2 * width + rbf, width), (2 * vectors + 1, vectors))
        self.feed = GVP((width, width), (vectors, vectors))
        self.norm, self.out = nn.LayerNorm(width), GVP((width, 20), (vectors, 1))

    def forward(self, residues: Tensor, orientations: Tensor, position: Tensor, edge_index: Tensor) -> Tensor:
        (source, target), nodes = edge_index.unbind(0), position.shape[0]
        along, length = offsets(position, edge_index)
        s, v = self.into(residues, orientations)
        direction = (along / length).unsqueeze(-1)
        carried = torch.cat([s[source], s[target], gaussians(length, self.rbf, 5.0)], dim=-1)
        ds, dv = self.message(carried, torch.cat([v[source], v[target], direction], dim=-1))
        s, v = self.norm(s + segment_sum(ds, target, nodes)), v + segment_sum(dv, target, nodes)
        ds, dv = self.feed(s, v)
        return self.out.scalar(torch.cat([s + ds, (self.out.into(v + dv).square().sum(1) + 1e-6).sqrt()], dim=-1))


class DeepPotential(nn.Module):
    """Zhang et al. 2018, "End-to-end Symmetry Preserving Inter-atomic Potential Energy Model for Finite and Extended Systems"
    (DeePMD), arXiv:1805.09003: an embedding of each neighbour, made invariant by products, then a fitting net.

    neighbours: [batch, atoms, 8, 3], offsets to a fixed number of neighbours. Returns the energy. One kind of atom.
    """

    def __init__(self, width: int = 16, narrow: int = 4, cutoff: float = 6.0) -> None:
        super().__init__()
        self.narrow, self.cutoff = narrow, cutoff
        self.embedding, self.fitting = mlp([1, 8, width], nn.Tanh, last=True), mlp([width * narrow, 32, 32, 1], nn.Tanh)

    def forward(self, neighbours: Tensor) -> Tensor:
        length = (neighbours.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        weight = fade(length, self.cutoff) / length
        rows = torch.cat([weight, weight * neighbours / length], dim=-1)  # batch, atoms, neighbours, 4
        seen = self.embedding(weight).transpose(-1, -2) @ rows / neighbours.shape[2]
        descriptor = seen @ seen[..., : self.narrow, :].transpose(-1, -2)
        return self.fitting(descriptor.flatten(2)).sum((1, 2))


class CGCNN(nn.Module):
    """Xie and Grossman 2017, "Crystal Graph Convolutional Neural Networks for an Accurate and Interpretable Prediction of
    Material Properties", arXiv:1710.10324. Inputs as SchNet's; returns one number for the crystal."""

    def __init__(self, width: int = 16, rbf: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.rbf, self.atom = rbf, nn.Embedding(KINDS, width)
        self.linears = nn.ModuleList(nn.Linear(2 * width + rbf, 2 * width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(2 * width) for _ in range(depth))
        self.head = nn.Sequential(nn.Softplus(), mlp([width, width, 1], nn.Softplus))

    def forward(self, numbers: Tensor, position: Tensor, edge_index: Tensor) -> Tensor:
        (source, target), x = edge_index.unbind(0), self.atom(numbers)
        near = gaussians(offsets(position, edge_index)[1], self.rbf, 5.0)
        for linear, norm in zip(self.linears, self.norms, strict=True):
            gate, core = norm(linear(torch.cat([x[target], x[source], near], dim=-1))).chunk(2, dim=-1)
            x = F.softplus(x + segment_sum(gate.sigmoid() * F.softplus(core), target, x.shape[0]))
        return self.head(x.mean(0))


class AttentiveFP(nn.Module):
    """Xiong et al. 2019, "Pushing the Boundaries of Molecular Representation for Drug Discovery with the Graph Attention
    Mechanism", Journal of Medicinal Chemistry: attention and a GRU over bonds, then over the atoms of the molecule.

    x: [atoms, 12]; edge_index: [2, bonds]; edge_attr: [bonds, 4]. One molecule.
    """

    def __init__(self, features: int = 12, bonds: int = 4, width: int = 16, rounds: int = 2) -> None:
        super().__init__()
        self.rounds, self.into, self.bond = rounds, nn.Linear(features, width), nn.Linear(features + bonds, width)
        self.align = nn.ModuleList(nn.Linear(2 * width, 1) for _ in range(rounds + 1))
        self.attend = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds + 1))
        self.update = nn.ModuleList(nn.GRUCell(width, width) for _ in range(rounds + 1))
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        (source, target), atoms = edge_index.unbind(0), x.shape[0]
        neighbour = F.leaky_relu(self.bond(torch.cat([x[source], edge_attr], dim=-1)))
        state = F.leaky_relu(self.into(x))
        for number in range(self.rounds):
            seen = neighbour if number == 0 else state[source]
            score = F.leaky_relu(self.align[number](torch.cat([state[target], seen], dim=-1)))
            context = segment_sum(segment_softmax(score, target, atoms) * self.attend[number](seen), target, atoms)
            state = self.update[number](F.elu(context), state).relu()
        whole = state.sum(0, keepdim=True)
        for _ in range(self.rounds):
            score = F.leaky_relu(self.align[-1](torch.cat([whole.expand_as(state), state], dim=-1)))
            context = F.elu((score.softmax(0) * self.attend[-1](state)).sum(0, keepdim=True))
            whole = self.update[-1](context, whole).relu()
        return self.head(whole)


class Interaction(nn.Module):
    """Edges see their ends, nodes the sum of their edges; both with residuals. nodes: [batch, nodes, width], ends of other
    kinds allowed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge = nn.Sequential(mlp([3 * width, width, width], nn.SiLU), nn.LayerNorm(width))
        self.node = nn.Sequential(mlp([2 * width, width, width], nn.SiLU), nn.LayerNorm(width))

    def forward(self, sender: Tensor, receiver: Tensor, edge: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        edge = edge + self.edge(torch.cat([edge, sender[:, source], receiver[:, target]], dim=-1))
        seen = torch.zeros_like(receiver).index_add(1, target, edge)
        return receiver + self.node(torch.cat([receiver, seen], dim=-1)), edge


class GraphCast(nn.Module):
    """Lam et al. 2022, "GraphCast: Learning skillful medium-range global weather forecasting", arXiv:2212.12794: encode from
    grid to mesh, process on the mesh with edges of several lengths, decode to the grid.

    weather: [batch, grid, 6]. The grid is 6 x 12 places and the mesh a ring of 8 with steps of 1, 2 and 4, where the paper has
    a refined icosahedron; edge lists are fixed.
    """

    def __init__(self, variables: int = 6, width: int = 16, mesh: int = 8, rows: int = 6, columns: int = 12) -> None:
        super().__init__()
        grid = torch.arange(rows * columns)
        nearest = (grid % columns) * mesh // columns
        ring = torch.arange(mesh)
        self._edges("up", grid, nearest)
        self._edges("mesh", torch.cat([ring] * 3), torch.cat([(ring + step) % mesh for step in (1, 2, 4)]))
        self._edges("down", torch.cat([nearest, (nearest + 1) % mesh]), torch.cat([grid, grid]))
        self.grid_in, self.mesh_in = mlp([variables, width, width], nn.SiLU), nn.Parameter(torch.randn(mesh, width))
        sizes = {"up": rows * columns, "mesh": 3 * mesh, "down": 2 * rows * columns}
        self.edge_in = nn.ParameterDict({name: nn.Parameter(torch.randn(size, width)) for name, size in sizes.items()})
        self.encode, self.decode = Interaction(width), Interaction(width)
        self.process = nn.ModuleList(Interaction(width) for _ in range(3))
        self.out = mlp([width, width, variables], nn.SiLU)

    def _edges(self, name: str, source: Tensor, target: Tensor) -> None:
        self.register_buffer(f"{name}_source", source)
        self.register_buffer(f"{name}_target", target)

    def forward(self, weather: Tensor) -> Tensor:
        batch, grid = weather.shape[0], self.grid_in(weather)
        up, along, down = (self.edge_in[name].expand(batch, -1, -1) for name in ("up", "mesh", "down"))
        mesh, _ = self.encode(grid, self.mesh_in.expand(batch, -1, -1), up, self.up_source, self.up_target)
        for layer in self.process:
            mesh, along = layer(mesh, mesh, along, self.mesh_source, self.mesh_target)
        grid, _ = self.decode(mesh, grid, down, self.down_source, self.down_target)
        return weather + self.out(grid)


class MeshGraphNet(nn.Module):
    """Pfaff et al. 2020, "Learning Mesh-Based Simulation with Graph Networks", arXiv:2010.03409.

    velocity: [nodes, 2]; kinds: [nodes]; position: [nodes, 2]; edge_index: [2, edges]. Returns the velocity one step on. World
    edges and the integrator of positions are left out.
    """

    def __init__(self, kinds: int = 4, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.kinds = kinds
        self.node_in, self.edge_in = (nn.Sequential(mlp([n, width, width]), nn.LayerNorm(width)) for n in (2 + kinds, 3))
        self.layers, self.out = nn.ModuleList(Interaction(width) for _ in range(depth)), mlp([width, width, 2])

    def forward(self, velocity: Tensor, kinds: Tensor, position: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index.unbind(0)
        along, length = offsets(position, edge_index)
        kind = F.one_hot(kinds, self.kinds).to(velocity.dtype)
        node = self.node_in(torch.cat([velocity, kind], dim=-1)).unsqueeze(0)
        edge = self.edge_in(torch.cat([along, length], dim=-1)).unsqueeze(0)
        for layer in self.layers:
            node, edge = layer(node, node, edge, source, target)
        return velocity + self.out(node.squeeze(0))


def edges(nodes: int = ATOMS, count: int = EDGES) -> Tensor:
    """[2, count], no edge from a node to itself; the last node occurs."""
    source = torch.randint(0, nodes, (count,))
    source[0] = nodes - 1
    return torch.stack([source, (source + torch.randint(1, nodes, (count,))) % nodes])


def _molecule() -> dict[str, Tensor]:
    return {"numbers": torch.randint(0, KINDS, (ATOMS,)), "position": torch.randn(ATOMS, 3), "edge_index": edges()}


def schnet() -> Built:
    return SchNet(), _molecule()


def painn() -> Built:
    return PaiNN(), _molecule()


def egnn() -> Built:
    return EGNN(), _molecule()


def tensor_field() -> Built:
    return TensorField(), _molecule()


def cgcnn() -> Built:
    return CGCNN(), _molecule()


def gvp() -> Built:
    examples = {"residues": torch.randn(ATOMS, 6), "orientations": torch.randn(ATOMS, 3, 2)}
    return GVPNet(), {**examples, "position": torch.randn(ATOMS, 3), "edge_index": edges()}


def deepmd() -> Built:
    return DeepPotential(), {"neighbours": torch.randn(2, 5, 8, 3)}


def attentive_fp() -> Built:
    return AttentiveFP(), {"x": torch.randn(ATOMS, 12), "edge_index": edges(), "edge_attr": torch.randn(EDGES, 4)}


def graphcast() -> Built:
    return GraphCast(), {"weather": torch.randn(2, 72, 6)}


def mesh_graph_net() -> Built:
    examples = {"velocity": torch.randn(ATOMS, 2), "kinds": torch.arange(ATOMS) % 4}
    return MeshGraphNet(), {**examples, "position": torch.randn(ATOMS, 2), "edge_index": edges()}
