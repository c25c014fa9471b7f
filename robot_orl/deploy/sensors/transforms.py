"""Rigid transforms as (4, 4) float64: `pose_a_b` is the pose of b in the frame of a, x_a = pose_a_b x_b."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from robot_orl.errors import DataError
from robot_orl.types import Array


def rigid(rotation_vector: Any, translation: Any) -> Array:
    """From a rotation vector [rad] and a translation [m], (3,) each."""
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.asarray(rotation_vector, np.float64).reshape(3))[0]
    pose[:3, 3] = np.ravel(translation)
    return pose


def inverse(pose: Array) -> Array:
    turned = np.eye(4)
    turned[:3, :3] = pose[:3, :3].T
    turned[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return turned


def rotation_vector(pose: Array) -> Array:
    """(3,) rad; its length is the angle, at most pi. `cv2.Rodrigues` calls anything below 1e-5 rad zero."""
    rotation = pose[:3, :3]
    skew = (rotation - rotation.T) / 2
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    sine, cosine = float(np.linalg.norm(axis)), (np.trace(rotation) - 1) / 2
    if sine < 1e-4:
        return axis if cosine > 0 else cv2.Rodrigues(np.ascontiguousarray(rotation))[0].ravel()
    return axis * (np.arctan2(sine, cosine) / sine)


def angle_between(a: Array, b: Array) -> float:
    """Of the rotation from one pose to another [rad], 0 .. pi."""
    return float(np.linalg.norm(rotation_vector(inverse(a) @ b)))


def mean_rotation(rotations: Sequence[Array]) -> Array:
    """The rotation nearest to (N, 3, 3) in the Frobenius norm."""
    return nearest_rotation(np.sum(rotations, axis=0))


def nearest_rotation(matrix: Array) -> Array:
    left, _, right = np.linalg.svd(matrix)
    return left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right


def from_quaternion(position_m: Any, quaternion_wxyz: Any) -> Array:
    """A pose from a position [m] and a quaternion, w first, of any length but zero."""
    w, *xyz = np.asarray(quaternion_wxyz, np.float64) / np.linalg.norm(quaternion_wxyz)
    sine = np.linalg.norm(xyz)
    angle = 2 * np.arctan2(sine, w)
    return rigid(np.asarray(xyz) * (angle / sine if sine > 0 else 2.0), position_m)


def to_quaternion(pose: Array) -> Array:
    """(4,) w first, w >= 0."""
    vector = rotation_vector(pose)
    angle = np.linalg.norm(vector)
    return np.concatenate([[np.cos(angle / 2)], vector * (np.sin(angle / 2) / angle if angle > 0 else 0.5)])


def pose_to_yaml(pose: Array) -> dict[str, list[float]]:
    """Readable: rounded to a nanometre and as fine in rotation."""
    return {
        "position_m": [round(float(x), 9) for x in pose[:3, 3]],
        "quaternion_wxyz": [round(float(x), 9) for x in to_quaternion(pose)],
    }


def pose_from_yaml(raw: Any, where: str) -> Array:
    """Raises: DataError: not a pose; `where` begins the line."""
    values = {}
    for name, size in (("position_m", 3), ("quaternion_wxyz", 4)):
        try:
            values[name] = np.array(raw[name], np.float64)
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{where}: no '{name}' of {size} numbers") from None
        if values[name].shape != (size,) or not np.isfinite(values[name]).all():
            raise DataError(f"{where}: '{name}' is not {size} finite numbers")
    length = float(np.linalg.norm(values["quaternion_wxyz"]))
    if abs(length - 1) > 0.01:
        raise DataError(f"{where}: 'quaternion_wxyz' has length {length:.3g}, not 1")
    return from_quaternion(**values)
