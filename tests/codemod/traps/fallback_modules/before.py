import torch

module = getattr(torch, device_type, torch.cuda)
module.empty_cache()
