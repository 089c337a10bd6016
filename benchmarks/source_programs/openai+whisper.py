"""Trains a small Whisper for a step, and aligns by dynamic time warping. Packages of its tokenizer stand empty."""

import sys
import types

for name, members in {"tiktoken": {"Encoding": object}, "numba": {"jit": lambda *_a, **_m: lambda function: function}}.items():
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules.setdefault(name, module)

import torch
from whisper.model import ModelDimensions, Whisper
from whisper.timing import dtw, median_filter

accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
device = torch.device(accelerator.type if accelerator else "cpu")
model = Whisper(ModelDimensions(8, 16, 16, 2, 1, 32, 8, 16, 2, 1))
torch.nn.init.normal_(model.decoder.positional_embedding)  # left as memory had it: a checkpoint is meant to fill it
model.register_buffer("alignment_heads", model.alignment_heads.to_dense(), persistent=False)  # no stand-in holds sparse tensors
model = model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
logits = model(torch.randn(2, 8, 32, device=device), torch.randint(0, 32, (2, 8)).to(device))
logits.square().mean().backward()
optimizer.step()
scores = torch.randn(6, 9, device=device)
print(median_filter(scores, 3).sum().item(), dtw(-scores.double().cpu()).shape)
