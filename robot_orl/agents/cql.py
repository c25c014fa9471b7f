"""CQL: conservative Q-learning (Kumar et al. 2020, "Conservative Q-Learning for Offline Reinforcement
Learning").

A soft actor-critic whose critics are pressed down where the policy or chance would act and held up where the
data acted (CQL(H), eq. 4), so that what nobody tried is not believed to be good.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.soft import ENTROPY_BACKUP, SoftActorCritic, SoftConfig, q_of_many
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.errors import UsageError
from robot_orl.nn.actors import squashed_sample
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.multiplier import Multiplier, dual_loss
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Spec


@dataclass
class CQLConfig(SoftConfig):
    name: str = setting("cql", "Algorithm.", choices=["cql"])
    actor_learning_rate: float = setting(1e-4, "Adam's step size for the actor.", low=0, high=1)
    entropy_backup: bool = setting(False, ENTROPY_BACKUP)
    backup_actions: int = setting(
        1, "Next actions drawn for a target, which takes the best of them.", low=1, high=1000
    )
    conservative_weight: float = setting(
        5.0, "Weight of the penalty on the value of what the data did not do.", low=0, high=1e3
    )
    action_samples: int = setting(
        10,
        "Actions of each kind in the penalty: random, the policy's here, the policy's next.",
        low=1,
        high=1000,
    )
    action_gap: float | None = setting(
        None,
        "Penalty up to which the weight is multiplied by a number that falls, and above which by one that "
        "rises (the Lagrange variant, eq. 30); null: the weight stays.",
        low=-1e3,
        high=1e3,
    )
    multiplier_learning_rate: float = setting(3e-4, "Adam's step size for that number.", low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.entropy_backup and self.backup_actions > 1:
            raise UsageError("entropy_backup and backup_actions > 1 exclude each other: set one of them")


@register("agent", "cql", CQLConfig)
class CQL(SoftActorCritic):
    cfg: CQLConfig

    def __init__(self, cfg: CQLConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.multiplier = Multiplier(1.0)
        self.multiplier_optimizer = Adam(self.multiplier.parameters(), cfg.multiplier_learning_rate)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Noise of next actions (N', B, A), critics, blur, noise of the actor's action (B, A), and of the
        penalty (N, B, A) each: noise here, noise next, uniform actions."""
        cfg, generator, shape = self.cfg, self.generator, (size, self.action_size)
        noise, members, blur = super().draw(size)
        more = torch.randn(cfg.backup_actions - 1, *shape, generator=generator)
        normal = torch.randn(2 * cfg.action_samples + 1, *shape, generator=generator)
        uniform = 2 * torch.rand(cfg.action_samples, *shape, generator=generator) - 1
        here, later = normal[1:].chunk(2)
        return torch.cat([noise[None], more]), members, blur, normal[0], here, later, uniform

    def step(self, *inputs: Tensor) -> TensorMetrics:
        """All gradients before anything changes."""
        *gradients, metrics = self.gradients(*inputs)
        critic_gradient, actor_gradient, temperature_gradient, multiplier_gradient = gradients
        self.descend(critic_gradient, actor_gradient)
        self.descend_temperature(temperature_gradient)
        if self.cfg.action_gap is not None:
            self.multiplier_optimizer.descend(multiplier_gradient)
            self.multiplier.keep_within()
        return metrics

    def gradients(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        next_noise: Tensor,
        members: Tensor,
        blur: Tensor,
        noise: Tensor,
        here: Tensor,
        later: Tensor,
        uniform: Tensor,
        floor: Tensor | None = None,
    ) -> tuple[Any, ...]:
        """Of critics, actor, temperature and the penalty's multiplier; and metrics. floor: of Cal-QL."""
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, next_noise, members)
        samples, log_density = self.proposals(state, next_state, here, later, uniform)
        critic_gradient, (penalty, metrics) = gradient(
            self.critic,
            lambda critic: self.conservative_loss(critic, state, action, target, samples, log_density, floor),
        )
        actor_gradient, (log_prob, found) = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, noise)
        )
        temperature_gradient, more = self.temperature_gradient(log_prob)
        violation = penalty - (self.cfg.action_gap or 0.0)
        multiplier_gradient, _ = gradient(
            self.multiplier, lambda multiplier: (dual_loss(multiplier(), violation), {})
        )
        metrics = metrics | found | more
        return critic_gradient, actor_gradient, temperature_gradient, multiplier_gradient, metrics

    @torch.no_grad()
    def target(
        self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor, members: Tensor
    ) -> Tensor:
        """(B,) as a soft actor-critic's, of the best of several next actions. noise: (N', B, A)."""
        shape = noise.shape[:2]
        reward, discount = (values.expand(shape).flatten() for values in (reward, discount))
        states = next_state.expand(*shape, -1).flatten(0, 1)
        targets = super().target(reward, discount, states, noise.flatten(0, 1), members)  # (N' * B,)
        return targets.unflatten(0, shape).amax(dim=0)

    @torch.no_grad()
    def proposals(
        self, state: Tensor, next_state: Tensor, here: Tensor, later: Tensor, uniform: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Actions (3N, B, A) of the policy here, of it at the next state, by chance; their log densities."""
        mean, log_std = self._policy.actor(state)
        first, first_log = squashed_sample(mean, log_std, here)
        mean, log_std = self._policy.actor(next_state)
        second, second_log = squashed_sample(mean, log_std, later)
        chance_log = torch.full_like(first_log, -self.action_size * math.log(2))  # over [-1, 1]^A
        return torch.cat([first, second, uniform]), torch.cat([first_log, second_log, chance_log])

    def conservative_loss(
        self,
        critic: Network,
        state: Tensor,
        action: Tensor,
        target: Tensor,
        samples: Tensor,
        log_density: Tensor,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Eq. 4, summed over the critics; returns the penalty of each (E, B) as well. floor: see Cal-QL.

        The squared error without its half, as in the authors' code: their weights are meant so.
        """
        loss, (_, metrics) = self.critic_loss(critic, state, action, target)
        sampled = self.calibrated(q_of_many(critic, state, samples), floor)
        penalty = excess(sampled, log_density, self.q(critic, state, action))
        weight = self.cfg.conservative_weight * self.multiplier().detach()
        loss = loss + weight * penalty.mean(dim=1).sum()
        penalty = penalty.detach()
        return loss, (penalty, metrics | {"critic/penalty": penalty.mean(), "critic/penalty_weight": weight})

    def calibrated(self, sampled: Tensor, floor: Tensor | None) -> Tensor:
        """Q of sampled actions (E, 3N, B) as the penalty counts it."""
        return sampled

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "multiplier": self.multiplier,
            "multiplier_optimizer": self.multiplier_optimizer,
        }


def excess(sampled: Tensor, log_density: Tensor, q: Tensor) -> Tensor:
    """How far what might be done is valued above what was done: (E, B).

    The log of the mean of exp Q over all actions, by importance sampling (appendix F), less Q of the data's
    action. The weights 1 / density are made to sum to 1, which the authors' are not: the penalty is smaller
    than theirs by a number that no critic can change, and 0 for one that is the same for all actions, so that
    `action_gap` counts from there.
    sampled: Q of N actions (E, N, B).  log_density: theirs (N, B).  q: Q of the data's action (E, B).
    """
    return torch.logsumexp(sampled - log_density, dim=1) - torch.logsumexp(-log_density, dim=0) - q
