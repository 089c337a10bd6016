import torch
from torch import nn

model = nn.Linear(1, 1)
model.to(0)
first = torch.device(0)
both = nn.DataParallel(model, device_ids=[0, 1])
model.cuda(1)
model.cuda(device=0)
x = torch.ones(1).cuda(0, non_blocking=True)
