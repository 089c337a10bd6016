"""Segmenters of torchvision whose backbones would come with weights from the network unless told otherwise."""

from __future__ import annotations

from torch import nn
from torchvision.models import segmentation


def lraspp() -> nn.Module:
    return segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)


def deeplabv3() -> nn.Module:
    return segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)
