import torch
import porting_accel as accel

major, minor = accel.get_device_capability()
if accel.is_available() and accel.get_device_capability()[0] >= 8:
    torch.backends.cuda.matmul.allow_tf32 = True
