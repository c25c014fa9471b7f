"""What off-policy agents are made of: an actor with its average, critics with their targets, optimisers.

`PolicyLearner` is an agent's life around its policy: what is deployed, saved, moved and drawn. `ActorCritic`
adds an ensemble of critics Q(s, a). Who extends them writes the losses, in the paper's order, as functions of
modules and tensors (see `nn.compute`), and

    build        more networks, behind `super().build()`
    inputs       more of the batch, where five tensors are not enough
    draw         the randomness of an update, so that a compiled update has none of its own
    step         one update of such tensors: gradients first, then what they change
    _parts       everything that is saved by name, behind `super()._parts`
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from robot_orl.agents.base import Policy, TensorMetrics, load_parts, parts_state, place, tensors
from robot_orl.agents.settings import OffPolicyConfig
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Sampling
from robot_orl.nn.actors import Actor, GaussianActor
from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import Compute, Network
from robot_orl.nn.mlp import EnsembleMLP, soft_update
from robot_orl.types import Batch, Spec


class PolicyLearner:
    """Args: cfg; spec of the task; normalizer of its features; seed of weights and sampled actions."""

    actor_class: Callable[..., Actor] = GaussianActor

    def __init__(self, cfg: OffPolicyConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        self.cfg = cfg.for_task(spec)
        self.compute = Compute()
        self.action_size = spec.action_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.build(spec, normalizer)
        self.average = deepcopy(self._policy).requires_grad_(False)
        self.actor_optimizer = Adam(
            self._policy.actor.parameters(), self.cfg.actor_learning_rate, self.cfg.actor_weight_decay
        )
        self.generator = torch.Generator().manual_seed(seed)

    def build(self, spec: Spec, normalizer: Normalizer) -> None:
        """The networks, whose weights the seed decides."""
        cfg = self.cfg
        bounds = cfg.log_std_low, cfg.log_std_high
        self._policy = Policy(spec, normalizer, tuple(cfg.hidden), *bounds, actor=type(self).actor_class)

    @property
    def sampling(self) -> Sampling:
        own = vars(self.cfg)  # of which `for_task` left no null
        return Sampling(**{item.name: own[item.name] for item in fields(Sampling) if item.name in own})

    def update(self, batch: Batch) -> TensorMetrics:
        return self.compute(self.step, *self.inputs(batch), *self.draw(len(batch.action)))

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What `step` takes of a batch: obs, action, reward, discount, next_obs."""
        return tensors(batch)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """The randomness of an update of `size` transitions, on the CPU."""
        return ()

    def step(self, *inputs: Tensor) -> TensorMetrics:
        raise NotImplementedError

    def bounded(self, target: Tensor) -> Tensor:
        """Clipped to what rewards in {-1, 0} can give, where `bound_targets` says so."""
        if not self.cfg.bound_targets:
            return target
        assert self.cfg.discount is not None
        return target.clamp(-1 / (1 - self.cfg.discount), 0)

    def start_online(self) -> None:
        changed = {name: value for name, value in vars(self.cfg.online).items() if value is not None}
        self.cfg = replace(self.cfg, **changed)

    def use(self, compute: Compute) -> None:
        self.compute = compute
        place(self._parts, compute.device)

    def policy(self) -> nn.Module:
        return deepcopy(self.average).cpu().eval()

    def state_dict(self) -> dict[str, Any]:
        return parts_state(self._parts)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_parts(self._parts, state)

    @property
    def _parts(self) -> dict[str, Any]:
        return {
            "policy": self._policy,
            "average": self.average,
            "actor_optimizer": self.actor_optimizer,
            "generator": self.generator,
        }

    def blur(self, size: int) -> Tensor:
        """Noise of the features of s and s', (2, B, F) in standard deviations; (2, 1, 1) zeros without."""
        if not self.cfg.observation_noise:
            return torch.zeros(2, 1, 1)
        shape = 2, size, self._policy.preprocess.size
        return self.cfg.observation_noise * torch.randn(shape, generator=self.generator)


class ActorCritic(PolicyLearner):
    """With `cfg.critics` Q-functions, each of its own weights, and their targets."""

    def __init__(self, cfg: OffPolicyConfig, spec: Spec, normalizer: Normalizer, seed: int) -> None:
        super().__init__(cfg, spec, normalizer, seed)
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.critic_optimizer = Adam(self.critic.parameters(), self.cfg.critic_learning_rate)

    def build(self, spec: Spec, normalizer: Normalizer) -> None:
        super().build(spec, normalizer)
        cfg, size_in = self.cfg, self._policy.preprocess.size + spec.action_size
        self.critic = EnsembleMLP(cfg.critics, size_in, tuple(cfg.hidden), 1, cfg.layer_norm)

    def draw(self, size: int) -> tuple[Tensor, ...]:
        """Noise of the next actions (B, A), critics of the target's minimum, and `blur`."""
        noise = torch.randn(size, self.action_size, generator=self.generator)
        members = torch.randperm(self.cfg.critics, generator=self.generator)[: self.cfg.critic_subset]
        return noise, members, self.blur(size)

    def descend(self, critic_gradient: list[Tensor], actor_gradient: list[Tensor]) -> None:
        """What both gradients change: the networks, and then what follows them slowly."""
        self.critic_optimizer.descend(critic_gradient)
        self.actor_optimizer.descend(actor_gradient)
        soft_update(self.target_critic, self.critic, self.cfg.target_rate)
        soft_update(self.average, self._policy, self.cfg.actor_average)

    def lowest(self, critic: Network, state: Tensor, action: Tensor, members: Tensor) -> Tensor:
        """(B,) minimum of a random subset of the critics (Chen et al. 2021, REDQ). members: (subset,)."""
        q = self.q(critic, state, action)  # (E, B)
        if self.cfg.critic_subset < self.cfg.critics:
            q = q.index_select(0, members)
        return q.amin(dim=0)

    def critic_loss(
        self, critic: Network, state: Tensor, action: Tensor, target: Tensor
    ) -> tuple[Tensor, tuple[Tensor, TensorMetrics]]:
        """Sum over the critics of their mean squared errors; returns Q(s, a) (E, B) as well."""
        q = self.q(critic, state, action)
        loss = (q - target).square().mean(dim=1).sum()
        q = q.detach()
        return loss, (q, {"critic/loss": loss.detach(), "critic/q": q.mean()})

    @staticmethod
    def q(critic: Network, state: Tensor, action: Tensor) -> Tensor:
        """(E, B)"""
        return critic(torch.cat([state, action], dim=-1)).squeeze(-1)

    @torch.no_grad()
    def q_values(self, obs: Tensor, action: Tensor) -> Tensor:
        """(E, B), see `Valued`."""
        device = self.compute.device
        return self.q(self.critic, self._policy.preprocess(obs.to(device)), action.to(device)).cpu()

    @property
    def _parts(self) -> dict[str, Any]:
        return super()._parts | {
            "critic": self.critic,
            "target_critic": self.target_critic,
            "critic_optimizer": self.critic_optimizer,
        }
