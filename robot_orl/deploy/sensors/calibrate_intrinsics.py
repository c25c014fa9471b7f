"""Intrinsics from views of a printed board (Zhang 2000), with figures that tell whether to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from robot_orl.deploy.sensors.boards import Board
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.errors import DataError
from robot_orl.types import Array

LEAST_VIEWS, GOOD_VIEWS = 6, 20
CELLS = 4  # the frame is looked at in 4 x 4 parts
GOOD_COVERAGE = 0.8
GOOD_TILT_DEG = 25.0
GOOD_RMS_PX = 0.6
GOOD_FOCAL_SIGMA = 0.003  # of the focal length
NEW_VIEW = 0.05  # a view is new where corners moved by this part of the frame's width
OUTLIER = 3.0  # a view whose error is this many times the median is left out


@dataclass(frozen=True, eq=False)
class View:
    """corners: which of the board's, (n,).  pixels: where, (n, 2) float32.  name: of its frame."""

    name: str
    corners: Array
    pixels: Array


class ViewCollector:
    """Keeps views of the board that add something to those it has."""

    def __init__(self, board: Board, width: int, height: int, most: int) -> None:
        self.views: list[View] = []
        self.seen = 0
        self.size = width, height
        self._board, self._most = board, most

    def add(self, name: str, grey: Array) -> bool:
        """Whether the frame was kept. Raises: DataError: it has another size than the others."""
        if grey.shape[::-1] != self.size:
            told = f"{name} is {grey.shape[1]}x{grey.shape[0]}"
            raise DataError(f"{told}, the frames before it {self.size[0]}x{self.size[1]}")
        found = self._board.find(grey)
        self.seen += found is not None
        if found is None or len(self.views) >= self._most:
            return False
        view = View(name, *found)
        if any(self._moved(view, other) < NEW_VIEW * self.size[0] for other in self.views):
            return False
        self.views.append(view)
        return True

    def _moved(self, one: View, other: View) -> float:
        """Mean distance of the corners seen in both [pixels]; infinite where these are few."""
        common, in_one, in_other = np.intersect1d(one.corners, other.corners, return_indices=True)
        if len(common) < 4:
            return np.inf
        return float(np.linalg.norm(one.pixels[in_one] - other.pixels[in_other], axis=1).mean())


@dataclass(frozen=True)
class Quality:
    """rms_px: root mean square of the reprojection error.  left_out: views that did not fit the others.
    focal_sigma_px: standard deviation of the focal lengths.  coverage: part of the frame where corners were
    seen.  tilt_deg: range of the angles between board and frame, 5th to 95th percentile.
    """

    rms_px: float
    views: int
    corners: int
    left_out: tuple[str, ...]
    focal_sigma_px: tuple[float, float]
    coverage: float
    tilt_deg: tuple[float, float]
    advice: tuple[str, ...]


def calibrate(views: Sequence[View], board: Board, width: int, height: int) -> tuple[Intrinsics, Quality]:
    """Raises: DataError: too few views, or they do not determine a camera."""
    kept, left_out = list(views), list[str]()
    while True:
        if len(kept) < LEAST_VIEWS:
            told = f"{len(kept)} different views of the board" + (" fit together" if left_out else "")
            raise DataError(f"{told}; at least {LEAST_VIEWS} are needed, {GOOD_VIEWS} are good")
        rms, matrix, lens, turns, sigma, errors = _fit(kept, board, (width, height))
        bad = [k for k, error in enumerate(errors) if error > max(OUTLIER * np.median(errors), 0.5)]
        if not bad:
            break
        left_out += [kept[k].name for k in bad]
        kept = [view for k, view in enumerate(kept) if k not in bad]
    if not (np.isfinite(matrix).all() and 0 < matrix[0, 2] < width and 0 < matrix[1, 2] < height):
        raise DataError("the views do not determine the camera; tilt the board and move it to the corners")
    normals = [cv2.Rodrigues(turn)[0][:, 2] for turn in turns]
    tilts = [np.degrees(np.arccos(min(1.0, abs(n[2])))) for n in normals]
    covered = _covered(kept, width, height)
    quality = Quality(
        rms_px=round(float(rms), 4),
        views=len(kept),
        corners=sum(len(view.corners) for view in kept),
        left_out=tuple(left_out),
        focal_sigma_px=(round(float(sigma[0]), 3), round(float(sigma[1]), 3)),
        coverage=round(float(covered.mean()), 3),
        tilt_deg=tuple(round(float(x), 1) for x in np.percentile(tilts, [5, 95])),  # type: ignore[arg-type]
        advice=(),
    )
    advice = tuple(_advice(quality, covered, float(matrix[0, 0])))
    found = Intrinsics(width, height, matrix, lens)
    return found, replace(quality, advice=advice)


def _fit(
    views: Sequence[View], board: Board, size: tuple[int, int]
) -> tuple[float, Array, Array, Sequence[Array], Array, Array]:
    """rms [px], matrix (3, 3), lens (5,), rotation vectors, standard deviations, error per view [px].

    k3 is 0 unless it is worth its place (Schwarz 1978): where it only follows the noise it bends the corners
    of the frame, where no board was seen, by pixels.
    """
    points = board.points()
    seen = [points[view.corners] for view in views], [view.pixels for view in views]
    fits = []
    for flags in (cv2.CALIB_FIX_K3, 0):
        try:
            fit = cv2.calibrateCameraExtended(*seen, size, None, None, flags=flags)  # type: ignore[call-overload]
        except cv2.error as error:
            raise DataError(
                "the views do not determine the camera; tilt the board, move it around"
            ) from error
        fits.append(fit)
    count = 2 * sum(len(view.corners) for view in views)
    is_worth_it = 2 * count * np.log(fits[0][0] / fits[1][0]) > np.log(count)
    rms, matrix, lens, turns, _, sigma, _, errors = fits[int(is_worth_it)]
    return rms, matrix, np.ravel(lens)[:5], turns, np.ravel(sigma), np.ravel(errors)


def _covered(views: Sequence[View], width: int, height: int) -> Array:
    """(CELLS, CELLS) bool, by rows: where in the frame corners were seen."""
    covered = np.zeros((CELLS, CELLS), bool)
    for view in views:
        cells = (view.pixels / (width, height) * CELLS).astype(int).clip(0, CELLS - 1)
        covered[cells[:, 1], cells[:, 0]] = True
    return covered


def _advice(quality: Quality, covered: Array, focal_px: float) -> list[str]:
    """What to add so that the next calibration is better; nothing where it is good."""
    advice = []
    if quality.views < GOOD_VIEWS:
        advice.append(f"{quality.views} views; take {GOOD_VIEWS} or more")
    if quality.coverage < GOOD_COVERAGE:
        half = CELLS // 2
        parts = {
            "upper left": covered[:half, :half],
            "upper right": covered[:half, half:],
            "lower left": covered[half:, :half],
            "lower right": covered[half:, half:],
        }
        bare = [name for name, part in parts.items() if part.mean() < GOOD_COVERAGE]
        advice.append(f"few corners in the {', '.join(bare)} of the frame; hold the board there")
    if quality.tilt_deg[1] < GOOD_TILT_DEG:
        advice.append(
            f"the board is tilted by {quality.tilt_deg[1]:.0f} degrees at most; tilt it by 30 to 45"
        )
    if quality.rms_px > GOOD_RMS_PX:
        advice.append("a large error; is the board flat, the focus fixed, the picture sharp?")
    if max(quality.focal_sigma_px) > GOOD_FOCAL_SIGMA * focal_px:
        advice.append("the focal length is uncertain; add tilted views, near and far")
    return advice
