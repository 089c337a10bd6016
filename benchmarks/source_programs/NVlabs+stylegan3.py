"""Generates two images with a small StyleGAN2 and a small StyleGAN3, and steps back through both."""

import sys
import types

import packaging.version
import torch

resources = types.ModuleType("pkg_resources")  # gone from setuptools 82
resources.parse_version = packaging.version.parse
sys.modules.setdefault("pkg_resources", resources)
from training import networks_stylegan2, networks_stylegan3

sys.argv = ["program"]
accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
device = torch.device(accelerator.type if accelerator else "cpu")
small = {"z_dim": 16, "c_dim": 0, "w_dim": 16, "img_channels": 3, "channel_base": 256, "channel_max": 16}
for network in (
    networks_stylegan2.Generator(img_resolution=16, num_fp16_res=0, **small),
    networks_stylegan3.Generator(img_resolution=16, num_layers=4, num_critical=1, num_fp16_res=0, **small),
):
    network = network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = (
        network(torch.randn(2, 16, device=device), None, noise_mode="const")
        if network.__module__.endswith("2")
        else network(torch.randn(2, 16, device=device), None)
    )
    image.square().mean().backward()
    optimizer.step()
    print(tuple(image.shape))
