"""The action as the policy proposes it: finite, in range, and near the one before."""

from collections.abc import Sequence

import numpy as np

from robot_orl.types import Array, Safety, Signal

_CLIPPED, _RATE_LIMITED = int(Safety.CLIPPED), int(Safety.RATE_LIMITED)


class ActionLimiter:
    """Range clip, then rate limit. The range is the signal's own, within [-1, 1].

    The first action of an episode has no predecessor and is only clipped.
    """

    def __init__(self, signals: Sequence[Signal], max_delta: float) -> None:
        self._names = [signal.name for signal in signals]
        self._low = [_inward(max(-1.0, signal.low), np.inf) for signal in signals]
        self._high = [_inward(min(1.0, signal.high), -np.inf) for signal in signals]
        self._delta = max_delta
        self._previous: list[float] | None = None

    def begin(self) -> None:
        """An episode starts: forget the last action."""
        self._previous = None

    def non_finite(self, action: Array) -> str | None:
        """The names of the signals that are NaN or infinite; None: there is none."""
        if np.isfinite(action).all():
            return None
        return ", ".join(n for n, value in zip(self._names, action, strict=True) if not np.isfinite(value))

    def __call__(self, action: Array) -> tuple[Array, int]:
        """(A,) finite -> what may be sent, (A,) float32, and the `Safety` bits of what changed it.

        In plain floats: for the few signals of a robot that is faster than arrays.
        """
        changed = 0
        allowed: list[float] = action.tolist()
        for i, value in enumerate(allowed):
            inside = min(max(value, self._low[i]), self._high[i])
            if inside != value:
                changed |= _CLIPPED
                allowed[i] = inside
            if self._previous is not None:
                # The last action lies in the range, so a step from it towards the range stays inside.
                last = self._previous[i]
                near = min(max(inside, last - self._delta), last + self._delta)
                if near != inside:
                    changed |= _RATE_LIMITED
                    allowed[i] = near
        found = np.array(allowed, np.float32)
        self._previous = found.tolist()
        return found, changed


def _inward(bound: float, towards: float) -> float:
    """The bound as float32 that lies inside it, so that rounding never leaves the range."""
    rounded = float(np.float32(bound))
    is_outside = rounded < bound if towards > 0 else rounded > bound
    return float(np.nextafter(np.float32(bound), np.float32(towards))) if is_outside else rounded
