"""Which steps belong to the better episodes: mixed data hold many poor ones, which hold a learner back."""

import numpy as np

from robot_orl.types import Array


class Better:
    """Steps of the episodes of a replay that have more than the mean return; worked out when it has grown."""

    def __init__(self) -> None:
        self._seen = 0
        self._steps = np.zeros(0, np.int64)

    def of(self, reward: Array, last_row: Array) -> Array:
        """(M,) int64, empty where all returns are equal.

        reward: (N,) of all steps.  last_row: (N,) int64, another one for every episode.
        """
        if len(reward) != self._seen:
            starts = np.flatnonzero(np.diff(last_row, prepend=-1))  # (E,) first step of each
            returns = np.add.reduceat(reward, starts, dtype=np.float64)
            lengths = np.diff(starts, append=len(reward))
            self._steps = np.flatnonzero(np.repeat(returns > returns.mean(), lengths))
            self._seen = len(reward)
        return self._steps
