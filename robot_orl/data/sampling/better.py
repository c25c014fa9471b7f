"""Which steps belong to the better episodes: mixed data hold many poor ones, which hold a learner back."""

import numpy as np

from robot_orl.types import Array


class Better:
    """Steps of a replay's better episodes: their mean reward of a step is above the mean of all episodes.

    The mean and not the sum, by which a failure that was cut off early would be better than a long success.
    Worked out when the replay has grown.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._steps = np.zeros(0, np.int64)

    def of(self, reward: Array, last_row: Array) -> Array:
        """(M,) int64, empty where all episodes are equally good.

        reward: (N,) of all steps.  last_row: (N,) int64, another one for every episode.
        """
        if len(reward) != self._seen:
            mean, lengths = mean_rewards(reward, last_row)
            self._steps = np.flatnonzero(np.repeat(mean > mean.mean(), lengths))
            self._seen = len(reward)
        return self._steps


def best_steps(reward: Array, last_row: Array, share: float) -> Array:
    """(M,) int64 steps of that share of the episodes, at least one, whose mean reward is highest.

    The mean and not the sum: see `Better`. Of equally good episodes those that were added first.
    """
    mean, lengths = mean_rewards(reward, last_row)
    chosen = np.zeros(len(mean), bool)
    chosen[np.argsort(-mean, kind="stable")[: max(1, round(share * len(mean)))]] = True
    return np.flatnonzero(np.repeat(chosen, lengths))


def mean_rewards(reward: Array, last_row: Array) -> tuple[Array, Array]:
    """Of each episode its mean reward of a step, (E,) float64, and its length, (E,); see `Better.of`."""
    starts = np.flatnonzero(np.diff(last_row, prepend=-1))  # (E,) first step of each
    lengths = np.diff(starts, append=len(reward))
    return np.add.reduceat(reward, starts, dtype=np.float64) / lengths, lengths
