"""What every agent offers to the training loops, and the pieces that they share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Sampling
from robot_orl.nn.actors import Actor, GaussianActor
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Compute
from robot_orl.nn.preprocess import Preprocess
from robot_orl.schema import Schema
from robot_orl.types import Array, Batch, Spec

TensorMetrics = dict[str, Tensor]
# What a setting of this name is, in every agent that has it.
MIRROR_SHARE: dict[str, Any] = {
    "help": "Share of samples that are shown in the mirror, in tasks that are their own mirror image.",
    "low": 0,
    "high": 1,
}


@dataclass
class AgentConfig(Schema):
    """Base of every agent's settings."""

    def for_task(self, spec: Spec) -> Self:
        """With a value for what is left open until the task is known."""
        return self


class Agent(Protocol):
    """An algorithm: takes batches, gives actions. Built as `factory(cfg, spec, normalizer, seed)`."""

    sampling: Sampling

    def use(self, compute: Compute) -> None:
        """Where and how updates are computed from now on; at first on the CPU, in float32, eagerly."""

    def update(self, batch: Batch) -> TensorMetrics:
        """One gradient step on each network; metrics stay tensors until somebody logs them."""

    def start_online(self) -> None:
        """Called once, when offline pretraining ends and finetuning begins."""

    def policy(self) -> nn.Module:
        """Flat observations (B, D) -> deterministic actions (B, A) in [-1, 1]; what is deployed."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on: networks, targets, optimisers, random state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`, bitwise."""


class Valued(Protocol):
    """An agent that can say what actions are worth."""

    def q_values(self, obs: Tensor, action: Tensor) -> Tensor:
        """Flat observations (B, D) and actions (B, A) -> Q by each of the E critics (E, B)."""


class Policy(nn.Module):
    """Preprocessing and actor in one module: flat observations (B, D) -> deterministic actions (B, A)."""

    def __init__(
        self,
        spec: Spec,
        normalizer: Normalizer,
        hidden: tuple[int, ...],
        log_std_low: float,
        log_std_high: float,
        actor: Callable[..., Actor] = GaussianActor,
    ) -> None:
        super().__init__()
        self.preprocess = Preprocess(spec, normalizer)
        size = self.preprocess.size
        self.actor = actor(size, hidden, spec.action_size, log_std_low, log_std_high)

    def forward(self, obs: Tensor) -> Tensor:
        return self.actor.act(self.preprocess(obs))


@torch.no_grad()
def act(policy: nn.Module, obs: Array) -> Array:
    """Deterministic actions: flat observations (D,) or (B, D) -> (A,) or (B, A) float32."""
    flat = torch.from_numpy(np.atleast_2d(obs))
    action = policy(flat).numpy()
    return action if obs.ndim == 2 else action[0]


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """obs, action, reward, discount, next_obs without a copy."""
    arrays = (batch.obs, batch.action, batch.reward, batch.discount, batch.next_obs)
    obs, action, reward, discount, next_obs = (torch.from_numpy(array) for array in arrays)
    return obs, action, reward, discount, next_obs


def place(parts: Mapping[str, Any], device: str) -> None:
    """Move modules, in place, and then their optimisers."""
    for part in parts.values():
        if isinstance(part, nn.Module):
            part.to(device)
    for part in parts.values():
        if isinstance(part, Adam):
            part.follow()


def parts_state(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The states of named modules, optimisers and generators."""
    return {
        name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
        for name, part in parts.items()
    }


def load_parts(parts: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Inverse of `parts_state`."""
    for name, part in parts.items():
        if isinstance(part, torch.Generator):
            part.set_state(state[name])
        else:
            part.load_state_dict(state[name])
