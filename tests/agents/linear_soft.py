"""Agents with a squashed policy, of linear networks whose weights are given, for losses done by hand.

State and action are one number each. A policy is the same in every state: tanh of a Gaussian.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learning_toys import identity, point_spec
from linear_awac import Line, set_lines

from robot_orl.registry import factory, schema_of
from robot_orl.types import Batch


def set_gaussian(actor: Any, mean: float, std: float) -> None:
    """mean, std: before the tanh."""
    output = actor.net[-1]
    output.weight.data.zero_()
    output.bias.data = torch.tensor([mean, math.log(std)])


def linear(
    name: str,
    critic: Sequence[Line] = ((0, 0, 0),),
    target: Sequence[Line] | None = None,
    mean: float = 0.0,
    std: float = 0.5,
    **settings: Any,
) -> Any:
    """An agent by its name. critic, target: Q(s, a) of each member."""
    settings = {
        "critic_subset": len(critic),
        "layer_norm": False,
        "log_std_low": -20.0,
        "log_std_high": 2.0,
    } | settings
    cfg = schema_of("agent", name)(hidden=[], critics=len(critic), **settings)
    agent = factory("agent", name)(cfg, point_spec(), identity(point_spec()), 0)
    set_lines(agent.critic, critic)
    set_lines(agent.target_critic, critic if target is None else target)
    for policy in (agent._policy, agent.average):
        set_gaussian(policy.actor, mean, std)
    return agent


def log_density(before: float, mean: float, std: float) -> float:
    """Of tanh(before), where `before` is Gaussian; written out."""
    gaussian = -0.5 * ((before - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)
    return gaussian - math.log(1 - math.tanh(before) ** 2)


def batch(size: int, seed: int = 0) -> Batch:
    """Random numbers, returns included."""
    rng = np.random.default_rng(seed)
    numbers = [rng.normal(size=(size, 1)).astype(np.float32) for _ in range(3)]
    reward = -np.abs(rng.normal(size=size)).astype(np.float32)
    discount = np.full(size, 0.9, np.float32)
    more = {"returns": reward, "tail": discount, "last_obs": numbers[2]}
    return Batch(numbers[0], np.tanh(numbers[1]), reward, discount, numbers[2], **more)


def bandit(rng: np.random.Generator, action: Any, best: float, size: int = 64) -> Batch:
    """One step from the start that pays -(a - best)^2 and ends. action: of the rng and a size -> (size,)."""
    actions = action(rng, size).astype(np.float32)[:, None]
    start, zero = np.zeros((size, 1), np.float32), np.zeros(size, np.float32)
    reward = -((actions[:, 0] - best) ** 2)
    return Batch(start, actions, reward, zero, start, returns=reward, tail=zero, last_obs=start)


def narrow(rng: np.random.Generator, size: int) -> Any:
    """Nobody acts beyond 0.5."""
    return rng.uniform(-0.5, 0.5, size)


def learned(agent: Any, action: Any, best: float, updates: int) -> float:
    """What it does at the start after so many batches of `bandit`."""
    rng = np.random.default_rng(0)
    for _ in range(updates):
        agent.update(bandit(rng, action, best, agent.sampling.batch_size))
    return agent.policy()(torch.zeros(1, 1)).item()


def small(name: str, **settings: Any) -> Any:
    """An agent of small networks that learns quickly."""
    quick = {"hidden": [16, 16], "batch_size": 64, "actor_learning_rate": 5e-3, "critic_learning_rate": 5e-3,
             "target_rate": 0.05}  # fmt: skip
    cfg = schema_of("agent", name)(**(quick | settings))
    return factory("agent", name)(cfg, point_spec(), identity(point_spec()), 0)
