import torch
import porting_accel as accel

with torch.autocast(accel.name, dtype=torch.float16):
    pass
with torch.amp.autocast(device_type=accel.name, enabled=False):
    pass
scaler = torch.amp.GradScaler(accel.name)
