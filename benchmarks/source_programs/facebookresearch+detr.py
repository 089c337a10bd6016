"""Trains DETR's transformer and criterion for two steps by its own engine, behind a backbone of one convolution. COCO's tools
stand empty."""

import sys
import types

import torch

from porting.sources._torchvision import make_importable

make_importable()
import torchvision

for name, members in {"": ["mask"], ".mask": [], ".coco": ["COCO"], ".cocoeval": ["COCOeval"]}.items():
    module = types.ModuleType(f"pycocotools{name}")
    module.__dict__.update(dict.fromkeys(members, object))
    sys.modules.setdefault(module.__name__, module)
torchvision.__version__ = "0.9"  # DETR takes the first three characters for a number
from engine import train_one_epoch
from models.detr import DETR, SetCriterion
from models.matcher import HungarianMatcher
from models.transformer import Transformer
from torch import nn
from util.misc import NestedTensor, nested_tensor_from_tensor_list


class Backbone(nn.Module):
    num_channels = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, samples):
        found = self.conv(samples.tensors)
        mask = torch.zeros(found.shape[0], *found.shape[2:], dtype=torch.bool, device=found.device)
        return [NestedTensor(found, mask)], [torch.zeros(found.shape[0], 16, *found.shape[2:], device=found.device)]


accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
device = torch.device(accelerator.type if accelerator else "cpu")
model = DETR(Backbone(), Transformer(16, 2, 1, 1, 32, dropout=0.0, return_intermediate_dec=True), 5, 4).to(device)
weights = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}
criterion = SetCriterion(5, HungarianMatcher(), weights, 0.1, ["labels", "boxes", "cardinality"]).to(device)
boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
batch = [
    (nested_tensor_from_tensor_list([torch.randn(3, 16, 16)] * 2), [{"labels": torch.tensor([1]), "boxes": boxes}] * 2)
    for _ in range(2)
]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
train_one_epoch(model, criterion, batch, optimizer, device, 0, 0.1)
