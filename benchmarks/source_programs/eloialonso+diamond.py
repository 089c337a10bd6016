"""Trains diamond's small denoiser of a world for two steps, and lets it draw a next picture."""

import sys

import torch
from stand_empty import device, leave_empty

leave_empty("omegaconf", "wandb", "h5py", "gymnasium", "hydra", "ale_py", "cv2", "torcheval", "huggingface_hub")
sys.path.insert(0, "src")
from data import Batch
from models.diffusion import (
    Denoiser,
    DenoiserConfig,
    DiffusionSampler,
    DiffusionSamplerConfig,
    InnerModelConfig,
    SigmaDistributionConfig,
)

here = device()
inner = InnerModelConfig(3, 2, 16, [1, 1], [16, 16], [False, True], 4)
model = Denoiser(DenoiserConfig(inner, 0.5, 0.3)).to(here)
model.setup_training(SigmaDistributionConfig(-0.4, 1.2, 2e-3, 20))
torch.nn.init.normal_(model.inner_model.conv_out.weight, std=0.1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
real = torch.randn


def drawn(*shape, device=None, **more):
    """Noise is drawn on the host, so that it is the same wherever the model is."""
    return real(*shape, **more).to(device or "cpu")


torch.randn = drawn
torch.randn_like = lambda like: real(like.shape).to(like.device)
for _ in range(2):
    obs, act = real(2, 4, 3, 16, 16).clamp(-1, 1), torch.randint(0, 4, (2, 4))
    flat = torch.zeros(2, 4, dtype=torch.long)
    batch = Batch(obs, act, flat.float(), flat, flat, ~flat.bool(), [], []).to(here)
    loss, logs = model(batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print({name: f"{value.item():.6f}" for name, value in logs.items()})
sampler = DiffusionSampler(model, DiffusionSamplerConfig(2, 2e-3, 5.0, 7, 1, 0.0, 0.0, 1.0, 1.0))
picture, _ = sampler.sample(batch.obs[:, :2], batch.act[:, :2])
print(tuple(picture.shape))
