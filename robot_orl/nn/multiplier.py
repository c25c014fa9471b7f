"""A positive number that is learned: what a constraint costs, by dual gradient ascent."""

import math

import torch
from torch import Tensor, nn


class Multiplier(nn.Module):
    """The multiplier of a constraint, e^x, at least e^low and at most e^high; `()` gives it as ().

    Source: Haarnoja et al. 2018 (SAC's temperature), Kumar et al. 2019 (BEAR), Kumar et al. 2020 (CQL).
    """

    def __init__(self, start: float, low: float = -20.0, high: float = 14.0) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.log_value = nn.Parameter(torch.tensor(math.log(start)).clamp(low, high))

    def forward(self) -> Tensor:
        return self.log_value.exp()

    @torch.no_grad()
    def keep_within(self) -> None:
        """Back to the bounds after a step; inside of `forward` they would hold it where it got to them."""
        self.log_value.clamp_(self.low, self.high)


def dual_loss(multiplier: Tensor, violation: Tensor) -> Tensor:
    """Descended, the multiplier rises while the violations (...) are positive in the mean, and else falls."""
    return -multiplier * violation.detach().mean()
