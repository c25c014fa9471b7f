"""What n-step learning needs to know of a step, worked out once per step instead of once per draw.

A row of the table, 32 bytes, so that one random access to memory fetches all of it:

    row | next_row | last_row | reward | discount
    ----+----------+----------+--------+---------
    where s, the s' of the n-step target and the episode's last s' lie among the observations
"""

import numpy as np

from robot_orl.types import Array

TARGET = np.dtype(
    [("row", "i8"), ("next_row", "i8"), ("last_row", "i8"), ("reward", "f4"), ("discount", "f4")]
)


class Targets:
    """Table of the steps of a replay for one number of steps and one discount; it grows as the replay does.

    reward: sum of gamma^k r_k over n steps, fewer at an episode's end.  discount: gamma^n * (1 - terminated).
    """

    def __init__(self, n_step: int, discount: float) -> None:
        self.n_step = n_step
        self.discount = discount
        self._table = np.zeros(0, TARGET)
        self._known = 0

    def of(self, row: Array, last_row: Array, reward: Array, terminated: Array) -> Array:
        """The table of N steps, (N,) TARGET; those that it knows already are not looked at again.

        row, last_row: (N,) int64 rows of s and of the episode's last observation, of whole episodes.
        reward, terminated: (N,) float32.
        """
        first, total = self._known, len(row)
        if first < total:
            self._table = grown(self._table, total)
            self._append(*(column[first:] for column in (row, last_row, reward, terminated)))
            self._known = total
        return self._table[:total]

    def _append(self, row: Array, last_row: Array, reward: Array, terminated: Array) -> None:
        count = len(row)
        ahead = np.minimum(self.n_step, last_row - row)  # (N,) fewer at an episode's end
        total = np.zeros(count)
        for k in range(min(self.n_step, int(ahead.max()))):
            here = ahead[: count - k] > k  # the k-th next step belongs to the same episode
            total[: count - k] += np.where(here, reward[k:], 0) * self.discount**k
        ends = terminated[np.arange(count) + ahead - 1]
        table = self._table[self._known : self._known + count]
        table["row"], table["next_row"], table["last_row"] = row, row + ahead, last_row
        table["reward"], table["discount"] = total, self.discount**ahead * (1 - ends)


def grown(array: Array, need: int) -> Array:
    """The array with room for `need` rows; doubled, so that adding rows costs what they cost themselves."""
    if need <= len(array):
        return array
    larger = np.zeros((max(need, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
