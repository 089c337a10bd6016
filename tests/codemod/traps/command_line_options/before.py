import argparse

import torch.distributed as dist

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cuda or cpu")
parser.add_argument("--cuda", dest="cuda", action="store_true")
parser.add_argument("--dist-backend", default="nccl", type=str)
args = parser.parse_args()
dist.init_process_group("nccl")
dist.init_process_group(backend='nccl' if args.device == 'cuda' else 'gloo')
if args.dist_backend == "nccl":
    dist.barrier()
