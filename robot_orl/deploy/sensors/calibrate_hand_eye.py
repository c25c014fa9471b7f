"""Hand-eye calibration: the camera's pose from views of one marker in many poses of the tool.

    fixed: the camera stands still, the marker is on the tool     pose_base_tool Y = X pose_camera_marker
    tool:  the camera is on the tool, the marker lies still       pose_tool_base Y = X pose_camera_marker

In both, X is the camera's pose and Y the marker's: in base and tool, or in tool and base. They are found in
closed form (Park and Martin 1994) and then where all views fit best, each weighed by how exact its marker
and the arm are. OpenCV has the former, but its 5.0.0 wheels do not reach it from Python
(opencv/opencv#29565).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np

from robot_orl.deploy.sensors.aruco import Marker
from robot_orl.deploy.sensors.hand_eye import HandEye, HandEyeQuality
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import (
    inverse,
    mean_rotation,
    nearest_rotation,
    rigid,
    rotation_vector,
)
from robot_orl.errors import DataError
from robot_orl.types import Array

LEAST_VIEWS, GOOD_VIEWS = 5, 15
LEAST_SECOND_AXIS = 0.1  # of the rotations' spread along their first axis
GOOD_TURN_DEG = 60.0
GOOD_SIGMA_MM = 2.0
CORNER_ERROR_PX = 0.1  # of a corner, standard deviation per coordinate
ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class HandEyeView:
    """pose_base_tool, pose_camera_marker: (4, 4).  corners: the marker's in the frame, (4, 2) pixels."""

    name: str
    pose_base_tool: Array
    pose_camera_marker: Array
    corners: Array


@dataclass(frozen=True)
class ArmError:
    """How exact the tool's poses are, standard deviation per axis: of a small arm of servos about so."""

    m: float = 0.001
    rad: float = 0.005


def solve(
    views: Sequence[HandEyeView],
    mount: str,
    marker: Marker,
    lens: Intrinsics,
    arm: ArmError = ArmError(),
) -> tuple[HandEye, Array, HandEyeQuality]:
    """The camera's pose, the marker's on the other side (4, 4), and how good they are.

    Raises: DataError: too few views, or the tool turned about one axis only.
    """
    if len(views) < LEAST_VIEWS:
        raise DataError(f"{len(views)} views show the marker; at least {LEAST_VIEWS} are needed")
    arms = [_arm(view, mount) for view in views]
    turns = np.array([rotation_vector(inverse(a) @ b) for a, b in combinations(arms, 2)])
    spread = np.linalg.svd(turns, compute_uv=False)
    second_axis = float(spread[1] / spread[0]) if spread[0] > 0 else 0.0
    if second_axis < LEAST_SECOND_AXIS:
        raise DataError(
            "between the views the tool turned about one axis only, which leaves the camera's place "
            "open; turn the wrist about another axis too"
        )
    start = closed_form(arms, [v.pose_camera_marker for v in views])
    weights = [_weight(view, *start, mount, marker, lens, arm) for view in views]
    camera, other, sigma = _refine(*start, views, mount, weights)
    seen = [inverse(camera) @ a @ other for a in arms]
    offsets = [np.linalg.norm((p - v.pose_camera_marker)[:3, 3]) for p, v in zip(seen, views, strict=True)]
    corners = np.array([_project(p, marker.corners(), lens) for p in seen])
    distances = np.linalg.norm(corners - [v.corners for v in views], axis=-1)
    quality = HandEyeQuality(
        views=len(views),
        rms_px=round(float(np.sqrt(np.mean(distances**2))), 4),
        offset_mm=round(float(np.sqrt(np.mean(np.square(offsets)))) * 1e3, 3),
        sigma_mm=round(float(np.linalg.norm(sigma[3:])) * 1e3, 3),
        sigma_deg=round(float(np.degrees(np.linalg.norm(sigma[:3]))), 4),
        turn_deg=round(float(np.degrees(np.linalg.norm(turns, axis=1).max())), 1),
        second_axis=round(second_axis, 3),
        advice=(),
    )
    return HandEye(mount, camera), other, replace(quality, advice=tuple(_advice(quality)))


def _arm(view: HandEyeView, mount: str, slip: Array | None = None) -> Array:
    """The pose on the robot's side of the equation; slip: of the tool, rotation [rad] and translation [m]."""
    tool = view.pose_base_tool if slip is None else view.pose_base_tool @ rigid(slip[:3], slip[3:])
    return tool if mount == "fixed" else inverse(tool)


def closed_form(arms: Sequence[Array], sights: Sequence[Array]) -> tuple[Array, Array]:
    """X and Y of arm_i Y = X sight_i, from N >= 3 pairs (4, 4) whose rotations have different axes.

    Source: Park and Martin 1994, on all pairs of views: A Y = Y B with A = arm_j^-1 arm_i, B = sight_j^-1
    sight_i. The rotation turns the logarithms of B's into those of A's, nearest in squares; the
    translation solves (R_A - 1) t = R t_B - t_A.
    """
    moves = [
        (inverse(arms[j]) @ arms[i], inverse(sights[j]) @ sights[i])
        for i, j in combinations(range(len(arms)), 2)
    ]
    logs_a, logs_b = (np.array([rotation_vector(move[side]) for move in moves]) for side in (0, 1))
    is_sure = np.linalg.norm(logs_a, axis=1) < np.radians(
        170
    )  # near a half turn the sign of an axis is chance
    other = np.eye(4)
    other[:3, :3] = nearest_rotation(logs_a[is_sure].T @ logs_b[is_sure])
    matrix = np.concatenate([a[:3, :3] - np.eye(3) for a, _ in moves])
    right = np.concatenate([other[:3, :3] @ b[:3, 3] - a[:3, 3] for a, b in moves])
    other[:3, 3] = np.linalg.lstsq(matrix, right, rcond=None)[0]
    cameras = [arm @ other @ inverse(sight) for arm, sight in zip(arms, sights, strict=True)]
    camera = np.eye(4)
    camera[:3, :3] = mean_rotation([c[:3, :3] for c in cameras])
    camera[:3, 3] = np.mean([c[:3, 3] for c in cameras], axis=0)
    return camera, other


def _difference(view: HandEyeView, camera: Array, arm: Array, other: Array) -> Array:
    """From the marker as it was seen to where both poses put it: rotation [rad] and translation [m], (6,)."""
    pose = inverse(view.pose_camera_marker) @ inverse(camera) @ arm @ other
    return np.concatenate([rotation_vector(pose), pose[:3, 3]])


def _weight(
    view: HandEyeView,
    camera: Array,
    other: Array,
    mount: str,
    marker: Marker,
    lens: Intrinsics,
    arm: ArmError,
) -> Array:
    """What makes the differences of a view independent and of variance 1, (6, 6).

    A view is as exact as its corners and the arm are: the former tell a marker's place across well, along
    the line of sight badly; how the latter's error shows depends on where the marker is.
    """

    def corners(step: Array) -> Array:
        pose = view.pose_camera_marker @ rigid(step[:3], step[3:])
        return _project(pose, marker.corners(), lens).ravel()

    def slipped(slip: Array) -> Array:
        return _difference(view, camera, _arm(view, mount, slip), other)

    by_corners = _derivative(corners, 6)
    by_arm = _derivative(slipped, 6) * np.array([arm.rad] * 3 + [arm.m] * 3)
    spread = CORNER_ERROR_PX**2 * np.linalg.inv(by_corners.T @ by_corners) + by_arm @ by_arm.T
    return np.linalg.inv(np.linalg.cholesky(spread))


def _derivative(function: Callable[[Array], Array], size: int) -> Array:
    """(n, size), at zero."""
    small = 1e-6
    at = [(function(small * e) - function(-small * e)) / (2 * small) for e in np.eye(size)]
    return np.column_stack(at)


def _refine(
    camera: Array, other: Array, views: Sequence[HandEyeView], mount: str, weights: Sequence[Array]
) -> tuple[Array, Array, Array]:
    """Both poses where the weighted differences are least in squares (Gauss and Newton), and the standard
    deviations of the camera's rotation [rad] and place [m], (6,)."""
    arms = [_arm(view, mount) for view in views]
    for _ in range(ITERATIONS):

        def errors(step: Array, camera: Array = camera, other: Array = other) -> Array:
            moved = camera @ rigid(step[:3], step[3:6]), other @ rigid(step[6:9], step[9:])
            each = zip(weights, views, arms, strict=True)
            return np.concatenate([w @ _difference(v, moved[0], a, moved[1]) for w, v, a in each])

        now, jacobian = errors(np.zeros(12)), _derivative(errors, 12)
        step = np.linalg.lstsq(jacobian, -now, rcond=None)[0]
        camera, other = camera @ rigid(step[:3], step[3:6]), other @ rigid(step[6:9], step[9:])
        if np.abs(step).max() < 1e-8:  # rad and m
            break
    spread = np.linalg.inv(jacobian.T @ jacobian) * (now @ now) / (6 * len(views) - 12)
    return camera, other, np.sqrt(np.diag(spread)[:6])


def _project(pose: Array, points: Array, lens: Intrinsics) -> Array:
    found, _ = cv2.projectPoints(points, rotation_vector(pose), pose[:3, 3], lens.matrix, lens.distortion)
    return found.reshape(-1, 2)


def _advice(quality: HandEyeQuality) -> list[str]:
    advice = []
    if quality.views < GOOD_VIEWS:
        advice.append(f"{quality.views} views; take {GOOD_VIEWS} or more")
    if quality.turn_deg < GOOD_TURN_DEG:
        advice.append(
            f"the tool turned by {quality.turn_deg:.0f} degrees at most; turn it by {GOOD_TURN_DEG:g}"
        )
    if quality.sigma_mm > GOOD_SIGMA_MM:
        told = f"the camera's place is known to {quality.sigma_mm:.1f} mm only"
        more = "turned about other axes" if quality.second_axis < 2 * LEAST_SECOND_AXIS else "turned more"
        advice.append(f"{told}; add views, nearer to the camera and {more}")
    return advice
