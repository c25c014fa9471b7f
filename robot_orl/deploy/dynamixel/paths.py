"""How an arm moves by itself from one pose to another: slowly, gently, and with its tool where it may be.

All joints together, each along a curve of least jerk, over which speed, acceleration and jerk are

    share(s) = 10 s^3 - 15 s^4 + 6 s^5,  s = t / T:    at most 1.875 / T, 5.774 / T^2, 60 / T^3 of the way

so T is the longest time that any joint needs for any of its limits. Where the tool would leave its box, one
joint goes first and the others follow. Source of the curve: Flash and Hogan 1985.
"""

import math

import numpy as np

from robot_orl.deploy.dynamixel.poses import ToolPosition, outside
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import Box
from robot_orl.errors import RunError
from robot_orl.types import Array

MOVE_HZ = 50.0  # of the targets of a slow move
STEEPEST, BENT, JERKED = 1.875, 10.0 / math.sqrt(3.0), 60.0  # of the curve, over a time and a way of 1
CHECK_RAD = 0.02  # no joint moves further between two looks at where the tool is
ROUNDING_M = 1e-4


class NoWay(RunError):
    """Every way that was tried leads out of where the tool may be; nothing moved."""


class Paths:
    """The moves of J joints. speed: of each joint at most [rad/s], besides `limits`."""

    def __init__(self, limits: Limits, joints: int, speed: float, tool_position: ToolPosition) -> None:
        """Raises: UsageError: the limits are of another number of joints."""
        self._speed = np.minimum(speed, limits.of_joints("max_speed_rad_s", joints))
        self._acceleration = limits.of_joints("max_acceleration_rad_s2", joints)
        self._jerk = limits.of_joints("max_jerk_rad_s3", joints)
        self._limits, self._box = limits, Box(limits)
        self._tool_position = tool_position

    def between(self, start: Array, end: Array) -> list[Array]:
        """The targets from pose to pose, (J,) rad, MOVE_HZ a second; `end` itself is left to the caller.

        Raises: NoWay: names where the tool would be.
        """
        found = self._leaves(start, end)
        if not found:
            return self._ramp(start, end)
        for joint in np.argsort(-np.abs(end - start)):
            corner = start.copy()
            corner[joint] = end[joint]
            if not self._leaves(start, corner) and not self._leaves(corner, end):
                return [*self._ramp(start, corner), corner, *self._ramp(corner, end)]
        raise NoWay(f"on the way the tool would be at {found}; nothing moved")

    def _ramp(self, start: Array, end: Array) -> list[Array]:
        way = end - start
        far = np.abs(way)
        seconds = max(
            (STEEPEST * far / self._speed).max(),
            np.sqrt(BENT * far / self._acceleration).max(),
            np.cbrt(JERKED * far / self._jerk).max(),
        )
        count = math.ceil(seconds * MOVE_HZ)
        shares = np.arange(1, count) / max(count, 1)
        return [start + way * (s**3 * (10.0 - 15.0 * s + 6.0 * s * s)) for s in shares.tolist()]

    def _leaves(self, start: Array, end: Array) -> str:
        """Where the tool would be outside of its box and further out than at the start; empty: nowhere."""
        if self._box.is_open:
            return ""
        before = self._box.outside(self._tool_position(start)) + ROUNDING_M
        count = math.ceil(np.abs(end - start).max() / CHECK_RAD) + 1
        for share in np.linspace(0.0, 1.0, count):
            tool = self._tool_position(start + share * (end - start))
            if self._box.outside(tool) > before:
                return outside(self._limits, tool)
        return ""
