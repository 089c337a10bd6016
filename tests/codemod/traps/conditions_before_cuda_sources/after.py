import torch
from torch.utils.cpp_extension import CppExtension, CUDAExtension
import porting_accel as accel

if torch.cuda.is_available():
    from .nms_gpu import nms_gpu

sources, defines, extension = ["src/nms.cpp"], [], CppExtension
if torch.cuda.is_available():
    sources += ["src/nms_kernel.cu"]
if torch.cuda.is_available():
    defines += [("WITH_CUDA", None)]
if torch.cuda.is_available():
    extension = CUDAExtension
if torch.cuda.is_available():
    import bitsandbytes as bnb
if accel.is_available():
    from .losses import hinge
