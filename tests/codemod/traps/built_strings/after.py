import torch
import porting_accel as accel


def place(rank, model):
    first = torch.device(f"{accel.type}:{rank}")
    second = torch.device((accel.type + ':') + str(rank))
    third = torch.device((accel.type + ":%d") % rank)
    fourth = torch.device((accel.type + ":{}").format(rank))
    fifth = torch.device(f'{accel.type}:0' if accel.is_available() else'cpu')
    model.to(device=f"{accel.type}:1")
    return first, second, third, fourth, fifth
