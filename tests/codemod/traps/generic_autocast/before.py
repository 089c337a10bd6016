import torch

with torch.autocast("cuda", dtype=torch.float16):
    pass
with torch.amp.autocast(device_type='cuda', enabled=False):
    pass
scaler = torch.amp.GradScaler("cuda")
