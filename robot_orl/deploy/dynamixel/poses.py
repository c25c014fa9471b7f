"""Where an arm may be, and the poses to which it moves by itself: home, and rest."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import UsageError
from robot_orl.types import Array

ToolPosition = Callable[[Array], Array]  # (J,) rad -> (3,) m


@dataclass(frozen=True)
class Poses:
    """(J,) rad each, in the order of `joints`. rest: NaN where there is none."""

    joints: tuple[str, ...]
    home: Array
    rest: Array

    @classmethod
    def of(cls, joints: tuple[str, ...], home: Array, rest: Mapping[str, float]) -> "Poses":
        """rest: rad by joint, or empty."""
        return cls(joints, np.asarray(home, float), np.array([rest.get(joint, math.nan) for joint in joints]))

    def common_range(self, calibrated: Array, of_task: Array) -> Array:
        """(J, 2) rad: where both let a joint be. Raises: UsageError: a pose lies outside."""
        low, high = np.maximum(calibrated[:, 0], of_task[:, 0]), np.minimum(calibrated[:, 1], of_task[:, 1])
        for what, joint, angle, bottom, top in self._angles(low, high):
            if angle < bottom or angle > top:
                raise UsageError(
                    f"{joint} reaches {bottom:.2f} .. {top:.2f} rad, its {what} is {angle:.2f}; is the "
                    "calibration right?"
                )
        return np.stack([low, high], 1)

    def check(self, limits: Limits, tool_position: ToolPosition) -> None:
        """Raises: UsageError: the limits forbid a pose to which the arm moves by itself."""
        low, high = (limits.of_joints(name, len(self.joints)) for name in ("low_rad", "high_rad"))
        for what, joint, angle, bottom, top in self._angles(low, high):
            if angle < bottom or angle > top:
                raise UsageError(
                    f"the limits let {joint} be at {bottom:.2f} .. {top:.2f} rad, its {what} is "
                    f"{angle:.2f}; nothing moved"
                )
        for what, pose in self._named():
            if np.isfinite(pose).all() and (said := outside(limits, tool_position(pose))):
                raise UsageError(f"in its {what} the tool is at {said}; nothing moved")

    def _named(self) -> tuple[tuple[str, Array], ...]:
        return ("home pose", self.home), ("rest_pose", self.rest)

    def _angles(self, low: Array, high: Array) -> list[tuple[str, str, float, float, float]]:
        """(pose, joint, its angle, its lowest, its highest) of every pose and joint."""
        return [
            (what, joint, angle, bottom, top)
            for what, pose in self._named()
            for joint, angle, bottom, top in zip(self.joints, pose, low, high, strict=True)
        ]


def outside(limits: Limits, tool: Array) -> str:
    """Which limit forbids the tool to be there, (3,) m; empty: none."""
    low = np.array(limits.workspace_low_m or [-math.inf] * 3)
    high = np.array(limits.workspace_high_m or [math.inf] * 3)
    if limits.floor_m is not None:
        low[2] = max(low[2], limits.floor_m)
    for axis, value, bottom, top in zip("xyz", tool, low, high, strict=True):
        if value < bottom or value > top:
            return f"{axis} {value:.3f} m, the limits allow {bottom:.3f} .. {top:.3f}"
    return ""
