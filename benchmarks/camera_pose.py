"""How well a camera knows where an object is: rendered frames, whose truth is known, through the whole path.

    MUJOCO_GL=egl python benchmarks/camera_pose.py --poses 300

A cube of 40 mm with a marker of 30 mm on it, 0.25 to 0.6 m before a camera of 640x480 with a lens that bends,
blur, noise and JPEG. As a user would: first the lens is calibrated from frames of a board, then the camera's
place from frames of a marker on a tool whose poses are known with the arm's error, then the cube is looked
for in random poses. The errors are those of the cube's middle in the frame of the robot's base, so they
contain those of both calibrations. Beside it, on the same frames and with the same calibrations, what
common code does: corners from `detectMarkers`, `cv2.solvePnP`.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import numpy as np
from marker_scene import Lens, MarkerScene, Spoilt, random_view, with_margin

from robot_orl.deploy.sensors.aruco import Marker, MarkerTracker, dictionary_of
from robot_orl.deploy.sensors.boards import Board, draw_marker
from robot_orl.deploy.sensors.calibrate_hand_eye import HandEyeView, solve
from robot_orl.deploy.sensors.calibrate_intrinsics import ViewCollector, calibrate
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import angle_between, inverse, rigid, rotation_vector
from robot_orl.types import Array

DICTIONARY, ON_CUBE, ON_TOOL = "4X4_50", 3, 7
CUBE_M, MARKER_M, TOOL_MARKER_M = 0.040, 0.030, 0.040
ARM_ERROR_M, ARM_ERROR_RAD = 0.0005, np.radians(0.15)  # of the tool's pose, standard deviation per axis
POSE_BASE_CAMERA = rigid((-2.2, 0.15, -0.1), (0.25, -0.45, 0.55))
Finder = Callable[[Array], Array | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--poses", type=int, default=300, help="of the cube")
    parser.add_argument("--views", type=int, default=30, help="of the board, and of the marker on the tool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blur", type=float, default=0.7, help="standard deviation [pixels]")
    parser.add_argument("--noise", type=float, default=4.0, help="standard deviation, of 255")
    parser.add_argument("--jpeg", type=int, default=85, help="quality")
    parser.add_argument("--out", type=Path, help="folder for camera_pose.json and a frame with axes drawn")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(args.seed)
    lens = Lens(spoilt=Spoilt(args.blur, args.noise, args.jpeg))
    found, board = calibrate_lens(lens, args.views, rng)
    place, hand_eye = calibrate_place(lens, found, args.views, rng)
    table, frame = look_for_cube(lens, found, place, args.poses, rng)
    print_figures(board, hand_eye, table)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        asked = {k: v for k, v in vars(args).items() if k != "out"}
        figures = {"asked": asked, "lens": board, "hand_eye": hand_eye, "cube": table}
        (args.out / "camera_pose.json").write_text(json.dumps(figures, indent=2) + "\n")
        cv2.imwrite(str(args.out / "camera_pose.jpg"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def calibrate_lens(lens: Lens, count: int, rng: np.random.Generator) -> tuple[Intrinsics, dict[str, Any]]:
    """The intrinsics that frames of a board give, and how far from the truth they are."""
    board = Board(dictionary=DICTIONARY)
    width, height = np.array(board.size_mm) / 1e3
    margin = 1.1
    drawn = np.pad(board.draw(4.0), [(35 * 4 // 4,) * 2, (35 * 4 // 4,) * 2], constant_values=255)
    size = np.array(drawn.shape[::-1]) / 4e3
    scene = MarkerScene(lens, {"board": (drawn, size, np.eye(4))})
    collector = ViewCollector(board, lens.width, lens.height, count)
    while len(collector.views) < count:
        pose = random_view(rng, lens, width * margin, 3 * height, 45, 0.6)
        grey = cv2.cvtColor(scene.frame(pose, rng), cv2.COLOR_RGB2GRAY)
        collector.add(f"view {collector.seen}", grey)
    scene.close()
    found, quality = calibrate(collector.views, board, lens.width, lens.height)
    truth = lens.intrinsics
    figures = {
        "focal_error_percent": 100 * float(np.abs(np.diag(found.matrix)[:2] / lens.focal_px - 1).max()),
        "center_error_px": float(np.abs(found.matrix[:2, 2] - truth.matrix[:2, 2]).max()),
        "largest_ray_error_px": largest_ray_error(found, truth),
        **asdict(quality),
    }
    return found, figures


def largest_ray_error(found: Intrinsics, truth: Intrinsics) -> float:
    """Between where both put the same ray, over a grid of rays that covers the frame [pixels]."""
    columns, rows = np.meshgrid(np.linspace(0, truth.width - 1, 17), np.linspace(0, truth.height - 1, 13))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(pixels, truth.matrix, truth.distortion).reshape(-1, 2)
    points = np.column_stack([rays, np.ones(len(rays))])
    seen = cv2.projectPoints(points, np.zeros(3), np.zeros(3), found.matrix, found.distortion)[0]
    return float(np.linalg.norm(seen - pixels, axis=-1).max())


def calibrate_place(
    lens: Lens, found: Intrinsics, count: int, rng: np.random.Generator
) -> tuple[Array, dict[str, Any]]:
    """The camera's pose in the base that a marker on the tool gives, and how far from the truth it is."""
    printed, wider = with_margin(draw_marker(ON_TOOL, DICTIONARY, 600), 6)
    scene = MarkerScene(lens, {"marker": (printed, np.full(2, TOOL_MARKER_M * wider), np.eye(4))})
    marker = Marker(ON_TOOL, TOOL_MARKER_M, np.eye(4))
    pose_tool_marker = rigid((0.3, -0.2, 1.1), (0.01, -0.02, 0.03))
    views: list[HandEyeView] = []
    while len(views) < count:
        pose = random_view(rng, lens, 0.2, 0.5, 50, 0.7)
        tracker = MarkerTracker(found, [marker], DICTIONARY)
        corners = tracker.corners(scene.frame(pose, rng))
        seen = tracker.locate(corners, 0) if corners else None
        if seen is None or seen.is_ambiguous:
            continue
        slack = rigid(rng.normal(0, ARM_ERROR_RAD, 3), rng.normal(0, ARM_ERROR_M, 3))
        pose_base_tool = POSE_BASE_CAMERA @ pose @ inverse(pose_tool_marker) @ slack
        views.append(HandEyeView("", pose_base_tool, seen.pose_camera_object, corners[ON_TOOL]))
    scene.close()
    hand_eye, _, quality = solve(views, "fixed", marker, found)
    place = hand_eye.pose_mount_camera
    figures = {
        "error_mm": 1e3 * float(np.linalg.norm((place - POSE_BASE_CAMERA)[:3, 3])),
        "error_deg": float(np.degrees(angle_between(place, POSE_BASE_CAMERA))),
        **asdict(quality),
    }
    return place, figures


def finders(found: Intrinsics) -> dict[str, Finder]:
    """Ways to find the cube in a frame: its pose in the camera's frame, or None."""
    on_cube = rigid((0, 0, 0), (0, 0, CUBE_M / 2))
    tracker = MarkerTracker(found, [Marker(ON_CUBE, MARKER_M, on_cube)], DICTIONARY)

    def ours(frame: Array) -> Array | None:
        corners = tracker.corners(frame)
        seen = tracker.locate(corners, 0) if corners else None
        return None if seen is None else seen.pose_camera_object

    def common(refinement: int, lens: Array | None, flags: int) -> Finder:
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = refinement
        detector = cv2.aruco.ArucoDetector(dictionary_of(DICTIONARY), parameters)
        flat = Marker(ON_CUBE, MARKER_M, np.eye(4)).corners()

        def find(frame: Array) -> Array | None:
            squares, numbers, _ = detector.detectMarkers(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
            for square, number in zip(squares, [] if numbers is None else np.ravel(numbers), strict=True):
                if number == ON_CUBE:
                    _, turn, move = cv2.solvePnP(flat, square.reshape(4, 2), found.matrix, lens, flags=flags)
                    return rigid(turn, move) @ inverse(on_cube)
            return None

        return find

    aruco = cv2.aruco
    return {
        "ours": ours,
        "subpixel corners, IPPE": common(
            aruco.CORNER_REFINE_SUBPIX, found.distortion, cv2.SOLVEPNP_IPPE_SQUARE
        ),
        "subpixel corners, iterative": common(
            aruco.CORNER_REFINE_SUBPIX, found.distortion, cv2.SOLVEPNP_ITERATIVE
        ),
        "plain corners, iterative": common(
            aruco.CORNER_REFINE_NONE, found.distortion, cv2.SOLVEPNP_ITERATIVE
        ),
        "plain, lens not taken out": common(aruco.CORNER_REFINE_NONE, None, cv2.SOLVEPNP_ITERATIVE),
    }


def cube_pieces() -> dict[str, tuple[Array, Array, Array]]:
    """A grey cube with the marker on its upper face."""
    printed, wider = with_margin(draw_marker(ON_CUBE, DICTIONARY, 600), 6)
    half, size, grey = CUBE_M / 2, np.full(2, CUBE_M), np.full((8, 8), 110, np.uint8)
    turns = {"right": (0, 1, 0), "left": (0, -1, 0), "front": (1, 0, 0), "back": (-1, 0, 0)}
    pieces = {
        name: (grey, size, rigid(np.array(axis) * np.pi / 2, (0, 0, 0)) @ rigid((0, 0, 0), (0, 0, half)))
        for name, axis in turns.items()
    }
    return pieces | {"marker": (printed, np.full(2, MARKER_M * wider), rigid((0, 0, 0), (0, 0, half)))}


def look_for_cube(
    lens: Lens, found: Intrinsics, place: Array, count: int, rng: np.random.Generator
) -> tuple[dict[str, Any], Array]:
    """Errors of every way over the same frames, and the last frame with the axes that ours found."""
    scene = MarkerScene(lens, cube_pieces())
    ways = finders(found)
    errors: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(count):
        truth = random_view(rng, lens, 0.25, 0.6, 60, 0.8)
        frame = scene.frame(truth, rng, light=rng.uniform(0.7, 1.1))
        for name, find in ways.items():
            start = time.process_time()
            pose = find(frame)
            took_ms = 1e3 * (time.process_time() - start)
            if pose is not None:
                off = (place @ pose - POSE_BASE_CAMERA @ truth)[:3, 3]
                turned = angle_between(place @ pose, POSE_BASE_CAMERA @ truth)
                errors[name].append((1e3 * float(np.linalg.norm(off)), float(np.degrees(turned)), took_ms))
                if name == "ours":
                    shown = draw_axes(frame, pose, found)
    scene.close()
    return {name: summarise(np.array(found_), count) for name, found_ in errors.items()}, shown


def draw_axes(frame: Array, pose: Array, lens: Intrinsics) -> Array:
    drawn = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    move = pose[:3, 3].copy()
    cv2.drawFrameAxes(drawn, lens.matrix, lens.distortion, rotation_vector(pose), move, CUBE_M)
    return cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB)


def summarise(errors: Array, count: int) -> dict[str, float]:
    """errors: (n, 3) mm, deg, ms of one core."""
    figures = {"seen": len(errors) / count}
    for column, name in enumerate(("mm", "deg", "ms")):
        p50, p95 = np.percentile(errors[:, column], [50, 95])
        figures |= {f"{name}_p50": round(float(p50), 3), f"{name}_p95": round(float(p95), 3)}
    return figures


def print_figures(board: dict[str, Any], hand_eye: dict[str, Any], table: dict[str, Any]) -> None:
    print(
        f"lens: {board['views']} views, {board['rms_px']:.3f} px rms; focal length off by "
        f"{board['focal_error_percent']:.3f}%, rays by {board['largest_ray_error_px']:.2f} px at most"
    )
    print(
        f"place: {hand_eye['views']} views; off by {hand_eye['error_mm']:.2f} mm and "
        f"{hand_eye['error_deg']:.3f} deg, said {hand_eye['sigma_mm']:.2f} mm and {hand_eye['sigma_deg']:.3f}"
    )
    print(f"\n{'cube in the base':<30}" + "".join(f"{name:>10}" for name in ("seen", *HEADS)))
    for name, row in table.items():
        print(f"{name:<30}{row['seen']:>10.1%}" + "".join(f"{row[key]:>10.2f}" for key in HEADS))


HEADS = ("mm_p50", "mm_p95", "deg_p50", "deg_p95", "ms_p50")


if __name__ == "__main__":
    main()
