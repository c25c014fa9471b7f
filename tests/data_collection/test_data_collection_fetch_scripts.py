import numpy as np
import pytest

from data_collection.scripts import push, slide
from data_collection.scripts.fetch import FetchView, move


def view_of(**positions: list[float]) -> FetchView:
    values = {name: np.zeros(3) for name in ("grip", "object", "goal", "grip_velocity", "object_velocity")}
    values.update({name: np.array(value) for name, value in positions.items()})
    return FetchView(fingers=np.zeros(2), **values)


def test_the_view_names_the_columns_of_the_observation() -> None:
    x = np.arange(25, dtype=np.float32)
    view = FetchView.of({"observation": x, "desired_goal": np.array([7.0, 8.0, 9.0], np.float32)})
    np.testing.assert_array_equal(view.grip, [0, 1, 2])
    np.testing.assert_array_equal(view.object, [3, 4, 5])
    np.testing.assert_array_equal(view.fingers, [9, 10])
    np.testing.assert_array_equal(view.goal, [7, 8, 9])
    # Per step of 0.04 s, and the object's is relative to the hand's: (14 + 20) / 0.04 = 850.
    np.testing.assert_allclose(view.grip_velocity, [500, 525, 550])
    np.testing.assert_allclose(view.object_velocity, [850, 900, 950])


def test_a_capped_move_keeps_its_direction() -> None:
    # 0.06 m is two full actions along x; capped at half a full action.
    np.testing.assert_allclose(move(np.array([0.06, 0.0, 0.0]), -1.0), [2.0, 0.0, 0.0, -1.0])
    np.testing.assert_allclose(
        move(np.array([0.06, 0.08, 0.0]), 1.0, speed=0.5), [0.3, 0.4, 0.0, 1.0], atol=1e-12
    )


def test_a_pushed_block_slides_on_before_it_rests() -> None:
    # 0.73^2 / (2 * 7.3) = 0.0365 m
    rest = push.resting_place(view_of(object=[1.0, 0.5, 0.4], object_velocity=[0.73, 0.0, 0.0]))
    np.testing.assert_allclose(rest, [1.0365, 0.5, 0.4])


def test_launch_velocity_along_an_axis_and_along_the_diagonal() -> None:
    # Along x all of D acts: v^2 = 2 * 0.981 * 0.5.  On the diagonal half of it: v_x^2 = 0.981 * 0.5.
    np.testing.assert_allclose(slide.launch_velocity(np.array([0.5, 0.0])), [0.99045, 0.0], atol=1e-5)
    np.testing.assert_allclose(slide.launch_velocity(np.array([-0.5, 0.5])), [-0.70036, 0.70036], atol=1e-5)


@pytest.mark.parametrize("displacement", [[0.4, 0.1], [-0.1, 0.3], [0.2, -0.2], [0.0, -0.6], [0.0, 0.0]])
def test_a_puck_launched_for_a_displacement_rests_there(displacement: list[float]) -> None:
    launch = slide.launch_velocity(np.array(displacement))
    rest = slide.resting_place(view_of(object_velocity=[*launch, 0.0]))
    np.testing.assert_allclose(rest, [*displacement, 0.0], atol=1e-9)


def test_the_fingers_edge_touches_the_puck_opposite_to_its_way() -> None:
    direction = np.array([0.6, -0.8])
    hand = slide.touching_place(np.array([1.0, 0.7, 0.42]), direction)
    edge = hand[:2] + slide.FINGER_M * [1.0, -1.0]
    # Puck's radius 0.025 and a gap of 0.001 behind its centre.
    np.testing.assert_allclose(edge, [1.0 - 0.026 * 0.6, 0.7 + 0.026 * 0.8])
