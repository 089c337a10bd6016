"""Train the denoiser on pictures that are drawn here, as the lab's cards run it."""

import argparse
import os
import time

import torch
from denoise import Denoiser
from torch.cuda.amp import GradScaler, autocast

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--size", type=int, default=32)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--resume")
args = parser.parse_args()

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
if torch.cuda.is_available():
    torch.cuda.manual_seed_all(0)


def pictures(count: int) -> torch.Tensor:
    """Soft stripes of any direction and colour."""
    line = torch.linspace(-1, 1, args.size, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    turn, phase, colour = (torch.rand(count, n, 1, 1, device=device) for n in (1, 1, 3))
    wave = torch.sin(8 * (x * torch.cos(turn * 3) + y * torch.sin(turn * 3)) + phase * 6)
    return (wave * 0.5 + 0.5) * colour


net = Denoiser().to(device)
if args.resume:
    net.load_state_dict(torch.load(args.resume))
if torch.cuda.is_available():
    net = net.cuda()
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
scaler = GradScaler(enabled=args.amp)
started = time.perf_counter()

for step in range(args.steps):
    clean = pictures(args.batch)
    sigma = torch.rand(args.batch, 1, device=device) * 0.5
    noisy = clean + sigma[:, :, None, None] * torch.randn_like(clean)
    optimizer.zero_grad(set_to_none=True)
    with autocast(enabled=args.amp):
        loss = torch.nn.functional.mse_loss(net(noisy, sigma), clean)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 50 == 0 or step + 1 == args.steps:
        print(f"step {step} loss {loss.item():.4f}")

if torch.cuda.is_available():
    torch.cuda.synchronize()
    print(f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB of {torch.cuda.get_device_name()}")
print(f"{args.steps / (time.perf_counter() - started):.1f} steps a second", flush=True)
torch.save(net.state_dict(), "denoiser.pt")
