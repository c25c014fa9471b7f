"""AWAC as it is commonly written: a module per network, a backward pass per loss, metrics as numbers.

The arithmetic is that of `robot_orl.agents.awac` (see `EagerAWAC.load`), so that what differs is only how it
is computed.
"""

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from robot_orl.agents.awac import AWAC, AWACConfig
from robot_orl.nn.mlp import EnsembleLinear, EnsembleNorm


class Arrays:
    """Transitions in memory, as arrays of their own, gathered by a fancy index."""

    def __init__(self, size: int, observations: int, actions: int, discount: float) -> None:
        rng = np.random.default_rng(0)
        self.obs = rng.standard_normal((size, observations)).astype(np.float32)
        self.next_obs = rng.standard_normal((size, observations)).astype(np.float32)
        self.action = np.tanh(rng.standard_normal((size, actions))).astype(np.float32)
        self.reward = -np.ones(size, np.float32)
        self.discount = np.full(size, discount, np.float32)

    def sample(self, batch_size: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        index = rng.integers(0, len(self.reward), batch_size)
        arrays = self.obs, self.action, self.reward, self.discount, self.next_obs
        return tuple(torch.from_numpy(array[index]) for array in arrays)


def network(size_in: int, hidden: list[int], size_out: int, layer_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(size_in, width), *([nn.LayerNorm(width)] if layer_norm else []), nn.ReLU()]
        size_in = width
    return nn.Sequential(*layers, nn.Linear(size_in, size_out))


class EagerAWAC:
    def __init__(self, cfg: AWACConfig, observations: int, actions: int) -> None:
        self.cfg = cfg
        self.log_std = cfg.log_std_low  # fixed in both, see updates.py
        self.actor = network(observations, cfg.hidden, actions, False)
        size_in = observations + actions
        self.critics = nn.ModuleList(
            network(size_in, cfg.hidden, 1, cfg.layer_norm) for _ in range(cfg.critics)
        )
        self.target_critics = deepcopy(self.critics).requires_grad_(False)
        self.average = deepcopy(self.actor).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(
            self.actor.parameters(), cfg.actor_learning_rate, weight_decay=cfg.actor_weight_decay
        )
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), cfg.critic_learning_rate)

    def load(self, ours: AWAC) -> "EagerAWAC":
        """The weights of our agent, so that both compute the same losses."""
        self.actor.load_state_dict(ours._policy.actor.net.state_dict())
        for critics, source in ((self.critics, ours.critic), (self.target_critics, ours.target_critic)):
            for member, critic in enumerate(critics):
                _copy_member(critic, source.layers, member)
        self.average.load_state_dict(self.actor.state_dict())
        return self

    def update(
        self, obs: Tensor, action: Tensor, reward: Tensor, discount: Tensor, next_obs: Tensor
    ) -> dict[str, float]:
        cfg, std = self.cfg, float(np.exp(self.log_std))
        with torch.no_grad():
            mean = torch.tanh(self.actor(next_obs))
            next_action = (mean + std * torch.randn_like(mean)).clamp(-1, 1)
            next_q = torch.min(*(self.q(critic, next_obs, next_action) for critic in self.target_critics))
            target = reward + discount * next_q
            if cfg.bound_targets:
                target = target.clamp(-1 / (1 - cfg.discount), 0)
        q = [self.q(critic, obs, action) for critic in self.critics]
        critic_loss = sum(nn.functional.mse_loss(each, target) for each in q)
        mean = torch.tanh(self.actor(obs))
        with torch.no_grad():
            value = torch.min(*(self.q(critic, obs, mean) for critic in self.critics))
            advantage = torch.min(*q) - value
            if cfg.weights == "softmax":
                weight = torch.softmax(advantage / cfg.temperature, dim=0) * len(advantage)
            else:
                advantage = advantage / advantage.std(correction=0).clamp(min=1e-6)
                weight = (advantage / cfg.temperature).exp().clamp(max=cfg.weight_clip)
        log_prob = torch.distributions.Normal(mean, std).log_prob(action).sum(dim=-1)
        actor_loss = -(weight * log_prob).mean()

        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.critic_optimizer.step()
        self.actor_optimizer.step()
        self.follow(self.target_critics, self.critics, cfg.target_rate)
        self.follow(self.average, self.actor, cfg.actor_average)
        return {"critic/loss": critic_loss.item(), "actor/loss": actor_loss.item()}

    @staticmethod
    def q(critic: nn.Module, obs: Tensor, action: Tensor) -> Tensor:
        return critic(torch.cat([obs, action], dim=-1)).squeeze(-1)

    @staticmethod
    @torch.no_grad()
    def follow(target: nn.Module, source: nn.Module, rate: float) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.data.copy_((1 - rate) * slow.data + rate * fast.data)


@torch.no_grad()
def _copy_member(critic: nn.Sequential, ensemble: nn.Sequential, member: int) -> None:
    for layer, source in zip(critic, ensemble, strict=True):
        if isinstance(source, EnsembleLinear):
            layer.weight.copy_(source.weight[member].T)
            layer.bias.copy_(source.bias[member, 0])
        elif isinstance(source, EnsembleNorm):
            layer.weight.copy_(source.scale[member, 0])
            layer.bias.copy_(source.shift[member, 0])
