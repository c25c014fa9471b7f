"""Limits may only become tighter, travel as JSON, and refuse nonsense."""

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.deploy.supervisor.limits import LOWER_BOUNDS, Limits
from robot_orl.errors import DataError, UsageError

JOINTS = 3
FEW = settings(max_examples=30)  # each draws some forty numbers


def values(name: str, rule: Any) -> st.SearchStrategy[Any]:
    """Of one field: numbers in its range, for joints one or three of them or none."""
    low, high = max(rule["low"], -100.0), min(rule["high"], 100.0)
    if name in ("low_rad", "workspace_low_m", "floor_m"):  # apart, so that something is left
        low, high = -100.0, 0.0
    elif name in ("high_rad", "workspace_high_m"):
        low, high = 0.0, 100.0
    number = st.floats(low, high)
    if name.startswith("workspace_") and name.endswith(("low_m", "high_m")):
        return st.one_of(st.just([]), st.lists(number, min_size=3, max_size=3))
    if name == "floor_m" or name == "max_start_distance_rad":
        return st.none() | number
    if name.endswith(("_rad", "_rad_s", "_s2", "_s3", "_a", "_c")) and isinstance(
        getattr(Limits(), name), list
    ):
        return st.sampled_from([0, 1, JOINTS]).flatmap(lambda n: st.lists(number, min_size=n, max_size=n))
    return number


LIMITS = st.builds(Limits, **{item.name: values(item.name, item.metadata) for item in fields(Limits)})


def looser(name: str, one: Any, other: Any) -> bool:
    """Whether `one` allows anything that `other` does not."""
    if other in (None, []):
        return False
    if one in (None, []):
        return True
    left, right = np.broadcast_arrays(np.array(one), np.array(other))
    return bool((left < right if name in LOWER_BOUNDS else left > right).any())


@FEW
@given(LIMITS, LIMITS)
def test_tightened_limits_are_never_looser_than_either(one: Limits, other: Limits) -> None:
    found = one.tightened_by(other)
    for name, value in vars(found).items():
        assert not looser(name, value, vars(one)[name])
        assert not looser(name, value, vars(other)[name])


@FEW
@given(LIMITS, LIMITS)
def test_it_does_not_matter_who_tightens_whom_or_how_often(one: Limits, other: Limits) -> None:
    found = one.tightened_by(other)
    assert other.tightened_by(one) == found
    assert found.tightened_by(one) == found


@FEW
@given(LIMITS)
def test_limits_travel_as_json(limits: Limits) -> None:
    assert Limits.from_dict(json.loads(json.dumps(limits.to_dict()))) == limits


@FEW
@given(LIMITS)
def test_what_was_not_said_tightens_nothing(limits: Limits) -> None:
    assert limits.tightened_by(Limits.neutral()) == limits
    assert limits.tightened_by(Limits.from_dict({})) == limits
    assert Limits.neutral().to_dict() == {}


def test_a_robot_may_be_looser_than_the_defaults_and_a_bundle_tightens_what_it_says_alone() -> None:
    robot = Limits(patience_s=1.0, overspeed=4.0, joint_margin_rad=0.3, max_policy_age_s=1.0)
    said = Limits.neutral(max_speed_rad_s=[1.0], max_policy_age_s=0.5)
    assert said.to_dict() == {"max_speed_rad_s": [1.0], "max_policy_age_s": 0.5}
    found = robot.tightened_by(Limits.from_dict(said.to_dict()))
    assert robot.changes_to(found) == {"max_speed_rad_s": ([], [1.0]), "max_policy_age_s": (1.0, 0.5)}


def test_tightening_by_hand_and_what_it_changed() -> None:
    robot = Limits(max_action_delta=0.5, max_speed_rad_s=[2.0, 1.0], low_rad=[-1.0], floor_m=0.01)
    bundle = Limits(max_speed_rad_s=[1.5], low_rad=[-2.0, -0.5], floor_m=0.0, max_current_a=[1.0])
    found = robot.tightened_by(bundle)
    assert (found.max_action_delta, found.floor_m) == (0.5, 0.01)
    assert (found.max_speed_rad_s, found.low_rad, found.max_current_a) == ([1.5, 1.0], [-1.0, -0.5], [1.0])
    assert robot.changes_to(found) == {
        "low_rad": ([-1.0], [-1.0, -0.5]),
        "max_speed_rad_s": ([2.0, 1.0], [1.5, 1.0]),
        "max_current_a": ([], [1.0]),
    }


def test_what_does_not_limit_is_infinite_and_one_value_stands_for_every_joint() -> None:
    limits = Limits(low_rad=[-1.0], max_speed_rad_s=[])
    assert limits.of_joints("low_rad", 2).tolist() == [-1.0, -1.0]
    assert limits.of_joints("high_rad", 2).tolist() == [np.inf, np.inf]
    assert limits.of_joints("max_speed_rad_s", 2).tolist() == [np.inf, np.inf]
    with pytest.raises(UsageError, match="low_rad has 2 values; this robot has 3 joints"):
        Limits(low_rad=[0, 0]).of_joints("low_rad", 3)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Limits(max_action_delta=-1), "max_action_delta=-1"),
        (lambda: Limits(max_speed_rad_s=[1.0, float("nan")]), "max_speed_rad_s=nan"),
        (lambda: Limits(workspace_low_m=[0.0, 0.0]), "is not a point x, y, z"),
        (lambda: Limits(low_rad=[1.0], high_rad=[0.0]), r"low_rad=\[1.0\] lies above"),
        (lambda: Limits(low_rad=[1.0]).tightened_by(Limits(high_rad=[0.0])), "lies above"),
        (
            lambda: Limits(low_rad=[1.0, 2.0]).tightened_by(Limits(low_rad=[1.0] * 3)),
            "not of the same joints",
        ),
    ],
)
def test_limits_that_make_no_sense_are_refused(make: Any, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        make()


@pytest.mark.parametrize("raw", [{"max_speed": 1}, {"low_rad": 1}, {"max_action_delta": None}, []])
def test_malformed_limits_of_a_file_are_refused(raw: Any) -> None:
    with pytest.raises(DataError, match="malformed limits"):
        Limits.from_dict(raw)
