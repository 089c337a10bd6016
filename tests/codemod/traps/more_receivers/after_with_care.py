from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import nn
import porting_accel as accel


def tokens(texts) -> Union[torch.IntTensor, torch.LongTensor]:
    return load(texts)


def either(path) -> "torch.Tensor | str":
    return load(path)


def maybe(path) -> Optional[torch.Tensor]:
    return load(path)


class Warp(nn.Module):
    def sample(self, x, grid):
        if self.half_precision:
            return F.grid_sample(x.float(), grid.float()).half()
        return F.grid_sample(x, grid)

    def shift(self, x, flow):
        moved = self.sample(x, flow)
        return moved

    def count(self, x):
        return len(x)

    def forward(self, x, flow):
        return self.shift(x, flow).to(accel.at(1)) + self.count(x).to(accel.type)


def save(network, other, path):
    torch.save(network.cpu().state_dict(), path)
    if accel.is_available():
        network.to(accel.type)
    other.save(path)
    other.to(accel.type)


a = tokens(["a"]).to(accel.type)
b = either("b").to(accel.type)
c = maybe("c").to(accel.type)
