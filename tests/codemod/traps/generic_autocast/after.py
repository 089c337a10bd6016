import torch
import porting_accel as accel

with torch.autocast(accel.name, dtype=torch.float16):
    pass
with torch.amp.autocast(device_type=accel.name, enabled=False):
    pass
scaler = accel.GradScaler()
later = accel.GradScaler(init_scale=2.0)
named = accel.GradScaler(enabled=False)
chosen = torch.amp.GradScaler(kind)
