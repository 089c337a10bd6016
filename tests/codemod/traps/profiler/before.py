import torch
from torch.profiler import ProfilerActivity, profile


class Color:
    CUDA = "green"


def run(model, x):
    activities = [ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with profile(activities=activities) as prof:
        model(x)
    print(prof.key_averages().table(sort_by="self_cuda_time_total"))
    return sum(event.cuda_time_total for event in prof.key_averages()), Color.CUDA
