"""Ten training steps on a device: `train.py cpu`, and on a stand-in `porting run --device npu benchmarks/train.py npu`."""

import sys

import torch

from porting.sources._torchvision import make_importable

make_importable()

import timm  # noqa: E402

torch.set_num_threads(1)
torch.manual_seed(0)
device = sys.argv[1]
model = timm.create_model("resnet18", num_classes=10).to(device)
optimizer = torch.optim.AdamW(model.parameters())
images, labels = torch.randn(8, 3, 64, 64).to(device), torch.randint(0, 10, (8,)).to(device)
for _ in range(10):
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(loss.item())
