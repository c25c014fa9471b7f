"""Poses of markers: exact from exact corners, honest where the corners leave a choice."""

import cv2
import numpy as np
import pytest
from camera_toys import LENS, draw, project

from robot_orl.deploy.sensors.aruco import Marker, MarkerTracker, Sighting
from robot_orl.deploy.sensors.edges import refine_corners
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import angle_between, inverse, rigid
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Array

MARKER = Marker(3, 0.03, np.eye(4))
TILTED = rigid((2.5, 0.4, 0.3), (0.04, -0.03, 0.3))
PLAIN = Intrinsics.of(640, 480, (520.0, 525.0), (324.0, 236.0))


def test_corners_go_clockwise_from_the_upper_left_in_the_objects_frame() -> None:
    on_top = rigid((0, 0, np.pi / 2), (0, 0, 0.02))  # turned to the left by a quarter, 20 mm up
    expected = np.array([[-1.5, -1.5, 2], [-1.5, 1.5, 2], [1.5, 1.5, 2], [1.5, -1.5, 2]]) / 100
    np.testing.assert_allclose(Marker(0, 0.03, on_top).corners(), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_exact_corners_give_the_exact_pose_through_the_lens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = rigid((2.6, *rng.uniform(-0.5, 0.5, 2)), (*rng.uniform(-0.08, 0.08, 2), rng.uniform(0.25, 0.5)))
    seen = MarkerTracker(LENS, [MARKER]).locate({3: project(MARKER.corners(), pose)}, t_ns=17)
    assert seen is not None
    np.testing.assert_allclose(seen.pose_camera_object, pose, atol=1e-6)
    assert (seen.t_ns, seen.markers, seen.is_ambiguous) == (17, 1, False)
    assert seen.error_px < 1e-4


def test_every_marker_of_an_object_tells_the_same_pose() -> None:
    """On two faces of a cube; with both in view the pose is better than with either."""
    half = 0.02
    top = Marker(3, 0.03, rigid((0, 0, 0), (0, 0, half)))
    side = Marker(4, 0.03, rigid((np.pi / 2, 0, 0), (0, -half, 0)))
    pose = rigid((2.2, 0.1, 0.2), (0.02, 0.0, 0.4))
    tracker = MarkerTracker(LENS, [top, side])
    corners = {m.number: project(m.corners(), pose) for m in (top, side)}
    for numbers in ([3], [4], [3, 4]):
        seen = tracker.locate({n: corners[n] for n in numbers}, 0)
        assert seen is not None
        np.testing.assert_allclose(seen.pose_camera_object, pose, atol=1e-5)
    errors: dict[int, list[float]] = {1: [], 2: []}
    rng = np.random.default_rng(0)
    for _ in range(20):
        noisy = {n: at + rng.normal(0, 0.2, (4, 2)) for n, at in corners.items()}
        for chosen in ({3: noisy[3]}, noisy):
            seen = tracker.locate(chosen, 0, prior=pose)
            assert seen is not None
            errors[len(chosen)].append(angle_between(seen.pose_camera_object, pose))
    assert np.median(errors[2]) < 0.9 * np.median(errors[1])


@pytest.mark.parametrize("on_object", [np.eye(4), rigid((np.pi / 2, 0, 0), (0, -0.02, 0))])
def test_a_small_marker_seen_from_the_front_is_called_ambiguous_until_an_earlier_pose_decides(
    on_object: Array,
) -> None:
    """19 pixels across, tilted by 14 degrees; on top of the object and on its side."""
    marker = Marker(3, 0.03, on_object)
    pose, mirrored = (
        rigid((np.pi + tilt, 0, 0), (0.0, 0.0, 0.8)) @ inverse(on_object) for tilt in (-0.25, 0.25)
    )
    corners = {3: project(marker.corners(), pose) + np.random.default_rng(1).normal(0, 0.15, (4, 2))}
    tracker = MarkerTracker(LENS, [marker])
    alone = tracker.locate(corners, 0)
    assert alone is not None
    assert alone.is_ambiguous
    for prior in (pose, mirrored):
        seen = tracker.locate(corners, 0, prior)
        assert seen is not None
        assert not seen.is_ambiguous
        assert angle_between(seen.pose_camera_object, prior) < np.radians(12)
        place = (seen.pose_camera_object @ on_object - pose @ on_object)[:3, 3]
        assert np.linalg.norm(place) < 0.03, "the marker's place is hardly in doubt"


def test_a_pose_that_explains_the_corners_badly_is_not_seen() -> None:
    corners = project(MARKER.corners(), TILTED)
    corners[0] += (6, 0)
    assert MarkerTracker(LENS, [MARKER], max_error_px=1.0).locate({3: corners}, 0) is None
    assert MarkerTracker(LENS, [MARKER], max_error_px=10.0).locate({3: corners}, 0) is not None


def test_no_corners_whatever_give_an_error_or_a_pose_that_cannot_be() -> None:
    """Collapsed, in a line, far outside, in another order, noisy."""
    tracker, rng = MarkerTracker(LENS, [MARKER], max_error_px=1.0), np.random.default_rng(0)
    square = project(MARKER.corners(), TILTED)
    believed = 0
    for _ in range(15):
        twice = square.copy()
        twice[rng.integers(4)] = twice[rng.integers(4)]
        for corners in (
            rng.uniform(0, 640, (4, 2)),
            np.repeat(rng.uniform(0, 640, (1, 2)), 4, axis=0),
            np.outer(rng.uniform(0, 1, 4), rng.uniform(0, 600, 2)),
            twice,
            square * rng.choice([1e-6, 1e4, 1e9]),
            square[0] + (square - square[0]) * rng.choice([1e-3, 1e-2, 0.1]),
            square + rng.normal(0, rng.choice([0.1, 1, 10, 100]), (4, 2)),
        ):
            seen = tracker.locate({3: corners}, 0, prior=TILTED if rng.random() < 0.5 else None)
            if seen is not None:
                believed += 1
                assert np.isfinite(seen.pose_camera_object).all()
                assert seen.error_px <= 1.0
                assert seen.pose_camera_object[2, 3] > 0
            grey = rng.integers(0, 256, (60, 80)).astype(np.uint8)
            assert np.isfinite(refine_corners(grey, corners / 8, 6, PLAIN)).all()
    assert 8 < believed < 53


def test_a_marker_is_not_seen_from_behind() -> None:
    corners = project(MARKER.corners(), TILTED)
    assert MarkerTracker(LENS, [MARKER]).locate({3: corners[[1, 0, 3, 2]]}, 0) is None


def test_edges_find_corners_that_common_refinement_draws_inwards() -> None:
    rng = np.random.default_rng(4)
    ours, common = [], []
    for _ in range(4):
        pose = rigid(
            (2.7, *rng.uniform(-0.4, 0.4, 2)), (*rng.uniform(-0.05, 0.05, 2), rng.uniform(0.25, 0.4))
        )
        grey = np.ascontiguousarray(draw(MARKER, pose, PLAIN)[..., 0])
        truth = project(MARKER.corners(), pose, PLAIN)
        rough = cv2.cornerSubPix(
            grey, np.float32(truth).reshape(-1, 1, 2), (4, 4), (-1, -1), (3, 30, 0.01)
        ).reshape(-1, 2)
        found = refine_corners(grey, np.float64(rough), 6, PLAIN)
        ours.append(np.abs(found - truth).max())
        common.append(np.abs(rough - truth).max())
    assert max(ours) < 0.08
    assert np.median(ours) < 0.02
    assert np.median(common) > 0.15


def test_a_side_without_contrast_leaves_the_corners_as_they_were() -> None:
    corners = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]])
    found = refine_corners(np.full((100, 100), 90, np.uint8), corners, 6, PLAIN)
    np.testing.assert_array_equal(found, corners)


def test_a_frame_gives_the_pose_and_one_without_the_marker_gives_none() -> None:
    tracker = MarkerTracker(PLAIN, [MARKER])
    seen = tracker.update(draw(MARKER, TILTED, PLAIN), 5)
    assert seen is not None
    assert np.linalg.norm((seen.pose_camera_object - TILTED)[:3, 3]) < 1e-3
    assert angle_between(seen.pose_camera_object, TILTED) < np.radians(0.5)
    assert tracker.update(draw(Marker(8, 0.03, np.eye(4)), TILTED, PLAIN), 6) is None
    assert tracker.update(np.zeros((480, 640, 3), np.uint8), 7) is None


def test_frames_of_another_size_than_the_intrinsics_are_refused() -> None:
    with pytest.raises(DataError, match="has frames of 320x240, the intrinsics are for 640x480"):
        MarkerTracker(LENS, [MARKER]).update(np.zeros((240, 320, 3), np.uint8), 0)


def test_a_tracker_and_a_sighting_survive_the_way_to_another_process() -> None:
    tracker = MarkerTracker(LENS, [MARKER, Marker(4, 0.02, TILTED)], "5X5_50", 0.7)
    assert MarkerTracker.from_dict(tracker.to_dict()).to_dict() == tracker.to_dict()
    seen = Sighting(TILTED, 5, 0.25, 2, True)
    back = Sighting.from_array(seen.to_array().view(np.uint8), 5)
    assert (back.t_ns, back.error_px, back.markers, back.is_ambiguous) == (5, 0.25, 2, True)
    np.testing.assert_array_equal(back.pose_camera_object, TILTED)


def test_what_no_object_can_carry_is_said() -> None:
    with pytest.raises(UsageError, match="no marker dictionary '4X4_49'; did you mean '4X4_"):
        MarkerTracker(LENS, [MARKER], "4X4_49")
    with pytest.raises(UsageError, match=r"no marker 50 in 4X4_50, which has 0 \.\. 49"):
        MarkerTracker(LENS, [Marker(50, 0.03, np.eye(4))])
    with pytest.raises(UsageError, match="each with a number of its own"):
        MarkerTracker(LENS, [MARKER, MARKER])
