"""Observations that stand still while actions move the robot: a sensor or camera that hangs."""

from itertools import pairwise

import numpy as np

from robot_orl.types import Array

MOVES = 0.05  # an action with no larger component is no reason to move
LIVELY = 0.9  # share of steps at which something of an observation changes, where it is alive
SEEN = 0.05  # the same of a camera, which may be slower than the control loop
MIN_STEPS, MIN_S = 10, 0.2
INTERVALS = 5  # so many of a camera's usual intervals


class Frozen:
    """How often a sensor's or camera's picture of the world changes, and for how long it does not.

    It is watched as a whole: an object at rest keeps single signals still, a sensor that hangs all of them.
    share: of the steps at which something changes that is expected to change.
    """

    def __init__(self, control_hz: float, share: float) -> None:
        self._control_hz = control_hz
        self._share = share
        self._changes = self._steps = 0
        self._shares: list[float] = []
        self._longest: list[tuple[str, int]] = []

    def add(self, name: str, changed: Array, action: Array) -> None:
        """changed: (T,) bool, whether something changed over step i.  action: (T, A)."""
        moves = np.asarray(np.abs(action) > MOVES).any(axis=1)
        changes, steps = int((changed & moves).sum()), int(moves.sum())
        self._changes, self._steps = self._changes + changes, self._steps + steps
        if steps:
            self._shares.append(changes / steps)
        self._longest.append((name, longest_run(~changed & moves)))

    def never(self) -> bool:
        """Whether it never changed at all."""
        return self._changes == 0 and self._steps >= MIN_STEPS

    def stuck(self) -> list[tuple[str, int]]:
        """The episodes in which it stood still although it usually does not, and for how many steps."""
        share = float(np.median(self._shares)) if self._shares else 0.0  # one that hangs does not hide itself
        if share < self._share:
            return []
        limit = max(MIN_STEPS, MIN_S * self._control_hz, INTERVALS / share)
        return [(name, steps) for name, steps in self._longest if steps >= limit]


def longest_run(held: Array) -> int:
    """(T,) bool -> the most consecutive True."""
    step = np.arange(1, len(held) + 1)
    broken = np.maximum.accumulate(np.where(held, 0, step))
    return int((step - broken).max(initial=0))


def frames_changed(frames: Array) -> Array:
    """(T+1, H, W, 3) -> (T,) bool; frame by frame, so that no second copy of them is made."""
    return np.array([not np.array_equal(a, b) for a, b in pairwise(frames)])
