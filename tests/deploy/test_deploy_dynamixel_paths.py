"""How an arm moves by itself between two poses: what it keeps to on its way."""

import math

import numpy as np
import pytest

from robot_orl.deploy.dynamixel.paths import MOVE_HZ, NoWay, Paths
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.types import Array

START, END = np.array([0.0, 0.0]), np.array([1.2, -0.3])


def tool(joints: Array) -> Array:
    """Two links of 1 m in the plane of x and z: the first joint lifts both, the second one."""
    a, b = joints[0], joints[0] + joints[1]
    return np.array([math.cos(a) + math.cos(b), 0.0, math.sin(a) + math.sin(b)])


def way(limits: Limits, speed: float = 5.0) -> Array:
    """(T, 2): all targets of the move, with the stillness before and behind it."""
    targets = Paths(limits, 2, speed, tool).between(START, END)
    return np.array([START, START, START, *targets, END, END, END])


@pytest.mark.parametrize(
    ("limits", "speed", "seconds"),
    [
        (Limits(), 0.5, 1.875 * 1.2 / 0.5),  # of the first joint, which has the longest way
        (Limits(max_speed_rad_s=[5.0, 0.1]), 5.0, 1.875 * 0.3 / 0.1),
        (Limits(max_acceleration_rad_s2=[2.0]), 5.0, math.sqrt(10 / math.sqrt(3) * 1.2 / 2.0)),
        (Limits(max_jerk_rad_s3=[9.0, 0.3]), 5.0, (60 * 0.3 / 0.3) ** (1 / 3)),
    ],
)
def test_the_slowest_joint_by_any_limit_sets_the_pace(limits: Limits, speed: float, seconds: float) -> None:
    targets = Paths(limits, 2, speed, tool).between(START, END)
    assert len(targets) == math.ceil(seconds * MOVE_HZ) - 1


def test_no_target_is_faster_or_bends_or_jerks_more_than_allowed() -> None:
    limits = Limits(max_speed_rad_s=[0.7], max_acceleration_rad_s2=[1.5, 3.0], max_jerk_rad_s3=[8.0])
    targets = way(limits)
    speeds, accelerations, jerks = (np.abs(np.diff(targets, n, axis=0)) * MOVE_HZ**n for n in (1, 2, 3))
    assert (speeds.max(0) <= 0.7 + 1e-9).all()
    assert (accelerations.max(0) <= np.array([1.5, 3.0]) + 1e-9).all()
    assert (jerks.max(0) <= 8.0 + 1e-9).all()
    assert max(speeds.max() / 0.7, accelerations[:, 0].max() / 1.5, jerks.max() / 8.0) > 0.97  # and no slower


def test_a_joint_that_is_there_already_is_no_reason_to_wait() -> None:
    assert Paths(Limits(), 2, 1.0, tool).between(END, END) == []


def test_a_tool_that_is_outside_already_comes_back_and_goes_no_further_out() -> None:
    paths = Paths(Limits(floor_m=0.25), 2, 1.0, tool)
    low = np.array([0.1, 0.0])  # z 0.2
    assert paths.between(low, np.array([0.6, 0.0]))
    with pytest.raises(NoWay, match=r"z 0\.1\d+ m, the limits allow 0.250 .. inf"):
        paths.between(low, np.array([-0.2, 0.0]))


def test_where_the_straight_way_leaves_the_box_one_joint_goes_first() -> None:
    start, end = np.array([0.2, 1.2]), np.array([1.2, -1.2])
    limits = Limits(workspace_low_m=[-9, -9, -9], workspace_high_m=[9, 9, 1.2])
    assert tool((start + end) / 2)[2] > 1.28  # sin 0.7 + sin 0.7
    targets = Paths(limits, 2, 1.0, tool).between(start, end)
    assert max(tool(target)[2] for target in targets) <= 1.2
    assert any(np.array_equal(target, [0.2, -1.2]) for target in targets)  # the second joint has gone first


def test_where_every_way_leaves_the_box_nothing_moves_and_the_line_says_where_the_tool_would_be() -> None:
    start, end = np.array([0.5, 0.0]), np.array([math.pi - 0.5, 0.0])  # over the top
    limits = Limits(workspace_low_m=[-9, -9, -9], workspace_high_m=[9, 9, 1.5])
    said = r"^on the way the tool would be at z 1\.\d+ m, the limits allow -9.000 .. 1.500; nothing moved$"
    with pytest.raises(NoWay, match=said):
        Paths(limits, 2, 1.0, tool).between(start, end)
