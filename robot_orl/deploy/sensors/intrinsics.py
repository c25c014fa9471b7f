"""What a camera does to a ray: focal lengths, centre and lens distortion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.sensors.yaml_file import numbers, read_yaml, write_yaml
from robot_orl.errors import DataError
from robot_orl.types import Array

KIND = "camera intrinsics"
MADE_BY = "robot-orl camera intrinsics"


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """matrix: (3, 3) float64 [pixels], pixel centres at whole numbers.  distortion: (5,) k1 k2 p1 p2 k3.

    Source of the model: Brown 1971, in OpenCV's order.  quality: figures of the calibration, for people.
    """

    width: int
    height: int
    matrix: Array
    distortion: Array
    quality: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, width: int, height: int, focal_px: Any, center_px: Any, distortion: Any = None
    ) -> "Intrinsics":
        """focal_px, center_px: (x, y) each."""
        matrix = np.array([[focal_px[0], 0, center_px[0]], [0, focal_px[1], center_px[1]], [0, 0, 1]], float)
        lens = np.zeros(5) if distortion is None else np.asarray(distortion, float)
        return cls(width, height, matrix, lens)

    def to_dict(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "height": self.height,
            "focal_px": [round(float(self.matrix[i, i]), 4) for i in (0, 1)],
            "center_px": [round(float(self.matrix[i, 2]), 4) for i in (0, 1)],
            "distortion": [round(float(k), 8) for k in self.distortion],
            "quality": dict(self.quality),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], path: str | Path = "intrinsics") -> "Intrinsics":
        """Raises: DataError: a value is missing or cannot be that of a camera."""
        width, height = (numbers(raw, key, 1, path)[0] for key in ("width", "height"))
        focal, center = numbers(raw, "focal_px", 2, path), numbers(raw, "center_px", 2, path)
        if not (width >= 1 and height >= 1 and width == int(width) and height == int(height)):
            raise DataError(f"{path}: {width:g}x{height:g} is not the size of a frame")
        if min(focal) <= 0:
            raise DataError(f"{path}: 'focal_px' is not positive")
        if not (0 < center[0] < width and 0 < center[1] < height):
            raise DataError(f"{path}: 'center_px' lies outside of the frame")
        lens = numbers(raw, "distortion", 5, path)
        found = cls.of(int(width), int(height), focal, center, lens)
        quality = raw.get("quality")
        return cls(
            found.width,
            found.height,
            found.matrix,
            found.distortion,
            quality if isinstance(quality, dict) else {},
        )

    def save(self, path: str | Path) -> None:
        write_yaml(path, KIND, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Intrinsics":
        """Raises: DataError: no such file, or not one of intrinsics."""
        return cls.from_dict(read_yaml(path, KIND, MADE_BY), path)

    def require_size(self, width: int, height: int, source: str) -> None:
        """Raises: DataError: frames of that size belong to other intrinsics."""
        if (width, height) != (self.width, self.height):
            own = f"{self.width}x{self.height}"
            raise DataError(f"'{source}' has frames of {width}x{height}, the intrinsics are for {own}")
