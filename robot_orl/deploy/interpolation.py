"""Between two actions of a policy: targets move on at the servo rate, in a straight line.

    target                             per_policy = 4
      goal  |      o---o---o---o
            |                           at the tick of the answer the line has gone its first half, one tick
            |  o                        later it is there, and it waits there as long as no new action comes
            |
      start +--|---|---|---|---|---|--> servo ticks
               answer          next answer

It takes half of the policy's period, since policies learn where a target is at its goal at once: each
millisecond that a line lags behind that costs success. Reaching in simulation, every command 4 ms late as on
a bus, 150 goals: 145 with targets that jump, 144 by this line, 132 by one that is there a tick before the
next answer, 110 by one over the whole period (it lags by 7.5 ms in the mean, this one by 2.5).

A slot that was missed is made up for at the next tick. What is left of a line when the next one begins,
because slots were missed or an answer came late, is added to that one: no part of an action is lost.

Speed, acceleration and jerk are the supervisor's to limit, at every tick; a line only asks.
"""

from dataclasses import dataclass

from robot_orl.errors import UsageError
from robot_orl.types import Array


class Line:
    """From start to goal, (J,) rad each, in so many ticks."""

    def __init__(self, start: Array, goal: Array, ticks: int) -> None:
        self.goal = goal
        self._start, self._way, self._ticks = start, goal - start, ticks
        self._done = 0

    def next(self, slots: int = 1) -> Array:
        """(J,) rad for this tick, so many slots after the last; at the end the goal itself, to the bit."""
        self._done += slots
        if self.is_over:
            return self.goal
        point: Array = self._start + self._way * (self._done / self._ticks)
        return point

    @property
    def is_new(self) -> bool:
        return not self._done

    @property
    def is_over(self) -> bool:
        return self._done >= self._ticks

    @property
    def left(self) -> Array:
        """(J,) rad: the way to the goal that nobody has been asked to go."""
        return self._way * max(0.0, 1 - self._done / self._ticks)


@dataclass(frozen=True)
class Rates:
    """per_policy: servo ticks from one question to the next.  said: one line on a rate that was changed."""

    policy_hz: float
    per_policy: int
    said: str | None = None

    @property
    def servo_hz(self) -> float:
        return self.policy_hz * self.per_policy

    @property
    def line_ticks(self) -> int:
        """Servo ticks that a line takes: half of the policy's period, rounded up."""
        return (self.per_policy + 1) // 2

    @classmethod
    def of(cls, policy_hz: float, servo_hz: float | None) -> "Rates":
        """servo_hz: as wanted; None: the policy's. The nearest multiple of the policy's rate is taken.

        Raises: UsageError: it is lower than the policy's.
        """
        if servo_hz is None:
            return cls(policy_hz, 1)
        if servo_hz < policy_hz:
            raise UsageError(
                f"servo_hz={servo_hz:g} is below the policy's rate, {policy_hz:g} Hz: give a multiple of "
                "that, or null"
            )
        per_policy = round(servo_hz / policy_hz)
        found = cls(policy_hz, per_policy)
        if abs(found.servo_hz - servo_hz) > 1e-6 * servo_hz:
            said = (
                f"servo_hz={servo_hz:g} is no multiple of the policy's {policy_hz:g} Hz: "
                f"{found.servo_hz:g} Hz is used"
            )
            return cls(policy_hz, per_policy, said)
        return found
