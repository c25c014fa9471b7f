"""What lies between a real robot and whoever controls it, for a simulated one: delay, noise and loss.

Each kind has a random stream of its own, begun from an episode's seed: a run repeats, and no kind depends
on whether another is on. The world and how it is judged know nothing of all this.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np

from robot_orl.errors import UsageError
from robot_orl.types import Array, Observation, Spec

T = TypeVar("T")
_STREAM = 7_301  # beside a seed, so that nothing here follows the draws of a task's own start


class Delay(Generic[T]):
    """What is put in comes out so many turns later; None until the first of it does.

    turns: 0: at once.
    """

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.begin()

    def begin(self) -> None:
        """Nothing is on its way."""
        self._waiting: deque[T | None] = deque([None] * self.turns)

    def __call__(self, item: T) -> T | None:
        self._waiting.append(item)
        return self._waiting.popleft()


def whole_periods(latency_s: float, control_hz: float) -> tuple[int, str | None]:
    """The nearest number of control periods, halves up, and a line that says so where that is another time.

    A task is stepped by whole control periods: no part of one can belong to another action.
    """
    asked = latency_s * control_hz
    periods = math.floor(asked + 0.5 + 1e-9)
    if abs(asked - periods) < 1e-6:
        return periods, None
    told = f"latency_s={latency_s:g} is {asked:.3g} control periods of {1e3 / control_hz:g} ms"
    return periods, f"{told}; an action takes effect {periods} later"


class Disturbances:
    """Noise, losses and jitter of the observations of one robot. `begin` before each episode."""

    def __init__(self, spec: Spec, noise: Mapping[str, float], drop: float, jitter_s: float) -> None:
        """Args:
        noise: standard deviation of every observed signal of a unit, in that unit. A goal that is asked for
            is not measured, so it has none.
        drop: share of observations that are lost, [0, 1].  jitter_s: most that a look takes longer [s].

        Raises: UsageError: no signal has such a unit, or it is no standard deviation.
        """
        measured = {key: part for key, part in spec.observation.items() if key != spec.desired_goal}
        units = list(dict.fromkeys(signal.unit for part in measured.values() for signal in part))
        for unit, deviation in noise.items():
            if unit not in units:
                raise UsageError(
                    f"noise: {spec.task} observes nothing in '{unit}'; it observes: {', '.join(units)}"
                )
            if not 0 <= deviation < math.inf:
                raise UsageError(f"noise: {unit}={deviation:g} is no standard deviation, which is 0 or more")
        self._noise, self._drop, self._jitter_ns = dict(noise), drop, jitter_s * 1e9
        self._deviations = {
            key: np.array([noise.get(signal.unit, 0.0) for signal in part]) for key, part in measured.items()
        }
        self.begin(0)

    def begin(self, seed: int) -> None:
        streams = np.random.SeedSequence([seed, _STREAM]).spawn(4)
        self._noises, self._losses, self._looks, self._joints = map(np.random.default_rng, streams)

    def noisy(self, obs: Observation) -> Observation:
        """The observation as it is measured, float32 per key; the same one where there is no noise."""
        if not any(self._noise.values()):
            return obs
        return {
            key: value if key not in self._deviations else self._measured(value, self._deviations[key])
            for key, value in obs.items()
        }

    def _measured(self, value: Array, deviation: Array) -> Array:
        return (value + deviation * self._noises.standard_normal(len(deviation))).astype(np.float32)

    def noisy_joints(self, values: Array, unit: str) -> Array:
        """What J joints report, (J,) in `unit`, with the noise of that unit."""
        deviation = self._noise.get(unit, 0.0)
        return values + deviation * self._joints.standard_normal(len(values)) if deviation else values

    def is_lost(self) -> bool:
        """Whether the next observation is."""
        return self._drop > 0 and bool(self._losses.random() < self._drop)

    def extra_ns(self) -> int:
        """How much longer the next look takes [ns], uniform up to `jitter_s`."""
        return int(self._looks.uniform(0.0, self._jitter_ns)) if self._jitter_ns else 0
