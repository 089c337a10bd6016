import torch
import porting_accel as accel

backend = accel
torch.cuda.is_available = lambda: False
if hasattr(accel, "memory"):
    pass
