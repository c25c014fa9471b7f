"""Policies: features to a distribution over actions."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robot_orl.nn.mlp import mlp

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
EDGE = 1e-6  # how near to -1 and 1 the density of a squashed Gaussian is asked for


class Actor(ABC, nn.Module):
    """`forward` gives what losses are made of; `act` what is deployed."""

    @abstractmethod
    def act(self, features: Tensor) -> Tensor:
        """Features (B, F) -> deterministic actions (B, A) in [-1, 1]."""


class GaussianActor(Actor):
    """A Gaussian around a tanh mean, with one log standard deviation per action, bounded.

    The deviation does not depend on the state, as in AWAC's own code; log_std_low = log_std_high
    fixes it. Samples are not squashed; whoever executes one clips it to [-1, 1].
    """

    def __init__(
        self,
        size_in: int,
        hidden: Sequence[int],
        action_size: int,
        log_std_low: float,
        log_std_high: float,
    ) -> None:
        super().__init__()
        self.net = mlp(size_in, hidden, action_size)
        self.bounds = log_std_low, log_std_high
        share = (-1.0 - log_std_low) / max(log_std_high - log_std_low, 1e-6)
        start = math.log(share / (1 - share)) if 0 < share < 1 else 0.0  # a deviation of exp(-1) if allowed
        self.log_std_logit = nn.Parameter(torch.full((action_size,), start))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) -> mean actions (B, A) in (-1, 1) and their log deviations (A,)."""
        return self.act(features), self.log_std

    def act(self, features: Tensor) -> Tensor:
        return torch.tanh(self.net(features).float())

    @property
    def log_std(self) -> Tensor:
        """(A,), between the bounds through a sigmoid, so that its gradient never vanishes at once."""
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.log_std_logit)


class SquashedGaussianActor(Actor):
    """tanh of a Gaussian whose mean and deviation depend on the state (Haarnoja et al. 2018, SAC, app. C).

    What is deployed is tanh of its mean. log_std_low = log_std_high fixes the deviation. See
    `squashed_sample` and `squashed_log_prob`.
    """

    def __init__(
        self,
        size_in: int,
        hidden: Sequence[int],
        action_size: int,
        log_std_low: float,
        log_std_high: float,
    ) -> None:
        super().__init__()
        self.net = mlp(size_in, hidden, 2 * action_size)
        self.action_size = action_size
        self.bounds = log_std_low, log_std_high

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) -> means (B, A) before the tanh and their log deviations (B, A), clipped."""
        both, size = self.net(features).float(), self.action_size
        return both[:, :size], both[:, size:].clamp(*self.bounds)  # not `chunk`: ONNX would not know the size

    def act(self, features: Tensor) -> Tensor:
        return torch.tanh(self(features)[0])


class DeterministicActor(Actor):
    """One action for each state (Lillicrap et al. 2016, DDPG)."""

    def __init__(self, size_in: int, hidden: Sequence[int], action_size: int, *_: Any) -> None:
        super().__init__()
        self.net = mlp(size_in, hidden, action_size)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) -> actions (B, A) in (-1, 1)."""
        return torch.tanh(self.net(features).float())

    def act(self, features: Tensor) -> Tensor:
        return self(features)


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density of actions (..., A) under a Gaussian of means (..., A): (...)."""
    z = (action - mean) / log_std.exp()
    return (-0.5 * z.square() - log_std - LOG_SQRT_2PI).sum(dim=-1)


def squashed_sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh(mean + noise * deviation) (..., A) and its log density (...), both with gradients.

    noise: (..., A) standard normal numbers; more leading dimensions than the mean's are more samples of it.
    """
    before = mean + noise * log_std.exp()
    return torch.tanh(before), log_prob(mean, log_std, before) - log_slope(before)


def squashed_log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density of actions (..., A) in [-1, 1] under tanh of a Gaussian: (...).

    At the ends, which no sample reaches but which people press a stick to, that of an action just inside.
    """
    before = torch.atanh(action.clamp(-1 + EDGE, 1 - EDGE))
    return log_prob(mean, log_std, before) - log_slope(before)


def log_slope(before: Tensor) -> Tensor:
    """Sum of log(1 - tanh(u)^2) over the last dimension (..., A) -> (...); exact where tanh rounds to 1."""
    return (2 * (math.log(2) - before - nn.functional.softplus(-2 * before))).sum(dim=-1)
