"""LeRobot's degrees and normalised values against angles worked out by hand; 4096 ticks are a turn."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_orl.deploy.lerobot_link.link import Feature
from robot_orl.deploy.lerobot_link.server import unit_of
from robot_orl.deploy.lerobot_link.units import LerobotJoint, Units
from robot_orl.errors import UsageError

TICK = 2 * math.pi / 4096


def feature(unit: str, low: int, high: int, drive_mode: int = 0, name: str = "a") -> Feature:
    """As the server makes it of a calibrated motor."""
    bus = SimpleNamespace(
        motors={name: SimpleNamespace(norm_mode=SimpleNamespace(value=unit), model="x")},
        calibration={name: SimpleNamespace(range_min=low, range_max=high, drive_mode=drive_mode)},
        model_resolution_table={"x": 4096},
        apply_drive_mode=True,
    )
    return Feature(f"{name}.pos", **unit_of(SimpleNamespace(bus=bus), f"{name}.pos"))


def units(found: Feature, **joint: Any) -> Units:
    return Units({"a": LerobotJoint(**joint)}, [found])


# A quarter turn to either side of 2048 is 1024 .. 3072, one to one side 2048 .. 3072.
@pytest.mark.parametrize(
    ("found", "value", "angle"),
    [
        (feature("range_m100_100", 1024, 3072), 0, 0.0),
        (feature("range_m100_100", 1024, 3072), 100, math.pi / 2),
        (feature("range_m100_100", 1024, 3072), -50, -math.pi / 4),
        (feature("range_m100_100", 2048, 3072), 0, math.pi / 4),
        (feature("range_m100_100", 2048, 3072, drive_mode=1), 100, 0.0),
        (feature("range_0_100", 2048, 3072), 0, 0.0),
        (feature("range_0_100", 2048, 3072), 100, math.pi / 2),
        (feature("range_0_100", 2048, 3072, drive_mode=1), 100, 0.0),
        (feature("range_0_100", 2048, 3072, drive_mode=1), 25, 0.75 * math.pi / 2),
        (feature("degrees", 1024, 3072), 0, 0.0),
        (feature("degrees", 1024, 3072), 360, 4095 * TICK),  # LeRobot's turn has 4095 ticks
        (feature("degrees", 2048, 3072), -90, (512 - 4095 / 4) * TICK),
        (feature("degrees", 1024, 3072, drive_mode=1), 360, 4095 * TICK),  # which it ignores for degrees
    ],
)
def test_a_value_is_the_angle_that_lerobot_means(found: Feature, value: float, angle: float) -> None:
    known = units(found)
    assert known.angles([value])[0] == pytest.approx(angle, abs=1e-12)
    assert known.values(np.array([angle]))[0] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("unit", ["range_m100_100", "range_0_100", "degrees"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_range_is_that_of_the_calibration_whichever_way_the_motor_turns(unit: str, sign: int) -> None:
    known = units(feature(unit, 2048, 3072), sign=sign, zero_rad=0.25)
    ends = sorted([0.25, 0.25 + sign * math.pi / 2])
    assert known.ranges[0] == pytest.approx(ends, abs=1e-12)


def test_a_joint_is_mirrored_and_shifted_as_it_is_mounted() -> None:
    known = units(feature("range_m100_100", 1024, 3072), sign=-1, zero_rad=0.5)
    assert known.angles([100.0])[0] == pytest.approx(0.5 - math.pi / 2)
    assert known.values(np.array([0.5]))[0] == pytest.approx(0.0)


def test_joints_keep_their_order_and_features_theirs() -> None:
    joints = {"elbow": LerobotJoint(feature="b.pos"), "a": LerobotJoint()}
    found = [feature("range_0_100", 2048, 3072), feature("range_m100_100", 1024, 3072, name="b")]
    known = Units(joints, found)
    assert known.angles([100.0, 0.0]) == pytest.approx([0.0, math.pi / 2])
    assert known.values(np.array([0.0, math.pi / 2])) == pytest.approx([100.0, 0.0])


def test_what_lerobot_does_not_tell_is_asked_for_and_has_no_range() -> None:
    unknown = Feature("a.pos", **unit_of(SimpleNamespace(), "a.pos"))
    with pytest.raises(UsageError, match=r"what a\.pos is in radians: give rad_per_unit"):
        units(unknown)
    known = units(unknown, rad_per_unit=0.01, sign=-1, zero_rad=1.0)
    assert known.angles([50.0])[0] == pytest.approx(0.5)
    assert known.ranges.tolist() == [[-math.inf, math.inf]]


def test_joints_and_features_that_do_not_meet_are_named() -> None:
    found = [feature("degrees", 0, 4095), feature("degrees", 0, 4095, name="base")]
    with pytest.raises(UsageError, match=r"no joint for base\.pos"):
        Units({"a": LerobotJoint()}, found)
    with pytest.raises(UsageError, match=r"'elbow\.pos'.*valid: a\.pos, base\.pos"):
        Units({"elbow": LerobotJoint()}, found)
    with pytest.raises(UsageError, match="sign=0"):
        LerobotJoint(sign=0)
