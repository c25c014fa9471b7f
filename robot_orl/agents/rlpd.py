"""RLPD: online learning with prior data (Ball et al. 2023, "Efficient Online Reinforcement Learning with
Offline Data").

A soft actor-critic with what makes old data help instead of hurt: half of every batch from them (`finetune
offline_share=0.5`), critics with LayerNorm, which do not extrapolate wildly, and so many of them that several
updates a step do not overfit. Nothing holds it to the data: it is not meant to be good before it acts.
`pretrain steps=1` gives it the run that it starts from; `finetune offline_share=0` is plain online learning.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.soft import ENTROPY_BACKUP, SoftActorCritic, SoftConfig
from robot_orl.data.sampling.replay import Sampling
from robot_orl.nn.compute import gradient
from robot_orl.nn.mlp import soft_update
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch


@dataclass
class RLPDConfig(SoftConfig):
    name: str = setting("rlpd", "Algorithm.", choices=["rlpd"])
    critics: int = setting(10, "Size of the critic ensemble.", low=1, high=100)
    layer_norm: bool = setting(True, "LayerNorm in the critics.")
    critic_updates: int = setting(
        20,
        "Updates of the critics in each of the agent's, of which `finetune updates_per_step` makes so many "
        "for each environment step.",
        low=1,
        high=100,
    )
    target_entropy: float = setting(
        -0.5,
        "Entropy that the temperature holds, of each number of an action.",
        unit="nat",
        low=-20,
        high=0.7,
    )
    entropy_backup: bool = setting(True, ENTROPY_BACKUP)


@register("agent", "rlpd", RLPDConfig)
class RLPD(SoftActorCritic):
    cfg: RLPDConfig

    @property
    def sampling(self) -> Sampling:
        """A batch for each update of the critics, all at once."""
        return replace(super().sampling, batch_size=self.cfg.batch_size * self.cfg.critic_updates)

    def update(self, batch: Batch) -> TensorMetrics:
        """Algorithm 1: the critics on a part of the batch each time, then the actor on the last part.

        Old data lie before new ones in a batch: with every so many-th transition each part has both.
        """
        count = self.cfg.critic_updates
        for number in range(count):
            part = tuple(values[number::count].contiguous() for values in self.inputs(batch))
            draw = self.draw(len(part[0]))
            metrics = self.compute(self.critic_step, *part, *draw)
        noise = torch.randn(len(part[0]), self.action_size, generator=self.generator)
        return metrics | self.compute(self.actor_step, part[0], noise, draw[-1])

    def critic_step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        noise: Tensor,
        members: Tensor,
        blur: Tensor,
    ) -> TensorMetrics:
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, noise, members)
        gradients, (_, metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        self.critic_optimizer.descend(gradients)
        soft_update(self.target_critic, self.critic, self.cfg.target_rate)
        return metrics

    def actor_step(self, obs: Tensor, noise: Tensor, blur: Tensor) -> TensorMetrics:
        state = self._policy.preprocess(obs) + blur[0]
        actor_gradient, (log_prob, metrics) = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, noise)
        )
        temperature_gradient, found = self.temperature_gradient(log_prob)
        self.actor_optimizer.descend(actor_gradient)
        self.descend_temperature(temperature_gradient)
        soft_update(self.average, self._policy, self.cfg.actor_average)
        return metrics | found

    def worth(self, q: Tensor) -> Tensor:
        """The mean over the whole ensemble (Algorithm 1)."""
        return q.mean(dim=0)
