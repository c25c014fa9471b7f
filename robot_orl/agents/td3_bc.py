"""TD3+BC (Fujimoto & Gu 2021, "A Minimalist Approach to Offline Reinforcement Learning"): TD3 (Fujimoto et
al. 2018), whose actor's loss also has the squared distance from the data's action.

The simplest constraint that there is. Online, the weight of Q rises where `online.alpha` says so, for the
distance from the data holds a policy back there (Beeson & Montana 2022).
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.settings import LOG_STD_HIGH, LOG_STD_LOW, OffPolicyConfig, Online
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.actors import DeterministicActor
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.mlp import soft_update
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch, Spec

ALPHA: dict[str, Any] = {
    "help": "Weight of Q / mean |Q| against the squared distance from the data's action; 0 clones.",
    "low": 0,
    "high": 1e6,
}
NO_DEVIATION = {"help": "Without effect: this policy is one action, which has no deviation."}


@dataclass
class TD3BCOnline(Online):
    alpha: float | None = setting(None, **ALPHA)


@dataclass
class TD3BCConfig(OffPolicyConfig):
    name: str = setting("td3_bc", "Algorithm.", choices=["td3_bc"])
    log_std_low: float = setting(-6.0, **(LOG_STD_LOW | NO_DEVIATION))
    log_std_high: float = setting(0.0, **(LOG_STD_HIGH | NO_DEVIATION))
    alpha: float = setting(2.5, **ALPHA)
    policy_delay: int = setting(
        2, "Updates of the critics for each one of the actor and the targets.", low=1, high=100
    )
    smoothing: float = setting(0.2, "Deviation of the noise on the target's action.", low=0, high=2)
    smoothing_clip: float = setting(0.5, "Bound of that noise.", low=0, high=2)
    online: TD3BCOnline = setting(factory=TD3BCOnline, help="What changes when finetuning begins.")


@register("agent", "td3_bc", TD3BCConfig)
class TD3BC(ActorCritic):
    cfg: TD3BCConfig
    actor_class = DeterministicActor

    def __init__(self, cfg: TD3BCConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.target_policy = deepcopy(self._policy).requires_grad_(False)
        self.updates = 0

    def update(self, batch: Batch) -> TensorMetrics:
        self.updates += 1
        step = self.critic_step if self.updates % self.cfg.policy_delay else self.step
        return self.compute(step, *self.inputs(batch), *self.draw(len(batch.action)))

    def critic_step(self, *inputs: Tensor) -> TensorMetrics:
        critic_gradient, _, _, metrics = self.critic_gradient(*inputs)
        self.critic_optimizer.descend(critic_gradient)
        return metrics

    def step(self, *inputs: Tensor) -> TensorMetrics:
        """Both, by gradients of the same networks, and then all that follows them slowly."""
        critic_gradient, state, action, metrics = self.critic_gradient(*inputs)
        actor_gradient, actor_metrics = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, action)
        )
        self.descend(critic_gradient, actor_gradient)
        soft_update(self.target_policy, self._policy, self.cfg.target_rate)
        return metrics | actor_metrics

    def critic_gradient(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        noise: Tensor,
        members: Tensor,
        blur: Tensor,
    ) -> tuple[list[Tensor], Tensor, Tensor, TensorMetrics]:
        """And the state and action (B, F), (B, A) that it is of."""
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, noise, members)
        critic_gradient, (_, metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        return critic_gradient, state, action, metrics

    @torch.no_grad()
    def target(
        self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor, members: Tensor
    ) -> Tensor:
        """r + discount * target Q(s', a'), a' near the target policy's (TD3, eq. 14 and 15): (B,)."""
        cfg = self.cfg
        wander = (cfg.smoothing * noise).clamp(-cfg.smoothing_clip, cfg.smoothing_clip)
        next_action = (self.target_policy.actor(next_state) + wander).clamp(-1, 1)
        return self.bounded(
            reward + discount * self.lowest(self.target_critic, next_state, next_action, members)
        )

    def actor_loss(self, actor: Network, state: Tensor, action: Tensor) -> tuple[Tensor, TensorMetrics]:
        """Eq. 3 and 5: (pi(s) - a)^2 - alpha Q(s, pi(s)) / mean |Q|, by the first critic."""
        chosen = actor(state)
        q = self.q(self.critic, state, chosen)[0]
        distance = (chosen - action).square().mean()
        scale = q.detach().abs().mean().clamp(min=1e-8)
        loss = distance - self.cfg.alpha * (q / scale).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/distance": distance.detach(),
            "actor/q": q.detach().mean(),
        }

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.updates = state["updates"]

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {"target_policy": self.target_policy}
