import torch
import porting_accel as accel

device = accel.type if accel.is_available() else 'cpu'
device_type = accel.type if accel.name in device else 'cpu'
if device_type == accel.name:  # must stay false on the CPU
    torch.ones(1).pin_memory()
if device.startswith(accel.name) or torch.device(device).type != accel.name:
    pass
if device in (accel.name, 'cpu'):
    pass


def never_the_cpu(device):
    return accel.name if device == "cpu" else device
