"""LeRobot's numbers of a motor, in degrees or normalised, and a joint's angle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.lerobot_link.link import Feature
from robot_orl.errors import UsageError, unknown
from robot_orl.schema import Schema, setting
from robot_orl.types import Array


@dataclass
class LerobotJoint(Schema):
    """Which of LeRobot's motors turns a joint, and how: angle = zero_rad + sign * shaft."""

    feature: str | None = setting(None, "LeRobot's name of it; null: JOINT.pos")
    sign: int = setting(1, "-1: the motor turns the other way round", low=-1, high=1)
    zero_rad: float = setting(
        0.0,
        "the joint's angle with the motor at half a turn, where LeRobot's calibration has the middle pose",
        unit="rad",
        low=-10,
        high=10,
    )
    rad_per_unit: float | None = setting(
        None,
        "where LeRobot does not tell: how far the shaft turns for 1 in its unit; at its 0 the shaft is at 0",
        unit="rad",
        low=1e-9,
        high=10,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sign == 0:
            raise UsageError("sign=0 is not one of: 1, -1")


class Units:
    """angle [rad] = zero + scale * value, joint by joint. ranges: (J, 2) rad, of LeRobot's calibration."""

    def __init__(self, joints: Mapping[str, LerobotJoint], features: Sequence[Feature]) -> None:
        """Raises: UsageError: a joint without a feature, a feature without a joint, or no unit known."""
        by_name = {feature.name: feature for feature in features}
        wanted = {joint: cfg.feature or f"{joint}.pos" for joint, cfg in joints.items()}
        for name in wanted.values():
            if name not in by_name:
                raise unknown("feature of LeRobot's robot", name, by_name)
        if left := [name for name in by_name if name not in wanted.values()]:
            raise UsageError(f"robot.joints has no joint for {', '.join(left)}, which LeRobot's robot takes")
        order = list(by_name)
        self._columns = np.array([order.index(name) for name in wanted.values()])
        chosen = [(joints[joint], by_name[name]) for joint, name in wanted.items()]
        shafts = [_shaft(joint, feature) for joint, feature in chosen]
        sign = np.array([joint.sign for joint, _ in chosen], float)
        self._zero = np.array([joint.zero_rad for joint, _ in chosen]) + sign * [zero for zero, _ in shafts]
        self._scale = sign * [scale for _, scale in shafts]
        ends = [
            (-np.inf, np.inf) if feature.low is None or feature.high is None else (feature.low, feature.high)
            for _, feature in chosen
        ]
        self.ranges = np.sort(self._zero[:, None] + self._scale[:, None] * np.array(ends), axis=1)

    def angles(self, values: Sequence[float]) -> Array:
        """(F,) in LeRobot's units -> (J,) rad."""
        angles: Array = self._zero + self._scale * np.asarray(values)[self._columns]
        return angles

    def values(self, angles: Array) -> list[float]:
        """(J,) rad -> (F,) in LeRobot's units."""
        values = np.empty(len(self._columns))
        values[self._columns] = (np.asarray(angles) - self._zero) / self._scale
        found: list[float] = values.tolist()
        return found


def _shaft(joint: LerobotJoint, feature: Feature) -> tuple[float, float]:
    """How far a motor's shaft has turned: its angle where LeRobot's value is 0, and per unit [rad]."""
    if joint.rad_per_unit is not None:
        return 0.0, joint.rad_per_unit
    if feature.zero_rad is None or not feature.rad_per_unit:
        raise UsageError(
            f"LeRobot does not say what {feature.name} is in radians: give rad_per_unit of its joint"
        )
    return feature.zero_rad, feature.rad_per_unit
