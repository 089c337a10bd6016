import os

import torch

graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    pass
torch.backends.cudnn.benchmark = True
os.environ["CUDA_VISIBLE_DEVICES"] = "0"
os.environ["NCCL_DEBUG"] = "INFO"
home = os.environ.get("CUDA_HOME")
if torch.version.cuda:
    pass
