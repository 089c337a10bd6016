"""Runs cleanrl's ppo.py whole for two rounds, in an environment of four numbers whose next state is a fixed function."""

import runpy
import sys
import types

import numpy as np


class Discrete:
    shape, n = (), 2


class Environments:
    """As many as are asked for. The state turns by the action; a round ends when it has gone far."""

    single_observation_space = types.SimpleNamespace(shape=(4,))
    single_action_space = Discrete()

    def __init__(self, makers):
        self.state = np.zeros((len(makers), 4), dtype=np.float32)

    def reset(self, seed=0):
        self.state = np.random.default_rng(seed).standard_normal(self.state.shape).astype(np.float32)
        return self.state, {}

    def step(self, action):
        self.state = np.roll(self.state, 1, axis=1) * 0.9 + (action[:, None] - 0.5).astype(np.float32)
        far = np.abs(self.state).sum(axis=1) > 4
        return self.state, self.state[:, 0], far, np.zeros_like(far), {}

    def close(self):
        pass


class Writer:
    def __init__(self, folder):
        pass

    def __getattr__(self, name):
        return lambda *_said: print(name, _said[0], f"{_said[1]:.6f}") if name == "add_scalar" and "SPS" not in _said[0] else None

    def close(self):
        pass


gymnasium, tyro, board = (types.ModuleType(name) for name in ("gymnasium", "tyro", "torch.utils.tensorboard"))
gymnasium.vector, gymnasium.spaces = types.SimpleNamespace(SyncVectorEnv=Environments), types.SimpleNamespace(Discrete=Discrete)
tyro.cli = lambda settings: settings(total_timesteps=64, num_steps=8)
board.SummaryWriter = Writer
sys.modules.update({"gymnasium": gymnasium, "tyro": tyro, "torch.utils.tensorboard": board})
runpy.run_path("cleanrl/ppo.py", run_name="__main__")
