"""What turns registers into motion: the encoder's way of counting, and the profile that leads to a goal.

    shaft      position of the horn in ticks, any number of turns, as the physics has it
    oriented   the same counted in the direction that the drive mode says; reversed: 4096 - shaft
    present    oriented, less whole turns that were counted before a reset, plus the homing offset

The manual does not say about which point the reverse mode mirrors; here it is the middle, 2048.
Source: sections Homing Offset(20), Drive Mode(10), Present Position(132) and "What is the Profile" of
https://emanual.robotis.com/docs/en/dxl/x/xl430-w250/
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from robot_orl.deploy.dynamixel.registers import TICKS_PER_TURN

# Register values to ticks and seconds: 0.229 rev/min and 214.577 rev/min^2.
VELOCITY_TICKS = 0.229 * TICKS_PER_TURN / 60
ACCELERATION_TICKS = 214.577 * TICKS_PER_TURN / 3_600

CLOSE_TICKS = 1e-6  # of rounding


class Shaft(NamedTuple):
    """The horn as the physics has it. position: ticks.  velocity: ticks/s.

    torque: of the motor if it stood still [N m]; what its turning costs is taken off elsewhere.
    """

    position: float
    velocity: float = 0.0
    torque: float = 0.0


@dataclass
class Encoder:
    """Counts ticks as a servo does. homing: offset in force.  turns: ticks taken off at the last reset."""

    reverse: bool = False
    homing: int = 0
    turns: int = 0

    @property
    def sign(self) -> int:
        return -1 if self.reverse else 1

    def reset(self, shaft: float) -> None:
        """Forget whole turns: an absolute value within one of them, the homing offset on top."""
        self.turns = math.floor(self._oriented(shaft) / TICKS_PER_TURN) * TICKS_PER_TURN

    def present(self, shaft: float) -> float:
        return self._oriented(shaft) - self.turns + self.homing

    def shaft(self, present: float) -> float:
        """Inverse of `present`."""
        return self._oriented(present - self.homing + self.turns)

    def _oriented(self, ticks: float) -> float:
        return TICKS_PER_TURN - ticks if self.reverse else ticks


class Profile:
    """The trajectory to a goal in ticks and ticks/s: a step, or a speed limit, or one with ramps.

    kind: bits 4 and 5 of Moving Status.
    """

    STEP, RECTANGULAR, TRIANGULAR, TRAPEZOIDAL = 0x00, 0x10, 0x20, 0x30

    def __init__(self) -> None:
        self.position = self.goal = 0.0
        self.velocity = 0.0
        self.kind = self.STEP
        self._speed = self._acceleration = 0.0

    @property
    def is_ongoing(self) -> bool:
        return self.position != self.goal or self.velocity != 0

    def hold(self, position: float) -> None:
        """Stand there."""
        self.position = self.goal = position
        self.velocity = 0.0
        self.kind = self.STEP

    def lead_to(self, goal: float, velocity: int, acceleration: int, *, is_time_based: bool) -> None:
        """velocity, acceleration: registers 112 and 108; where time-based, the durations in ms."""
        self.goal = goal
        distance = abs(goal - self.position)
        if is_time_based and velocity:
            ramp_s = min(acceleration, velocity / 2) / 1e3
            self._speed = distance / (velocity / 1e3 - ramp_s)
            self._acceleration = self._speed / ramp_s if ramp_s else 0.0
        else:
            self._speed = velocity * VELOCITY_TICKS
            self._acceleration = acceleration * ACCELERATION_TICKS
        if not self._speed:
            self.kind = self.STEP
        elif not self._acceleration:
            self.kind = self.RECTANGULAR
        else:
            reaches_speed = distance * self._acceleration >= self._speed**2
            self.kind = self.TRAPEZOIDAL if reaches_speed else self.TRIANGULAR

    def step(self, dt: float) -> None:
        """Go on by `dt` seconds."""
        distance = self.goal - self.position
        if self.kind == self.STEP:
            self.position, self.velocity = self.goal, 0.0
            return
        change = self._acceleration * dt
        if not change:
            velocity = math.copysign(self._speed, distance)
        else:
            # The fastest from which steps of `change` still stop at the goal.
            stoppable = math.sqrt(change**2 / 4 + 2 * self._acceleration * abs(distance)) - change / 2
            wanted = math.copysign(min(self._speed, stoppable), distance)
            velocity = min(max(wanted, self.velocity - change), self.velocity + change)
        is_slow = not change or abs(velocity) <= 2 * change
        if is_slow and abs(distance) <= max(velocity * math.copysign(dt, distance), CLOSE_TICKS):
            self.position, self.velocity = self.goal, 0.0
        else:
            self.position += velocity * dt
            self.velocity = velocity
