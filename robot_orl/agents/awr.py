"""AWR: advantage-weighted regression (Peng et al. 2019, "Advantage-Weighted Regression: Simple and Scalable
Off-Policy Reinforcement Learning"). No Q-function: what an action is worth is what followed it in the data.

Its ancestor is REPS, relative entropy policy search (Peters et al. 2010): the policy with the highest return
within a KL divergence of the one that acted is that one times exp(A / temperature), of which AWR takes the
temperature as given. As returns are those of who acted, not of the policy, it improves on the data by one
step, cautiously.

Where it departs from the paper: Adam for momentum SGD; advantages are normalised over a batch instead of over
all data, as in the authors' code; TD(lambda) returns are drawn, see `data.sampling.returns`, and bootstrap
from an average of V, where the authors fit V to the end between two rounds.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import PolicyLearner
from robot_orl.agents.advantage_weights import deviation, weighted_likelihood
from robot_orl.agents.base import TensorMetrics, tensors
from robot_orl.agents.settings import LOG_STD_HIGH, LOG_STD_LOW, OffPolicyConfig, Online
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.mlp import EnsembleMLP, soft_update
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch, Spec

TEMPERATURE: dict[str, Any] = {
    "help": "Beta of the weights exp(A / beta), A in standard deviations of a batch.",
    "low": 1e-6,
    "high": 1e6,
}
CRITICS: dict[str, Any] = {"low": 1, "high": 100}


@dataclass
class AWROnline(Online):
    temperature: float | None = setting(None, **TEMPERATURE)


@dataclass
class AWRConfig(OffPolicyConfig):
    name: str = setting("awr", "Algorithm.", choices=["awr"])
    hidden: list[int] = setting(
        factory=lambda: [128, 64], help="Widths of all hidden layers.", low=1, high=65536
    )
    log_std_low: float = setting(-1.0, **LOG_STD_LOW)
    log_std_high: float = setting(-1.0, **LOG_STD_HIGH)
    critics: int = setting(1, "Size of the ensemble of V.", **CRITICS)
    critic_subset: int = setting(1, "Of them drawn per update for the target's minimum.", **CRITICS)
    trace: float | None = setting(
        0.95,
        "Lambda of the TD(lambda) returns; 1: Monte Carlo returns; null: those of n_step.",
        low=0,
        high=1,
    )
    temperature: float = setting(1.0, **TEMPERATURE)
    weight_clip: float = setting(20.0, "Upper bound of the weights.", low=1, high=1e6)
    online: AWROnline = setting(factory=AWROnline, help="What changes when finetuning begins.")


@register("agent", "awr", AWRConfig)
class AWR(PolicyLearner):
    cfg: AWRConfig

    def __init__(self, cfg: AWRConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.target_value = deepcopy(self.value).requires_grad_(False)
        self.value_optimizer = Adam(self.value.parameters(), self.cfg.critic_learning_rate)

    def build(self, spec: Spec, normalizer: Normalizer) -> None:
        super().build(spec, normalizer)
        cfg, size_in = self.cfg, self._policy.preprocess.size
        self.value = EnsembleMLP(cfg.critics, size_in, tuple(cfg.hidden), 1, cfg.layer_norm)

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """obs, action, and reward, discount and observation of the target: of the return, or of n steps."""
        if batch.returns is None:
            return tensors(batch)
        arrays = batch.obs, batch.action, batch.returns, batch.tail, batch.last_obs
        return tuple(torch.from_numpy(array) for array in arrays)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Values of the target's minimum, and `blur`."""
        members = torch.randperm(self.cfg.critics, generator=self.generator)[: self.cfg.critic_subset]
        return members, self.blur(size)

    def step(self, *inputs: Tensor) -> TensorMetrics:
        obs, action, reward, discount, next_obs, members, blur = inputs
        state = self._policy.preprocess(obs) + blur[0]
        target = self.target(reward, discount, self._policy.preprocess(next_obs) + blur[1], members)
        value_gradient, (value, metrics) = gradient(
            self.value, lambda network: self.value_loss(network, state, target)
        )
        actor_gradient, actor_metrics = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, action, target - value)
        )
        self.value_optimizer.descend(value_gradient)
        self.actor_optimizer.descend(actor_gradient)
        soft_update(self.target_value, self.value, self.cfg.target_rate)
        soft_update(self.average, self._policy, self.cfg.actor_average)
        return metrics | actor_metrics

    @torch.no_grad()
    def target(self, reward: Tensor, discount: Tensor, next_state: Tensor, members: Tensor) -> Tensor:
        """The return R of (s, a), with the target V where it was cut: (B,)."""
        value = self.target_value(next_state).squeeze(-1).index_select(0, members)  # (subset, B)
        return self.bounded(reward + discount * value.amin(dim=0))

    @staticmethod
    def value_loss(
        network: Network, state: Tensor, target: Tensor
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Algorithm 1, line 5: V(s) is the mean return; returns the smallest V(s) (B,) as well."""
        value = network(state).squeeze(-1)  # (E, B)
        loss = (value - target).square().mean(dim=1).sum()
        value = value.detach()
        return loss, (value.amin(dim=0), {"critic/loss": loss.detach(), "critic/value": value.mean()})

    def actor_loss(
        self, actor: Network, state: Tensor, action: Tensor, advantage: Tensor
    ) -> tuple[Tensor, TensorMetrics]:
        """Algorithm 1, line 6: likelihood of the data's actions times exp(A / temperature), clipped.

        advantage: (B,) R - V(s), here made to have mean 0 and deviation 1 in the batch.
        """
        normalised = (advantage - advantage.mean()) / deviation(advantage)
        weight = (normalised / self.cfg.temperature).exp().clamp(max=self.cfg.weight_clip)
        return weighted_likelihood(actor, state, action, advantage, weight)

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "value": self.value,
            "target_value": self.target_value,
            "value_optimizer": self.value_optimizer,
        }
