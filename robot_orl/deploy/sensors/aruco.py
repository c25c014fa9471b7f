"""Markers found in a frame, and the pose of what they are stuck on.

An object carries one or more square ArUco markers. Corners are found to a fraction of a pixel, each marker
gives the two poses that a square seen in perspective allows (Collins and Bartoli 2014, IPPE), each is refined
on the corners of all markers that are seen, and the one that explains them best is taken. Where two explain
them about equally well, as of a small marker seen from its front, the one nearer to the last pose is taken.
The camera's frame: x right, y down, z forward. A marker's: x right, y up, z out of the paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from robot_orl.deploy.sensors.edges import refine_corners
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import angle_between, inverse, rigid, rotation_vector
from robot_orl.errors import UsageError, unknown
from robot_orl.types import Array

_PREFIX = "DICT_"
DICTIONARIES = tuple(
    sorted(
        name.removeprefix(_PREFIX) for name in dir(cv2.aruco) if name.startswith(_PREFIX) and name.isupper()
    )
)
AMBIGUOUS_RATIO = 2.0  # of the errors of the second best and the best pose
SAME_POSE_RAD = np.radians(3.0)
PRIOR_AGE_NS = 1_000_000_000
SIGHTING_BYTES = 8 * 20


@dataclass(frozen=True, eq=False)
class Marker:
    """A marker on an object. size_m: of the edge of its black square.  pose_object_marker: (4, 4)."""

    number: int
    size_m: float
    pose_object_marker: Array

    def corners(self) -> Array:
        """(4, 3) in the object's frame [m]: top left, top right, bottom right, bottom left."""
        half = self.size_m / 2
        square = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
        return square @ self.pose_object_marker[:3, :3].T + self.pose_object_marker[:3, 3]


@dataclass(frozen=True, eq=False)
class Sighting:
    """pose_camera_object: (4, 4), of the frame taken at t_ns.  error_px: root mean square over corners of the
    distance between where they were found and where the pose puts them.  markers: how many were seen.
    is_ambiguous: another pose explains the corners about as well, and there was no earlier one to decide."""

    pose_camera_object: Array
    t_ns: int
    error_px: float
    markers: int
    is_ambiguous: bool

    def to_array(self) -> Array:
        """(20,) float64: pose by rows, error_px, markers, is_ambiguous, 0."""
        return np.array(
            [*self.pose_camera_object.ravel(), self.error_px, self.markers, self.is_ambiguous, 0.0]
        )

    @classmethod
    def from_array(cls, payload: Array, t_ns: int) -> "Sighting":
        values = np.frombuffer(payload.tobytes())
        return cls(values[:16].reshape(4, 4), t_ns, float(values[16]), int(values[17]), bool(values[18]))


def dictionary_of(name: str) -> Any:
    """OpenCV's marker dictionary. Raises: UsageError: names the valid ones."""
    if name not in DICTIONARIES:
        raise unknown("marker dictionary", name, DICTIONARIES)
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, _PREFIX + name))


def make_detector(dictionary: Any) -> Any:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    return cv2.aruco.ArucoDetector(dictionary, parameters)


class MarkerTracker:
    """Finds one object by its markers, frame after frame."""

    def __init__(
        self,
        intrinsics: Intrinsics,
        markers: Sequence[Marker],
        dictionary: str = "4X4_50",
        max_error_px: float = 2.0,
    ) -> None:
        """max_error_px: a pose that explains the corners worse counts as not seen.

        Raises: UsageError: no such dictionary or marker in it, or a marker is given twice.
        """
        self._detector = make_detector(found := dictionary_of(dictionary))
        count = len(found.bytesList)
        for marker in markers:
            if not 0 <= marker.number < count:
                raise UsageError(f"no marker {marker.number} in {dictionary}, which has 0 .. {count - 1}")
        self._markers = {marker.number: marker for marker in markers}
        if len(self._markers) < len(markers) or not markers:
            raise UsageError("an object needs markers, each with a number of its own")
        self._intrinsics, self._dictionary, self._max_error_px = intrinsics, dictionary, max_error_px
        self._modules = found.markerSize + 2
        self._last: Sighting | None = None

    def update(self, frame: Array, t_ns: int) -> Sighting | None:
        """The object in a frame, (H, W, 3) red first or (H, W), or None where it is not seen well enough.

        Raises: DataError: the intrinsics are for frames of another size.
        """
        self._intrinsics.require_size(frame.shape[1], frame.shape[0], "the camera")
        corners = self.corners(frame)
        if not corners:
            return None
        prior = None
        if self._last is not None and t_ns - self._last.t_ns <= PRIOR_AGE_NS:
            prior = self._last.pose_camera_object
        seen = self.locate(corners, t_ns, prior)
        self._last = seen or self._last
        return seen

    def corners(self, frame: Array) -> dict[int, Array]:
        """Corners of the object's markers in the frame, (4, 2) float64 [pixels] by the marker's number."""
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        squares, numbers, _ = self._detector.detectMarkers(grey)
        if numbers is None:
            return {}
        found = zip(np.ravel(numbers), squares, strict=True)
        rough = {int(n): np.float64(square).reshape(4, 2) for n, square in found if n in self._markers}
        return {n: refine_corners(grey, at, self._modules, self._intrinsics) for n, at in rough.items()}

    def locate(self, corners: Mapping[int, Array], t_ns: int, prior: Array | None = None) -> Sighting | None:
        """The pose of the object whose markers have these corners; None: none explains them well enough.

        prior: where it was a moment ago, (4, 4), or None.
        """
        points = np.concatenate([self._markers[number].corners() for number in corners])
        pixels = np.concatenate(list(corners.values()))
        guesses = [pose for n, square in corners.items() for pose in self._poses_of_square(n, square)]
        if not guesses:
            return None
        ranked = sorted((self._refined(guess, points, pixels) for guess in guesses), key=lambda pair: pair[1])
        best, error = ranked[0]
        rivals = [
            (pose, e)
            for pose, e in ranked[1:]
            if e < AMBIGUOUS_RATIO * error and angle_between(pose, best) > SAME_POSE_RAD
        ]
        if rivals and prior is not None:
            before = prior
            best, error = min([(best, error), *rivals], key=lambda pair: angle_between(pair[0], before))
        if error > self._max_error_px:
            return None
        return Sighting(best, t_ns, error, len(corners), bool(rivals) and prior is None)

    def _poses_of_square(self, number: int, square: Array) -> list[Array]:
        """The poses of the object that one marker allows, at most two; a marker is seen from its front."""
        marker = self._markers[number]
        flat = Marker(number, marker.size_m, np.eye(4)).corners()
        lens = self._intrinsics.matrix, self._intrinsics.distortion
        count, turns, moves, _ = cv2.solvePnPGeneric(flat, square, *lens, flags=cv2.SOLVEPNP_IPPE_SQUARE)
        poses = [rigid(turns[k], moves[k]) for k in range(count)]
        is_front = [np.isfinite(pose).all() and pose[2, 3] > 0 > pose[:3, 2] @ pose[:3, 3] for pose in poses]
        to_object = inverse(marker.pose_object_marker)
        return [pose @ to_object for pose, is_seen in zip(poses, is_front, strict=True) if is_seen]

    def _refined(self, pose: Array, points: Array, pixels: Array) -> tuple[Array, float]:
        """The pose that is best near this one (Levenberg-Marquardt), and its error [pixels]."""
        lens = self._intrinsics.matrix, self._intrinsics.distortion
        turn, move = cv2.solvePnPRefineLM(
            points, pixels, *lens, rotation_vector(pose).reshape(3, 1), pose[:3, 3].copy().reshape(3, 1)
        )
        found, _ = cv2.projectPoints(points, turn, move, *lens)
        error = np.sqrt(np.mean(np.sum((found.reshape(-1, 2) - pixels) ** 2, axis=1)))
        return rigid(turn, move), float(error)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, for another process."""
        markers = [
            {"number": m.number, "size_m": m.size_m, "pose_object_marker": m.pose_object_marker.tolist()}
            for m in self._markers.values()
        ]
        return {
            "intrinsics": self._intrinsics.to_dict(),
            "markers": markers,
            "dictionary": self._dictionary,
            "max_error_px": self._max_error_px,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "MarkerTracker":
        markers = [
            Marker(m["number"], m["size_m"], np.array(m["pose_object_marker"], float)) for m in raw["markers"]
        ]
        return cls(Intrinsics.from_dict(raw["intrinsics"]), markers, raw["dictionary"], raw["max_error_px"])
