"""Laws of where things are said to be."""

import numpy as np
import pytest

import envs
from data_collection.teleop.places import HEIGHT, WIDTH, Map, places_of, ways
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.steering import standing_axes
from robot_orl.tasks import spec_of

BASE = np.eye(3)


def found(rows: list[tuple[str, str]], letter: str, view: int) -> tuple[int, int]:
    """(row, column) of a letter in one of both maps."""
    ((row, column),) = [
        (number, row[view].index(letter)) for number, row in enumerate(rows) if letter in row[view]
    ]
    return row, column


@pytest.mark.parametrize("task", ["fetch_reach", "fetch_push", "arm_reach", "arm_lift"])
def test_places_are_those_of_the_simulation(task: str) -> None:
    env = envs.make(task)
    obs, _ = env.reset(seed=1)
    places = places_of(spec_of(env), obs)
    assert set(places) == {"tool", "goal"} | ({"object"} if task in ("fetch_push", "arm_lift") else set())
    data = env.unwrapped.data  # type: ignore[attr-defined]
    site = "robot0:grip" if task.startswith("fetch") else "tool"
    np.testing.assert_allclose(places["tool"], data.site(site).xpos, atol=1e-5)
    np.testing.assert_allclose(places["goal"], obs["desired_goal"])
    if "object" in places:
        np.testing.assert_allclose(places["object"], obs["achieved_goal"])


def test_a_hand_has_no_places() -> None:
    env = envs.make("adroit_door")
    obs, _ = env.reset(seed=1)
    assert places_of(spec_of(env), obs) == {}
    assert Map().rows({}, BASE) == []
    assert ways({}, BASE) == []


def test_ways_are_said_as_who_stands_there_sees_them() -> None:
    places = {"tool": [1.0, 1.0, 1.0], "goal": [1.02, 0.9, 0.95]}
    assert ways(places, BASE) == [("tool to goal", " 2.0 cm forward, 10.0 cm right,  5.0 cm down")]
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # looks along y
    assert ways(places, turned) == [("tool to goal", "10.0 cm back,  2.0 cm right,  5.0 cm down")]


def test_the_map_has_forward_above_and_left_at_the_left() -> None:
    places = {"tool": [0.0, 0.0, 0.0], "goal": [0.08, 0.10, 0.04]}
    rows = Map().rows(places, BASE)
    assert (len(rows), {len(row) for pair in rows for row in pair}) == (HEIGHT, {WIDTH})
    # The middle lies at 4, 5, 2 cm; a letter is 1 cm wide and 2 cm high; the map's is row 3, column 15.
    assert (found(rows, "T", 0), found(rows, "G", 0)) == ((5, 20), (1, 10))
    assert (found(rows, "T", 1), found(rows, "G", 1)) == ((4, 20), (2, 10))


def test_the_map_stays_until_something_leaves_it() -> None:
    drawn = Map()
    drawn.rows({"tool": [0.0, 0.0, 0.0], "goal": [0.06, 0.0, 0.0]}, BASE)
    for x in np.arange(-0.02, 0.08, 0.01):
        rows = drawn.rows({"tool": [x, 0.03, 0.0], "goal": [0.06, 0.0, 0.0]}, BASE)
        assert found(rows, "G", 0) == (2, 15)  # 3 cm from the middle
    rows = drawn.rows({"tool": [0.4, 0.0, 0.0], "goal": [0.06, 0.0, 0.0]}, BASE)
    assert drawn.scale_cm == 8
    assert found(rows, "T", 0)[0] < found(rows, "G", 0)[0]


def test_what_is_too_far_for_any_map_is_at_its_rim() -> None:
    rows = Map().rows({"tool": [0.0, 0.0, 0.0], "goal": [100.0, 0.0, 0.0]}, BASE)
    assert (found(rows, "G", 0), found(rows, "T", 0)) == ((0, 15), (HEIGHT - 1, 15))


def test_who_stands_behind_the_camera_sees_it_from_there() -> None:
    env = envs.make("fetch_reach")
    np.testing.assert_array_equal(standing_axes(env, PersonConfig(name="p").frame), BASE)
    axes = standing_axes(env, "camera")
    angle = np.deg2rad(140)
    np.testing.assert_allclose(axes[:, 0], [np.cos(angle), np.sin(angle), 0])
    np.testing.assert_allclose(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2])
