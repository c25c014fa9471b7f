"""Agents of linear networks whose weights are given, and a bandit whose optimum is known.

State and action are one number each. The bandit has one state; an action a of the data, uniform in -1 .. 1,
pays a and ends the episode. So Q(s, a) = a, which a linear critic can learn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learning_toys import identity, point_spec, points

from robot_orl.data.sampling.replay import Replay
from robot_orl.nn.mlp import EnsembleMLP
from robot_orl.registry import factory, schema_of
from robot_orl.types import Batch


def column(*values: float) -> torch.Tensor:
    """(B, 1)"""
    return torch.tensor(values, dtype=torch.float32)[:, None]


def set_linear(network: EnsembleMLP, *members: Sequence[float]) -> None:
    """Each member's weights by input and, last, its constant."""
    layer: Any = network.layers[0]
    layer.weight.data = torch.tensor([[[float(w)] for w in member[:-1]] for member in members])
    layer.bias.data = torch.tensor([[[float(member[-1])]] for member in members])


def set_mean(policy: Any, mean: float) -> None:
    """What the policy does in every state."""
    output = policy.actor.net[0]
    output.weight.data.zero_()
    output.bias.data.fill_(np.arctanh(mean))


def linear(name: str, mean: float = 0.0, **settings: Any) -> Any:
    """An agent by its name, of one critic unless told."""
    settings = {"hidden": [], "critics": 1, "critic_subset": 1} | settings
    cfg = schema_of("agent", name)(**settings)
    agent = factory("agent", name)(cfg, point_spec(), identity(point_spec()), 0)
    set_mean(agent._policy, mean)
    return agent


def bandit(episodes: int = 400) -> Replay:
    """Even steps of actions between -1 and 1, and what each pays."""
    replay = Replay(point_spec())
    for action in np.linspace(-1, 1, episodes):
        one = points([0, 0], [float(action)], terminated=True)
        one.action[:] = action
        replay.add(one)
    return replay


def train(agent: Any, replay: Replay, updates: int) -> float:
    """What the agent does in the end."""
    rng = np.random.default_rng(0)
    for _ in range(updates):
        agent.update(replay.sample(agent.sampling, rng))
    return agent.policy()(torch.zeros(1, 1)).item()


def batch(size: int = 16, seed: int = 0, returns: bool = False) -> Batch:
    """Random numbers for `goal_spec`: D = 5, A = 1."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    action = rng.uniform(-1, 1, (size, 1)).astype(np.float32)
    discount = np.where(rng.random(size) < 0.2, 0, 0.9).astype(np.float32)
    arrays = numbers(size, 5), action, -np.abs(numbers(size)), discount, numbers(size, 5)
    return Batch(*arrays, *((-np.abs(numbers(size)), discount**3, numbers(size, 5)) if returns else ()))
