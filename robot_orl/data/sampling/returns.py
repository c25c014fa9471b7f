"""Monte Carlo returns: what followed a step until its episode ended, as it was recorded.

    returns = r_t + gamma r_t+1 + ... + gamma^(T-1) r_t+T-1
    tail = gamma^T (1 - terminated)
    last_obs = s_t+T

T steps are left of the episode. Where it terminated, `returns` is all that there ever is and `tail` is 0. One
that was only cut off would have gone on: what it would have earned is unknown, so that it is left out and
its weight told instead, and who learns says what it is worth. `returns + tail * V(last_obs)` is the
bootstrapped return; `returns + tail * lowest reward / (1 - gamma)` is a lower bound of it, which `returns`
alone is not where rewards are negative.

With a trace lambda below 1, T is drawn from a geometric distribution of mean 1 / (1 - lambda) and never
reaches beyond the episode: the expectation of `returns + tail * V(last_obs)` over the draws is the TD(lambda)
return (Sutton & Barto 2018, eq. 12.3: a mean of n-step returns with the weights (1 - lambda) lambda^(n-1)).
"""

from collections.abc import Callable

import numpy as np

from robot_orl.data.sampling.targets import grown
from robot_orl.types import Array


class Returns:
    """Discounted returns to the end of the episode, of all steps of a replay; they grow as it does."""

    def __init__(self, discount: float) -> None:
        self._discount = discount
        self._returns = np.zeros(0)
        self._known = 0

    def of(self, row: Array, last_row: Array, reward: Array) -> Array:
        """(N,) float64; those that it knows already are not looked at again.

        row, last_row: (N,) int64 rows of s and of the episode's last observation, of whole episodes.
        reward: (N,) float32.
        """
        first, total = self._known, len(row)
        if first < total:
            self._returns = grown(self._returns, total)
            new = self._returns[first:total]
            new[:] = reward[first:]
            ahead = (last_row - row)[first:]  # steps that are left, this one included
            order = np.argsort(ahead, kind="stable")
            groups = np.split(order, np.searchsorted(ahead[order], np.arange(2, ahead.max() + 1)))
            for step in groups[1:]:  # all those that are second to last, then third to last, ...
                new[step] += self._discount * new[step + 1]
            self._known = total
        return self._returns[:total]


def drawn_lengths(ahead: Array, trace: float, rng: np.random.Generator) -> Array:
    """(B,) int64 how far each return goes. ahead: (B,) steps that are left of the episode, at least 1."""
    return ahead if trace == 1 else np.minimum(ahead, rng.geometric(1 - trace, size=len(ahead)))


def anew(length: Array, pay: Callable[[Array, Array], Array], discount: float) -> Array:
    """(B,) float64 discounted sums of what `pay` gives for `length` steps of each of B returns.

    pay: (S,) int64 whose step it is, and (S,) which of that return's steps, from 0 on -> (S,).
    """
    whose = np.repeat(np.arange(len(length)), length)
    k = np.arange(len(whose)) - np.repeat(np.cumsum(length) - length, length)
    return np.bincount(whose, pay(whose, k) * discount**k, len(length))
