import torch
from ops import bias_act_cuda
import porting_accel as accel

_use_cuda = accel.is_available()
is_nccl_available = False


def cuda_lazy(cuda_graph=None, opencuda=1):
    """cuda: text."""
    return bias_act_cuda(cuda_graph, opencuda)  # cuda, nccl


cuda = cuda_lazy
cuda(opencuda=2)
