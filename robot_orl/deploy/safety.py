"""What stands between the policy and the robot. No output ever leaves the limits.

A fault is an exception; the loop answers every fault by stopping the robot first.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robot_orl.errors import DataError, RunError
from robot_orl.schema import Schema, setting
from robot_orl.types import Array, Spec


class StaleObservation(RunError):
    """The newest observation is too old to act on."""


class NonFiniteValue(RunError):
    """An observation or an action holds NaN or infinity."""


@dataclass
class Limits(Schema):
    """What a deployed action must keep to; travels in the bundle's manifest."""

    max_action_delta: float = setting(
        2.0, "largest change of each action signal from one tick to the next; 2 = no limit", low=0, high=2
    )
    max_observation_age_s: float = setting(
        0.25, "older observations stop the robot", unit="s", low=0, high=60
    )

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Limits":
        """Raises: DataError: unknown or malformed fields."""
        try:
            return cls(**{name: float(value) for name, value in raw.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"malformed limits: {error}") from error


class ActionFilter:
    """Finite check, range clip, then rate limit; counts the ticks on which each had to step in.

    The range is the signal's own, within [-1, 1]. The first action of an episode has no predecessor and
    is only clipped.
    """

    def __init__(self, limits: Limits, spec: Spec) -> None:
        self.counts = {"clipped": 0, "rate_limited": 0, "non_finite": 0}
        self._names = [signal.name for signal in spec.action]
        self._low = np.array([max(-1.0, signal.low) for signal in spec.action], np.float32)
        self._high = np.array([min(1.0, signal.high) for signal in spec.action], np.float32)
        self._delta = np.float32(limits.max_action_delta)
        self._previous: Array | None = None

    def begin(self) -> None:
        """An episode starts: forget the last action."""
        self._previous = None

    def __call__(self, action: Array) -> Array:
        """(A,) as the policy proposed it -> (A,) float32 that may be sent.

        Raises: NonFiniteValue: names the signal; nothing may be sent.
        """
        action = np.asarray(action, np.float32)
        finite = np.isfinite(action)
        if not finite.all():
            self.counts["non_finite"] += 1
            names = [name for name, good in zip(self._names, finite, strict=True) if not good]
            raise NonFiniteValue(f"the policy proposed a non-finite action for: {', '.join(names)}")
        allowed = np.clip(action, self._low, self._high)
        self.counts["clipped"] += bool((allowed != action).any())
        if self._previous is not None:
            near = np.clip(allowed, self._previous - self._delta, self._previous + self._delta)
            self.counts["rate_limited"] += bool((near != allowed).any())
            # The last action lies in the range, so a step from it towards the range stays inside.
            allowed = near
        self._previous = allowed
        return allowed


class StalenessGuard:
    """Refuses observations that are older than `max_age_s` or that are not finite.

    stale, non_finite: how often each happened.  oldest_ns: the greatest age that was let through.
    """

    def __init__(self, max_age_s: float) -> None:
        self.stale = 0
        self.non_finite = 0
        self.oldest_ns = 0
        self._max_age_ns = int(max_age_s * 1e9)

    def check(self, taken_ns: int, now_ns: int) -> None:
        """Raises: StaleObservation: the observation of `taken_ns` is too old at `now_ns` [ns]."""
        age_ns = now_ns - taken_ns
        if age_ns > self._max_age_ns:
            self.stale += 1
            raise StaleObservation(
                f"the newest observation is {age_ns / 1e6:.1f} ms old, limit {self._max_age_ns / 1e6:.1f} ms"
            )
        self.oldest_ns = max(self.oldest_ns, age_ns)

    def check_values(self, flat: Array, spec: Spec) -> None:
        """Raises: NonFiniteValue: names the first signal of `flat`, (D,), that is not finite."""
        if not np.isfinite(flat).all():
            self.non_finite += 1
            names = [f"{key}/{signal.name}" for key, part in spec.observation.items() for signal in part]
            name = names[int(np.argmin(np.isfinite(flat)))]
            raise NonFiniteValue(f"the observation is not finite: {name}")
