"""World models that dream in a learned latent state: World Models, PlaNet, Dreamer, TD-MPC2, MuZero, C-SWM.

Where a paper samples, the noise is an input, so that an answer can be held against another. Losses are left out everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from porting.models.layers import Built, conv, mlp, one_hot_sample
from torch import Tensor, nn

ACTIONS = 4


class Eye(nn.Module):
    """Four strided convolutions, 64 x 64 pixels to a vector of 16 * `depth`, as in World Models, PlaNet and Dreamer."""

    def __init__(self, depth: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer in zip((3, depth, 2 * depth, 2 * depth), (depth, 2 * depth, 2 * depth, 4 * depth), strict=True):
            layers += [nn.Conv2d(inner, outer, 4, 2), activation()]
        self.layers = nn.Sequential(*layers)
        self.width = 16 * depth

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten(1)


class Painter(nn.Module):
    """Four transposed convolutions from a vector to 64 x 64 pixels."""

    def __init__(self, width: int, depth: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.start = nn.Linear(width, 8 * depth)
        layers: list[nn.Module] = []
        for inner, outer, kernel in ((8 * depth, 4 * depth, 5), (4 * depth, 2 * depth, 5), (2 * depth, depth, 6)):
            layers += [nn.ConvTranspose2d(inner, outer, kernel, 2), activation()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(depth, 3, 6, 2))

    def forward(self, state: Tensor) -> Tensor:
        return self.layers(self.start(state)[:, :, None, None])


class WorldModels(nn.Module):
    """Ha and Schmidhuber 2018, "World Models", arXiv:1803.10122: a VAE, an LSTM with a mixture-density head, a linear controller.

    image: [batch, 3, 64, 64]; noise: [batch, latent]; hidden, cell: [batch, width]. Returns the reconstruction, the action, the
    mixture of the next latent (log weights, means, standard deviations) and the LSTM's next state.
    """

    def __init__(self, latent: int = 8, width: int = 32, mixtures: int = 5) -> None:
        super().__init__()
        self.latent, self.mixtures = latent, mixtures
        self.eye, self.painter = Eye(8), Painter(latent, 8)
        self.code = nn.Linear(self.eye.width, 2 * latent)
        self.controller = nn.Linear(latent + width, ACTIONS)
        self.memory = nn.LSTMCell(latent + ACTIONS, width)
        self.density = nn.Linear(width, 3 * mixtures * latent)

    def forward(self, image: Tensor, noise: Tensor, hidden: Tensor, cell: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.code(self.eye(image)).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * noise
        action = self.controller(torch.cat([z, hidden], dim=-1)).tanh()
        hidden, cell = self.memory(torch.cat([z, action], dim=-1), (hidden, cell))
        weight, means, log_std = self.density(hidden).unflatten(-1, (3, self.latent, self.mixtures)).unbind(1)
        return {
            "reconstruction": self.painter(z).sigmoid(), "action": action, "log_weights": weight.log_softmax(-1),
            "means": means, "stds": log_std.exp(), "next_hidden": hidden, "next_cell": cell,
        }  # fmt: skip


class PlaNet(nn.Module):
    """Hafner et al. 2018, "Learning Latent Dynamics for Planning from Pixels", arXiv:1811.04551: one step of the RSSM.

    The state has a deterministic part (GRU) and a Gaussian part: a prior from the GRU, a posterior that sees the image. The
    planner (CEM) is left out. image: [batch, 3, 64, 64]; action: [batch, 4]; stochastic, noise: [batch, 6]; deterministic:
    [batch, 32].
    """

    def __init__(self, stochastic: int = 6, deterministic: int = 32, depth: int = 8) -> None:
        super().__init__()
        self.eye, self.painter = Eye(depth), Painter(stochastic + deterministic, depth)
        self.mix = mlp([stochastic + ACTIONS, deterministic], nn.ReLU, last=True)
        self.cell = nn.GRUCell(deterministic, deterministic)
        self.prior = mlp([deterministic, deterministic, 2 * stochastic])
        self.posterior = mlp([deterministic + self.eye.width, deterministic, 2 * stochastic])
        self.reward = mlp([stochastic + deterministic, 32, 1])

    def forward(
        self, image: Tensor, action: Tensor, stochastic: Tensor, deterministic: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        memory = self.cell(self.mix(torch.cat([stochastic, action], dim=-1)), deterministic)
        prior_mean, prior_std = self._gaussian(self.prior(memory))
        mean, std = self._gaussian(self.posterior(torch.cat([memory, self.eye(image)], dim=-1)))
        state = mean + std * noise
        features = torch.cat([memory, state], dim=-1)
        return {
            "next_deterministic": memory, "next_stochastic": state, "prior_mean": prior_mean, "prior_std": prior_std,
            "image_out": self.painter(features), "reward": self.reward(features),
        }  # fmt: skip

    @staticmethod
    def _gaussian(parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = parameters.chunk(2, dim=-1)
        return mean, F.softplus(spread) + 0.1


class NormGRU(nn.Module):
    """The GRU cell of Dreamer V2 and V3: one linear layer, one LayerNorm, and an update gate that starts closed."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs + width, 3 * width, bias=False), nn.LayerNorm(3 * width)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        reset, candidate, update = self.norm(self.linear(torch.cat([x, state], dim=-1))).chunk(3, dim=-1)
        update = (update - 1).sigmoid()
        return update * (reset.sigmoid() * candidate).tanh() + (1 - update) * state


class RSSM(nn.Module):
    """Recurrent state-space model with `groups` categorical variables of `classes` each, as in Dreamer V2 and V3.

    unimix: share of a uniform distribution in the categories; V3 mixes in 1 %.
    """

    def __init__(self, seen: int, activation: type[nn.Module], unimix: float, groups: int = 4, classes: int = 8) -> None:
        super().__init__()
        self.groups, self.classes, self.unimix, width = groups, classes, unimix, 32
        self.stochastic, self.deterministic = groups * classes, width
        self.mix = mlp([self.stochastic + ACTIONS, width], activation, last=True)
        self.cell = NormGRU(width, width)
        self.prior = mlp([width, width, self.stochastic], activation)
        self.posterior = mlp([width + seen, width, self.stochastic], activation)

    def advance(self, stochastic: Tensor, deterministic: Tensor, action: Tensor) -> Tensor:
        """The next deterministic state. stochastic: [batch, groups * classes]."""
        return self.cell(self.mix(torch.cat([stochastic, action], dim=-1)), deterministic)

    def logits(self, head: nn.Module, features: Tensor) -> Tensor:
        """[batch, groups, classes], log probabilities."""
        probability = head(features).unflatten(-1, (self.groups, self.classes)).softmax(-1)
        return ((1 - self.unimix) * probability + self.unimix / self.classes).log()


class Dreamer(nn.Module):
    """One observed step of Dreamer: encoder, posterior, prior, decoder, reward and continuation.

    V2: Hafner et al. 2020, "Mastering Atari with Discrete World Models", arXiv:2010.02193 (ELU). V3: Hafner et al. 2023,
    "Mastering Diverse Domains through World Models", arXiv:2301.04104 (SiLU, unimix, a reward of 15 bins instead of 255).
    stochastic: [batch, 32]; deterministic: [batch, 32]; noise: [batch, 4, 8].
    """

    def __init__(self, activation: type[nn.Module], unimix: float, rewards: int) -> None:
        super().__init__()
        self.eye = Eye(8, activation)
        self.rssm = RSSM(self.eye.width, activation, unimix)
        width = self.rssm.stochastic + self.rssm.deterministic
        self.painter = Painter(width, 8, activation)
        self.reward, self.go_on = mlp([width, 32, rewards], activation), mlp([width, 32, 1], activation)

    def forward(
        self, image: Tensor, action: Tensor, stochastic: Tensor, deterministic: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        memory = self.rssm.advance(stochastic, deterministic, action)
        prior = self.rssm.logits(self.rssm.prior, memory)
        posterior = self.rssm.logits(self.rssm.posterior, torch.cat([memory, self.eye(image)], dim=-1))
        state = one_hot_sample(posterior, noise).flatten(1)
        features = torch.cat([memory, state], dim=-1)
        return {
            "next_deterministic": memory, "next_stochastic": state, "prior": prior, "posterior": posterior,
            "image_out": self.painter(features), "reward": self.reward(features), "continue": self.go_on(features).sigmoid(),
        }  # fmt: skip


class Imagination(nn.Module):
    """Dreamer V3 (arXiv:2301.04104) unrolled without images: the actor acts, the prior answers, the critic judges.

    stochastic: [batch, 32]; deterministic: [batch, 32]; noise: [batch, horizon, 4, 8]. Returns actions, rewards and values over
    the horizon.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.rssm = RSSM(1, nn.SiLU, 0.01)
        width = self.rssm.stochastic + self.rssm.deterministic
        self.actor, self.reward, self.critic = (mlp([width, 32, n], nn.SiLU) for n in (ACTIONS, 15, 15))
        self.register_buffer("bins", torch.linspace(-5, 5, 15))

    def forward(self, stochastic: Tensor, deterministic: Tensor, noise: Tensor) -> dict[str, Tensor]:
        actions, features = [], []
        for step in range(self.horizon):
            action = self.actor(torch.cat([deterministic, stochastic], dim=-1)).tanh()
            deterministic = self.rssm.advance(stochastic, deterministic, action)
            prior = self.rssm.logits(self.rssm.prior, deterministic)
            stochastic = one_hot_sample(prior, noise[:, step]).flatten(1)
            actions.append(action)
            features.append(torch.cat([deterministic, stochastic], dim=-1))
        seen = torch.stack(features, dim=1)
        return {
            "actions": torch.stack(actions, dim=1),
            "rewards": self._from_bins(self.reward(seen)),
            "values": self._from_bins(self.critic(seen)),
        }

    def _from_bins(self, logits: Tensor) -> Tensor:
        """Expectation over bins in symlog space, back to the plain scale."""
        x = (logits.softmax(-1) * self.bins).sum(-1)
        return x.sign() * (x.abs().exp() - 1)


class SimNorm(nn.Module):
    """Softmax within groups of `size` (TD-MPC2)."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.size)).softmax(-1).flatten(-2)


class TDMPC2(nn.Module):
    """Hansen, Su and Wang 2023, "TD-MPC2: Scalable, Robust World Models for Continuous Control", arXiv:2310.16828.

    Encoder, latent dynamics, reward, ensemble of five value functions, policy; all of linear, LayerNorm, Mish. The planner
    (MPPI) is left out. observation: [batch, 11]; action: [batch, 4]. Rewards and values are logits over 11 bins (101 in the
    paper).
    """

    def __init__(self, observed: int = 11, width: int = 32, latent: int = 32, bins: int = 11) -> None:
        super().__init__()
        self.encoder = nn.Sequential(self._layer(observed, width), nn.Linear(width, latent), nn.LayerNorm(latent), SimNorm())
        self.dynamics = nn.Sequential(
            self._layer(latent + ACTIONS, width),
            self._layer(width, width),
            nn.Linear(width, latent),
            nn.LayerNorm(latent),
            SimNorm(),
        )
        self.reward = nn.Sequential(self._layer(latent + ACTIONS, width), nn.Linear(width, bins))
        self.values = nn.ModuleList(nn.Sequential(self._layer(latent + ACTIONS, width), nn.Linear(width, bins)) for _ in range(5))
        self.policy = nn.Sequential(self._layer(latent, width), nn.Linear(width, 2 * ACTIONS))

    @staticmethod
    def _layer(inner: int, outer: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inner, outer), nn.LayerNorm(outer), nn.Mish())

    def forward(self, observation: Tensor, action: Tensor) -> dict[str, Tensor]:
        z = self.encoder(observation)
        both = torch.cat([z, action], dim=-1)
        mean, log_std = self.policy(z).chunk(2, dim=-1)
        return {
            "next_latent": self.dynamics(both), "reward": self.reward(both),
            "values": torch.stack([value(both) for value in self.values]), "mean": mean.tanh(), "log_std": log_std.tanh(),
        }  # fmt: skip


class Residual(nn.Module):
    """Two convolutions with BatchNorm beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(width, width), conv(width, width, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.layers(x)).relu()


class MuZero(nn.Module):
    """Schrittwieser et al. 2019, "Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model", arXiv:1911.08265.

    Representation, then dynamics and prediction unrolled over the given actions; the tree search is left out. board: [batch, 6,
    8, 8]; actions: [batch, steps], a place on the board each. Returns policies, values and rewards, a step each.
    """

    def __init__(self, planes: int = 6, width: int = 16, side: int = 8) -> None:
        super().__init__()
        self.side = side
        self.representation = nn.Sequential(conv(planes, width), Residual(width), Residual(width))
        self.dynamics = nn.Sequential(conv(width + 1, width), Residual(width))
        self.policy = nn.Sequential(conv(width, 2, 1), nn.Flatten(), nn.Linear(2 * side * side, side * side))
        self.value, self.reward = (nn.Sequential(conv(width, 1, 1), nn.Flatten(), mlp([side * side, 16, 1])) for _ in range(2))

    def forward(self, board: Tensor, actions: Tensor) -> dict[str, Tensor]:
        state = self._scaled(self.representation(board))
        policies, values, rewards = [self.policy(state)], [self.value(state)], []
        for step in range(actions.shape[1]):
            place = F.one_hot(actions[:, step], self.side**2).to(state.dtype)
            plane = place.unflatten(-1, (1, self.side, self.side))
            state = self._scaled(self.dynamics(torch.cat([state, plane], dim=1)))
            rewards.append(self.reward(state))
            policies.append(self.policy(state))
            values.append(self.value(state))
        return {name: torch.stack(x, 1) for name, x in (("policies", policies), ("values", values), ("rewards", rewards))}

    @staticmethod
    def _scaled(state: Tensor) -> Tensor:
        """To between 0 and 1, as the appendix of the paper says."""
        low, high = state.amin((1, 2, 3), keepdim=True), state.amax((1, 2, 3), keepdim=True)
        return (state - low) / (high - low + 1e-5)


class CSWM(nn.Module):
    """Kipf, van der Pol and Welling 2019, "Contrastive Learning of Structured World Models", arXiv:1911.12247.

    Object masks from convolutions, an encoder shared by the objects, a transition by a fully connected graph net. image:
    [batch, 3, 50, 50]; action: [batch, objects, 4]. Returns the objects' states now and the predicted next ones.
    """

    def __init__(self, objects: int = 5, width: int = 32, latent: int = 4) -> None:
        super().__init__()
        self.extractor = nn.Sequential(
            nn.Conv2d(3, 16, 10, 10), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, objects, 1), nn.Sigmoid()
        )
        self.encoder = mlp([25, width, latent])
        self.edge = mlp([2 * latent, width, width])
        self.node = mlp([latent + ACTIONS + width, width, latent])
        pairs = [(i, j) for i in range(objects) for j in range(objects) if i != j]
        self.register_buffer("sources", torch.tensor([i for i, _ in pairs]))
        self.register_buffer("sinks", torch.tensor([j for _, j in pairs]))

    def forward(self, image: Tensor, action: Tensor) -> dict[str, Tensor]:
        state = self.encoder(self.extractor(image).flatten(2))
        message = self.edge(torch.cat([state[:, self.sources], state[:, self.sinks]], dim=-1))
        seen = torch.zeros_like(state[..., :1]).expand(-1, -1, message.shape[-1]).index_add(1, self.sources, message)
        return {"state": state, "next_state": state + self.node(torch.cat([state, action, seen], dim=-1))}


def world_models() -> Built:
    examples = {"image": torch.randn(2, 3, 64, 64), "noise": torch.randn(2, 8)}
    return WorldModels(), {**examples, "hidden": torch.randn(2, 32), "cell": torch.randn(2, 32)}


def planet() -> Built:
    return PlaNet(), {
        **_observed(),
        "stochastic": torch.randn(2, 6),
        "deterministic": torch.randn(2, 32),
        "noise": torch.randn(2, 6),
    }


def dreamer_v2() -> Built:
    return Dreamer(nn.ELU, 0.0, 1), {**_observed(), **_categorical(), "noise": torch.randn(2, 4, 8)}


def dreamer_v3() -> Built:
    return Dreamer(nn.SiLU, 0.01, 15), {**_observed(), **_categorical(), "noise": torch.randn(2, 4, 8)}


def imagination(horizon: int = 5) -> Built:
    return Imagination(horizon), {**_categorical(), "noise": torch.randn(2, horizon, 4, 8)}


def tdmpc2() -> Built:
    return TDMPC2(), {"observation": torch.randn(2, 11), "action": torch.randn(2, ACTIONS)}


def muzero() -> Built:
    return MuZero(), {"board": torch.randn(2, 6, 8, 8), "actions": torch.randint(0, 64, (2, 3))}


def cswm() -> Built:
    return CSWM(), {"image": torch.randn(2, 3, 50, 50), "action": torch.randn(2, 5, ACTIONS)}


def _observed() -> dict[str, Tensor]:
    return {"image": torch.randn(2, 3, 64, 64), "action": torch.randn(2, ACTIONS)}


def _categorical() -> dict[str, Tensor]:
    return {"stochastic": torch.randn(2, 32), "deterministic": torch.randn(2, 32)}
