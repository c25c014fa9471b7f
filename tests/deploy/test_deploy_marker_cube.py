"""A cube with five markers: each face tells where its middle is."""

import numpy as np
import pytest
from camera_toys import LENS, draw, project

from robot_orl.deploy.sensors.aruco import MarkerTracker
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.marker_cube import FACES, cube_markers
from robot_orl.deploy.sensors.transforms import inverse, rigid

FACING = rigid((np.pi, 0, 0), (0, 0, 0.4)) @ rigid((0.4, 0.3, 0), (0, 0, 0))  # of a print, from 0.4 m
PLAIN = Intrinsics.of(640, 480, (740.0, 740.0), (320.0, 240.0))


def test_prints_lie_in_the_middle_of_their_faces_and_upright() -> None:
    """A cube of 30 mm with markers of 20 mm: corners of a print from its upper left, clockwise."""
    front, left, _, _, top = (marker.corners() * 1e3 for marker in cube_markers(7, 0.020, 0.030))
    # Who looks at the front has the cube's left, y, on their right hand.
    np.testing.assert_allclose(front, [[15, -10, 10], [15, 10, 10], [15, 10, -10], [15, -10, -10]], atol=1e-9)
    np.testing.assert_allclose(left, [[10, 15, 10], [-10, 15, 10], [-10, 15, -10], [10, 15, -10]], atol=1e-9)
    np.testing.assert_allclose(top, [[-10, -10, 15], [-10, 10, 15], [10, 10, 15], [10, -10, 15]], atol=1e-9)
    assert [marker.number for marker in cube_markers(7, 0.020, 0.030)] == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("face", range(5))
def test_each_face_alone_tells_where_the_cube_is(face: int) -> None:
    markers = cube_markers(0, 0.022, 0.030)
    pose = FACING @ inverse(markers[face].pose_object_marker)
    seen = MarkerTracker(LENS, markers).locate({face: project(markers[face].corners(), pose)}, 0)
    assert seen is not None
    np.testing.assert_allclose(seen.pose_camera_object, pose, atol=1e-5)


def test_the_middle_of_a_cube_lies_behind_a_print_in_a_drawn_frame() -> None:
    marker = cube_markers(0, 0.022, 0.030)[4]
    pose = FACING @ inverse(marker.pose_object_marker)
    tracker = MarkerTracker(PLAIN, cube_markers(0, 0.022, 0.030))
    seen = tracker.update(draw(marker, FACING, PLAIN), 0)
    assert seen is not None
    np.testing.assert_allclose(seen.pose_camera_object[:3, 3], pose[:3, 3], atol=1.5e-3)


def test_faces_that_are_seen_together_agree() -> None:
    markers = cube_markers(0, 0.022, 0.030)
    pose = rigid((2.0, 0.6, 0.4), (0.03, -0.02, 0.5))
    seen = MarkerTracker(LENS, markers).locate(
        {m.number: project(m.corners(), pose) for m in markers if _is_seen(m.pose_object_marker, pose)}, 0
    )
    assert seen is not None
    assert seen.markers >= 2
    np.testing.assert_allclose(seen.pose_camera_object, pose, atol=1e-5)
    assert len(FACES) == 5


def _is_seen(pose_object_marker: np.ndarray, pose: np.ndarray) -> bool:
    there = pose @ pose_object_marker
    return bool(there[:3, 2] @ there[:3, 3] < 0)
