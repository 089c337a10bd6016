import torch

with torch.autocast("cuda", dtype=torch.float16):
    pass
with torch.amp.autocast(device_type='cuda', enabled=False):
    pass
scaler = torch.amp.GradScaler("cuda")
later = torch.amp.GradScaler("cuda", init_scale=2.0)
named = torch.amp.GradScaler(device="cuda", enabled=False)
chosen = torch.amp.GradScaler(kind)
