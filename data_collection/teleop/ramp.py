"""What every steering is made of: changes that are gradual, and values that are an action."""

from collections.abc import Sequence

import numpy as np

from robot_orl.types import Array


class Ramp:
    """A vector of which each part changes by `most` in `seconds` at most, whatever is wanted."""

    def __init__(self, most: float, seconds: float, control_hz: float) -> None:
        self._step = np.inf if seconds == 0 else most / (seconds * control_hz)
        self._now = np.zeros(0)

    def begin(self, at: Array) -> None:
        self._now = np.asarray(at, np.float64)

    def towards(self, wanted: Array) -> Array:
        self._now = self._now + np.clip(wanted - self._now, -self._step, self._step)
        return self._now


def as_action(values: Sequence[float] | Array) -> Array:
    return np.clip(np.asarray(values, np.float32), -1.0, 1.0)
