import torch
import torch.nn as nn
from torch.autograd import Variable


def build(width):
    net = nn.Sequential(nn.Linear(width, width))
    return net


def train(loader, x: torch.Tensor, gpu):
    model = build(3)
    model.cuda(gpu)
    criterion = nn.CrossEntropyLoss().cuda()
    noise = torch.randn(2, 2).cuda(gpu, True)
    x = x.cuda(device=gpu, non_blocking=True)
    y = Variable(noise[0] * 2).cuda(  # to the card
        gpu
    )
    for images, labels in loader:
        images = images.cuda(non_blocking=True)
        labels = labels.cuda()
        loss = criterion(model(images), labels)
        loss.backward()
        total = loss.cuda()
        images.unsqueeze(0)
    parts = [part.cuda() for part in loader]
    return total, parts, y
