"""Recorded frames as they go to a page: JPEG, many at a time.

packed   | how many, uint32 | bytes of each, uint32 | JPEG files |
"""

import cv2
import numpy as np

from robot_orl.errors import RunError
from robot_orl.types import Array

QUALITY = 88
LONGEST = 640  # pixels of an edge; larger frames are made smaller


def packed(frames: Array) -> bytes:
    """frames: (n, H, W, 3) uint8, red first."""
    files = [jpeg(frame) for frame in frames]
    sizes = np.array([len(files), *map(len, files)], np.uint32)
    return b"".join([sizes.tobytes(), *files])


def jpeg(frame: Array, longest: int = LONGEST) -> bytes:
    """frame: (H, W, 3) uint8, red first."""
    height, width = frame.shape[:2]
    scale = longest / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    done, content = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RunError("a frame could not be written as JPEG")
    return bytes(content)
