"""Policies: features to a distribution over actions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robot_orl.nn.mlp import mlp

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class GaussianActor(nn.Module):
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
        return torch.tanh(self.net(features).float()), self.log_std

    @property
    def log_std(self) -> Tensor:
        """(A,), between the bounds through a sigmoid, so that its gradient never vanishes at once."""
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.log_std_logit)


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density of actions (..., A) under a Gaussian of means (..., A): (...)."""
    z = (action - mean) / log_std.exp()
    return (-0.5 * z.square() - log_std - LOG_SQRT_2PI).sum(dim=-1)
