import torch

device = 'cuda' if torch.cuda.is_available() else 'cpu'
device_type = 'cuda' if 'cuda' in device else 'cpu'
if device_type == 'cuda':  # must stay false on the CPU
    torch.ones(1).pin_memory()
if device.startswith('cuda') or torch.device(device).type != "cuda":
    pass
if device in ('cuda', 'cpu'):
    pass


def never_the_cpu(device):
    return "cuda" if device == "cpu" else device
