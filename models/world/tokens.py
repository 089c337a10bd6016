"""World models and video models over discrete tokens: IRIS, Delta-IRIS, STORM, Genie, GAIA-1, VideoGPT, MAGVIT-v2 and others.

Sampling loops, losses and exponential moving averages are left out everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import (
    Attention,
    Block,
    Built,
    Quantizer,
    ResBlock,
    SpaceTimeBlock,
    Transformer,
    mlp,
    one_hot_sample,
    patches,
    unpatches,
)  # fmt: skip
from torch import Tensor, nn


class IrisTokenizer(nn.Module):
    """Micheli, Alonso and Fleuret 2022, "Transformers are Sample-Efficient World Models", arXiv:2209.00588: the autoencoder.

    image: [batch, 3, 32, 32] to 8 x 8 tokens out of 64, and back. Its attention layers and the perceptual loss are left out.
    """

    def __init__(self, width: int = 16, codes: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), ResBlock(width, width), nn.Conv2d(width, width, 3, 2, 1),
            ResBlock(width, 2 * width), nn.Conv2d(2 * width, 2 * width, 3, 2, 1), ResBlock(2 * width, 2 * width),
            nn.Conv2d(2 * width, width, 1),
        )  # fmt: skip
        self.quantizer = Quantizer(codes, width)
        self.decoder = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), ResBlock(2 * width, 2 * width), nn.Upsample(scale_factor=2),
            ResBlock(2 * width, width), nn.Upsample(scale_factor=2), ResBlock(width, width), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        codes, tokens = self.quantizer(self.encoder(image).movedim(1, -1))
        return {"tokens": tokens, "reconstruction": self.decoder(codes.movedim(-1, 1))}


class IrisWorldModel(nn.Module):
    """IRIS (arXiv:2209.00588): a causal transformer over frames of image tokens, each followed by its action.

    tokens: [batch, steps, places]; actions: [batch, steps]. Returns logits of the next token at every image place, and of reward
    and end after every action.
    """

    def __init__(self, codes: int = 64, actions: int = 5, steps: int = 4, places: int = 16, width: int = 32) -> None:
        super().__init__()
        self.places = places
        self.token, self.action = nn.Embedding(codes, width), nn.Embedding(actions, width)
        self.transformer = Transformer(width, steps * (places + 1), causal=True)
        self.next_token, self.reward, self.end = (mlp([width, width, n]) for n in (codes, 3, 2))

    def forward(self, tokens: Tensor, actions: Tensor) -> dict[str, Tensor]:
        x = torch.cat([self.token(tokens), self.action(actions).unsqueeze(2)], dim=2)
        x = self.transformer(x.flatten(1, 2)).unflatten(1, (-1, self.places + 1))
        # The token at the next place is told by each token but the last of its frame, and the next frame's first by the action.
        told = torch.cat([x[:, :, : self.places - 1], x[:, :, -1:]], dim=2)
        return {"logits": self.next_token(told), "reward": self.reward(x[:, :, -1]), "end": self.end(x[:, :, -1])}


class DeltaIris(nn.Module):
    """Micheli, Alonso and Fleuret 2024, "Efficient World Models with Context-Aware Tokenization", arXiv:2406.19320.

    The autoencoder sees the last frame and the action, so that its few tokens hold only what changed. previous, frame: [batch,
    3, 32, 32]; action: [batch]. Returns tokens and the frame rebuilt from previous frame, action and tokens.
    """

    def __init__(self, width: int = 16, codes: int = 32, actions: int = 5) -> None:
        super().__init__()
        self.action = nn.Embedding(actions, 32 * 32)
        self.encoder = self._down(7, width)
        self.context = self._down(4, width)
        self.quantizer = Quantizer(codes, width)
        self.decoder = nn.Sequential(
            ResBlock(2 * width, width), nn.Upsample(scale_factor=2), ResBlock(width, width), nn.Upsample(scale_factor=2),
            ResBlock(width, width), nn.Upsample(scale_factor=2), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    @staticmethod
    def _down(channels: int, width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1), ResBlock(width, width), nn.Conv2d(width, width, 3, 2, 1), ResBlock(width, width),
            nn.Conv2d(width, width, 3, 2, 1),
        )  # fmt: skip

    def forward(self, previous: Tensor, action: Tensor, frame: Tensor) -> dict[str, Tensor]:
        plane = self.action(action).unflatten(-1, (1, 32, 32))
        codes, tokens = self.quantizer(self.encoder(torch.cat([previous, plane, frame], dim=1)).movedim(1, -1))
        context = self.context(torch.cat([previous, plane], dim=1))
        return {"tokens": tokens, "reconstruction": self.decoder(torch.cat([context, codes.movedim(-1, 1)], dim=1))}


class Storm(nn.Module):
    """Zhang et al. 2023, "STORM: Efficient Stochastic Transformer based World Models for Reinforcement Learning",
    arXiv:2310.09615.

    Frames to categorical latents, mixed with actions, then a causal transformer that tells the next latent, reward and end.
    images: [batch, steps, 3, 32, 32]; actions: [batch, steps]; noise: [batch, steps, groups, classes].
    """

    def __init__(self, steps: int = 4, actions: int = 5, groups: int = 4, classes: int = 8, width: int = 32) -> None:
        super().__init__()
        self.groups, self.classes = groups, classes
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, groups * classes),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(groups * classes, 512), nn.Unflatten(-1, (32, 4, 4)), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1),
        )  # fmt: skip
        self.action = nn.Embedding(actions, width)
        self.mix = nn.Sequential(mlp([groups * classes + width, width, width]), nn.LayerNorm(width))
        self.transformer = Transformer(width, steps, causal=True)
        self.next_latent, self.reward, self.end = (mlp([width, width, n]) for n in (groups * classes, 15, 1))

    def forward(self, images: Tensor, actions: Tensor, noise: Tensor) -> dict[str, Tensor]:
        steps = images.shape[1]
        logits = self.encoder(images.flatten(0, 1)).unflatten(-1, (self.groups, self.classes))
        latent = one_hot_sample(logits, noise.flatten(0, 1)).flatten(1)
        pictures = self.decoder(latent).unflatten(0, (-1, steps))
        x = torch.cat([latent.unflatten(0, (-1, steps)), self.action(actions)], dim=-1)
        x = self.transformer(self.mix(x))
        return {
            "reconstruction": pictures, "posterior": logits.unflatten(0, (-1, steps)), "next_latent": self.next_latent(x),
            "reward": self.reward(x), "end": self.end(x).sigmoid(),
        }  # fmt: skip


class TransDreamer(nn.Module):
    """Chen et al. 2022, "TransDreamer: Reinforcement Learning with Transformer World Models", arXiv:2202.09481: the TSSM.

    Posterior latents from each image alone, priors from a causal transformer over earlier latents and actions. features: [batch,
    steps, 24], encoded images; actions: [batch, steps, 4]; noise: [batch, steps, groups, classes].
    """

    def __init__(self, steps: int = 6, groups: int = 4, classes: int = 8, width: int = 32) -> None:
        super().__init__()
        self.shape, size = (groups, classes), groups * classes
        self.posterior, self.mix = mlp([24, width, size], nn.ELU), mlp([size + 4, width], nn.ELU, last=True)
        self.transformer = Transformer(width, steps, causal=True)
        self.prior, self.reward = mlp([width, width, size], nn.ELU), mlp([width + size, width, 1], nn.ELU)

    def forward(self, features: Tensor, actions: Tensor, noise: Tensor) -> dict[str, Tensor]:
        posterior = self.posterior(features).unflatten(-1, self.shape)
        state = one_hot_sample(posterior, noise).flatten(-2)
        earlier = F.pad(state[:, :-1], (0, 0, 1, 0))
        memory = self.transformer(self.mix(torch.cat([earlier, actions], dim=-1)))
        prior = self.prior(memory).unflatten(-1, self.shape)
        return {"prior": prior, "posterior": posterior, "reward": self.reward(torch.cat([memory, state], dim=-1))}


class _SpaceTime(nn.Module):
    """Space-time blocks over [batch, frames, places, width], positions added."""

    def __init__(self, width: int, frames: int, places: int, depth: int = 2) -> None:
        super().__init__()
        self.place, self.frame = nn.Parameter(0.1 * torch.randn(places, width)), nn.Parameter(0.1 * torch.randn(frames, 1, width))
        self.blocks = nn.Sequential(*(SpaceTimeBlock(width) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x + self.place + self.frame[: x.shape[1]])


class GenieTokenizer(nn.Module):
    """Bruce et al. 2024, "Genie: Generative Interactive Environments", arXiv:2402.15391: the video tokenizer.

    A space-time transformer on both sides of a vector quantizer. video: [batch, frames, 3, 16, 24], patches of 8.
    """

    def __init__(self, frames: int = 4, codes: int = 32, width: int = 32, patch: int = 8) -> None:
        super().__init__()
        self.patch, pixels = patch, 3 * patch * patch
        self.into, self.encoder, self.down = nn.Linear(pixels, width), _SpaceTime(width, frames, 6), nn.Linear(width, 8)
        self.quantizer = Quantizer(codes, 8)
        self.up, self.decoder, self.out = nn.Linear(8, width), _SpaceTime(width, frames, 6), nn.Linear(width, pixels)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        codes, tokens = self.quantizer(self.down(self.encoder(self.into(patches(video, self.patch)))))
        return {"tokens": tokens, "reconstruction": unpatches(self.out(self.decoder(self.up(codes))), self.patch, 2)}


class GenieActions(nn.Module):
    """Genie (arXiv:2402.15391): the latent action model.

    The encoder sees every frame and says what happened between two in one of 8 codes; the decoder has the earlier frames and
    these codes. video: [batch, frames, 3, 16, 24]. Returns the latent actions and the rebuilt frames from the second on.
    """

    def __init__(self, frames: int = 4, width: int = 32, patch: int = 8, actions: int = 8) -> None:
        super().__init__()
        self.patch, pixels = patch, 3 * patch * patch
        self.into, self.encoder, self.down = nn.Linear(pixels, width), _SpaceTime(width, frames, 6), nn.Linear(width, 4)
        self.quantizer = Quantizer(actions, 4)
        self.up, self.decoder, self.out = nn.Linear(4, width), _SpaceTime(width, frames, 6), nn.Linear(width, pixels)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        x = self.into(patches(video, self.patch))
        codes, actions = self.quantizer(self.down(self.encoder(x)[:, 1:].mean(2)))
        rebuilt = self.decoder(x[:, :-1] + self.up(codes).unsqueeze(2))
        return {"actions": actions, "action_codes": codes, "next_frames": unpatches(self.out(rebuilt), self.patch, 2)}


class GenieDynamics(nn.Module):
    """Genie (arXiv:2402.15391): the dynamics model, MaskGIT over a space-time transformer.

    tokens: [batch, frames, places], where masked places have a token of their own; actions: [batch, frames], latent, added to the
    tokens. Returns logits of every token.
    """

    def __init__(self, codes: int = 32, actions: int = 8, frames: int = 4, places: int = 6, width: int = 32) -> None:
        super().__init__()
        self.token, self.action = nn.Embedding(codes + 1, width), nn.Embedding(actions, width)
        self.transformer, self.head = _SpaceTime(width, frames, places), nn.Linear(width, codes)

    def forward(self, tokens: Tensor, actions: Tensor) -> Tensor:
        return self.head(self.transformer(self.token(tokens) + self.action(actions).unsqueeze(2)))


class Gaia(nn.Module):
    """Hu et al. 2023, "GAIA-1: A Generative World Model for Autonomous Driving", arXiv:2309.17080: the world model.

    A causal transformer over text, image and action tokens, interleaved frame by frame, with positions in space and in time.
    text: [batch, frames, 3]; tokens: [batch, frames, 12]; actions: [batch, frames, 2], speed and curvature. Returns logits of
    image tokens. The video diffusion decoder is left out.
    """

    def __init__(self, codes: int = 64, words: int = 50, frames: int = 3, width: int = 32) -> None:
        super().__init__()
        self.word, self.token, self.action = nn.Embedding(words, width), nn.Embedding(codes, width), nn.Linear(1, width)
        self.place, self.frame = nn.Parameter(0.1 * torch.randn(17, width)), nn.Parameter(0.1 * torch.randn(frames, 1, width))
        self.blocks = nn.Sequential(*(Block(width, causal=True) for _ in range(2)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, codes))

    def forward(self, text: Tensor, tokens: Tensor, actions: Tensor) -> Tensor:
        x = torch.cat([self.word(text), self.token(tokens), self.action(actions.unsqueeze(-1))], dim=2)
        x = self.blocks((x + self.place + self.frame).flatten(1, 2)).unflatten(1, (-1, 17))
        return self.head(x[:, :, 2:14])


class VideoGPT(nn.Module):
    """Yan et al. 2021, "VideoGPT: Video Generation using VQ-VAE and Transformers", arXiv:2104.10157: the VQ-VAE.

    3-D convolutions and axial attention on both sides of a quantizer. video: [batch, 3, 8, 16, 16] to 4 x 4 x 4 tokens.
    """

    def __init__(self, width: int = 16, codes: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv3d(3, width, 4, (2, 2, 2), 1), nn.ReLU(), nn.Conv3d(width, width, (3, 4, 4), (1, 2, 2), 1), AxialBlock(width)
        )
        self.quantizer = Quantizer(codes, width)
        self.decoder = nn.Sequential(
            AxialBlock(width), nn.ConvTranspose3d(width, width, (3, 4, 4), (1, 2, 2), 1), nn.ReLU(),
            nn.ConvTranspose3d(width, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        codes, tokens = self.quantizer(self.encoder(video).movedim(1, -1))
        return {"tokens": tokens, "reconstruction": self.decoder(codes.movedim(-1, 1))}


class AxialBlock(nn.Module):
    """BatchNorm, ReLU, convolution, and the sum of attention along time, height and width. [batch, channels, time, height,
    width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, width, 3, padding=1, bias=False))
        self.norm = nn.BatchNorm3d(width)
        self.along = nn.ModuleList(Attention(width, 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.first(x)).relu().movedim(1, -1)
        total = torch.zeros_like(hidden)
        for axis, attention in enumerate(self.along, 1):
            line = hidden.movedim(axis, -2)
            total = total + attention(line.flatten(0, 2)).unflatten(0, (-1, *line.shape[1:3])).movedim(-2, axis)
        return x + total.movedim(-1, 1)


class Magvit2(nn.Module):
    """Yu et al. 2023, "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2), arXiv:2310.05737.

    Causal 3-D convolutions and a lookup-free quantizer: a code is the signs of `bits` numbers. video: [batch, 3, 5, 16, 16],
    whose first frame is coded by itself. Adaptive norms and the discriminator are left out.
    """

    def __init__(self, width: int = 16, bits: int = 6) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            CausalConv3d(3, width), nn.GroupNorm(4, width), nn.SiLU(), CausalConv3d(width, width, stride=(2, 2, 2)),
            nn.GroupNorm(4, width), nn.SiLU(), CausalConv3d(width, width, stride=(2, 2, 2)), nn.Conv3d(width, bits, 1),
        )  # fmt: skip
        self.start = nn.Sequential(CausalConv3d(bits, width), nn.GroupNorm(4, width), nn.SiLU())
        self.ups = nn.ModuleList(CausalConv3d(width, 8 * width) for _ in range(2))
        self.out = CausalConv3d(width, 3)
        self.register_buffer("powers", 2 ** torch.arange(bits))

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        z = self.encoder(video)
        positive = z > 0
        x = self.start(torch.where(positive, 1.0, -1.0).to(z.dtype))
        for up in self.ups:
            x = self._depth_to_space(up(x))
        tokens = (positive.movedim(1, -1).long() * self.powers).sum(-1)
        return {"tokens": tokens, "logits": z, "reconstruction": self.out(x)}

    @staticmethod
    def _depth_to_space(x: Tensor) -> Tensor:
        """Twice as long along every axis; the copy before the first frame is cut off."""
        x = x.unflatten(1, (-1, 2, 2, 2)).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)[:, :, 1:]


class CausalConv3d(nn.Module):
    """3 x 3 x 3 convolution that sees no later frame."""

    def __init__(self, inner: int, outer: int, stride: tuple[int, int, int] = (1, 1, 1)) -> None:
        super().__init__()
        self.layer = nn.Conv3d(inner, outer, 3, stride, (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.pad(x, (0, 0, 0, 0, 2, 0)))


class TrajectoryTransformer(nn.Module):
    """Janner, Li and Levine 2021, "Offline Reinforcement Learning as One Big Sequence Modeling Problem", arXiv:2106.02039.

    Every number of states, actions, reward and value is a token of its own; each place in a transition has its own offset in
    the table and its own head. tokens: [batch, steps * 7]. Beam search is left out.
    """

    def __init__(self, bins: int = 20, transition: int = 7, steps: int = 3, width: int = 32) -> None:
        super().__init__()
        self.transition, self.bins = transition, bins
        self.table = nn.Embedding(transition * bins, width)
        self.register_buffer("offsets", bins * torch.arange(transition).repeat(steps))
        self.transformer = Transformer(width, transition * steps, causal=True)
        self.heads = nn.Parameter(torch.randn(transition, width, bins) / width**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.transformer(self.table(tokens + self.offsets)).unflatten(1, (-1, self.transition))
        return torch.einsum("bstw,twc->bstc", x, self.heads).flatten(1, 2)


def iris_tokenizer() -> Built:
    return IrisTokenizer(), {"image": torch.randn(2, 3, 32, 32)}


def iris() -> Built:
    return IrisWorldModel(), {"tokens": torch.randint(0, 64, (2, 4, 16)), "actions": torch.randint(0, 5, (2, 4))}


def delta_iris() -> Built:
    examples = {"previous": torch.randn(2, 3, 32, 32), "action": torch.randint(0, 5, (2,))}
    return DeltaIris(), {**examples, "frame": torch.randn(2, 3, 32, 32)}


def storm() -> Built:
    examples = {"images": torch.randn(2, 4, 3, 32, 32), "actions": torch.randint(0, 5, (2, 4))}
    return Storm(), {**examples, "noise": torch.randn(2, 4, 4, 8)}


def transdreamer() -> Built:
    examples = {"features": torch.randn(2, 6, 24), "actions": torch.randn(2, 6, 4), "noise": torch.randn(2, 6, 4, 8)}
    return TransDreamer(), examples


def genie_tokenizer() -> Built:
    return GenieTokenizer(), {"video": torch.randn(2, 4, 3, 16, 24)}


def genie_actions() -> Built:
    return GenieActions(), {"video": torch.randn(2, 4, 3, 16, 24)}


def genie() -> Built:
    return GenieDynamics(), {"tokens": torch.randint(0, 33, (2, 4, 6)), "actions": torch.randint(0, 8, (2, 4))}


def gaia() -> Built:
    examples = {"text": torch.randint(0, 50, (2, 3, 3)), "tokens": torch.randint(0, 64, (2, 3, 12))}
    return Gaia(), {**examples, "actions": torch.randn(2, 3, 2)}


def videogpt() -> Built:
    return VideoGPT(), {"video": torch.randn(2, 3, 8, 16, 16)}


def magvit2() -> Built:
    return Magvit2(), {"video": torch.randn(2, 3, 5, 16, 16)}


def trajectory_transformer() -> Built:
    return TrajectoryTransformer(), {"tokens": torch.randint(0, 20, (2, 21))}
