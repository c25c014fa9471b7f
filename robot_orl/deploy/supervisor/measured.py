"""What the joints report, against the limits: motion, tracking, load. Nothing is changed, only refused."""

import math
from dataclasses import dataclass

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import Box
from robot_orl.types import Array, Safety, Telemetry


@dataclass(frozen=True)
class Veto:
    """Why the robot must stop: one bit of `Safety`, and a sentence."""

    bit: Safety
    why: str

    def __str__(self) -> str:
        return f"{(self.bit.name or '').lower()}: {self.why}"


class MeasuredChecks:
    """The checks of one robot's telemetry; those of what it does not report are left out.

    joints: their names.  A tracking error or current over its limit stops the robot once it has lasted for
    `patience_s`: both are exceeded for moments whenever a joint starts to move.
    """

    def __init__(self, limits: Limits, joints: tuple[str, ...]) -> None:
        """Raises: UsageError: the limits are of another number of joints."""
        count = len(joints)
        self._joints = joints
        self._low = (limits.of_joints("low_rad", count) - limits.joint_margin_rad).tolist()
        self._high = (limits.of_joints("high_rad", count) + limits.joint_margin_rad).tolist()
        self._speed = (limits.of_joints("max_speed_rad_s", count) * limits.overspeed).tolist()
        self._tracking = limits.of_joints("max_tracking_error_rad", count).tolist()
        self._current = limits.of_joints("max_current_a", count).tolist()
        self._temperature = limits.of_joints("max_temperature_c", count).tolist()
        self._box, self._box_margin = Box(limits), limits.workspace_margin_m
        self._patience_ns = limits.patience_s * 1e9
        self.begin()

    def begin(self) -> None:
        """An episode starts: nothing has been over its limit yet."""
        self._since_ns: dict[Safety, int] = {}

    def __call__(self, found: Telemetry, now_ns: int) -> Veto | None:
        """found: of this tick.  now_ns: its time.  The first reason to stop, or None."""
        return (
            self._finite(found)
            or self._in_bounds(found)
            or self._followed(found, now_ns)
            or self._bearable(found, now_ns)
        )

    def _finite(self, found: Telemetry) -> Veto | None:
        for what, values in (
            ("position", found.positions),
            ("velocity", found.velocities),
            ("target", found.targets),
            ("current", found.currents),
            ("temperature", found.temperatures),
        ):
            for joint, value in enumerate(_listed(values)):
                if not math.isfinite(value):
                    return Veto(Safety.BAD_OBSERVATION, f"the {what} of {self._joints[joint]} is not finite")
        return None

    def _in_bounds(self, found: Telemetry) -> Veto | None:
        for joint, value in enumerate(_listed(found.positions)):
            if not self._low[joint] <= value <= self._high[joint]:
                return Veto(
                    Safety.OUT_OF_BOUNDS,
                    f"{self._joints[joint]} is at {value:.3g} rad, outside of {self._low[joint]:.3g} .. "
                    f"{self._high[joint]:.3g}",
                )
        for joint, value in enumerate(_listed(found.velocities)):
            if abs(value) > self._speed[joint]:
                return Veto(
                    Safety.OUT_OF_BOUNDS,
                    f"{self._joints[joint]} moves at {abs(value):.3g} rad/s, limit {self._speed[joint]:.3g}",
                )
        outside = self._box.outside(found.tool_position)
        if outside > self._box_margin:
            return Veto(Safety.OUT_OF_BOUNDS, f"the tool is {outside:.3g} m outside of its workspace")
        return None

    def _followed(self, found: Telemetry, now_ns: int) -> Veto | None:
        error, joint = 0.0, -1
        pairs = zip(_listed(found.positions), _listed(found.targets), self._tracking, strict=False)
        for index, (position, target, limit) in enumerate(pairs):
            if abs(target - position) > limit:
                error, joint = abs(target - position), index
        if not self._lasts(Safety.TRACKING, joint >= 0, now_ns):
            return None
        told = f"{self._joints[joint]} is {error:.3g} rad from its target, limit {self._tracking[joint]:.3g}"
        return Veto(Safety.TRACKING, f"{told}: it is held back or does not follow")

    def _bearable(self, found: Telemetry, now_ns: int) -> Veto | None:
        for joint, value in enumerate(_listed(found.temperatures)):
            if value > self._temperature[joint]:
                told = f"{value:.0f} degrees C, limit {self._temperature[joint]:.0f}"
                return Veto(Safety.OVERLOAD, f"{self._joints[joint]} is at {told}")
        current, joint = 0.0, -1
        for index, value in enumerate(_listed(found.currents)):
            if abs(value) > self._current[index]:
                current, joint = abs(value), index
        if not self._lasts(Safety.OVERLOAD, joint >= 0, now_ns):
            return None
        told = f"{self._joints[joint]} draws {current:.3g} A, limit {self._current[joint]:.3g}"
        return Veto(Safety.OVERLOAD, told)

    def _lasts(self, bit: Safety, is_over: bool, now_ns: int) -> bool:
        """Whether a limit has been exceeded in every tick for longer than our patience."""
        if not is_over:
            self._since_ns.pop(bit, None)
            return False
        return now_ns - self._since_ns.setdefault(bit, now_ns) > self._patience_ns


def _listed(values: Array | None) -> list[float]:
    found: list[float] = [] if values is None else values.tolist()
    return found
