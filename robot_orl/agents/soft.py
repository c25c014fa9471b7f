"""What the agents around a soft actor-critic share (Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and
Applications"): a squashed Gaussian policy whose entropy is held by a temperature.

While finetuning, an environment is played with the policy's mean action and the noise of `finetune noise=`,
as for every agent here, and not with its samples: what is learned does not depend on who acted.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.settings import LOG_STD_HIGH, LOG_STD_LOW, OffPolicyConfig
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.actors import SquashedGaussianActor, squashed_sample
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.multiplier import Multiplier, dual_loss
from robot_orl.schema import setting
from robot_orl.types import Spec

ENTROPY_BACKUP = "Targets count the entropy of the next action, times the temperature, as a reward."


@dataclass
class SoftConfig(OffPolicyConfig):
    log_std_low: float = setting(-5.0, **LOG_STD_LOW)
    log_std_high: float = setting(2.0, **LOG_STD_HIGH)
    temperature: float = setting(
        1.0, "What a nat of the policy's entropy is worth at first, in rewards.", low=1e-8, high=1e3
    )
    temperature_learning_rate: float = setting(
        3e-4, "Adam's step size for the temperature; 0 keeps it as it is.", low=0, high=1
    )
    target_entropy: float = setting(
        -1.0,
        "Entropy that the temperature holds, of each number of an action.",
        unit="nat",
        low=-20,
        high=0.7,
    )
    entropy_backup: bool = setting(True, ENTROPY_BACKUP)


class SoftActorCritic(ActorCritic):
    cfg: SoftConfig
    actor_class = SquashedGaussianActor

    def __init__(self, cfg: SoftConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.temperature = Multiplier(cfg.temperature)
        self.temperature_optimizer = Adam(self.temperature.parameters(), cfg.temperature_learning_rate)

    @torch.no_grad()
    def target(
        self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor, members: Tensor
    ) -> Tensor:
        """r + discount * (target Q(s', a') - temperature * log pi(a' | s')), a' from the policy: (B,).

        The minimum of a subset of the target critics. noise: (B, A) of a'.
        """
        mean, log_std = self._policy.actor(next_state)
        next_action, log_prob = squashed_sample(mean, log_std, noise)
        value = self.lowest(self.target_critic, next_state, next_action, members)
        if self.cfg.entropy_backup:
            value = value - self.temperature() * log_prob
        return self.bounded(reward + discount * value)

    def actor_loss(
        self, actor: Network, state: Tensor, noise: Tensor
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Mean of temperature * log pi(a | s) - Q(s, a), a from the policy; returns log pi (B,) as well."""
        mean, log_std = actor(state)
        action, log_prob = squashed_sample(mean, log_std, noise)
        value = self.worth(self.q(self.critic, state, action))
        loss = (self.temperature().detach() * log_prob - value).mean()
        found = {
            "actor/loss": loss.detach(),
            "actor/entropy": -log_prob.detach().mean(),
            "actor/std": log_std.detach().exp().mean(),
        }
        return loss, (log_prob.detach(), found)

    def worth(self, q: Tensor) -> Tensor:
        """What the actor climbs, of Q by each critic (E, B) -> (B,): the minimum."""
        return q.amin(dim=0)

    def temperature_loss(self, temperature: Network, log_prob: Tensor) -> tuple[Tensor, TensorMetrics]:
        """The temperature rises while the entropy is below its target. log_prob: (B,)."""
        value = temperature()
        violation = log_prob + self.cfg.target_entropy * self.action_size
        return dual_loss(value, violation), {"actor/temperature": value.detach()}

    def temperature_gradient(self, log_prob: Tensor) -> tuple[list[Tensor], TensorMetrics]:
        return gradient(self.temperature, lambda temperature: self.temperature_loss(temperature, log_prob))

    def descend_temperature(self, gradients: list[Tensor]) -> None:
        self.temperature_optimizer.descend(gradients)
        self.temperature.keep_within()

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "temperature": self.temperature,
            "temperature_optimizer": self.temperature_optimizer,
        }


def q_of_many(critic: Network, state: Tensor, actions: Tensor) -> Tensor:
    """Q of N actions in each of B states: (B, F), (N, B, A) -> (E, N, B)."""
    states = state.expand(len(actions), *state.shape)
    return ActorCritic.q(critic, states.flatten(0, 1), actions.flatten(0, 1)).unflatten(1, actions.shape[:2])
