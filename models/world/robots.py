"""Policies for robots: ACT, Diffusion Policy, RT-1, Octo.

Samplers, losses and image backbones that other entries of the catalog have are left out.
"""

from __future__ import annotations

import torch
from porting.models.layers import Attention, Block, Built, Transformer, conv, mlp, waves
from torch import Tensor, nn


class ACT(nn.Module):
    """Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", arXiv:2304.13705.

    A CVAE: an encoder of joints and action sequence to a style, then a transformer over camera features, joints and style that
    decodes a chunk of actions. image: [batch, 3, 64, 64]; joints: [batch, 6]; actions: [batch, 8, 6]; noise: [batch, 8]. The
    ResNet is two convolutions here.
    """

    def __init__(self, joints: int = 6, chunk: int = 8, width: int = 32, latent: int = 8) -> None:
        super().__init__()
        self.first, self.joint_in, self.action_in = (
            nn.Parameter(torch.randn(1, width)),
            nn.Linear(joints, width),
            nn.Linear(joints, width),
        )
        self.style_encoder, self.style = Transformer(width, chunk + 2, 1), nn.Linear(width, 2 * latent)
        self.camera = nn.Sequential(conv(3, 16, 7, 4), conv(16, width, 3, 4))
        self.joint, self.latent = nn.Linear(joints, width), nn.Linear(latent, width)
        self.encoder = Transformer(width, 18, 1)
        self.queries = nn.Parameter(torch.randn(chunk, width))
        self.decoder, self.out = Block(width, memory=width), nn.Sequential(nn.LayerNorm(width), nn.Linear(width, joints))

    def forward(self, image: Tensor, joints: Tensor, actions: Tensor, noise: Tensor) -> dict[str, Tensor]:
        first = self.first.expand(joints.shape[0], -1, -1)
        x = self.style_encoder(torch.cat([first, self.joint_in(joints).unsqueeze(1), self.action_in(actions)], dim=1))
        mean, log_variance = self.style(x[:, 0]).chunk(2, dim=-1)
        style = self.latent(mean + (0.5 * log_variance).exp() * noise)
        seen = self.camera(image).flatten(2).transpose(1, 2)
        memory = self.encoder(torch.cat([style.unsqueeze(1), self.joint(joints).unsqueeze(1), seen], dim=1))
        chunk = self.out(self.decoder(self.queries.expand(joints.shape[0], -1, -1), memory))
        return {"chunk": chunk, "mean": mean, "log_variance": log_variance}


class FilmBlock1d(nn.Module):
    """Two convolutions over time with GroupNorm and Mish, the first one's result scaled and shifted by a condition."""

    def __init__(self, inner: int, outer: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = self._conv(inner, outer), self._conv(outer, outer)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * outer))
        self.shortcut = nn.Conv1d(inner, outer, 1) if inner != outer else nn.Identity()

    @staticmethod
    def _conv(inner: int, outer: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv1d(inner, outer, 5, padding=2), nn.GroupNorm(4, outer), nn.Mish())

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition).unsqueeze(-1).chunk(2, dim=1)
        return self.second(self.first(x) * scale + shift) + self.shortcut(x)


class DiffusionPolicy(nn.Module):
    """Chi et al. 2023, "Diffusion Policy: Visuomotor Policy Learning via Action Diffusion", arXiv:2303.04137: the 1-D U-Net.

    actions: [batch, 16, 7], noisy; timestep: [batch]; observation: [batch, 20]. Returns the noise.
    """

    def __init__(self, action: int = 7, observation: int = 20, width: int = 16, step: int = 16) -> None:
        super().__init__()
        self.step, condition = step, step + observation
        self.time = mlp([step, 4 * step, step], nn.Mish)
        self.down1, self.down2 = FilmBlock1d(action, width, condition), FilmBlock1d(width, 2 * width, condition)
        self.shrink1, self.shrink2 = nn.Conv1d(width, width, 3, 2, 1), nn.Conv1d(2 * width, 2 * width, 3, 2, 1)
        self.middle = FilmBlock1d(2 * width, 2 * width, condition)
        self.grow2, self.grow1 = nn.ConvTranspose1d(2 * width, 2 * width, 4, 2, 1), nn.ConvTranspose1d(width, width, 4, 2, 1)
        self.up2, self.up1 = FilmBlock1d(4 * width, width, condition), FilmBlock1d(2 * width, width, condition)
        self.out = nn.Conv1d(width, action, 1)

    def forward(self, actions: Tensor, timestep: Tensor, observation: Tensor) -> Tensor:
        condition = torch.cat([self.time(waves(timestep.to(actions.dtype), self.step)), observation], dim=-1)
        high = self.down1(actions.transpose(1, 2), condition)
        low = self.down2(self.shrink1(high), condition)
        x = self.grow2(self.middle(self.shrink2(low), condition))
        x = self.grow1(self.up2(torch.cat([x, low], dim=1), condition))
        return self.out(self.up1(torch.cat([x, high], dim=1), condition)).transpose(1, 2)


class DiffusionPolicyTransformer(nn.Module):
    """Diffusion Policy (arXiv:2303.04137): the transformer, causal over noisy actions, with attention on step and observations.

    actions: [batch, 8, 7]; timestep: [batch]; observations: [batch, 2, 20].
    """

    def __init__(self, action: int = 7, observation: int = 20, length: int = 8, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.into, self.positions = nn.Linear(action, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.seen, self.memory_positions = nn.Linear(observation, width), nn.Parameter(0.1 * torch.randn(3, width))
        self.memory = mlp([width, 4 * width, width], nn.Mish)
        self.blocks = nn.ModuleList(Block(width, causal=True, memory=width) for _ in range(2))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, action))

    def forward(self, actions: Tensor, timestep: Tensor, observations: Tensor) -> Tensor:
        step = waves(timestep.to(actions.dtype), self.width).unsqueeze(1)
        memory = self.memory(torch.cat([step, self.seen(observations)], dim=1) + self.memory_positions)
        x = self.into(actions) + self.positions
        for block in self.blocks:
            x = block(x, memory)
        return self.out(x)


class RT1(nn.Module):
    """Brohan et al. 2022, "RT-1: Robotics Transformer for Real-World Control at Scale", arXiv:2212.06817.

    Images through convolutions that the instruction scales and shifts (FiLM), TokenLearner to 4 tokens a frame, a causal
    transformer, 11 action dimensions in bins. images: [batch, frames, 3, 64, 64]; instruction: [batch, 24], a sentence
    embedding. EfficientNet is three convolutions here.
    """

    def __init__(self, frames: int = 3, tokens: int = 4, width: int = 32, dimensions: int = 11, bins: int = 16) -> None:
        super().__init__()
        self.convs = nn.ModuleList((conv(3, 16, 3, 4), conv(16, width, 3, 2), conv(width, width, 3, 2)))
        self.films = nn.ModuleList(nn.Linear(24, 2 * n) for n in (16, width, width))
        self.learner = nn.Sequential(nn.LayerNorm(width), mlp([width, width, tokens], nn.GELU))
        self.transformer = Transformer(width, frames * tokens, causal=True)
        self.head, self.dimensions = nn.Linear(width, dimensions * bins), dimensions

    def forward(self, images: Tensor, instruction: Tensor) -> Tensor:
        frames = images.shape[1]
        x, text = images.flatten(0, 1), instruction.repeat_interleave(frames, 0)
        for layer, film in zip(self.convs, self.films, strict=True):
            scale, shift = film(text)[:, :, None, None].chunk(2, dim=1)
            x = layer(x) * (1 + scale) + shift
        x = x.flatten(2).transpose(1, 2)
        tokens = self.learner(x).softmax(1).transpose(1, 2) @ x
        x = self.transformer(tokens.unflatten(0, (-1, frames)).flatten(1, 2))
        return self.head(x[:, -1]).unflatten(-1, (self.dimensions, -1))


class Octo(nn.Module):
    """Octo Model Team 2024, "Octo: An Open-Source Generalist Robot Policy", arXiv:2405.12213.

    Task tokens and the patches of each frame, then a readout token a frame that sees both and is seen by none; a diffusion head
    on the readout. task: [batch, 4]; images: [batch, frames, 3, 16, 16]; noisy: [batch, frames, 7]; timestep: [batch].
    """

    def __init__(self, frames: int = 2, words: int = 50, width: int = 32, action: int = 7) -> None:
        super().__init__()
        self.width = width
        self.word, self.patch = nn.Embedding(words, width), nn.Conv2d(3, width, 8, 8)
        self.readout = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.1 * torch.randn(4 + 5 * frames, width))
        # Frame -1 is the task. A place sees what is not later than itself, and a readout only itself.
        frame = torch.cat([torch.full((4,), -1), torch.arange(frames).repeat_interleave(5)])
        readout = torch.cat([torch.zeros(4), torch.tensor([0.0, 0, 0, 0, 1]).repeat(frames)]).bool()
        self.register_buffer("seen", (frame[:, None] >= frame) & ~readout | torch.eye(len(frame)).bool())
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, 4)
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width], nn.GELU))
        self.head = mlp([2 * width + action, 2 * width, action], nn.SiLU)

    def forward(self, task: Tensor, images: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        frames = images.shape[1]
        seen = self.patch(images.flatten(0, 1)).flatten(2).transpose(1, 2).unflatten(0, (-1, frames))
        seen = torch.cat([seen, self.readout.expand(seen.shape[0], frames, -1, -1)], dim=2)
        x = torch.cat([self.word(task), seen.flatten(1, 2)], dim=1) + self.positions
        x = x + self.attention(self.norm(x), bias=self.seen)
        readout = (x + self.mlp(x))[:, 4:].unflatten(1, (frames, -1))[:, :, -1]
        step = waves(timestep.to(noisy.dtype), self.width).unsqueeze(1).expand(-1, frames, -1)
        return self.head(torch.cat([readout, step, noisy], dim=-1))


def act() -> Built:
    examples = {"image": torch.randn(2, 3, 64, 64), "joints": torch.randn(2, 6)}
    return ACT(), {**examples, "actions": torch.randn(2, 8, 6), "noise": torch.randn(2, 8)}


def diffusion_policy() -> Built:
    examples = {"actions": torch.randn(2, 16, 7), "timestep": torch.randint(0, 100, (2,))}
    return DiffusionPolicy(), {**examples, "observation": torch.randn(2, 20)}


def diffusion_policy_transformer() -> Built:
    examples = {"actions": torch.randn(2, 8, 7), "timestep": torch.randint(0, 100, (2,))}
    return DiffusionPolicyTransformer(), {**examples, "observations": torch.randn(2, 2, 20)}


def rt1() -> Built:
    return RT1(), {"images": torch.randn(2, 3, 3, 64, 64), "instruction": torch.randn(2, 24)}


def octo() -> Built:
    examples = {"task": torch.randint(0, 50, (2, 4)), "images": torch.randn(2, 2, 3, 16, 16)}
    return Octo(), {**examples, "noisy": torch.randn(2, 2, 7), "timestep": torch.randint(0, 20, (2,))}
