"""Calibration of lens and place: what is known is found again, and bad views are named."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_toys import LENS, project

from robot_orl.deploy.sensors.aruco import Marker, MarkerTracker
from robot_orl.deploy.sensors.boards import Board, write_print
from robot_orl.deploy.sensors.calibrate_hand_eye import ArmError, HandEyeView, closed_form, solve
from robot_orl.deploy.sensors.calibrate_intrinsics import View, ViewCollector, calibrate
from robot_orl.deploy.sensors.hand_eye import HandEye, load_views
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import (
    angle_between,
    from_quaternion,
    inverse,
    pose_from_yaml,
    pose_to_yaml,
    rigid,
    to_quaternion,
)
from robot_orl.deploy.sensors.yaml_file import write_yaml
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.types import Array

BOARD = Board()  # 7 x 5 squares of 35 mm: 24 inner corners
MARKER = Marker(0, 0.04, np.eye(4))
X = rigid((-2.2, 0.3, 0.4), (0.3, -0.2, 0.5))  # the camera in the base, or on the tool
Y = rigid((0.2, -0.4, 1.0), (0.02, 0.01, 0.05))  # the marker on the other side


def random_pose(rng: np.random.Generator, near_m: float = 0.25, turn_rad: float = 0.6) -> Array:
    """Of a marker or board before the camera, about facing it."""
    beside = rng.uniform(-0.2, 0.2, 2) * near_m
    return rigid(rng.uniform(-turn_rad, turn_rad, 3), (*beside, near_m * rng.uniform(1, 2))) @ np.diag(
        [1.0, -1.0, -1.0, 1.0]
    )


def views_of_board(
    rng: np.random.Generator, count: int, noise_px: float, turn_rad: float = 0.7, lens: Intrinsics = LENS
) -> list[View]:
    points = BOARD.points() - np.float32([0.12, 0.09, 0])  # about its middle
    views = []
    for number in range(count):
        beside = rng.uniform(-0.12, 0.12, 2)
        pose = rigid(rng.uniform(-turn_rad, turn_rad, 3), (*beside, rng.uniform(0.3, 0.6)))
        pixels = project(points, pose, lens)
        seen = ((pixels > 0) & (pixels < (640, 480))).all(axis=1)
        found = np.float32(pixels[seen] + rng.normal(0, noise_px, (seen.sum(), 2)))
        views.append(View(f"{number}.png", np.flatnonzero(seen), found))
    return views


@pytest.mark.parametrize("k3", [0.0, -0.1])
def test_a_known_lens_is_found_again_and_k3_only_where_there_is_one(k3: float) -> None:
    truth = Intrinsics(640, 480, LENS.matrix, np.array([-0.28, 0.09, 0.0008, -0.0005, k3]))
    views = views_of_board(np.random.default_rng(0), 20, 0.02, lens=truth)
    found, quality = calibrate(views, BOARD, 640, 480)
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=0.3)
    np.testing.assert_allclose(found.distortion, truth.distortion, atol=0.03)
    assert (found.distortion[4] == 0) == (k3 == 0)
    rays = np.column_stack([np.random.default_rng(1).uniform(-0.5, 0.5, (50, 2)) * (1, 0.75), np.ones(50)])
    np.testing.assert_allclose(project(rays, np.eye(4), found), project(rays, np.eye(4), truth), atol=0.3)
    assert quality.rms_px < 0.04
    assert quality.advice == ()


def test_a_noisy_lens_is_found_as_well_as_is_said() -> None:
    found, quality = calibrate(views_of_board(np.random.default_rng(3), 25, 0.2), BOARD, 640, 480)
    assert 0.2 < quality.rms_px < 0.35  # 0.2 per coordinate is 0.28 per corner, less what the fit takes
    errors = np.abs(np.diag(found.matrix)[:2] - (520, 525))
    assert (errors < 4 * np.array(quality.focal_sigma_px)).all()
    assert (errors < 0.005 * 520).all()


def test_a_view_that_does_not_fit_the_others_is_left_out_by_name() -> None:
    views = views_of_board(np.random.default_rng(0), 12, 0.1)
    moved = views[5].pixels + np.float32(np.random.default_rng(1).normal(0, 8, views[5].pixels.shape))
    views[5] = View("blurred.png", views[5].corners, moved)
    found, quality = calibrate(views, BOARD, 640, 480)
    assert quality.left_out == ("blurred.png",)
    assert quality.views == 11
    assert abs(found.matrix[0, 0] - 520) < 3


def test_too_few_views_are_refused_and_poor_ones_are_told_what_lacks() -> None:
    views = views_of_board(np.random.default_rng(0), 8, 0.1, turn_rad=0.15)
    with pytest.raises(DataError, match="5 different views of the board; at least 6 are needed"):
        calibrate(views[:5], BOARD, 640, 480)
    advice = " | ".join(calibrate(views, BOARD, 640, 480)[1].advice)
    assert "8 views; take 20 or more" in advice
    assert "degrees at most; tilt it by 30 to 45" in advice


@pytest.mark.parametrize("kind", ["charuco", "chessboard"])
def test_a_drawn_board_is_found_where_it_was_drawn(kind: str) -> None:
    """At 2 pixels a millimetre a square has 70; corner (i, j) lies between the pixels 70 i - 1 and 70 i."""
    board = Board(kind)
    drawn = np.pad(board.draw(2.0), 50, constant_values=255)
    found = board.find(drawn)
    assert found is not None
    indices, pixels = found
    grid = np.array([(70 * i, 70 * j) for j in range(1, 5) for i in range(1, 7)]) + 49.5
    if kind == "chessboard" and pixels[0, 0] > pixels[-1, 0]:  # symmetric: it may be read from its other end
        pixels = pixels[::-1]
    np.testing.assert_allclose(pixels, grid[indices], atol=0.3)
    assert board.find(np.full((480, 640), 128, np.uint8)) is None


def test_only_views_that_add_something_are_kept() -> None:
    collector = ViewCollector(BOARD, 640, 480, most=2)
    drawn = np.pad(BOARD.draw(1.5), 30, constant_values=255)
    for shift, is_kept in (
        (0, True),
        (10, False),
        (60, True),
        (120, False),
    ):  # 5% of 640 are 32; two are enough
        frame = np.full((480, 640), 255, np.uint8)
        frame[: drawn.shape[0], shift : shift + drawn.shape[1]] = drawn
        assert collector.add(str(shift), frame) == is_kept
    assert (collector.seen, [view.name for view in collector.views]) == (4, ["0", "60"])
    with pytest.raises(DataError, match="late is 320x240, the frames before it 640x480"):
        collector.add("late", np.zeros((240, 320), np.uint8))


def test_boards_that_cannot_be_are_refused() -> None:
    for wrong, said in (
        ({"board": "dots"}, "not one of: charuco, chessboard"),
        ({"marker_mm": 34.0}, "does not fit into squares of 35 mm; take about 26.2"),
        ({"columns": 3}, "3x5 squares are too few"),
        ({"columns": 12, "rows": 12}, "needs 72 markers; 4X4_50 has 50"),
    ):
        with pytest.raises(UsageError, match=said):
            Board(**wrong)  # type: ignore[arg-type]


def test_a_print_says_its_true_size(tmp_path: Path) -> None:
    """10 pixels a mm are 10,000 a metre; 100 mm and two margins of 5 mm."""
    write_print(tmp_path / "a.png", np.zeros((500, 1000), np.uint8), 10.0, 5.0)
    raw = (tmp_path / "a.png").read_bytes()
    place = raw.index(b"pHYs")
    assert raw[place + 4 : place + 13] == (10_000).to_bytes(4) * 2 + b"\1"
    assert cv2.imread(str(tmp_path / "a.png")).shape == (600, 1100, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def hand_eye_views(
    mount: str, count: int, noise_m: float = 0.0, noise_px: float = 0.0, seed: int = 5
) -> list[HandEyeView]:
    """noise_m: of the tool's place, per axis.  noise_px: of a corner, per coordinate."""
    rng = np.random.default_rng(seed)
    tracker = MarkerTracker(LENS, [MARKER])
    views = []
    for _ in range(count):
        truth = random_pose(rng)
        arm = X @ truth @ inverse(Y)
        tool = arm if mount == "fixed" else inverse(arm)
        tool = tool @ rigid((0, 0, 0), rng.normal(0, noise_m, 3))
        corners = project(MARKER.corners(), truth) + rng.normal(0, noise_px, (4, 2))
        seen = tracker.locate({0: corners}, 0, prior=truth)
        assert seen is not None
        views.append(HandEyeView("", tool, seen.pose_camera_object, corners))
    return views


@pytest.mark.parametrize("mount", ["fixed", "tool"])
def test_the_place_of_a_camera_is_found_again(mount: str) -> None:
    found, marker, quality = solve(hand_eye_views(mount, 6), mount, MARKER, LENS)
    np.testing.assert_allclose(found.pose_mount_camera, X, atol=1e-6)
    np.testing.assert_allclose(marker, Y, atol=1e-6)
    assert quality.offset_mm < 1e-3
    tool = rigid((0.1, 0.2, 0.3), (0.1, 0.1, 0.1))
    in_base = X if mount == "fixed" else tool @ X
    np.testing.assert_allclose(found.pose_base_camera(tool), in_base, atol=1e-6)


def test_closed_form_alone_is_exact_without_noise() -> None:
    views = hand_eye_views("fixed", 4)
    camera, marker = closed_form([v.pose_base_tool for v in views], [v.pose_camera_marker for v in views])
    np.testing.assert_allclose(camera, X, atol=1e-9)
    np.testing.assert_allclose(marker, Y, atol=1e-9)


def test_an_arm_that_is_off_by_a_millimetre_is_averaged_out_and_told() -> None:
    found, _, quality = solve(hand_eye_views("fixed", 40, noise_m=0.001), "fixed", MARKER, LENS)
    error_mm = 1e3 * np.linalg.norm((found.pose_mount_camera - X)[:3, 3])
    assert error_mm < 1.5
    assert 1.0 < quality.offset_mm < 2.5  # three axes of 1 mm are 1.7 mm
    assert error_mm < 4 * quality.sigma_mm


@pytest.mark.parametrize(("noise_m", "noise_px"), [(0.001, 0.1), (0.0001, 0.3)])
def test_weighed_views_place_the_camera_better_than_closed_form(noise_m: float, noise_px: float) -> None:
    errors: dict[str, list[float]] = {"closed": [], "weighed": []}
    for seed in range(2, 5):
        views = hand_eye_views("fixed", 12, noise_m, noise_px, seed)
        start = closed_form([v.pose_base_tool for v in views], [v.pose_camera_marker for v in views])[0]
        found = solve(views, "fixed", MARKER, LENS, ArmError(noise_m, 1e-5))[0].pose_mount_camera
        for name, pose in (("closed", start), ("weighed", found)):
            errors[name].append(float(np.linalg.norm((pose - X)[:3, 3])))
    assert np.mean(errors["weighed"]) < 0.6 * np.mean(errors["closed"])


def test_turns_about_one_axis_are_refused() -> None:
    views = []
    for angle in np.linspace(-0.6, 0.6, 8):
        tool = rigid((0, 0, angle), (0.2, 0.05 * angle, 0.1))
        sight = inverse(X) @ tool @ Y
        views.append(HandEyeView("", tool, sight, project(MARKER.corners(), sight)))
    with pytest.raises(DataError, match="turned about one axis only"):
        solve(views, "fixed", MARKER, LENS)
    with pytest.raises(DataError, match="4 views show the marker; at least 5"):
        solve(views[:4], "fixed", MARKER, LENS)


def test_poses_are_told_as_quaternions() -> None:
    quarter = rigid((0, 0, np.pi / 2), (1, 2, 3))
    np.testing.assert_allclose(to_quaternion(quarter), [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    np.testing.assert_allclose(from_quaternion((1, 2, 3), (2, 0, 0, 2)), quarter, atol=1e-12)
    np.testing.assert_allclose(from_quaternion((1, 2, 3), (-1, 0, 0, -1)), quarter, atol=1e-12)
    np.testing.assert_allclose(from_quaternion((0, 0, 0), (1, 0, 0, 0)), np.eye(4))
    for pose in (X, Y, rigid((np.pi, 0, 0), (0, 0, 1)), np.eye(4)):
        np.testing.assert_allclose(pose_from_yaml(pose_to_yaml(pose), "test"), pose, atol=1e-7)
    assert angle_between(np.eye(4), quarter) == pytest.approx(np.pi / 2)


def test_files_say_the_same_when_they_are_read_again(tmp_path: Path) -> None:
    LENS.save(tmp_path / "camera.yaml")
    assert Intrinsics.load(tmp_path / "camera.yaml").to_dict() == LENS.to_dict()
    BOARD.save(tmp_path / "board.yaml")
    assert Board.load(tmp_path / "board.yaml") == BOARD
    found, marker, quality = solve(hand_eye_views("tool", 6), "tool", MARKER, LENS)
    found.save(tmp_path / "place" / "hand_eye.yaml", marker, quality)
    back = HandEye.load(tmp_path / "place" / "hand_eye.yaml")
    assert back.mount == "tool"
    np.testing.assert_allclose(back.pose_mount_camera, X, atol=1e-6)
    assert not list(tmp_path.rglob("*.partial"))


GOOD = """kind: camera intrinsics
width: 640
height: 480
focal_px: [520, 525]
center_px: [324, 236]
distortion: [0, 0, 0, 0, 0]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "camera intrinsics",
            "hand-eye",
            "is hand-eye, not 'camera intrinsics'; `robot-orl camera intrinsics`",
        ),
        (GOOD, "[1, 2]", "is something else, not 'camera intrinsics'"),
        (GOOD, "a: [", "is not YAML"),
        ("[520, 525]", "[520]", "'focal_px' is not 2 finite numbers"),
        ("[520, 525]", "[520, .nan]", "'focal_px' is not 2 finite numbers"),
        ("[520, 525]", "[520, true]", "'focal_px' is not 2 finite numbers"),
        ("[520, 525]", "[520, -1]", "'focal_px' is not positive"),
        ("[324, 236]", "[700, 236]", "'center_px' lies outside of the frame"),
        ("width: 640", "width: 640.5", "640.5x480 is not the size of a frame"),
        ("width: 640\n", "", "'width' is not a finite number"),
        ("[0, 0, 0, 0, 0]", "bent", "'distortion' is not 5 finite numbers"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "camera.yaml").write_text(GOOD)
    Intrinsics.load(tmp_path / "camera.yaml")
    (tmp_path / "camera.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(DataError) as caught:
        Intrinsics.load(tmp_path / "camera.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_views_and_places_that_cannot_be_name_the_entry(tmp_path: Path) -> None:
    good = {"image": "0.png", "position_m": [0.1, 0.2, 0.3], "quaternion_wxyz": [1, 0, 0, 0]}
    for wrong, said in (
        ([], "no list 'views'"),
        ([good, good | {"position_m": [1, 2]}], "view 2: 'position_m' is not 3 finite numbers"),
        ([good | {"quaternion_wxyz": [1, 1, 0, 0]}], "view 1: 'quaternion_wxyz' has length 1.41, not 1"),
        ([{"position_m": [0, 0, 0]}], "view 1: no 'image'"),
    ):
        write_yaml(tmp_path / "views.yaml", "views of a marker", {"views": wrong})
        with pytest.raises(DataError, match=said):
            load_views(tmp_path / "views.yaml")
    write_yaml(tmp_path / "views.yaml", "views of a marker", {"views": [good]})
    assert load_views(tmp_path / "views.yaml")[0][0] == tmp_path / "0.png"
    write_yaml(tmp_path / "hand_eye.yaml", "hand-eye", {"mount": "ceiling", "camera": good})
    with pytest.raises(DataError, match="'mount' is not one of: fixed, tool"):
        HandEye.load(tmp_path / "hand_eye.yaml")
    with pytest.raises(DataError, match=r"cannot read .*none\.yaml: No such file"):
        HandEye.load(tmp_path / "none.yaml")


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    LENS.save(tmp_path / "camera.yaml")
    before = (tmp_path / "camera.yaml").read_text()
    (tmp_path / "camera.yaml.partial").mkdir()  # in the way
    with pytest.raises(RunError, match=r"cannot write .*camera\.yaml: Is a directory"):
        LENS.save(tmp_path / "camera.yaml")
    assert (tmp_path / "camera.yaml").read_text() == before
