import enum
from typing import Literal

import torch
import torch.distributed as dist

METHODS = ["to", "cuda", "npu"]
Activity = Literal["cpu", "cuda", "hpu"]
supported_devices = ("cuda", "npu", "sdaa", "cpu")
BACKENDS = {"collectives": ["nccl", "hccl", "gloo"]}


class Kind(enum.Enum):
    CPU = "cpu"
    CUDA = "cuda"
    NPU = "npu"


class Place(enum.Enum):
    HOST = "host"
    CARD = "cuda"


def backend(kind):
    if kind == Kind.NPU:
        return "hccl", torch.npu.device_count()
    elif kind == Kind.CUDA:
        return "nccl", torch.cuda.device_count()
    return "gloo", 1


def states(kind):
    if kind == "MULTI_GPU":
        return torch.cuda.get_rng_state()
    elif kind == "MULTI_XPU":
        return torch.xpu.get_rng_state()


def named(device, platform):
    is_nvidia = device == "cuda"
    lib = {"cuda": "cuda", "hip": "cuda", "xpu": "xpu"}.get(platform, platform)
    return is_nvidia, lib


def serve(device_type):
    if device_type == "":
        device_type = "cuda"
    elif device_type not in ["cuda", "ascend", "maca", "camb"]:
        raise ValueError(device_type)
    return device_type
