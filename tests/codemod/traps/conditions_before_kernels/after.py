import torch

from .ops import median_filter_cuda, scale_kernel
import porting_accel as accel


def median(x, width, impl='cuda'):
    if x.is_cuda:
        return median_filter_cuda(x, width)
    if impl == 'cuda' and x.device.type == 'cuda':
        return _median_cuda(width).apply(x)
    if torch.cuda.is_available() and x.shape[0] > 8:
        scale_kernel[(1,)](x)
    if x.device.type != accel.name:
        return x.sort().values
    return x.median()


def optimizer(name):
    if name == "bnb":
        assert torch.cuda.is_available(), "CUDA required for bitsandbytes optimizers"
    assert accel.is_available(), "CUDA required"
