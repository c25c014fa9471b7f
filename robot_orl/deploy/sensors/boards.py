"""Printed boards for calibration, and markers: drawn with their true size, and found in frames."""

import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_orl.deploy.sensors.aruco import dictionary_of
from robot_orl.deploy.sensors.yaml_file import numbers, read_yaml, write_yaml
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.types import Array

KIND = "calibration board"
MADE_BY = "robot-orl camera board"
KINDS = ("charuco", "chessboard")
LEAST_CORNERS = 6  # of a ChArUco board in a view; a chessboard is seen whole or not at all
MM_PER_INCH = 25.4


@dataclass(frozen=True)
class Board:
    """columns, rows: of squares.  square_mm: their edge.  marker_mm: of the markers inside, of charuco."""

    board: str = "charuco"
    columns: int = 7
    rows: int = 5
    square_mm: float = 35.0
    marker_mm: float = 26.0
    dictionary: str = "4X4_50"

    def __post_init__(self) -> None:
        """Raises: UsageError: there is no such board."""
        if self.board not in KINDS:
            raise UsageError(f"board={self.board} is not one of: {', '.join(KINDS)}")
        if self.columns < 4 or self.rows < 4:
            raise UsageError(f"{self.columns}x{self.rows} squares are too few; a board has 4x4 or more")
        if self.square_mm <= 0:
            raise UsageError(f"square_mm={self.square_mm:g} is not a length")
        if self.board == "charuco":
            if not 0.3 * self.square_mm < self.marker_mm < 0.95 * self.square_mm:
                told = f"marker_mm={self.marker_mm:g} does not fit into squares of {self.square_mm:g} mm"
                raise UsageError(f"{told}; take about {0.75 * self.square_mm:.3g}")
            needed, known = self.columns * self.rows // 2, len(dictionary_of(self.dictionary).bytesList)
            if needed > known:
                raise UsageError(f"the board needs {needed} markers; {self.dictionary} has {known}")

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of all squares."""
        return self.columns * self.square_mm, self.rows * self.square_mm

    def _charuco(self) -> Any:
        lengths = self.square_mm / 1e3, self.marker_mm / 1e3
        return cv2.aruco.CharucoBoard((self.columns, self.rows), *lengths, dictionary_of(self.dictionary))

    def draw(self, pixels_per_mm: float) -> Array:
        """(h, w) uint8, without a margin."""
        square = round(self.square_mm * pixels_per_mm)
        if self.board == "charuco":
            return self._charuco().generateImage((square * self.columns, square * self.rows))
        parity = np.indices((self.rows, self.columns)).sum(axis=0) % 2
        return np.kron(parity.astype(np.uint8) * np.uint8(255), np.ones((square, square), np.uint8))

    def points(self) -> Array:
        """Inner corners [m], (N, 3) float32, in the board's frame: x right, y down, z into the board."""
        grid = np.mgrid[1 : self.columns, 1 : self.rows].T.reshape(-1, 2) * self.square_mm / 1e3
        return np.column_stack([grid, np.zeros(len(grid))]).astype(np.float32)

    def find(self, grey: Array) -> tuple[Array, Array] | None:
        """Which inner corners are seen, (n,) indices into `points`, and where, (n, 2) float32 pixels; None:
        too few. grey: (H, W) uint8."""
        if self.board == "charuco":
            corners, numbers_, _, _ = cv2.aruco.CharucoDetector(self._charuco()).detectBoard(grey)
            if (
                numbers_ is None
                or len(numbers_) < LEAST_CORNERS
                or _is_line(np.ravel(numbers_), self.columns - 1)
            ):
                return None
            return np.ravel(numbers_), corners.reshape(-1, 2)
        inner = self.columns - 1, self.rows - 1
        is_found, corners = cv2.findChessboardCornersSB(grey, inner, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        return (np.arange(inner[0] * inner[1]), corners.reshape(-1, 2)) if is_found else None

    def save(self, path: str | Path) -> None:
        write_yaml(path, KIND, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> "Board":
        """Raises: DataError: no such file, or not one of a board."""
        raw = read_yaml(path, KIND, MADE_BY)
        texts = {key: str(raw.get(key)) for key in ("board", "dictionary")}
        counts = {key: numbers(raw, key, 1, path)[0] for key in ("columns", "rows")}
        lengths = {key: numbers(raw, key, 1, path)[0] for key in ("square_mm", "marker_mm")}
        if any(count != int(count) for count in counts.values()):
            raise DataError(f"{path}: 'columns' and 'rows' are whole numbers")
        try:
            return cls(**texts, **{k: int(n) for k, n in counts.items()}, **lengths)  # type: ignore[arg-type]
        except UsageError as error:
            raise DataError(f"{path}: {error}") from error


def _is_line(indices: Array, columns: int) -> bool:
    """Corners in one row or column say nothing about the camera."""
    return len(set(indices // columns)) < 2 or len(set(indices % columns)) < 2


def draw_marker(number: int, dictionary: str, pixels: int) -> Array:
    """(pixels, pixels) uint8, its black border included, without a margin. Raises: UsageError: none such."""
    known = dictionary_of(dictionary)
    if not 0 <= number < len(known.bytesList):
        raise UsageError(f"no marker {number} in {dictionary}, which has 0 .. {len(known.bytesList) - 1}")
    return cv2.aruco.generateImageMarker(known, number, pixels)


def write_print(path: str | Path, image: Array, pixels_per_mm: float, margin_mm: float) -> None:
    """A PNG that prints in its true size, with a white margin. Raises: RunError: it cannot be written."""
    margin = round(margin_mm * pixels_per_mm)
    packed = cv2.imencode(".png", np.pad(image, margin, constant_values=255))[1].tobytes()
    per_metre = round(pixels_per_mm * 1e3)
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    head = 8 + 25  # signature and IHDR: the resolution comes before the pixels
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(packed[:head] + chunk + packed[head:])
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
