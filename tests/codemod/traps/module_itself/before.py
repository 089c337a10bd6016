import torch

backend = torch.cuda
torch.cuda.is_available = lambda: False
if hasattr(torch.cuda, "memory"):
    pass
