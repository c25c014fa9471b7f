"""BRAC: behaviour regularised actor-critic (Wu, Tucker & Nachum 2019, "Behavior Regularized Offline
Reinforcement Learning").

First a model of who acted in the data is cloned. Then an actor-critic pays for its distance from that model:
the KL divergence, estimated with samples of the policy (section 4). With `value_penalty` (BRAC-v) targets pay
for the distance at the next state as well; without it (BRAC-p) only the actor pays.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.settings import LOG_STD_HIGH, LOG_STD_LOW, OffPolicyConfig
from robot_orl.agents.soft import q_of_many
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.actors import SquashedGaussianActor, log_prob, squashed_log_prob
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Network, gradient
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch, Spec


@dataclass
class BRACConfig(OffPolicyConfig):
    name: str = setting("brac", "Algorithm.", choices=["brac"])
    log_std_low: float = setting(-5.0, **LOG_STD_LOW)
    log_std_high: float = setting(2.0, **LOG_STD_HIGH)
    behaviour_updates: int = setting(
        5_000, "First updates, in which only the model of the data's behaviour learns.", low=0, high=10**9
    )
    behaviour_learning_rate: float = setting(1e-3, "Adam's step size for that model.", low=0, high=1)
    divergence_weight: float = setting(
        1.0, "What a nat of the divergence from the behaviour costs, in rewards.", low=0, high=1e3
    )
    divergence_samples: int = setting(
        4, "Actions of the policy that estimate the divergence.", low=1, high=1000
    )
    value_penalty: bool = setting(True, "Targets pay for the divergence at the next state, too (BRAC-v).")


@register("agent", "brac", BRACConfig)
class BRAC(ActorCritic):
    cfg: BRACConfig
    actor_class = SquashedGaussianActor

    def __init__(self, cfg: BRACConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.behaviour = deepcopy(self._policy.actor)
        self.behaviour_optimizer = Adam(self.behaviour.parameters(), cfg.behaviour_learning_rate)
        self.updates = 0

    def update(self, batch: Batch) -> TensorMetrics:
        """The model of the behaviour first, then what stays near it."""
        clones = self.updates < self.cfg.behaviour_updates
        self.updates += 1
        if clones:
            obs, action, *_ = self.inputs(batch)
            return self.compute(self.clone, obs, action, self.blur(len(action)))
        return super().update(batch)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Noise of next actions (N, B, A) and of actions here, critics of the minimum, blur."""
        shape = 2 * self.cfg.divergence_samples, size, self.action_size
        later, here = torch.randn(shape, generator=self.generator).chunk(2)
        _, members, blur = super().draw(size)
        return later, here, members, blur

    def clone(self, obs: Tensor, action: Tensor, blur: Tensor) -> TensorMetrics:
        state = self._policy.preprocess(obs) + blur[0]
        gradients, metrics = gradient(
            self.behaviour, lambda behaviour: self.behaviour_loss(behaviour, state, action)
        )
        self.behaviour_optimizer.descend(gradients)
        return metrics

    @staticmethod
    def behaviour_loss(behaviour: Network, state: Tensor, action: Tensor) -> tuple[Tensor, TensorMetrics]:
        mean, log_std = behaviour(state)
        loss = -squashed_log_prob(mean, log_std, action).mean()
        return loss, {"behaviour/loss": loss.detach(), "behaviour/std": log_std.detach().exp().mean()}

    def step(self, *inputs: Tensor) -> TensorMetrics:
        """Both gradients before either network changes."""
        critic_gradient, actor_gradient, metrics = self.gradients(*inputs)
        self.descend(critic_gradient, actor_gradient)
        return metrics

    def gradients(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        later: Tensor,
        here: Tensor,
        members: Tensor,
        blur: Tensor,
    ) -> tuple[list[Tensor], list[Tensor], TensorMetrics]:
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, later, members)
        critic_gradient, (_, metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        actor_gradient, found = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, here)
        )
        return critic_gradient, actor_gradient, metrics | found

    @torch.no_grad()
    def target(
        self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor, members: Tensor
    ) -> Tensor:
        """r + discount * (target Q(s', a') - weight * divergence at s'), a' from the policy: (B,).

        The first of the divergence's samples is a'. noise: (N, B, A).
        """
        mean, log_std = self._policy.actor(next_state)
        before = mean + noise * log_std.exp()
        value = self.lowest(self.target_critic, next_state, torch.tanh(before[0]), members)
        if self.cfg.value_penalty:
            value = value - self.cfg.divergence_weight * self.divergence(mean, log_std, before, next_state)
        return self.bounded(reward + discount * value)

    def actor_loss(self, actor: Network, state: Tensor, noise: Tensor) -> tuple[Tensor, TensorMetrics]:
        """weight * divergence - Q(s, a), the minimum over the critics, the mean over the policy's actions."""
        mean, log_std = actor(state)
        before = mean + noise * log_std.exp()  # (N, B, A)
        value = q_of_many(self.critic, state, torch.tanh(before)).amin(dim=0).mean(dim=0)
        divergence = self.divergence(mean, log_std, before, state)
        loss = (self.cfg.divergence_weight * divergence - value).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/divergence": divergence.detach().mean(),
            "actor/std": log_std.detach().exp().mean(),
        }

    def divergence(self, mean: Tensor, log_std: Tensor, before: Tensor, state: Tensor) -> Tensor:
        """KL(policy, behaviour) [nat], the mean of log pi(a) - log behaviour(a) over N samples: (B,).

        Of samples before the tanh (N, B, A): its slope is the same in both densities.
        """
        where, spread = self.behaviour(state)
        return (log_prob(mean, log_std, before) - log_prob(where, spread, before)).mean(dim=0)

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "behaviour": self.behaviour,
            "behaviour_optimizer": self.behaviour_optimizer,
        }

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.updates = state["updates"]
