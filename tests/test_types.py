"""Laws of the nouns."""

from dataclasses import replace

import numpy as np
import pytest

from robot_orl.errors import DataError
from robot_orl.types import Signal, Spec

SPEC = Spec(
    task="toy",
    observation={"position": (Signal("x", "m", 0, 1), Signal("y", "m")), "goal": (Signal("gx", "m"),)},
    action=(Signal("push", "1", -1, 1),),
    control_hz=25.0,
    horizon=50,
)


def test_a_spec_survives_json_infinite_bounds_included() -> None:
    assert Spec.from_dict(SPEC.to_dict()) == SPEC
    assert SPEC.to_dict()["observation"]["position"][1]["high"] is None


def test_the_order_of_observations_is_part_of_a_spec() -> None:
    swapped = replace(SPEC, observation=dict(reversed(SPEC.observation.items())))
    assert swapped != SPEC
    obs = {"position": np.array([1, 2]), "goal": np.array([3])}
    assert SPEC.flatten(obs).tolist() == [1, 2, 3]
    assert swapped.flatten(obs).tolist() == [3, 1, 2]


def test_columns_of_an_observation_follow_the_order_of_the_spec() -> None:
    assert SPEC.slice_of("goal") == slice(2, 3)
    with pytest.raises(DataError, match="no observation 'goall'; toy has: position, goal"):
        SPEC.slice_of("goall")


def test_a_malformed_spec_is_told_in_one_line() -> None:
    with pytest.raises(DataError, match="malformed spec"):
        Spec.from_dict({"task": "toy"})
