"""AWAC: advantage-weighted actor-critic (Nair et al. 2020, "AWAC: Accelerating Online RL with
Offline Datasets"), with the extensions that make it work on mixed data as separate fields.

A setting's default is the paper's; `configs/agent/awac_paper.yaml` is exactly these defaults, and
`configs/agent/awac.yaml` switches the extensions on.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from robot_orl.agents.advantage_weights import advantage_weights
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import Policy, TensorMetrics, load_parts, parts_state, place, tensors
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Sampling
from robot_orl.nn.actors import log_prob
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Compute, Network, gradient
from robot_orl.nn.mlp import EnsembleMLP, soft_update
from robot_orl.registry import register
from robot_orl.types import Batch, Spec


@register("agent", "awac", AWACConfig)
class AWAC:
    """Args: cfg; spec of the task; normalizer of its features; seed of weights and sampled actions."""

    def __init__(self, cfg: AWACConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        self.cfg = cfg = cfg.for_task(spec)
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
        named = {item.name: getattr(self.cfg, item.name) for item in fields(Sampling)}  # `for_task`: no nulls
        return Sampling(**named)

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
        action_value = q.amin(dim=0)
        if self.cfg.multi_step_share:
            action_value = torch.lerp(action_value, target, self.cfg.multi_step_share)
        actor_gradient, actor_metrics = gradient(
            self._policy.actor, lambda actor: self.actor_loss(actor, state, action, action_value)
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
            assert self.cfg.discount is not None
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
        self, actor: Network, state: Tensor, action: Tensor, action_value: Tensor
    ) -> tuple[Tensor, TensorMetrics]:
        """Policy improvement, eq. 9: likelihood of the data's actions, weighted by their advantage.

        action_value: (B,): Q(s, a), the minimum over the critics, in part the n-step target (cf. Mnih et
        al. 2016, A3C). A = action_value - V(s) with V(s) = Q(s, policy mean), the minimum over the critics.
        """
        mean, log_std = actor(state)
        gradient_weight = self.cfg.policy_gradient_weight or 0.0
        climbs = gradient_weight > 0
        value = self.q(self.critic, state, mean if climbs else mean.detach()).amin(dim=0)
        advantage = action_value - value.detach()
        weight = advantage_weights(advantage, self.cfg)
        loss = -self.cfg.awac_weight * (weight * log_prob(mean, log_std, action)).mean()
        if climbs:
            loss = loss - gradient_weight * (value / value.detach().abs().mean()).mean()
        return loss, {
            "actor/loss": loss.detach(),
            "actor/advantage": advantage.mean(),
            "actor/weight_max": weight.max(),
            "actor/effective_samples": weight.sum().square() / weight.square().sum() / len(weight),
            "actor/std": log_std.detach().exp().mean(),
        }

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
