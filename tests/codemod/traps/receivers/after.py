import torch
import torch.nn as nn
from torch.autograd import Variable
import porting_accel as accel


def build(width):
    net = nn.Sequential(nn.Linear(width, width))
    return net


def train(loader, x: torch.Tensor, gpu):
    model = build(3)
    model.to(accel.at(gpu))
    criterion = nn.CrossEntropyLoss().to(accel.type)
    noise = torch.randn(2, 2).to(accel.at(gpu), non_blocking=True)
    x = x.to(device=accel.at(gpu), non_blocking=True)
    y = Variable(noise[0] * 2).to(  # to the card
        accel.at(gpu)
    )
    for images, labels in loader:
        images = images.to(accel.type, non_blocking=True)
        labels = labels.cuda()
        loss = criterion(model(images), labels)
        loss.backward()
        total = loss.to(accel.type)
        images.unsqueeze(0)
    parts = [part.cuda() for part in loader]
    return total, parts, y
