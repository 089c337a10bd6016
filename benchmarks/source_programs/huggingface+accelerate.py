"""Trains a linear model for three steps by an Accelerator, with its own loader, accumulation and clipping."""

import sys

import torch

sys.path.insert(0, "src")
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, TensorDataset

set_seed(1)
trainer = Accelerator(gradient_accumulation_steps=2)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
data = DataLoader(TensorDataset(torch.randn(12, 4), torch.randint(0, 2, (12,))), batch_size=4)
model, optimizer, data = trainer.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-2), data)
for numbers, wanted in data:
    with trainer.accumulate(model):
        loss = torch.nn.functional.cross_entropy(model(numbers), wanted)
        trainer.backward(loss)
        if trainer.sync_gradients:
            trainer.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(f"{trainer.gather(loss).mean().item():.6f}")
trainer.end_training()
