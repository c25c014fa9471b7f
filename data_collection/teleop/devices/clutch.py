"""When a leader arm is held, and how far it has been turned since.

    moves   held from when one of its joints moves until all are still: who takes it by the hand, acts
    key     held until the key is pressed that lets it go, and again from when it is pressed once more

While it is not held it may be moved anywhere; the robot stays where it is.
"""

from collections.abc import Callable

import numpy as np

from robot_orl.types import Array

MOVES, KEY = "moves", "key"
GRAB_RAD = 0.03  # so far a joint must go to be moved by a hand, within the time in which still ones count so
STILL_RAD = 0.01  # less than this is a hand that holds still, and what its servo's sensor makes of that


class Clutch:
    """mode: MOVES or KEY.  still_s: so long all joints must be still to be let go [s].

    is_free: the person has said that it is not held, whatever it does.
    """

    def __init__(self, mode: str, still_s: float, now_s: Callable[[], float]) -> None:
        self.is_free = mode == KEY
        self._mode, self._still_s, self._now_s = mode, still_s, now_s
        self._origin: Array | None = None  # where it was taken hold of; None: it is not held
        self._near: Array | None = None  # where it was at `_near_s`, and has hardly left since
        self._near_s = -np.inf

    @property
    def is_held(self) -> bool:
        return self._origin is not None

    def toggle(self) -> None:
        """The key was pressed."""
        self.is_free = not self.is_free
        self._origin = self._near = None

    def begin(self) -> None:
        """Whatever was done with it before does not count."""
        self._origin = self._near = None

    def turned(self, positions: Array) -> Array | None:
        """positions: (J,) rad, now.  Returns: how far from where they were taken hold of; None: not held."""
        if self.is_free:
            return None
        if self._mode == KEY:
            self._origin = positions.copy() if self._origin is None else self._origin
            return positions - self._origin
        now_s = self._now_s()
        if self._near is None or (not self.is_held and now_s - self._near_s > self._still_s):
            self._look(positions, now_s)
        far = float(np.abs(positions - self._near).max())
        if not self.is_held and far > GRAB_RAD:
            self._origin = self._near
            self._look(positions, now_s)
        elif self.is_held and far > STILL_RAD:
            self._look(positions, now_s)
        elif self.is_held and now_s - self._near_s > self._still_s:
            self._origin = None
            self._look(positions, now_s)
        return None if self._origin is None else positions - self._origin

    def _look(self, positions: Array, now_s: float) -> None:
        self._near, self._near_s = positions.copy(), now_s
