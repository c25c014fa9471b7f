"""An AWAC agent of linear networks whose weights are given, so that every loss can be done by hand."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from learning_toys import identity, point_spec

from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.nn.mlp import EnsembleMLP

Line = tuple[float, float, float]  # q(s, a) = s * first + a * second + third
HALF = math.log(0.5)


def column(*values: float) -> torch.Tensor:
    """(B, 1)"""
    return torch.tensor(values, dtype=torch.float32)[:, None]


def set_lines(critic: EnsembleMLP, lines: Sequence[Line]) -> None:
    layer: Any = critic.layers[0]
    layer.weight.data = torch.tensor(
        [[[float(by_state)], [float(by_action)]] for by_state, by_action, _ in lines]
    )
    layer.bias.data = torch.tensor([[[float(constant)]] for *_, constant in lines])


def linear_awac(
    critic: Sequence[Line] = ((0, 0, 0),),
    target: Sequence[Line] | None = None,
    mean: float = 0.0,
    log_std: float = HALF,
    **settings: Any,
) -> AWAC:
    """State and action are one number each. mean: what the policy does in every state."""
    settings = {"critic_subset": len(critic), **settings}
    cfg = AWACConfig(hidden=[], critics=len(critic), log_std_low=log_std, log_std_high=log_std, **settings)
    agent = AWAC(cfg, point_spec(), identity(point_spec()), seed=0)
    set_lines(agent.critic, critic)
    set_lines(agent.target_critic, critic if target is None else target)
    output: Any = agent._policy.actor.net[0]
    output.weight.data.zero_()
    output.bias.data.fill_(math.atanh(mean))
    return agent
