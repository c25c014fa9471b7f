"""BEAR: bootstrapping error accumulation reduction (Kumar et al. 2019, "Stabilizing Off-Policy Q-Learning via
Bootstrapping Error Reduction").

The policy may do whatever the data's actors sometimes did, however rarely: its actions stay near those of a
model of the data, a conditional variational autoencoder, by the maximum mean discrepancy of a few samples,
which tells supports apart rather than densities. A multiplier holds it at its threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.settings import LOG_STD_HIGH, LOG_STD_LOW, OffPolicyConfig
from robot_orl.agents.soft import q_of_many
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.actors import SquashedGaussianActor
from robot_orl.nn.adam import Adam
from robot_orl.nn.autoencoder import Autoencoder
from robot_orl.nn.compute import Network, gradient
from robot_orl.nn.multiplier import Multiplier, dual_loss
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch, Spec

DIVERGENCE_WEIGHT = 0.5  # of the autoencoder's code from a normal distribution, as in the authors' code
CODE_BOUND = 0.5  # samples of the model stay where its codes are usual, as in the authors' code


@dataclass
class BEARConfig(OffPolicyConfig):
    name: str = setting("bear", "Algorithm.", choices=["bear"])
    log_std_low: float = setting(-5.0, **LOG_STD_LOW)
    log_std_high: float = setting(2.0, **LOG_STD_HIGH)
    behaviour_learning_rate: float = setting(
        3e-4, "Adam's step size for the model of the data.", low=0, high=1
    )
    kernel: str = setting("laplacian", "Of the discrepancy.", choices=["laplacian", "gaussian"])
    kernel_width: float = setting(10.0, "Sigma of the kernel, before the tanh.", low=1e-3, high=1e3)
    matched_actions: int = setting(5, "Actions of each side that are compared in a state.", low=2, high=1000)
    threshold: float = setting(0.05, "The discrepancy that the policy may have.", low=0, high=2)
    multiplier_learning_rate: float = setting(1e-3, "Adam's step size for its multiplier.", low=0, high=1)
    backup_actions: int = setting(
        10, "Next actions drawn for a target, which takes the best of them.", low=1, high=1000
    )
    minimum_share: float = setting(
        0.75, "Of the critics' minimum in a target; the rest is their maximum.", low=0, high=1
    )
    warmup_updates: int = setting(
        40_000, "First updates, in which the policy is only brought near the data.", low=0, high=10**9
    )


@register("agent", "bear", BEARConfig)
class BEAR(ActorCritic):
    cfg: BEARConfig
    actor_class = SquashedGaussianActor

    def __init__(self, cfg: BEARConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.behaviour_optimizer = Adam(self.behaviour.parameters(), cfg.behaviour_learning_rate)
        self.multiplier = Multiplier(1.0, low=-5.0, high=10.0)
        self.multiplier_optimizer = Adam(self.multiplier.parameters(), cfg.multiplier_learning_rate)
        self.updates = 0

    def build(self, spec: Spec, normalizer: Normalizer) -> None:
        super().build(spec, normalizer)
        size = self._policy.preprocess.size
        self.behaviour = Autoencoder(size, tuple(self.cfg.hidden), spec.action_size)

    def update(self, batch: Batch) -> TensorMetrics:
        """The actor does not climb before it is near the data."""
        climbs = self.updates >= self.cfg.warmup_updates
        self.updates += 1
        step = self.step if climbs else self.warm_up
        return self.compute(step, *self.inputs(batch), *self.draw(len(batch.action)))

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Noise of next actions (N', B, A), of actions here (N, B, A), of codes (N + 1, B, 2A), and blur."""
        generator, count = self.generator, self.cfg.matched_actions
        later = torch.randn(self.cfg.backup_actions, size, self.action_size, generator=generator)
        here = torch.randn(count, size, self.action_size, generator=generator)
        codes = torch.randn(count + 1, size, 2 * self.action_size, generator=generator)
        return later, here, codes, self.blur(size)

    def step(self, *inputs: Tensor) -> TensorMetrics:
        return self.apply(*self.gradients(True, *inputs))

    def warm_up(self, *inputs: Tensor) -> TensorMetrics:
        return self.apply(*self.gradients(False, *inputs))

    def apply(
        self,
        critic_gradient: list[Tensor],
        actor_gradient: list[Tensor],
        behaviour_gradient: list[Tensor],
        multiplier_gradient: list[Tensor],
        metrics: TensorMetrics,
    ) -> TensorMetrics:
        """What the gradients change, after all of them were taken."""
        self.descend(critic_gradient, actor_gradient)
        self.behaviour_optimizer.descend(behaviour_gradient)
        self.multiplier_optimizer.descend(multiplier_gradient)
        self.multiplier.keep_within()
        return metrics

    def gradients(
        self,
        climbs: bool,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        later: Tensor,
        here: Tensor,
        codes: Tensor,
        blur: Tensor,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], TensorMetrics]:
        """Of critics, actor, autoencoder and multiplier. climbs: the actor climbs the critics as well."""
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, later)
        critic_gradient, (_, metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        behaviour_gradient, more = gradient(
            self.behaviour, lambda behaviour: self.behaviour_loss(behaviour, state, action, codes[0])
        )
        done = self.imitated(state, codes[1:])
        actor_gradient, (distance, found) = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, here, done, climbs)
        )
        multiplier_gradient, _ = gradient(
            self.multiplier,
            lambda multiplier: (dual_loss(multiplier(), distance - self.cfg.threshold), {}),
        )
        return (
            critic_gradient,
            actor_gradient,
            behaviour_gradient,
            multiplier_gradient,
            metrics | more | found,
        )

    @torch.no_grad()
    def target(self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor) -> Tensor:
        """r + discount * the best of several actions of the policy, each by a mix of the critics: (B,).

        noise: (N', B, A).
        """
        mean, log_std = self._policy.actor(next_state)
        q = q_of_many(self.target_critic, next_state, torch.tanh(mean + noise * log_std.exp()))  # (E, N', B)
        mixed = torch.lerp(q.amax(dim=0), q.amin(dim=0), self.cfg.minimum_share)
        return self.bounded(reward + discount * mixed.amax(dim=0))

    @staticmethod
    def behaviour_loss(
        behaviour: Network, state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, TensorMetrics]:
        """The autoencoder's: what comes back, and how far its codes are from normal."""
        again, mean, log_std = behaviour(state, action, noise)
        error = (again - action).square().mean()
        divergence = (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).mean()
        loss = error + DIVERGENCE_WEIGHT * divergence
        return loss, {"behaviour/loss": loss.detach(), "behaviour/error": error.detach()}

    @torch.no_grad()
    def imitated(self, state: Tensor, noise: Tensor) -> Tensor:
        """Actions before the tanh (N, B, A) as the data's actors might have done. noise: (N, B, 2A)."""
        everywhere = state.expand(len(noise), *state.shape)
        return self.behaviour.decode(everywhere, noise.clamp(-CODE_BOUND, CODE_BOUND))

    def actor_loss(
        self, actor: Network, state: Tensor, noise: Tensor, done: Tensor, climbs: bool
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """multiplier * (discrepancy - threshold) - Q(s, a), the minimum over the critics.

        done: what the data's actors might have done (N, B, A).  Returns the discrepancies (B,) as well.
        """
        mean, log_std = actor(state)
        before = mean + noise * log_std.exp()
        distance = discrepancy(before, done, self.cfg.kernel, self.cfg.kernel_width)
        loss = (self.multiplier().detach() * (distance - self.cfg.threshold)).mean()
        if climbs:
            loss = loss - q_of_many(self.critic, state, torch.tanh(before)).amin(dim=0).mean()
        distance = distance.detach()
        return loss, (
            distance,
            {
                "actor/loss": loss.detach(),
                "actor/discrepancy": distance.mean(),
                "actor/multiplier": self.multiplier().detach(),
                "actor/std": log_std.detach().exp().mean(),
            },
        )

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "behaviour": self.behaviour,
            "behaviour_optimizer": self.behaviour_optimizer,
            "multiplier": self.multiplier,
            "multiplier_optimizer": self.multiplier_optimizer,
        }

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.updates = state["updates"]


def discrepancy(left: Tensor, right: Tensor, kernel: str, width: float) -> Tensor:
    """Maximum mean discrepancy of samples (N, B, A) and (M, B, A) in each state: (B,).

    The root of the biased estimate of its square (Gretton et al. 2012, eq. 5), with 1e-6 that keeps its
    gradient finite where both are alike.
    """
    square = (
        similarity(left, left, kernel, width)
        + similarity(right, right, kernel, width)
        - 2 * similarity(left, right, kernel, width)
    )
    return (square.clamp(min=0) + 1e-6).sqrt()


def similarity(left: Tensor, right: Tensor, kernel: str, width: float) -> Tensor:
    """The kernel of two samples (N, B, A) and (M, B, A), the mean over all pairs: (B,)."""
    apart = left[:, None] - right[None]  # (N, M, B, A)
    size = apart.abs() if kernel == "laplacian" else apart.square()
    return (-size.sum(dim=-1) / (2 * width)).exp().mean(dim=(0, 1))
