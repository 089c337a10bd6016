"""World models that generate or predict frames without tokens: DIAMOND, Oasis, ConvLSTM, PredRNN, SimVP, DINO-WM, slots.

Samplers and losses are left out everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Attention, Built, ResBlock, SpaceTimeBlock, mlp, patches, unpatches, waves
from torch import Tensor, nn


class Diamond(nn.Module):
    """Alonso et al. 2024, "Diffusion for World Modeling: Visual Details Matter in Atari", arXiv:2405.12399: the denoiser.

    A U-Net with EDM preconditioning (Karras et al. 2022, arXiv:2206.00364) on the noisy next frame beside the past ones,
    conditioned on noise level and past actions. noisy: [batch, 3, 32, 32]; log_sigma: [batch], natural log of the noise's
    standard deviation; history: [batch, 3 * frames, 32, 32]; actions: [batch, frames]. Returns the denoised frame.
    """

    def __init__(self, frames: int = 4, actions: int = 5, width: int = 16, condition: int = 32) -> None:
        super().__init__()
        self.sigma_data, self.offset = 0.5, 0.3
        self.action = nn.Embedding(actions, condition // frames)
        self.noise_rates = nn.Parameter(torch.randn(condition // 2), requires_grad=False)
        self.condition = mlp([condition, condition, condition], nn.SiLU)
        self.into = nn.Conv2d(3 * (frames + 1), width, 3, padding=1)
        self.down1, self.down2 = ResBlock(width, width, condition), ResBlock(width, 2 * width, condition)
        self.middle = ResBlock(2 * width, 2 * width, condition)
        self.up2, self.up1 = ResBlock(4 * width, width, condition), ResBlock(2 * width, width, condition)
        self.out = nn.Sequential(nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noisy: Tensor, log_sigma: Tensor, history: Tensor, actions: Tensor) -> Tensor:
        sigma = (log_sigma.exp().square() + self.offset**2).sqrt()
        total = (sigma.square() + self.sigma_data**2).sqrt()
        c_in, c_skip, c_out = 1 / total, self.sigma_data**2 / total.square(), sigma * self.sigma_data / total
        angles = 2 * torch.pi * (sigma.log() / 4).unsqueeze(-1) * self.noise_rates
        noise = torch.cat([angles.cos(), angles.sin()], dim=-1)
        condition = self.condition(noise + self.action(actions).flatten(1))
        x = torch.cat([history / self.sigma_data, self._wide(c_in) * noisy], dim=1)
        return self._wide(c_skip) * noisy + self._wide(c_out) * self._unet(self.into(x), condition)

    def _unet(self, x: Tensor, condition: Tensor) -> Tensor:
        high = self.down1(x, condition)
        low = self.down2(F.avg_pool2d(high, 2), condition)
        x = self.middle(F.avg_pool2d(low, 2), condition)
        x = self.up2(torch.cat([F.interpolate(x, scale_factor=2.0), low], dim=1), condition)
        return self.out(self.up1(torch.cat([F.interpolate(x, scale_factor=2.0), high], dim=1), condition))

    @staticmethod
    def _wide(x: Tensor) -> Tensor:
        return x[:, None, None, None]


class Oasis(nn.Module):
    """A diffusion transformer with actions and a noise level a frame, as Oasis is described (Decart and Etched 2024, "Oasis: A
    Universe in a Transformer", no paper); noise by frame after Chen et al. 2024, "Diffusion Forcing", arXiv:2407.01392.

    Space-time attention, the frames causal, scaled and shifted by noise level and action (adaLN). latents: [batch, frames, 4,
    8, 12]; timesteps: [batch, frames], 0 to 999; actions: [batch, frames, 5].
    """

    def __init__(self, channels: int = 4, patch: int = 2, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.patch, pixels, self.width = patch, channels * patch * patch, width
        self.into, self.places = nn.Linear(pixels, width), nn.Parameter(0.1 * torch.randn(24, width))
        self.time, self.action = mlp([width, width, width], nn.SiLU), nn.Linear(5, width)
        self.blocks = nn.ModuleList(SpaceTimeBlock(width) for _ in range(depth))
        self.films = nn.ModuleList(nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width)) for _ in range(depth))
        self.norm, self.last, self.out = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(width, pixels)

    def forward(self, latents: Tensor, timesteps: Tensor, actions: Tensor) -> Tensor:
        condition = (self.time(waves(timesteps.to(latents.dtype), self.width)) + self.action(actions)).unsqueeze(2)
        x = self.into(patches(latents, self.patch)) + self.places
        for block, film in zip(self.blocks, self.films, strict=True):
            scale, shift, gate = film(condition).chunk(3, dim=-1)
            x = x + gate * (block(x * (1 + scale) + shift) - x)
        scale, shift = self.last(condition).chunk(2, dim=-1)
        return unpatches(self.out(self.norm(x) * (1 + scale) + shift), self.patch, latents.shape[-2] // self.patch)


class ConvLSTMCell(nn.Module):
    """An LSTM whose matrices are convolutions. state: two of [batch, width, height, width of the image]."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inner + width, 4 * width, 3, padding=1)
        self.peep = nn.Parameter(0.1 * torch.randn(3, width, 1, 1))

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        enter, forget, new, out = self.gates(torch.cat([x, hidden], dim=1)).chunk(4, dim=1)
        cell = (forget + self.peep[0] * cell).sigmoid() * cell + (enter + self.peep[1] * cell).sigmoid() * new.tanh()
        return (out + self.peep[2] * cell).sigmoid() * cell.tanh(), cell


class ConvLSTM(nn.Module):
    """Shi et al. 2015, "Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting",
    arXiv:1506.04214.

    video: [batch, frames, 1, 16, 16]. An encoder reads all frames, a forecaster goes on from its state for `future` frames. The
    peephole weights are one a channel here.
    """

    def __init__(self, width: int = 16, future: int = 3) -> None:
        super().__init__()
        self.width, self.future = width, future
        self.reader, self.writer = ConvLSTMCell(1, width), ConvLSTMCell(1, width)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, video: Tensor) -> Tensor:
        hidden = cell = torch.zeros_like(video[:, 0]).expand(-1, self.width, -1, -1)
        for step in range(video.shape[1]):
            hidden, cell = self.reader(video[:, step], hidden, cell)
        frame, frames = video[:, -1], []
        for _ in range(self.future):
            hidden, cell = self.writer(frame, hidden, cell)
            frame = self.out(hidden)
            frames.append(frame)
        return torch.stack(frames, dim=1)


class STLSTMCell(nn.Module):
    """The spatio-temporal LSTM of PredRNN: a memory that goes through time, and one that zigzags through the layers."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(inner + width, 3 * width, 3, padding=1)
        self.space = nn.Conv2d(inner + width, 3 * width, 3, padding=1)
        self.out = nn.Conv2d(inner + 3 * width, width, 3, padding=1)
        self.join = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cell = self._write(self.time(torch.cat([x, hidden], dim=1)), cell)
        memory = self._write(self.space(torch.cat([x, memory], dim=1)), memory)
        gate = self.out(torch.cat([x, hidden, cell, memory], dim=1)).sigmoid()
        return gate * self.join(torch.cat([cell, memory], dim=1)).tanh(), cell, memory

    @staticmethod
    def _write(gates: Tensor, old: Tensor) -> Tensor:
        enter, forget, new = gates.chunk(3, dim=1)
        return (forget + 1).sigmoid() * old + enter.sigmoid() * new.tanh()


class PredRNN(nn.Module):
    """Wang et al. 2021, "PredRNN: A Recurrent Neural Network for Spatiotemporal Predictive Learning", arXiv:2103.09504.

    video: [batch, frames, 1, 16, 16]; returns the frame after each. The decoupling loss is training's.
    """

    def __init__(self, width: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.width = width
        self.cells = nn.ModuleList(STLSTMCell(1 if n == 0 else width, width) for n in range(depth))
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, video: Tensor) -> Tensor:
        memory = torch.zeros_like(video[:, 0]).expand(-1, self.width, -1, -1)
        hidden, cell, frames = [memory] * len(self.cells), [memory] * len(self.cells), []
        for step in range(video.shape[1]):
            x = video[:, step]
            for number, layer in enumerate(self.cells):
                hidden[number], cell[number], memory = layer(x, hidden[number], cell[number], memory)
                x = hidden[number]
            frames.append(self.out(x))
        return torch.stack(frames, dim=1)


class Inception(nn.Module):
    """Grouped convolutions of several sizes, added up (SimVP's translator)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inner, 16, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(16, outer, k, padding=k // 2, groups=4), nn.GroupNorm(4, outer), nn.LeakyReLU(0.2))
            for k in (3, 5, 7, 11)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


class SimVP(nn.Module):
    """Gao et al. 2022, "SimVP: Simpler yet Better Video Prediction", arXiv:2206.05099: convolutions alone.

    An encoder of each frame, a translator in which time is part of the channels, a decoder with a shortcut. video: [batch, 4,
    1, 16, 16]; returns the next 4 frames.
    """

    def __init__(self, frames: int = 4, width: int = 8) -> None:
        super().__init__()
        self.first, self.second = self._conv(1, width, 1), self._conv(width, width, 2)
        self.translator = nn.Sequential(*(Inception(frames * width, frames * width) for _ in range(2)))
        self.up = nn.Sequential(nn.ConvTranspose2d(width, width, 4, 2, 1), nn.GroupNorm(2, width), nn.LeakyReLU(0.2))
        self.out = nn.Sequential(self._conv(2 * width, width, 1), nn.Conv2d(width, 1, 1))

    @staticmethod
    def _conv(inner: int, outer: int, stride: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1), nn.GroupNorm(2, outer), nn.LeakyReLU(0.2))

    def forward(self, video: Tensor) -> Tensor:
        frames = video.shape[1]
        near = self.first(video.flatten(0, 1))
        far = self.second(near).unflatten(0, (-1, frames))
        far = self.translator(far.flatten(1, 2)).unflatten(1, (frames, -1)).flatten(0, 1)
        return self.out(torch.cat([self.up(far), near], dim=1)).unflatten(0, (-1, frames))


class DinoWM(nn.Module):
    """Zhou et al. 2024, "DINO-WM: World Models on Pre-trained Visual Features enable Zero-shot Planning", arXiv:2411.04983.

    The predictor: a transformer over the patch features of some frames, each with its action beside it, causal frame by frame.
    features: [batch, frames, places, 24]; actions: [batch, frames, 4]. DINOv2, whose features these are, is not part of it.
    """

    def __init__(self, frames: int = 3, places: int = 9, features: int = 24, action: int = 8) -> None:
        super().__init__()
        width = features + action
        self.action = nn.Linear(4, action)
        self.positions = nn.Parameter(0.1 * torch.randn(frames * places, width))
        step = torch.arange(frames).repeat_interleave(places)
        self.register_buffer("seen", step[:, None] >= step)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attentions = nn.ModuleList(Attention(width, 4) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width], nn.GELU)) for _ in range(2))
        self.out = nn.Linear(width, features)

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        _, frames, places, _ = features.shape
        acts = self.action(actions).unsqueeze(2).expand(-1, -1, places, -1)
        x = torch.cat([features, acts], dim=-1).flatten(1, 2) + self.positions
        for norm, attention, feed in zip(self.norms, self.attentions, self.mlps, strict=True):
            x = x + attention(norm(x), bias=self.seen)
            x = x + feed(x)
        return self.out(x).unflatten(1, (frames, places))


class SlotAttention(nn.Module):
    """Locatello et al. 2020, "Object-Centric Learning with Slot Attention", arXiv:2006.15055.

    Slots compete for the places of an image for three rounds; each is decoded by itself (spatial broadcast) and mixed by masks.
    image: [batch, 3, 16, 16]; noise: [batch, slots, width], from which the slots start.
    """

    def __init__(self, width: int = 16, side: int = 16, rounds: int = 3) -> None:
        super().__init__()
        self.rounds, self.side = rounds, side
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, width, 5, 2, 2), nn.ReLU())
        line = torch.linspace(0, 1, side)
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
        self.register_buffer("grid", torch.cat([grid, 1 - grid], -1))
        self.place_in, self.place_out = nn.Linear(4, width), nn.Linear(4, width)
        self.feed = nn.Sequential(nn.LayerNorm(width), mlp([width, width, width]))
        self.mean, self.log_std = nn.Parameter(torch.randn(width)), nn.Parameter(0.1 * torch.randn(width))
        self.norm_x, self.norm_slots = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.update, self.refine = nn.GRUCell(width, width), nn.Sequential(nn.LayerNorm(width), mlp([width, 2 * width, width]))
        self.decoder = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, image: Tensor, noise: Tensor) -> dict[str, Tensor]:
        x = self.encoder(image).movedim(1, -1) + self.place_in(self.grid[::2, ::2])
        slots, masks = self._slots(self.norm_x(self.feed(x.flatten(1, 2))), self.mean + self.log_std.exp() * noise)
        pictures = slots[:, :, None, None] + self.place_out(self.grid)
        pictures = self.decoder(pictures.flatten(0, 1).movedim(-1, 1)).unflatten(0, (-1, slots.shape[1]))
        share = pictures[:, :, 3:].softmax(1)
        return {"reconstruction": (share * pictures[:, :, :3]).sum(1), "slots": slots, "attention": masks}

    def _slots(self, x: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.key(x), self.value(x)
        share = key
        for _ in range(self.rounds):
            share = (self.query(self.norm_slots(slots)) @ key.transpose(1, 2) / key.shape[-1] ** 0.5).softmax(1)
            seen = (share / (share.sum(-1, keepdim=True) + 1e-8)) @ value
            slots = self.update(seen.flatten(0, 1), slots.flatten(0, 1)).unflatten(0, (-1, slots.shape[1]))
            slots = slots + self.refine(slots)
        return slots, share


def diamond() -> Built:
    examples = {"noisy": torch.randn(2, 3, 32, 32), "log_sigma": torch.randn(2), "history": torch.randn(2, 12, 32, 32)}
    return Diamond(), {**examples, "actions": torch.randint(0, 5, (2, 4))}


def oasis() -> Built:
    examples = {"latents": torch.randn(2, 3, 4, 8, 12), "timesteps": torch.randint(0, 1000, (2, 3))}
    return Oasis(), {**examples, "actions": torch.randn(2, 3, 5)}


def convlstm() -> Built:
    return ConvLSTM(), {"video": torch.randn(2, 4, 1, 16, 16)}


def predrnn() -> Built:
    return PredRNN(), {"video": torch.randn(2, 4, 1, 16, 16)}


def simvp() -> Built:
    return SimVP(), {"video": torch.randn(2, 4, 1, 16, 16)}


def dino_wm() -> Built:
    return DinoWM(), {"features": torch.randn(2, 3, 9, 24), "actions": torch.randn(2, 3, 4)}


def slot_attention() -> Built:
    return SlotAttention(), {"image": torch.randn(2, 3, 16, 16), "noise": torch.randn(2, 4, 16)}
