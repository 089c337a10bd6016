import os

import torch
import porting_accel as accel

graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    pass
torch.backends.cudnn.benchmark = True
os.environ[accel.visible_devices] = "0"
os.environ["NCCL_DEBUG"] = "INFO"
home = os.environ.get("CUDA_HOME")
if torch.version.cuda:
    pass
