"""Detectors and pose nets that timm does not have: SSD, YOLO v3, v5 and v8, RetinaNet, FCOS, CenterNet, OpenPose, MoveNet.

image: [batch, 3, height, width]. Boxes and scores of all places are the answer: suppression of duplicates is the caller's.
Backbones are a few convolutions; losses are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Built, conv
from torch import Tensor, nn

CLASSES = 6


def silu(inner: int, outer: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, SiLU."""
    return conv(inner, outer, kernel, stride, nn.SiLU)


def leaky(inner: int, outer: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, leaky ReLU."""
    return conv(inner, outer, kernel, stride, nn.LeakyReLU)


def places(x: Tensor, stride: int, offset: float = 0.5) -> Tensor:
    """Centres of the cells of a feature map, in pixels, [cells, 2], x before y."""
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) + offset for n in x.shape[-2:])
    y, across = torch.meshgrid(rows, columns, indexing="ij")
    return stride * torch.stack([across, y], dim=-1).flatten(0, 1)


def listed(x: Tensor, channels: int) -> Tensor:
    """[batch, anchors * channels, height, width] to [batch, places * anchors, channels]."""
    return x.unflatten(1, (-1, channels)).permute(0, 3, 4, 1, 2).flatten(1, 3)


class SSD(nn.Module):
    """Liu et al. 2015, "SSD: Single Shot MultiBox Detector", arXiv:1512.02325: boxes from maps of three sizes, relative to
    default boxes of fixed shapes, and class scores."""

    def __init__(self, width: int = 16, anchors: int = 3) -> None:
        super().__init__()
        sizes = (width, 2 * width, 2 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, 4 if n == 0 else 2), conv(b, b))
            for n, (a, b) in enumerate(zip((3, *sizes), sizes, strict=False))
        )
        self.boxes = nn.ModuleList(nn.Conv2d(n, 4 * anchors, 3, padding=1) for n in sizes)
        self.scores = nn.ModuleList(nn.Conv2d(n, CLASSES * anchors, 3, padding=1) for n in sizes)
        self.register_buffer("shapes", torch.tensor([[1.0, 1.0], [1.41, 0.71], [0.71, 1.41]]))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, boxes, scores = image, [], []
        for number, (stage, box, score) in enumerate(zip(self.stages, self.boxes, self.scores, strict=True)):
            x, stride = stage(x), 4 * 2**number
            centre = places(x, stride).unsqueeze(1).expand(-1, len(self.shapes), -1).flatten(0, 1)
            size = (2 * stride * self.shapes).repeat(x.shape[2] * x.shape[3], 1)
            move, grow = listed(box(x), 4).chunk(2, dim=-1)
            middle, half = centre + 0.1 * move * size, size * (0.2 * grow).exp() / 2
            boxes.append(torch.cat([middle - half, middle + half], dim=-1))
            scores.append(listed(score(x), CLASSES).softmax(-1))
        return {"boxes": torch.cat(boxes, dim=1), "scores": torch.cat(scores, dim=1)}


class DarkResidual(nn.Module):
    """1x1 and 3x3 convolutions beside a shortcut (Darknet-53)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(leaky(width, width // 2, 1), leaky(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class YOLOv3(nn.Module):
    """Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement", arXiv:1804.02767: two of its three scales. Answers: boxes
    with objectness and class scores, [batch, anchors, 5 + classes]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(leaky(3, width), leaky(width, 2 * width, 3, 2), DarkResidual(2 * width))
        self.high = nn.Sequential(leaky(2 * width, 4 * width, 3, 4), DarkResidual(4 * width))
        self.low = nn.Sequential(leaky(4 * width, 8 * width, 3, 2), DarkResidual(8 * width))
        self.neck, self.narrow = leaky(8 * width, 4 * width, 1), leaky(4 * width, 2 * width, 1)
        self.join = nn.Sequential(leaky(6 * width, 2 * width, 1), leaky(2 * width, 4 * width))
        self.heads = nn.ModuleList(nn.Conv2d(4 * width, 3 * (5 + CLASSES), 1) for _ in range(2))
        self.register_buffer("anchors", torch.tensor([[[30.0, 61], [62, 45], [59, 119]], [[10, 13], [16, 30], [33, 23]]]) / 4)

    def forward(self, image: Tensor) -> Tensor:
        high = self.high(self.stem(image))
        low = self.neck(self.low(high))
        up = F.interpolate(self.narrow(low), scale_factor=2.0)
        maps = (self.heads[0](low), self.heads[1](self.join(torch.cat([up, high], dim=1))))
        return torch.cat([self._decode(x, n) for n, x in enumerate(maps)], dim=1)

    def _decode(self, x: Tensor, number: int) -> Tensor:
        stride = (16, 8)[number]
        count = x.shape[2] * x.shape[3]
        move, size, rest = listed(x, 5 + CLASSES).split([2, 2, 1 + CLASSES], dim=-1)
        corner = places(x, stride, 0.0).repeat_interleave(3, 0)
        centre = corner + stride * move.sigmoid()
        return torch.cat([centre, self.anchors[number].repeat(count, 1) * size.exp(), rest.sigmoid()], dim=-1)


class Bottleneck(nn.Module):
    """Two convolutions, beside a shortcut where asked for."""

    def __init__(self, width: int, kernels: tuple[int, int], add: bool) -> None:
        super().__init__()
        self.layers, self.add = nn.Sequential(silu(width, width, kernels[0]), silu(width, width, kernels[1])), add

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.add else self.layers(x)


class C3(nn.Module):
    """Cross-stage partial block of YOLO v5: one half goes through bottlenecks."""

    def __init__(self, inner: int, outer: int, depth: int = 1, add: bool = True) -> None:
        super().__init__()
        half = outer // 2
        self.deep, self.straight, self.join = silu(inner, half), silu(inner, half), silu(2 * half, outer)
        self.blocks = nn.Sequential(*(Bottleneck(half, (1, 3), add) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.blocks(self.deep(x)), self.straight(x)], dim=1))


class C2f(nn.Module):
    """Block of YOLO v8: every bottleneck's answer is kept and joined."""

    def __init__(self, inner: int, outer: int, depth: int = 1, add: bool = True) -> None:
        super().__init__()
        half = outer // 2
        self.into, self.join = silu(inner, 2 * half), silu((2 + depth) * half, outer)
        self.blocks = nn.ModuleList(Bottleneck(half, (3, 3), add) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.into(x).chunk(2, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.join(torch.cat(parts, dim=1))


class SPPF(nn.Module):
    """The same max pooling three times over, all joined."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.join = silu(width, width // 2), silu(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.into(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.join(torch.cat(parts, dim=1))


class PathNet(nn.Module):
    """Backbone and neck of YOLO v5 and v8 at strides 8 and 16: down, up, and down again, by blocks of one kind."""

    def __init__(self, block: type[nn.Module], width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(silu(3, width, 3, 2), silu(width, 2 * width, 3, 2), block(2 * width, 2 * width))
        self.high = nn.Sequential(silu(2 * width, 4 * width, 3, 2), block(4 * width, 4 * width))
        self.low = nn.Sequential(silu(4 * width, 8 * width, 3, 2), block(8 * width, 8 * width), SPPF(8 * width))
        self.up, self.again = block(12 * width, 4 * width, 1, False), silu(4 * width, 4 * width, 3, 2)
        self.down, self.sizes = block(12 * width, 8 * width, 1, False), (4 * width, 8 * width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        high = self.high(self.stem(image))
        low = self.low(high)
        high = self.up(torch.cat([F.interpolate(low, scale_factor=2.0), high], dim=1))
        return high, self.down(torch.cat([self.again(high), low], dim=1))


class YOLOv5(nn.Module):
    """The net of YOLO v5 (Ultralytics 2020; no paper): C3 blocks, SPPF, a path aggregation neck, anchors; two of its three
    scales."""

    def __init__(self) -> None:
        super().__init__()
        self.net = PathNet(C3)
        self.heads = nn.ModuleList(nn.Conv2d(n, 3 * (5 + CLASSES), 1) for n in self.net.sizes)
        self.register_buffer("anchors", torch.tensor([[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]]]) / 4)

    def forward(self, image: Tensor) -> Tensor:
        answers = []
        for number, (x, head) in enumerate(zip(self.net(image), self.heads, strict=True)):
            stride, x = (8, 16)[number], head(x)
            corner = places(x, stride, 0.0).repeat_interleave(3, 0)
            move, size, rest = listed(x, 5 + CLASSES).sigmoid().split([2, 2, 1 + CLASSES], dim=-1)
            anchors = self.anchors[number].repeat(x.shape[2] * x.shape[3], 1)
            answers.append(torch.cat([corner + stride * (2 * move - 0.5), (2 * size).square() * anchors, rest], dim=-1))
        return torch.cat(answers, dim=1)


class YOLOv8(nn.Module):
    """The net of YOLO v8 (Ultralytics 2023; no paper): C2f blocks, heads apart for boxes and classes, no anchors; distances to
    the four sides as distributions (Li et al. 2020, "Generalized Focal Loss", arXiv:2006.04388). Two of its three scales."""

    def __init__(self, bins: int = 8) -> None:
        super().__init__()
        self.net, self.bins = PathNet(C2f), bins
        self.boxes = nn.ModuleList(nn.Sequential(silu(n, 32, 3), nn.Conv2d(32, 4 * bins, 1)) for n in self.net.sizes)
        self.scores = nn.ModuleList(nn.Sequential(silu(n, 32, 3), nn.Conv2d(32, CLASSES, 1)) for n in self.net.sizes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        boxes, scores = [], []
        for number, x in enumerate(self.net(image)):
            stride = (8, 16)[number]
            shares = listed(self.boxes[number](x), 4 * self.bins).unflatten(-1, (4, self.bins)).softmax(-1)
            sides = stride * shares @ torch.arange(self.bins, dtype=x.dtype, device=x.device)
            centre = places(x, stride)
            boxes.append(torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], dim=-1))
            scores.append(listed(self.scores[number](x), CLASSES).sigmoid())
        return {"boxes": torch.cat(boxes, dim=1), "scores": torch.cat(scores, dim=1)}


class Pyramid(nn.Module):
    """Lin et al. 2016, "Feature Pyramid Networks for Object Detection", arXiv:1612.03144, over a small backbone; strides 4, 8
    and 16."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = (width, 2 * width, 2 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, 4 if n == 0 else 2), conv(b, b))
            for n, (a, b) in enumerate(zip((3, *sizes), sizes, strict=False))
        )
        self.sides = nn.ModuleList(nn.Conv2d(n, width, 1) for n in sizes)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in sizes)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, levels = image, []
        for stage, side in zip(self.stages, self.sides, strict=True):
            x = stage(x)
            levels.append(side(x))
        for n in (1, 0):
            levels[n] = levels[n] + F.interpolate(levels[n + 1], size=levels[n].shape[-2:])
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]


def tower(width: int, outer: int) -> nn.Sequential:
    """The head shared by all levels: convolutions with GroupNorm, then the answer."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(4, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, outer, 3, padding=1))


class RetinaNet(nn.Module):
    """Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002: heads shared by the levels of a pyramid, 9
    anchors a place. Answers: offsets to the anchors and scores (its heads have no norms; these do)."""

    def __init__(self, width: int = 16, anchors: int = 9) -> None:
        super().__init__()
        self.pyramid, self.box, self.score = Pyramid(width), tower(width, 4 * anchors), tower(width, CLASSES * anchors)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        levels = self.pyramid(image)
        boxes = torch.cat([listed(self.box(x), 4) for x in levels], dim=1)
        return {"offsets": boxes, "scores": torch.cat([listed(self.score(x), CLASSES) for x in levels], dim=1).sigmoid()}


class FCOS(nn.Module):
    """Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection", arXiv:1904.01355: each place tells its distance
    to the four sides, its class, and how central it is."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.pyramid, self.box, self.score = Pyramid(width), tower(width, 5), tower(width, CLASSES)
        self.scales = nn.Parameter(torch.ones(3))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        boxes, scores = [], []
        for number, x in enumerate(self.pyramid(image)):
            stride, centre = 4 * 2**number, places(x, 4 * 2**number)
            sides, central = listed(self.box(x), 5).split([4, 1], dim=-1)
            sides = stride * (self.scales[number] * sides).relu()
            boxes.append(torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], dim=-1))
            scores.append((listed(self.score(x), CLASSES).sigmoid() * central.sigmoid() + 1e-9).sqrt())
        return {"boxes": torch.cat(boxes, dim=1), "scores": torch.cat(scores, dim=1)}


class CenterNet(nn.Module):
    """Zhou, Wang and Krähenbühl 2019, "Objects as Points", arXiv:1904.07850: a heat map of centres, in which only local maxima
    are kept, sizes and offsets."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down = nn.Sequential(conv(3, width, 3, 4), conv(width, 2 * width, 3, 2))
        self.up = nn.Sequential(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, n, 1))
                for name, n in (("heat", CLASSES), ("size", 2), ("offset", 2))
            }
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.up(self.down(image))
        answers = {name: head(x) for name, head in self.heads.items()}
        heat = answers["heat"].sigmoid()
        answers["heat"] = heat * (heat == F.max_pool2d(heat, 3, 1, 1)).to(heat.dtype)
        return answers


class OpenPose(nn.Module):
    """Cao et al. 2016, "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", arXiv:1611.08050: two branches,
    refined stage after stage by each other's answers."""

    def __init__(self, width: int = 16, joints: int = 7, limbs: int = 6, stages: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 3, 4), conv(width, width, 3, 2), conv(width, width))
        inner = width + joints + 2 * limbs
        self.fields = nn.ModuleList(self._branch(width if n == 0 else inner, width, 2 * limbs) for n in range(stages))
        self.maps = nn.ModuleList(self._branch(width if n == 0 else inner, width, joints) for n in range(stages))

    @staticmethod
    def _branch(inner: int, width: int, outer: int) -> nn.Sequential:
        first = nn.Conv2d(inner, width, 7, padding=3)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(width, width, 7, padding=3), nn.ReLU(), nn.Conv2d(width, outer, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = x = self.stem(image)
        maps = fields = x
        for field, heat in zip(self.fields, self.maps, strict=True):
            fields, maps = field(x), heat(x)
            x = torch.cat([features, fields, maps], dim=1)
        return {"fields": fields, "maps": maps}


class Hourglass(nn.Module):
    """Newell, Yang and Deng 2016, "Stacked Hourglass Networks for Human Pose Estimation", arXiv:1603.06937: down and up again,
    twice, with the first heat maps fed to the second."""

    def __init__(self, width: int = 16, joints: int = 7) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 7, 2), conv(width, width))
        self.glasses = nn.ModuleList(nn.ModuleList(conv(width, width) for _ in range(5)) for _ in range(2))
        self.heads = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(2))
        self.back, self.on = nn.Conv2d(joints, width, 1), nn.Conv2d(width, width, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.stem(image)
        seen = self._glass(self.glasses[0], x)
        first = self.heads[0](seen)
        second = self.heads[1](self._glass(self.glasses[1], x + self.on(seen) + self.back(first)))
        return {"first": first, "second": second}

    @staticmethod
    def _glass(parts: nn.ModuleList, x: Tensor) -> Tensor:
        high, middle, low, up, out = parts
        near, half = high(x), middle(F.max_pool2d(x, 2))
        far = low(F.max_pool2d(half, 2))
        half = up(half + F.interpolate(far, scale_factor=2.0))
        return out(near + F.interpolate(half, scale_factor=2.0))


class MoveNet(nn.Module):
    """A single-person pose net as MoveNet is described (Google 2021; no paper): centre and joint heat maps, regression from the
    centre, and joints picked near where the regression says. The picking is by a soft maximum here. image: [batch, 3, 64,
    64]."""

    def __init__(self, width: int = 16, joints: int = 7) -> None:
        super().__init__()
        self.joints = joints
        self.stages = nn.ModuleList((nn.Sequential(conv(3, width, 3, 2), conv(width, width, 3, 2)), conv(width, width, 3, 2)))
        self.side, self.smooth = nn.Conv2d(width, width, 1), conv(width, width)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(conv(width, width), nn.Conv2d(width, n, 1))
                for name, n in (("centre", 1), ("regression", 2 * joints), ("heat", joints), ("offset", 2 * joints))
            }
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        high = self.stages[0](image)
        x = self.smooth(self.side(high) + F.interpolate(self.stages[1](high), scale_factor=2.0, mode="bilinear"))
        centre, regression, heat, offset = (self.heads[name](x).flatten(2) for name in ("centre", "regression", "heat", "offset"))
        cells = places(x, 1)
        share = centre.softmax(-1)
        guess = (share * regression).sum(-1).unflatten(-1, (self.joints, 2)) + share @ cells
        apart = (cells - guess.unsqueeze(2)).square().sum(-1)
        pick = (heat.sigmoid() / (apart.sqrt() + 1.8) * 10).softmax(-1)
        moved = (pick.unsqueeze(2) * offset.unflatten(1, (self.joints, 2))).sum(-1)
        return {"joints": pick @ cells + moved, "scores": (pick * heat.sigmoid()).sum(-1)}


def _image(net: nn.Module, height: int = 64, width: int = 96) -> Built:
    return net, {"image": torch.randn(2, 3, height, width)}


def ssd() -> Built:
    return _image(SSD())


def yolo_v3() -> Built:
    return _image(YOLOv3())


def yolo_v5() -> Built:
    return _image(YOLOv5())


def yolo_v8() -> Built:
    return _image(YOLOv8())


def retinanet() -> Built:
    return _image(RetinaNet())


def fcos() -> Built:
    return _image(FCOS())


def centernet() -> Built:
    return _image(CenterNet())


def openpose() -> Built:
    return _image(OpenPose())


def hourglass() -> Built:
    return _image(Hourglass())


def movenet() -> Built:
    return _image(MoveNet(), 64, 64)
