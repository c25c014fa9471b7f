"""Pay for goals within a share of the task's tolerance.

A learner that is paid at the border of a goal learns to let go there, and what it lets go of ends beyond the
border as often as not; paid well within it, it has room for its own errors.
"""

from collections.abc import Callable

import numpy as np

from robot_orl.data.sampling.targets import grown
from robot_orl.types import Array

RewardFor = Callable[[Array, Array], Array]


def reward_within(reward_for: RewardFor, achieved: Array, desired: Array, tolerance: float) -> Array:
    """(..., G), (..., G) -> (...) float32: what the task would pay if it bore `tolerance` of the error.

    Right for tasks that look at the difference of the two only, and in which less of it is never worse.
    """
    if tolerance == 1:
        return reward_for(achieved, desired)
    return reward_for(achieved, achieved + (desired - achieved) / np.float32(tolerance))


class Paid:
    """The rewards of a replay's steps under one tolerance; it grows as the replay does."""

    def __init__(self, reward_for: RewardFor, tolerance: float) -> None:
        self._reward_for = reward_for
        self._tolerance = tolerance
        self._reward = np.zeros(0, np.float32)
        self._known = 0

    def of(self, achieved: Array, desired: Array, row: Array) -> Array:
        """(N,) float32; those that it knows already are not looked at again.

        achieved, desired: (N + E, G) of all observations.  row: (N,) int64 of the s of each step.
        """
        total = len(row)
        if self._known < total:
            self._reward = grown(self._reward, total)
            reached = row[self._known :] + 1
            self._reward[self._known : total] = reward_within(
                self._reward_for, achieved[reached], desired[reached], self._tolerance
            )
            self._known = total
        return self._reward[:total]
