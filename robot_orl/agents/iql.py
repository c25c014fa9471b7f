"""IQL: implicit Q-learning (Kostrikov et al. 2021, "Offline Reinforcement Learning with Implicit
Q-Learning").

V(s) is an upper expectile of Q(s, a) over the actions of the data, so that the best of them counts without
any other being asked about: no Q is ever taken at an action that is not in the data. The policy is extracted
by advantage-weighted regression, which the learning of Q and V does not depend on.

All three losses are of the networks before the update; the authors' code updates V first.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.advantage_weights import weighted_likelihood
from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.settings import OffPolicyConfig, Online
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.mlp import EnsembleMLP
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Spec

EXPECTILE: dict[str, Any] = {
    "help": "Tau: V is this expectile of Q over the data's actions; 0.5 is their mean, towards 1 their best.",
    "low": 0.5,
    "high": 0.999,
}
TEMPERATURE: dict[str, Any] = {
    "help": "Of the weights exp(A / temperature); the paper's beta is its inverse.",
    "low": 1e-6,
    "high": 1e6,
}


@dataclass
class IQLOnline(Online):
    expectile: float | None = setting(None, **EXPECTILE)
    temperature: float | None = setting(None, **TEMPERATURE)


@dataclass
class IQLConfig(OffPolicyConfig):
    """The paper's values for locomotion; it takes 0.9 and 0.1 where trajectories are to be stitched."""

    name: str = setting("iql", "Algorithm.", choices=["iql"])
    expectile: float = setting(0.7, **EXPECTILE)
    temperature: float = setting(1 / 3, **TEMPERATURE)
    weight_clip: float = setting(100.0, "Upper bound of the weights.", low=1, high=1e6)
    online: IQLOnline = setting(factory=IQLOnline, help="What changes when finetuning begins.")


@register("agent", "iql", IQLConfig)
class IQL(ActorCritic):
    cfg: IQLConfig

    def __init__(self, cfg: IQLConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.value_optimizer = Adam(self.value.parameters(), self.cfg.critic_learning_rate)

    def build(self, spec: Spec, normalizer: Normalizer) -> None:
        super().build(spec, normalizer)
        cfg, size_in = self.cfg, self._policy.preprocess.size
        self.value = EnsembleMLP(1, size_in, tuple(cfg.hidden), 1, cfg.layer_norm)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Critics of the minimum, and `blur`."""
        members = torch.randperm(self.cfg.critics, generator=self.generator)[: self.cfg.critic_subset]
        return members, self.blur(size)

    def step(self, *inputs: Tensor) -> TensorMetrics:
        obs, action, reward, discount, next_obs, members, blur = inputs
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        action_value = self.lowest(self.target_critic, state, action, members)
        value_gradient, (value, value_metrics) = gradient(
            self.value, lambda network: self.value_loss(network, state, action_value)
        )
        target = self.target(reward, discount, next_state)
        critic_gradient, (_, critic_metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        actor_gradient, actor_metrics = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, action, action_value - value)
        )
        self.value_optimizer.descend(value_gradient)
        self.descend(critic_gradient, actor_gradient)
        return critic_metrics | value_metrics | actor_metrics

    def value_loss(
        self, network: Network, state: Tensor, action_value: Tensor
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Eq. 5: L(u) = |tau - 1(u < 0)| u^2 of u = Q(s, a) - V(s); returns V(s) (B,) as well."""
        value = network(state)[0].squeeze(-1)
        error = action_value - value
        weight = torch.where(error < 0, 1 - self.cfg.expectile, self.cfg.expectile)
        loss = (weight * error.square()).mean()
        value = value.detach()
        return loss, (value, {"value/loss": loss.detach(), "critic/value": value.mean()})

    @torch.no_grad()
    def target(self, reward: Tensor, discount: Tensor, next_state: Tensor) -> Tensor:
        """r + discount * V(s') (eq. 6), whose error is `critic_loss`: (B,)."""
        return self.bounded(reward + discount * self.value(next_state)[0].squeeze(-1))

    def actor_loss(
        self, actor: Network, state: Tensor, action: Tensor, advantage: Tensor
    ) -> tuple[Tensor, TensorMetrics]:
        """Eq. 7: likelihood of the data's actions times exp(A / temperature), clipped. advantage: (B,)."""
        weight = (advantage / self.cfg.temperature).exp().clamp(max=self.cfg.weight_clip)
        return weighted_likelihood(actor, state, action, advantage, weight)

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {"value": self.value, "value_optimizer": self.value_optimizer}
