from dataclasses import dataclass

import torch
import porting_accel as accel


def run(model, device=accel.type, impl='cuda'):
    return model.to(device)


@dataclass
class Settings:
    device: str = f"{accel.type}:0"
    backend: str = accel.dist_backend()


def better(model, device=None):
    device = device or accel.type
    return model.to(device)
