"""Frames from a disk: videos and folders of images, as they are or as if a camera saw them now."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class Frames(Protocol):
    """Stored frames, (H, W, 3) uint8, red first."""

    def read(self) -> Array | None:
        """The next one, or None at the end. Raises: RunError: it cannot be read."""

    def skip(self) -> bool:
        """Leave one out; whether there was one."""

    def rewind(self) -> None: ...

    def close(self) -> None: ...


class VideoFile:
    def __init__(self, path: str) -> None:
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise RunError(f"'{path}' is not a video that can be read")

    def read(self) -> Array | None:
        is_read, frame = self._capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if is_read else None

    def skip(self) -> bool:
        return bool(self._capture.grab())

    def rewind(self) -> None:
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)

    def close(self) -> None:
        self._capture.release()


class ImageFolder:
    def __init__(self, path: str) -> None:
        self._files = image_files(path)
        if not self._files:
            raise RunError(f"no images in '{path}'; it takes {', '.join(IMAGES)}")
        self._next = 0

    def read(self) -> Array | None:
        if self._next >= len(self._files):
            return None
        self._next += 1
        return read_image(self._files[self._next - 1])

    def skip(self) -> bool:
        self._next += 1
        return self._next <= len(self._files)

    def rewind(self) -> None:
        self._next = 0

    def close(self) -> None:
        pass


def image_files(path: str | Path) -> list[Path]:
    """The images of a folder, 2.png before 10.png."""

    def order(file: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]

    return sorted((f for f in Path(path).iterdir() if f.suffix.lower() in IMAGES), key=order)


def read_image(path: str | Path) -> Array:
    """(H, W, 3) uint8, red first. Raises: RunError: it is gone or no image."""
    with suppress(OSError):
        raw = np.fromfile(path, np.uint8)
        if len(raw) and (image := cv2.imdecode(raw, cv2.IMREAD_COLOR)) is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    raise RunError(f"'{path}' is not an image that can be read")


def require_stored(source: str) -> None:
    """Raises: UsageError: there is nothing."""
    if not os.path.exists(source):
        raise UsageError(f"there is nothing at source={source}: no camera, video or folder of images")


def all_frames(source: str) -> Iterator[tuple[str, Array]]:
    """Every frame of a file or folder, red first, with its name; nothing is paced or dropped.

    Raises: UsageError: there is nothing.
    """
    require_stored(source)
    if os.path.isdir(source):
        for file in image_files(source):
            yield file.name, read_image(file)
        return
    video = VideoFile(source)
    number = 0
    while (frame := video.read()) is not None:
        yield f"frame {number}", frame
        number += 1
    video.close()
