import torch
import porting_accel as accel

if torch.cuda.is_available():
    graph = torch.cuda.CUDAGraph()

use_cuda = accel.is_available()


def move(thing):
    if use_cuda:
        thing = thing.to(accel.type)
    return thing


sizes = accel.get_device_properties(0).total_memory if accel.is_available() else 0
plain = accel.type if accel.is_available() else "cpu"
if not accel.is_available():
    raise SystemExit("no accelerator")
