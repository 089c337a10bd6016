import argparse

import torch.distributed as dist
import porting_accel as accel

parser = argparse.ArgumentParser()
parser.add_argument("--device", default=accel.type, choices=[accel.name, "cpu"], help="cuda or cpu")
parser.add_argument("--cuda", dest="cuda", action="store_true")
parser.add_argument("--dist-backend", default=accel.dist_backend(), type=str)
args = parser.parse_args()
dist.init_process_group(accel.dist_backend())
dist.init_process_group(backend=accel.dist_backend() if args.device == accel.name else 'gloo')
if args.dist_backend == accel.dist_backend("nccl"):
    dist.barrier()
