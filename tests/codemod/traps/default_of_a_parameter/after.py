from dataclasses import dataclass

import torch
import porting_accel as accel


def run(model, device="cuda", impl='cuda'):
    return model.to(device)


@dataclass
class Settings:
    device: str = "cuda:0"
    backend: str = "nccl"


def better(model, device=None):
    device = device or accel.type
    return model.to(device)
