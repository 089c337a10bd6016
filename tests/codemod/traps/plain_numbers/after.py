import torch
from torch import nn
import porting_accel as accel

model = nn.Linear(1, 1)
model.to(0)
first = torch.device(0)
both = nn.DataParallel(model, device_ids=[0, 1])
model.to(accel.at(1))
model.to(device=accel.at(0))
x = torch.ones(1).to(accel.at(0), non_blocking=True)
