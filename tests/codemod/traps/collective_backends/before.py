import torch.distributed as dist


def start(backend, rank):
    dist.init_process_group("nccl", rank=rank)
    dist.init_process_group(backend="nccl" if rank else "gloo")
    if backend == "nccl":
        return "cards"
    if backend in ("gloo", "nccl"):
        return "either"
    logger = {"nccl": 1}
    return logger


def ask(version):
    dist.init_process_group("nccl" if dist.is_nccl_available() else "gloo")
    return dist.is_nccl_available() and version() >= (2, 10)
