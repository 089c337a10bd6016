"""Trains a small vision transformer of timm's for two steps, with its own optimizer, loss, mean of weights and loss scaler."""

import torch
from stand_empty import device

from porting.sources._torchvision import make_importable

make_importable()
from timm.loss import LabelSmoothingCrossEntropy
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter, ModelEmaV2, NativeScaler, accuracy

here = device()
model = create_model("vit_tiny_patch16_224", img_size=32, embed_dim=32, depth=2, num_heads=2, num_classes=5).to(here)
optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3)
mean, meter, criterion = ModelEmaV2(model, decay=0.9), AverageMeter(), LabelSmoothingCrossEntropy()
NativeScaler()
for _ in range(2):
    pictures, wanted = torch.randn(4, 3, 32, 32).to(here), torch.randint(0, 5, (4,)).to(here)
    scores = model(pictures)
    loss = criterion(scores, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    mean.update(model)
    meter.update(accuracy(scores, wanted)[0].item())
    print(f"{loss.item():.6f} {meter.avg:.2f}")
