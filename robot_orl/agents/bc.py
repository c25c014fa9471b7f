"""Behaviour cloning: the honest baseline. Maximises the likelihood of the recorded actions.

Of all data; of successes, `pretrain where=success`, or of whatever else a query selects; or of the best
episodes by what was earned in them, `agent.best_share=0.1` (Chen et al. 2021, "10% BC").
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robot_orl.agents.base import (
    MIRROR_SHARE,
    AgentConfig,
    Policy,
    TensorMetrics,
    load_parts,
    parts_state,
    place,
    tensors,
)
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Sampling
from robot_orl.errors import UsageError
from robot_orl.nn.actors import log_prob
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Compute, Network, gradient
from robot_orl.nn.mlp import soft_update
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch, Spec

NO_ONLINE_PHASE = "bc has no online phase; pretrain agent=awac"


@dataclass
class BCConfig(AgentConfig):
    name: str = setting("bc", "Algorithm.", choices=["bc"])
    hidden: list[int] = setting(
        factory=lambda: [256, 256], help="Widths of the actor's hidden layers.", low=1, high=65536
    )
    learning_rate: float = setting(1e-3, "Adam's step size.", low=0, high=1)
    weight_decay: float = setting(1e-4, "Adam's weight decay.", low=0, high=1)
    batch_size: int = setting(256, "Transitions per update.", low=1, high=65536)
    best_share: float = setting(
        1.0,
        "Share of the episodes that is cloned, those with the highest mean reward; 1: all.",
        low=1e-6,
        high=1,
    )
    mirror_share: float = setting(0.0, **MIRROR_SHARE)
    actor_average: float = setting(
        5e-3, "Step of the deployed actor towards the trained one; 1 deploys the trained one.", low=0, high=1
    )
    log_std_low: float = setting(-1.0, "Lower bound of the policy's log standard deviation.", low=-20, high=2)
    log_std_high: float = setting(
        -1.0, "Upper bound of the policy's log standard deviation.", low=-20, high=2
    )


@register("agent", "bc", BCConfig)
class BC:
    def __init__(self, cfg: BCConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        self.cfg = cfg
        self.sampling = Sampling(cfg.batch_size, mirror_share=cfg.mirror_share, best_share=cfg.best_share)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._policy = Policy(spec, normalizer, tuple(cfg.hidden), cfg.log_std_low, cfg.log_std_high)
        self.compute = Compute()
        self.average = deepcopy(self._policy).requires_grad_(False)
        self.optimizer = Adam(self._policy.actor.parameters(), cfg.learning_rate, cfg.weight_decay)

    def update(self, batch: Batch) -> TensorMetrics:
        obs, action, *_ = tensors(batch)
        return self.compute(self.step, obs, action)

    def step(self, obs: Tensor, action: Tensor) -> TensorMetrics:
        state = self._policy.preprocess(obs)
        actor = self._policy.actor
        gradients, metrics = gradient(actor, lambda actor: self.actor_loss(actor, state, action))
        self.optimizer.descend(gradients)
        soft_update(self.average, self._policy, self.cfg.actor_average)
        return metrics

    @staticmethod
    def actor_loss(actor: Network, state: Tensor, action: Tensor) -> tuple[Tensor, TensorMetrics]:
        mean, log_std = actor(state)
        loss = -log_prob(mean, log_std, action).mean()
        return loss, {"actor/loss": loss.detach(), "actor/std": log_std.detach().exp().mean()}

    def start_online(self) -> None:
        """Raises: UsageError: always, for cloning what it does itself teaches it nothing."""
        raise UsageError(NO_ONLINE_PHASE)

    def use(self, compute: Compute) -> None:
        self.compute = compute
        place(self._parts, compute.device)

    def policy(self) -> nn.Module:
        return deepcopy(self.average).cpu().eval()

    @property
    def _parts(self) -> dict[str, Any]:
        return {"policy": self._policy, "average": self.average, "optimizer": self.optimizer}

    def state_dict(self) -> dict[str, Any]:
        return parts_state(self._parts)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_parts(self._parts, state)
