"""Trains the region proposal network of faster-rcnn.pytorch for two steps, its suppression by the repository's own function in
numpy. Compiled parts stand empty."""

import sys
import types

import torch
from stand_empty import device, leave_empty

sys.path.insert(0, "lib")
leave_empty("torchvision", "cv2", "model.roi_crop", "model.nms._ext")


class EasyDict(dict):
    """A dict whose keys are attributes."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


settings = types.ModuleType("easydict")
settings.EasyDict = EasyDict
sys.modules["easydict"] = settings
from model.nms.nms_cpu import nms_cpu
from model.rpn import proposal_layer
from model.rpn.rpn import _RPN

proposal_layer.nms = lambda boxes, most, **_how: torch.as_tensor(nms_cpu(boxes.cpu(), most)).to(boxes.device)

here = device()
model = _RPN(8).to(here)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
size = torch.tensor([[256.0, 256.0, 1.0]]).to(here)
boxes = torch.tensor([[[32.0, 32.0, 160.0, 160.0, 1.0]]]).to(here)
for _ in range(2):
    places, of_classes, of_boxes = model(torch.randn(1, 8, 16, 16).to(here), size, boxes, torch.tensor([1]).to(here))
    loss = of_classes + of_boxes
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(places.shape[0], f"{loss.item():.6f}")
