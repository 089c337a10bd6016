import torch.distributed as dist
import porting_accel as accel


def start(backend, rank):
    dist.init_process_group(accel.dist_backend(), rank=rank)
    dist.init_process_group(backend=accel.dist_backend() if rank else "gloo")
    if backend == accel.dist_backend("nccl"):
        return "cards"
    if backend in ("gloo", "nccl"):
        return "either"
    logger = {"nccl": 1}
    return logger


def ask(version):
    dist.init_process_group(accel.dist_backend() if accel.is_dist_backend_available() else "gloo")
    return dist.is_nccl_available() and version() >= (2, 10)
