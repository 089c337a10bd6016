import torch
import porting_accel as accel


def clear():
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif hasattr(torch, "npu") and torch.npu.is_available():
        torch.npu.empty_cache()


def pick():
    if accel.is_available():
        device = accel.type
    elif torch.backends.mps.is_available():
        device = "mps"
    else:
        device = "cpu"
    return device
