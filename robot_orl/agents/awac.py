"""AWAC: advantage-weighted actor-critic (Nair et al. 2020, "AWAC: Accelerating Online RL with
Offline Datasets"), with the extensions that make it work on mixed data as separate fields.

A field's default is the paper's; `configs/agent/awac_paper.yaml` is exactly these defaults, and
`configs/agent/awac.yaml` switches the extensions on.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robot_orl.agents.base import Policy, TensorMetrics, load_parts, parts_state, place, tensors
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Sampling
from robot_orl.errors import UsageError
from robot_orl.nn.actors import log_prob
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Compute, Network, gradient
from robot_orl.nn.mlp import EnsembleMLP, soft_update
from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.types import Batch, Spec


@dataclass
class AWACOnline(Schema):
    """What changes when finetuning begins; null keeps the offline value."""

    n_step: int | None = setting(None, "Rewards summed before bootstrapping.", unit="steps", low=1, high=50)
    temperature: float | None = setting(None, "Lambda of the advantage weights.", low=1e-6, high=1e6)
    awac_weight: float | None = setting(None, "Weight of AWAC's actor loss.", low=0, high=1e3)
    policy_gradient_weight: float | None = setting(
        None, "Weight of the policy-gradient term.", low=0, high=1e3
    )
    hindsight_share: float | None = setting(None, "Share of samples with a relabelled goal.", low=0, high=1)


@dataclass
class AWACConfig(Schema):
    name: str = setting("awac", "Algorithm.", choices=["awac"])
    # the paper
    hidden: list[int] = setting(
        factory=lambda: [256, 256], help="Widths of all hidden layers.", low=1, high=65536
    )
    actor_learning_rate: float = setting(3e-4, "Adam's step size for the actor.", low=0, high=1)
    critic_learning_rate: float = setting(3e-4, "Adam's step size for the critics.", low=0, high=1)
    actor_weight_decay: float = setting(1e-4, "Adam's weight decay for the actor.", low=0, high=1)
    batch_size: int = setting(1024, "Transitions per update.", low=1, high=65536)
    discount: float = setting(0.99, "Gamma.", low=0, high=1)
    target_rate: float = setting(5e-3, "Step of the target critics towards the critics.", low=0, high=1)
    temperature: float = setting(0.5, "Lambda of the advantage weights.", low=1e-6, high=1e6)
    log_std_low: float = setting(-6.0, "Lower bound of the policy's log standard deviation.", low=-20, high=2)
    log_std_high: float = setting(0.0, "Upper bound of the policy's log standard deviation.", low=-20, high=2)
    # extensions
    weights: str = setting(
        "softmax",
        "Advantage weights: the paper's softmax over the batch, or exp(A / temperature) clipped, or "
        "exp(A / (temperature * std of A in the batch)) clipped.",
        choices=["softmax", "exp", "exp_std"],
    )
    weight_clip: float = setting(20.0, "Upper bound of the two exp weights.", low=1, high=1e6)
    awac_weight: float = setting(1.0, "Weight of AWAC's actor loss.", low=0, high=1e3)
    policy_gradient_weight: float = setting(
        0.0, "Weight of -Q(s, mean) / mean |Q| in the actor's loss.", low=0, high=1e3
    )
    critics: int = setting(2, "Size of the critic ensemble.", low=1, high=100)
    critic_subset: int = setting(2, "Critics drawn per update for the target's minimum.", low=1, high=100)
    layer_norm: bool = setting(False, "LayerNorm in the critics (Ball et al. 2023).")
    bound_targets: bool = setting(
        False, "Clip targets to what rewards in {-1, 0} can give: [-1 / (1 - discount), 0]."
    )
    n_step: int = setting(1, "Rewards summed before bootstrapping.", unit="steps", low=1, high=50)
    hindsight_share: float = setting(0.0, "Share of samples with a relabelled goal.", low=0, high=1)
    hindsight_min_move: float = setting(
        0.01, "Relabel only where the achieved goal moves this far.", unit="m", low=0, high=10
    )
    hindsight_past: float = setting(
        0.0,
        "Share of those whose goal may come from before the sample: shows what leaving a goal costs.",
        low=0,
        high=1,
    )
    observation_noise: float = setting(
        0.0,
        "Noise on the features while training, in their standard deviations: against learning few data by "
        "heart (Sinha et al. 2021, S4RL).",
        low=0,
        high=10,
    )
    actor_average: float = setting(
        1.0, "Step of the deployed actor towards the trained one; 1 deploys the trained one.", low=0, high=1
    )
    online: AWACOnline = setting(factory=AWACOnline, help="What changes when finetuning begins.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic_subset > self.critics:
            raise UsageError(f"critic_subset={self.critic_subset} exceeds critics={self.critics}")
        if self.bound_targets and self.discount == 1:
            raise UsageError("bound_targets needs discount < 1: the bound is -1 / (1 - discount)")
        if self.log_std_low > self.log_std_high:
            raise UsageError(f"log_std_low={self.log_std_low} exceeds log_std_high={self.log_std_high}")


@register("agent", "awac", AWACConfig)
class AWAC:
    """Args: cfg; spec of the task; normalizer of its features; seed of weights and sampled actions."""

    def __init__(self, cfg: AWACConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        self.cfg = cfg
        self.compute = Compute()
        self.action_size = spec.action_size
        hidden = tuple(cfg.hidden)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._policy = Policy(spec, normalizer, hidden, cfg.log_std_low, cfg.log_std_high)
            size_in = self._policy.preprocess.size + spec.action_size
            self.critic = EnsembleMLP(cfg.critics, size_in, hidden, 1, cfg.layer_norm)
        self.average = deepcopy(self._policy).requires_grad_(False)
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = Adam(
            self._policy.actor.parameters(), cfg.actor_learning_rate, cfg.actor_weight_decay
        )
        self.critic_optimizer = Adam(self.critic.parameters(), cfg.critic_learning_rate)
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def sampling(self) -> Sampling:
        cfg = self.cfg
        return Sampling(
            cfg.batch_size,
            cfg.n_step,
            cfg.discount,
            cfg.hindsight_share,
            cfg.hindsight_min_move,
            cfg.hindsight_past,
        )

    def update(self, batch: Batch) -> TensorMetrics:
        return self.compute(self.step, *tensors(batch), *self.draw(len(batch.action)))

    def draw(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """The randomness of an update.

        Noise of the next actions (B, A), critics of the target's minimum, noise of the features of s and s'
        (2, B, F) in standard deviations.
        """
        cfg, generator = self.cfg, self.generator
        noise = torch.randn(size, self.action_size, generator=generator)
        members = torch.randperm(cfg.critics, generator=generator)[: cfg.critic_subset]
        if not cfg.observation_noise:
            return noise, members, torch.zeros(2, 1, 1)
        features = 2, size, self._policy.preprocess.size
        return noise, members, cfg.observation_noise * torch.randn(features, generator=generator)

    def step(self, *inputs: Tensor) -> TensorMetrics:
        """Both gradients before either network changes: Q(s, a) is computed once for both losses."""
        critic_gradient, actor_gradient, metrics = self.gradients(*inputs)
        self.critic_optimizer.descend(critic_gradient)
        self.actor_optimizer.descend(actor_gradient)
        soft_update(self.target_critic, self.critic, self.cfg.target_rate)
        soft_update(self.average, self._policy, self.cfg.actor_average)
        return metrics

    def gradients(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_obs: Tensor,
        noise: Tensor,
        members: Tensor,
        blur: Tensor,
    ) -> tuple[list[Tensor], list[Tensor], TensorMetrics]:
        state = self._policy.preprocess(obs) + blur[0]
        next_state = self._policy.preprocess(next_obs) + blur[1]
        target = self.target(reward, discount, next_state, noise, members)
        critic_gradient, (q, metrics) = gradient(
            self.critic, lambda critic: self.critic_loss(critic, state, action, target)
        )
        actor_gradient, actor_metrics = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, action, q.amin(dim=0))
        )
        return critic_gradient, actor_gradient, metrics | actor_metrics

    @torch.no_grad()
    def target(
        self, reward: Tensor, discount: Tensor, next_state: Tensor, noise: Tensor, members: Tensor
    ) -> Tensor:
        """r + discount * target Q(s', a'), a' from the policy (eq. 4): (B,).

        Of a random subset of the target critics the minimum (Chen et al. 2021, REDQ).
        """
        mean, log_std = self._policy.actor(next_state)
        next_action = (mean + noise * log_std.exp()).clamp(-1, 1)
        next_q = self.q(self.target_critic, next_state, next_action)  # (E, B)
        if self.cfg.critic_subset < self.cfg.critics:
            next_q = next_q.index_select(0, members)
        target = reward + discount * next_q.amin(dim=0)
        if self.cfg.bound_targets:
            target = target.clamp(-1 / (1 - self.cfg.discount), 0)
        return target

    def critic_loss(
        self, critic: Network, state: Tensor, action: Tensor, target: Tensor
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Policy evaluation, eq. 4; returns Q(s, a) (E, B) as well."""
        q = self.q(critic, state, action)
        loss = (q - target).square().mean(dim=1).sum()
        q = q.detach()
        return loss, (q, {"critic/loss": loss.detach(), "critic/q": q.mean()})

    def actor_loss(
        self, actor: Network, state: Tensor, action: Tensor, q: Tensor
    ) -> tuple[Tensor, TensorMetrics]:
        """Policy improvement, eq. 9: likelihood of the data's actions, weighted by their advantage.

        q: Q(s, a), (B,). A = Q(s, a) - V(s) with V(s) = Q(s, policy mean), the minimum over the critics.
        """
        mean, log_std = actor(state)
        climbs = self.cfg.policy_gradient_weight > 0
        value = self.q(self.critic, state, mean if climbs else mean.detach()).amin(dim=0)
        advantage = q - value.detach()
        weight = self.weight(advantage)
        loss = -self.cfg.awac_weight * (weight * log_prob(mean, log_std, action)).mean()
        if climbs:
            loss = loss - self.cfg.policy_gradient_weight * (value / value.detach().abs().mean()).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/advantage": advantage.mean(),
            "actor/weight_max": weight.max(),
            "actor/effective_samples": weight.sum().square() / weight.square().sum() / len(weight),
            "actor/std": log_std.detach().exp().mean(),
        }

    def weight(self, advantage: Tensor) -> Tensor:
        """Weights (B,) of mean 1 (softmax) or in (0, weight_clip] (exp)."""
        if self.cfg.weights == "softmax":
            return torch.softmax(advantage / self.cfg.temperature, dim=0) * len(advantage)
        if self.cfg.weights == "exp_std":
            advantage = advantage / advantage.std(correction=0).clamp(min=1e-6)
        return (advantage / self.cfg.temperature).exp().clamp(max=self.cfg.weight_clip)

    @staticmethod
    def q(critic: Network, state: Tensor, action: Tensor) -> Tensor:
        """(E, B)"""
        return critic(torch.cat([state, action], dim=-1)).squeeze(-1)

    @torch.no_grad()
    def q_values(self, obs: Tensor, action: Tensor) -> Tensor:
        """(E, B), see `Valued`."""
        device = self.compute.device
        return self.q(self.critic, self._policy.preprocess(obs.to(device)), action.to(device)).cpu()

    def start_online(self) -> None:
        changed = {name: value for name, value in vars(self.cfg.online).items() if value is not None}
        self.cfg = replace(self.cfg, **changed)

    def use(self, compute: Compute) -> None:
        self.compute = compute
        place(self._parts, compute.device)

    def policy(self) -> nn.Module:
        return deepcopy(self.average).cpu().eval()

    @property
    def _parts(self) -> dict[str, Any]:
        return {
            "policy": self._policy,
            "average": self.average,
            "critic": self.critic,
            "target_critic": self.target_critic,
            "actor_optimizer": self.actor_optimizer,
            "critic_optimizer": self.critic_optimizer,
            "generator": self.generator,
        }

    def state_dict(self) -> dict[str, Any]:
        return parts_state(self._parts)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_parts(self._parts, state)
