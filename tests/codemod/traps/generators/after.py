import torch
import porting_accel as accel

first = torch.Generator(accel.type)
second = torch.Generator(device=f"{accel.type}:1")
third = torch.Generator(device=accel.type if accel.is_available() else "cpu")
accel.manual_seed_all(0)
torch.manual_seed(0)
state = accel.get_rng_state()
accel.set_rng_state(state)
