"""Corners of a marker to a few hundredths of a pixel, as the crossings of its edges.

`cv2.cornerSubPix` looks for saddles, as on a chessboard; the outer corner of a square is none, and what it
finds lies 0.2 to 0.3 pixels inwards, which makes a marker of 50 pixels appear 1% farther away. A blurred
straight edge stays where it is. So each side is measured along its length, the lens is taken out of the
points found, a line is fitted to them, and neighbouring lines are crossed.

    outside, white     .  .  .  .  .          profiles across the side; where each gets brighter
    ------------a======+==+==+==+======b---   fastest is a point of the line
    inside, black      .  .  .  .  .          the ends are left out: there the corner itself is blurred
"""

import cv2
import numpy as np

from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.types import Array

PROFILES = 24  # across each side
MIDDLE = (0.15, 0.85)  # of a side
STEPS = 17  # of a profile
MODULE_PART = 0.7  # how far a profile reaches, of a module: beyond may be the pattern
FARTHEST_PX = 4.0
LEAST_CONTRAST = 8.0  # grey values across an edge
OUTLIER_PX = 0.5


def refine_corners(grey: Array, corners: Array, modules: int, lens: Intrinsics) -> Array:
    """Args: grey: (H, W) uint8.  corners: found roughly, clockwise, (4, 2) pixels.  modules: squares across
    the marker, its border included.

    Returns: (4, 2) float64 pixels; as they were where a side cannot be measured.
    """
    found = corners
    if np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).min() < modules:
        return corners
    for _ in range(2):  # the second time the profiles lie around the edge and not around a guess of it
        lines = []
        for points in _edge_points(grey, found, modules):
            if len(points) < PROFILES // 2:
                return corners
            lines.append(_line(_undistorted(points, lens)))
        crossings = np.array([_crossing(lines[k - 1], lines[k]) for k in range(4)])
        found = _distorted(crossings, lens)
        if not np.isfinite(found).all() or np.abs(found - corners).max() > FARTHEST_PX:
            return corners
    return found


def _edge_points(grey: Array, corners: Array, modules: int) -> list[Array]:
    """Points (n, 2) on each side, from corner k to k + 1, in pixels."""
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    reach = min(FARTHEST_PX, MODULE_PART * lengths.min() / modules)
    outwards = np.stack([sides[:, 1], -sides[:, 0]], axis=1) / lengths[:, None]
    along = np.linspace(*MIDDLE, PROFILES)[:, None]
    across = np.linspace(-reach, reach, STEPS)
    middles = corners[:, None] + along * sides[:, None]  # (4, PROFILES, 2)
    samples = middles[:, :, None] + across[:, None] * outwards[:, None, None]
    flat = samples.reshape(-1, STEPS, 2).astype(np.float32)
    values = cv2.remap(grey, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rise = np.diff(values.astype(np.float64).reshape(4, PROFILES, STEPS), axis=2).clip(min=0)
    total = rise.sum(axis=2)
    offsets = (rise * (across[1:] + across[:-1]) / 2).sum(axis=2) / np.maximum(total, 1e-9)
    points = middles + offsets[..., None] * outwards[:, None]
    return [points[k][total[k] > LEAST_CONTRAST] for k in range(4)]


def _undistorted(pixels: Array, lens: Intrinsics) -> Array:
    """Where a camera without a lens would see them, (n, 2) pixels."""
    points = pixels.reshape(-1, 1, 2)
    return cv2.undistortPoints(points, lens.matrix, lens.distortion, R=np.eye(3), P=lens.matrix).reshape(
        -1, 2
    )


def _distorted(pixels: Array, lens: Intrinsics) -> Array:
    """Inverse of `_undistorted`."""
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(lens.matrix).T
    return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), lens.matrix, lens.distortion)[0].reshape(-1, 2)


def _line(points: Array) -> Array:
    """(a, b, c) with a x + b y = c, nearest to the points in squares; without those far off it."""
    for _ in range(2):
        middle = points.mean(axis=0)
        normal = np.linalg.svd(points - middle, full_matrices=False)[2][1]
        far = np.abs((points - middle) @ normal)
        is_near = far <= max(OUTLIER_PX, 2 * float(np.median(far)))
        points = points[is_near]
    return np.array([*normal, normal @ middle])


def _crossing(one: Array, other: Array) -> Array:
    """NaN where they are parallel."""
    matrix = np.array([one[:2], other[:2]])
    if abs(np.linalg.det(matrix)) < 1e-6:
        return np.full(2, np.nan)
    return np.linalg.solve(matrix, [one[2], other[2]])
