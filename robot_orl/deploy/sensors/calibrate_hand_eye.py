"""Hand-eye calibration: the camera's pose from views of one marker in many poses of the tool.

    fixed: the camera stands still, the marker is on the tool     pose_base_tool Y = X pose_camera_marker
    tool:  the camera is on the tool, the marker lies still       pose_tool_base Y = X pose_camera_marker

In both, X is the camera's pose and Y the marker's: in base and tool, or in tool and base. They are found in
closed form (Park and Martin 1994) and then refined on what was measured, the marker's corners in the
frames. OpenCV has the former, but its 5.0.0 wheels do not reach it from Python (opencv/opencv#29565).
"""

from collections.abc import Sequence
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
ITERATIONS = 50


@dataclass(frozen=True, eq=False)
class HandEyeView:
    """pose_base_tool, pose_camera_marker: (4, 4).  corners: the marker's in the frame, (4, 2) pixels."""

    name: str
    pose_base_tool: Array
    pose_camera_marker: Array
    corners: Array


def solve(
    views: Sequence[HandEyeView], mount: str, marker: Marker, lens: Intrinsics
) -> tuple[HandEye, Array, HandEyeQuality]:
    """The camera's pose, the marker's on the other side (4, 4), and how good they are.

    Raises: DataError: too few views, or the tool turned about one axis only.
    """
    if len(views) < LEAST_VIEWS:
        raise DataError(f"{len(views)} views show the marker; at least {LEAST_VIEWS} are needed")
    arms = [v.pose_base_tool if mount == "fixed" else inverse(v.pose_base_tool) for v in views]
    second_axis = _second_axis(arms)
    if second_axis < LEAST_SECOND_AXIS:
        raise DataError(
            "between the views the tool turned about one axis only, which leaves the camera's place "
            "open; turn the wrist about another axis too"
        )
    camera, other = closed_form(arms, [v.pose_camera_marker for v in views])
    camera, other, errors, sigma = _refine(camera, other, arms, views, marker, lens)
    offsets = [
        np.linalg.norm((arm @ other - camera @ v.pose_camera_marker)[:3, 3])
        for arm, v in zip(arms, views, strict=True)
    ]
    quality = HandEyeQuality(
        views=len(views),
        rms_px=round(float(np.sqrt(np.mean(errors**2) * 2)), 4),
        offset_mm=round(float(np.sqrt(np.mean(np.square(offsets)))) * 1e3, 3),
        sigma_mm=round(float(np.linalg.norm(sigma[3:6])) * 1e3, 3),
        sigma_deg=round(float(np.degrees(np.linalg.norm(sigma[:3]))), 4),
        turn_deg=round(float(np.degrees(_largest_turn(arms))), 1),
        second_axis=round(float(second_axis), 3),
        advice=(),
    )
    return HandEye(mount, camera), other, replace(quality, advice=tuple(_advice(quality)))


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


def _refine(
    camera: Array,
    other: Array,
    arms: Sequence[Array],
    views: Sequence[HandEyeView],
    marker: Marker,
    lens: Intrinsics,
) -> tuple[Array, Array, Array, Array]:
    """Both poses where the squared error of the corners is least (Levenberg-Marquardt), the errors (n,) [px]
    and the standard deviations of the camera's rotation [rad] and place [m], (6,)."""
    points = marker.corners()
    pixels = np.concatenate([view.corners.ravel() for view in views])

    def poses(step: Array) -> tuple[Array, Array]:
        return camera @ rigid(step[:3], step[3:6]), other @ rigid(step[6:9], step[9:])

    def errors(step: Array) -> Array:
        found, there = poses(step)
        seen = [inverse(found) @ arm @ there for arm in arms]
        corners = [_project(pose, points, lens) for pose in seen]
        return np.concatenate(corners).ravel() - pixels

    zero, small = np.zeros(12), 1e-6
    damping, now = 1e-3, errors(np.zeros(12))
    for _ in range(ITERATIONS):
        jacobian = np.column_stack([(errors(zero + small * e) - now) / small for e in np.eye(12)])
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -jacobian.T @ now)
        after = errors(step)
        if after @ after < now @ now:
            gain = 1 - (after @ after) / (now @ now)
            camera, other = poses(step)
            now, damping = after, damping / 5
            if gain < 1e-9:
                break
        else:
            damping *= 10
            if damping > 1e9:
                break
    # The arm's error moves all corners of a view together, so views are independent, corners are not.
    pulls = np.einsum("vnk,vn->vk", jacobian.reshape(len(views), -1, 12), now.reshape(len(views), -1))
    inverse_normal = np.linalg.inv(normal)
    freedom = len(views) / max(len(views) - 2, 1)
    spread = inverse_normal @ (pulls.T @ pulls) @ inverse_normal * freedom
    return camera, other, now, np.sqrt(np.diag(spread)[:6])


def _project(pose: Array, points: Array, lens: Intrinsics) -> Array:
    found, _ = cv2.projectPoints(points, rotation_vector(pose), pose[:3, 3], lens.matrix, lens.distortion)
    return found.reshape(-1, 2)


def _second_axis(arms: Sequence[Array]) -> float:
    turns = [rotation_vector(inverse(a) @ b) for a, b in combinations(arms, 2)]
    sizes = np.linalg.svd(np.array(turns), compute_uv=False)
    return float(sizes[1] / sizes[0]) if sizes[0] > 0 else 0.0


def _largest_turn(arms: Sequence[Array]) -> float:
    return max(float(np.linalg.norm(rotation_vector(inverse(a) @ b))) for a, b in combinations(arms, 2))


def _advice(quality: HandEyeQuality) -> list[str]:
    advice = []
    if quality.views < GOOD_VIEWS:
        advice.append(f"{quality.views} views; take {GOOD_VIEWS} or more")
    if quality.turn_deg < GOOD_TURN_DEG:
        advice.append(
            f"the tool turned by {quality.turn_deg:.0f} degrees at most; turn it by {GOOD_TURN_DEG:g}"
        )
    if quality.second_axis < 2 * LEAST_SECOND_AXIS:
        advice.append("the tool turned about almost one axis; turn the wrist about another too")
    if quality.sigma_mm > GOOD_SIGMA_MM:
        told = f"the camera's place is known to {quality.sigma_mm:.1f} mm only"
        advice.append(f"{told}; add views, nearer to the camera and turned more")
    return advice
