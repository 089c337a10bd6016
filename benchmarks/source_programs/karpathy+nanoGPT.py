"""Trains nanoGPT for three steps on made-up tokens, in float32."""

import runpy
import sys
from pathlib import Path

import numpy as np
import torch

folder = Path("data/made")
folder.mkdir(parents=True)
for split in ("train", "val"):
    np.random.default_rng(0).integers(0, 64, 4000).astype(np.uint16).tofile(folder / f"{split}.bin")
settings = [
    "dataset=made",
    "compile=False",
    "dtype=float32",
    "n_layer=2",
    "n_head=2",
    "n_embd=32",
    "block_size=16",
    "batch_size=4",
]
settings += ["max_iters=3", "eval_iters=1", "eval_interval=2", "gradient_accumulation_steps=2"]
accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
settings.append(f"device={accelerator.type if accelerator else 'cpu'}")  # the original's default is cuda
sys.argv = ["train.py", *(f"--{setting}" for setting in settings)]
runpy.run_path("train.py", run_name="__main__")
