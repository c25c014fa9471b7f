"""AWAC: advantage-weighted actor-critic (Nair et al. 2020, "AWAC: Accelerating Online RL with
Offline Datasets"), with the extensions that make it work on mixed data as separate fields.

A setting's default is the paper's; `configs/agent/awac_paper.yaml` is exactly these defaults, and
`configs/agent/awac.yaml` switches the extensions on.
"""

import torch
from torch import Tensor

from robot_orl.agents.actor_critic import ActorCritic
from robot_orl.agents.advantage_weights import advantage_weights
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import TensorMetrics
from robot_orl.nn.actors import log_prob
from robot_orl.nn.compute import Network, gradient
from robot_orl.registry import register


@register("agent", "awac", AWACConfig)
class AWAC(ActorCritic):
    cfg: AWACConfig

    def step(self, *inputs: Tensor) -> TensorMetrics:
        """Both gradients before either network changes: Q(s, a) is computed once for both losses."""
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
        """r + discount * target Q(s', a'), a' from the policy (eq. 4): (B,). Its error is `critic_loss`."""
        mean, log_std = self._policy.actor(next_state)
        next_action = (mean + noise * log_std.exp()).clamp(-1, 1)
        return self.bounded(
            reward + discount * self.lowest(self.target_critic, next_state, next_action, members)
        )

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
