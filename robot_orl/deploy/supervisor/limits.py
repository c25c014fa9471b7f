"""What a robot's motion must keep to. Said in the robot's YAML; others may only tighten it."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

import numpy as np

from robot_orl.errors import DataError, UsageError
from robot_orl.schema import Schema, setting
from robot_orl.types import Array

# Of these the larger value is the tighter one; of all others the smaller.
LOWER_BOUNDS = frozenset({"low_rad", "workspace_low_m", "floor_m"})

FAR = 1e4  # rad or m: no robot gets there


@dataclass
class Limits(Schema):
    """A list holds one value for every joint or one for each of the J joints; [] and null do not limit."""

    max_action_delta: float = setting(
        2.0, "largest change of each action signal from one tick to the next; 2 = no limit", low=0, high=2
    )
    max_observation_age_s: float = setting(
        0.25, "older observations stop the robot", unit="s", low=0, high=60
    )
    max_policy_age_s: float = setting(
        0.25, "an older answer of the policy stops the robot", unit="s", low=0, high=60
    )
    low_rad: list[float] = setting(
        factory=list, help="lowest target of each joint", unit="rad", low=-FAR, high=FAR
    )
    high_rad: list[float] = setting(
        factory=list, help="highest target of each joint", unit="rad", low=-FAR, high=FAR
    )
    max_speed_rad_s: list[float] = setting(
        factory=list, help="of the joints' targets", unit="rad/s", low=1e-6, high=1e6
    )
    max_acceleration_rad_s2: list[float] = setting(
        factory=list, help="of the joints' targets", unit="rad/s^2", low=1e-6, high=1e9
    )
    max_jerk_rad_s3: list[float] = setting(
        factory=list,
        help="of the joints' targets while they speed up; slowing down is never delayed",
        unit="rad/s^3",
        low=1e-6,
        high=1e12,
    )
    workspace_low_m: list[float] = setting(
        factory=list, help="corner x, y, z of the box that the tool stays in", unit="m", low=-FAR, high=FAR
    )
    workspace_high_m: list[float] = setting(
        factory=list, help="the opposite corner", unit="m", low=-FAR, high=FAR
    )
    floor_m: float | None = setting(None, "lowest height z of the tool", unit="m", low=-FAR, high=FAR)
    max_start_distance_rad: float | None = setting(
        None, "a first target further from the joints is approached at start_speed_rad_s", unit="rad", low=0
    )
    start_speed_rad_s: float = setting(0.5, "see max_start_distance_rad", unit="rad/s", low=1e-6, high=1e6)
    max_tracking_error_rad: list[float] = setting(
        factory=list,
        help="a joint further from its target, for patience_s, stops the robot",
        unit="rad",
        low=0,
    )
    max_current_a: list[float] = setting(
        factory=list, help="a larger current, for patience_s, stops the robot", unit="A", low=0
    )
    patience_s: float = setting(
        0.2, "how long tracking error and current may be over their limits", unit="s", low=0, high=60
    )
    max_temperature_c: list[float] = setting(
        factory=list, help="a hotter servo stops the robot", unit="degrees C", low=0
    )
    joint_margin_rad: float = setting(
        0.1, "a measured joint further than this outside of its range stops the robot", unit="rad", low=0
    )
    workspace_margin_m: float = setting(
        0.03, "a measured tool further than this outside of its box stops the robot", unit="m", low=0
    )
    overspeed: float = setting(
        2.0, "a joint measured at more than this times its speed limit stops the robot", low=1, high=1000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("workspace_low_m", "workspace_high_m"):
            if len(getattr(self, name)) not in (0, 3):
                raise UsageError(f"{name}={getattr(self, name)} is not a point x, y, z")
        for low, high in (("low_rad", "high_rad"), ("workspace_low_m", "workspace_high_m")):
            pairs = _paired(low, getattr(self, low), getattr(self, high))
            if any(bottom > top for bottom, top in pairs):
                raise UsageError(f"{low}={getattr(self, low)} lies above {high}={getattr(self, high)}")

    @classmethod
    def neutral(cls, **said: Any) -> "Limits":
        """Only what is said limits; every other field is at its loosest, so that it tightens nothing.

        For whoever has a say in a few of them: a bundle, the ranges of a calibration, what servos declare.
        `Limits()` is no such thing: its times and margins have defaults that limit.
        """
        return cls(**{item.name: _loosest(item) for item in fields(cls)} | said)

    def tightened_by(self, other: "Limits") -> "Limits":
        """Of each pair of values the tighter one. Raises: UsageError: nothing would be allowed."""
        mine, theirs = vars(self), vars(other)
        return Limits(**{name: _tighter(name, mine[name], theirs[name]) for name in mine})

    def changes_to(self, other: "Limits") -> dict[str, tuple[Any, Any]]:
        """Fields that differ: (here, there)."""
        return {
            name: (value, vars(other)[name])
            for name, value in vars(self).items()
            if value != vars(other)[name]
        }

    def of_joints(self, name: str, count: int) -> Array:
        """A list as (count,) float64, infinite where nothing limits. Raises: UsageError: not as many."""
        values = getattr(self, name)
        if len(values) not in (0, 1, count):
            raise UsageError(f"{name} has {len(values)} values; this robot has {count} joints")
        nothing = -np.inf if name in LOWER_BOUNDS else np.inf
        return np.full(count, nothing) if not values else np.broadcast_to(np.array(values, float), count)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON of what limits: what is as loose as can be is left out."""
        loosest = vars(Limits.neutral())
        return {name: value for name, value in vars(self).items() if value != loosest[name]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Limits":
        """What `raw` does not say is neutral. Raises: DataError: unknown or malformed fields."""
        try:
            known = {item.name: item for item in fields(cls)}
            return cls.neutral(**{name: _value(known[name].type, value) for name, value in raw.items()})
        except KeyError as error:
            raise DataError(f"malformed limits: there is no {error.args[0]}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"malformed limits: {error}") from error


def _loosest(item: Field[Any]) -> Any:
    """None or an empty list where that does not limit, else the upper end of the field's range."""
    if item.default is None:
        return None
    return [] if item.default is MISSING else item.metadata["high"]


def _value(kind: Any, value: Any) -> Any:
    return [float(item) for item in value] if kind == list[float] else float(value)


def _tighter(name: str, mine: Any, theirs: Any) -> Any:
    pick = max if name in LOWER_BOUNDS else min
    if isinstance(mine, list):
        if not mine or not theirs:
            return list(mine or theirs)
        return [pick(pair) for pair in _paired(name, mine, theirs)]
    known = [value for value in (mine, theirs) if value is not None]
    return pick(known) if known else None


def _paired(name: str, one: list[float], other: list[float]) -> list[tuple[float, float]]:
    """Value by value; a single one stands for every joint. Raises: UsageError: they do not go together."""
    count = max(len(one), len(other)) if one and other else 0
    if count and not {len(one), len(other)} <= {1, count}:
        raise UsageError(f"{name} has {len(one)} and {len(other)} values: not of the same joints")
    return [(one[i % len(one)], other[i % len(other)]) for i in range(count)]
