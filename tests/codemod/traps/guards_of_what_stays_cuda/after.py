import torch
import porting_accel as accel

if torch.cuda.is_available():
    graph = torch.cuda.CUDAGraph()

use_cuda = torch.cuda.is_available()


def move(thing):
    if use_cuda:
        thing = thing.cuda()
    return thing


sizes = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
plain = accel.type if accel.is_available() else "cpu"
if not accel.is_available():
    raise SystemExit("no accelerator")
