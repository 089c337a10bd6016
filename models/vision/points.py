"""Nets for points in space: PointNet and its kin, DGCNN, PointPillars, VoxNet.

points: [batch, 24, 3]. Which points form a group, where a net needs groups, is given as indices: sampling is the caller's.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from porting.models.layers import Built, conv, mlp
from torch import Tensor, nn

POINTS = 24


def shared(inner: int, *outer: int) -> nn.Sequential:
    """1x1 convolutions with BatchNorm and ReLU: the same MLP for every point."""
    layers: list[nn.Module] = []
    for n in outer:
        layers += [nn.Conv1d(inner, n, 1), nn.BatchNorm1d(n), nn.ReLU()]
        inner = n
    return nn.Sequential(*layers)


def at(x: Tensor, index: Tensor) -> Tensor:
    """[batch, points, width] at [batch, ...] indices: [batch, ..., width]."""
    rows = index.flatten(1).unsqueeze(-1).expand(-1, -1, x.shape[-1])
    return x.gather(1, rows).unflatten(1, tuple(index.shape[1:]))


class Turn(nn.Module):
    """The net of PointNet that finds a matrix by which all points are turned."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.each, self.whole = size, shared(size, 16, 32), mlp([32, 16, size * size])

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.whole(self.each(x).amax(-1)).unflatten(-1, (self.size, self.size))
        matrix = matrix + torch.eye(self.size, dtype=x.dtype, device=x.device)
        return matrix.transpose(1, 2) @ x


class PointNet(nn.Module):
    """Qi et al. 2016, "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", arXiv:1612.00593: class
    logits, and part logits for every point."""

    def __init__(self, classes: int = 6, parts: int = 4) -> None:
        super().__init__()
        self.turn, self.turn_features = Turn(3), Turn(16)
        self.first, self.second = shared(3, 16), shared(16, 32, 48)
        self.whole, self.each = mlp([48, 32, classes]), nn.Sequential(shared(64, 32), nn.Conv1d(32, parts, 1))

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        near = self.turn_features(self.first(self.turn(points.transpose(1, 2))))
        whole = self.second(near).amax(-1)
        both = torch.cat([near, whole.unsqueeze(-1).expand(-1, -1, points.shape[1])], dim=1)
        return {"class": self.whole(whole), "parts": self.each(both).transpose(1, 2)}


class PointNetPlusPlus(nn.Module):
    """Qi et al. 2017, "PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space", arXiv:1706.02413: one
    level of grouping and the way back by distance. centres: [batch, 6]; groups: [batch, 6, 5], indices of points."""

    def __init__(self, width: int = 24, classes: int = 5) -> None:
        super().__init__()
        self.group, self.whole = shared(3, 16, width), shared(width + 3, 32)
        self.back, self.out = shared(width + 32, 32), nn.Conv1d(32, classes, 1)

    def forward(self, points: Tensor, centres: Tensor, groups: Tensor) -> Tensor:
        middle = at(points, centres)
        local = at(points, groups) - middle.unsqueeze(2)
        x = self.group(local.flatten(0, 1).transpose(1, 2)).amax(-1).unflatten(0, (-1, middle.shape[1]))
        whole = self.whole(torch.cat([x, middle], dim=-1).transpose(1, 2)).amax(-1)
        weight = 1 / ((points.unsqueeze(2) - middle.unsqueeze(1)).square().sum(-1) + 1e-3)  # all centres, not the nearest three
        spread = (weight / weight.sum(-1, keepdim=True)) @ x
        both = torch.cat([spread, whole.unsqueeze(1).expand(-1, points.shape[1], -1)], dim=-1)
        return self.out(self.back(both.transpose(1, 2))).transpose(1, 2)


class DGCNN(nn.Module):
    """Wang et al. 2018, "Dynamic Graph CNN for Learning on Point Clouds", arXiv:1801.07829: edges to the nearest points, found
    anew among the features of each layer. Of two at the same distance the first is nearer: topk may take either."""

    def __init__(self, width: int = 16, near: int = 5, classes: int = 6) -> None:
        super().__init__()
        self.near, sizes = near, (3, width, width)
        self.edges = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * a, b, bias=False), nn.LayerNorm(b), nn.LeakyReLU(0.2))
            for a, b in itertools.pairwise(sizes)
        )
        self.join, self.out = nn.Linear(2 * width, 32), mlp([64, 32, classes])

    def forward(self, points: Tensor) -> Tensor:
        x, seen = points, []
        for edge in self.edges:
            square = x.square().sum(-1)
            apart = square.unsqueeze(2) - 2 * x @ x.transpose(1, 2) + square.unsqueeze(1)
            apart = apart + 1e-4 * torch.arange(x.shape[1], device=x.device)
            neighbours = at(x, apart.topk(self.near, dim=-1, largest=False).indices)
            own = x.unsqueeze(2).expand_as(neighbours)
            x = edge(torch.cat([own, neighbours - own], dim=-1)).amax(2)
            seen.append(x)
        x = F.leaky_relu(self.join(torch.cat(seen, dim=-1)), 0.2)
        return self.out(torch.cat([x.amax(1), x.mean(1)], dim=-1))


class PointTransformer(nn.Module):
    """Zhao et al. 2020, "Point Transformer", arXiv:2012.09164: attention by vectors among given neighbours, with places
    encoded. neighbours: [batch, 24, 5]."""

    def __init__(self, width: int = 16, classes: int = 6) -> None:
        super().__init__()
        self.into, self.query, self.key, self.value = nn.Linear(3, width), *(nn.Linear(width, width) for _ in range(3))
        self.place, self.score = mlp([3, width, width]), mlp([width, width, width])
        self.mix, self.out = nn.Linear(width, width), mlp([width, width, classes])

    def forward(self, points: Tensor, neighbours: Tensor) -> Tensor:
        x = self.into(points)
        place = self.place(points.unsqueeze(2) - at(points, neighbours))
        share = self.score(self.query(x).unsqueeze(2) - at(self.key(x), neighbours) + place).softmax(2)
        x = x + self.mix((share * (at(self.value(x), neighbours) + place)).sum(2))
        return self.out(x.mean(1))


class PointPillars(nn.Module):
    """Lang et al. 2018, "PointPillars: Fast Encoders for Object Detection from Point Clouds", arXiv:1812.05784: points of a
    pillar to a vector, vectors to an image from above, convolutions of two scales, an anchor head.

    pillars: [batch, 10, 6, 9], points with nine numbers; cells: [batch, 10], where each pillar stands in a grid of 8 x 12.
    """

    def __init__(self, width: int = 16, anchors: int = 2) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Linear(9, width, bias=False), nn.LayerNorm(width), nn.ReLU())
        self.first, self.second = conv(width, width, 3, 2), conv(width, width, 3, 2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, n, n, bias=False) for n in (2, 4))
        self.score, self.box = nn.Conv2d(2 * width, anchors, 1), nn.Conv2d(2 * width, 7 * anchors, 1)

    def forward(self, pillars: Tensor, cells: Tensor) -> dict[str, Tensor]:
        x = self.point(pillars).amax(2)
        seen = torch.zeros_like(x[:, :1]).expand(-1, 96, -1)
        seen = seen.scatter_add(1, cells.unsqueeze(-1).expand_as(x), x)
        first = self.first(seen.transpose(1, 2).unflatten(-1, (8, 12)))
        second = self.second(first)
        x = torch.cat([self.up[0](first), self.up[1](second)], dim=1)
        return {"scores": self.score(x), "boxes": self.box(x)}


class VoxNet(nn.Module):
    """Maturana and Scherer 2015, "VoxNet: A 3D Convolutional Neural Network for Real-Time Object Recognition" (IROS). volume:
    [batch, 1, 16, 16, 16], occupancy."""

    def __init__(self, width: int = 8, classes: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, width, 5, 2), nn.LeakyReLU(0.1), nn.Conv3d(width, width, 3), nn.LeakyReLU(0.1), nn.MaxPool3d(2),
            nn.Flatten(), nn.Linear(8 * width, 32), nn.ReLU(), nn.Linear(32, classes),
        )  # fmt: skip

    def forward(self, volume: Tensor) -> Tensor:
        return self.layers(volume)


def _ids(high: int, *shape: int) -> Tensor:
    """Ids of a batch of two, the largest among them."""
    ids = torch.randint(0, high, (2, *shape))
    ids.view(-1)[0] = high - 1
    return ids


def _points() -> dict[str, Tensor]:
    return {"points": torch.randn(2, POINTS, 3)}


def pointnet() -> Built:
    return PointNet(), _points()


def pointnet_plus_plus() -> Built:
    return PointNetPlusPlus(), {**_points(), "centres": _ids(POINTS, 6), "groups": _ids(POINTS, 6, 5)}


def dgcnn() -> Built:
    return DGCNN(), _points()


def point_transformer() -> Built:
    return PointTransformer(), {**_points(), "neighbours": _ids(POINTS, POINTS, 5)}


def pointpillars() -> Built:
    return PointPillars(), {"pillars": torch.randn(2, 10, 6, 9), "cells": _ids(96, 10)}


def voxnet() -> Built:
    return VoxNet(), {"volume": torch.randn(2, 1, 16, 16, 16)}
