"""Frames to mp4 and back. H.264 and its colours are lossy: what comes back is near, not equal.

A file holds many episodes behind each other on one grid of time:  frame n at n / rate [s].
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from robot_orl.errors import DataError, RunError
from robot_orl.types import Array, Camera

CODEC = "libx264"
# Every second frame stands for itself, so that a reader gets to any frame at once.
OPTIONS = {"g": "2", "bf": "0", "crf": "18"}


def exact_rate(control_hz: float) -> Fraction:
    """Frames per second as a fraction that the file can hold."""
    return Fraction(control_hz).limit_denominator(1000)


def encoding(size: Camera, control_hz: float) -> dict[str, Any]:
    """What info.json says of a camera's videos."""
    rate = exact_rate(control_hz)
    return {
        "video.height": size.height,
        "video.width": size.width,
        "video.codec": "h264",
        "video.pix_fmt": _pixels(size),
        "video.is_depth_map": False,
        "video.fps": int(rate) if rate.denominator == 1 else float(rate),
        "video.channels": 3,
        "has_audio": False,
    }


def _pixels(size: Camera) -> str:
    """Colours at half the resolution, as most players want it; this needs even sizes."""
    return "yuv444p" if size.height % 2 or size.width % 2 else "yuv420p"


class VideoFile:
    """An mp4 that is being written."""

    def __init__(self, path: Path, size: Camera, control_hz: float) -> None:
        self.path = path
        self.rate = exact_rate(control_hz)
        self.frames = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path.absolute()), "w", format="mp4")
        stream = self._container.add_stream(CODEC, rate=self.rate, options=OPTIONS)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        self._stream.width, self._stream.height = size.width, size.height
        self._stream.pix_fmt = _pixels(size)

    @property
    def seconds(self) -> float:
        """Where the next frame will be shown."""
        return float(self.frames / self.rate)

    def append(self, frames: Array) -> None:
        """frames: (n, H, W, 3) uint8. Raises: RunError: the disk is full or refuses."""
        try:
            for pixels in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base = self.frames, 1 / self.rate
                self._container.mux(self._stream.encode(frame))
                self.frames += 1
        except av.error.FFmpegError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Raises: RunError: the disk is full or refuses."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except av.error.FFmpegError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error


class VideoFrames:
    """Reads the frames of one camera in the order of episodes, decoding each file once."""

    def __init__(self, size: Camera, control_hz: float) -> None:
        self._size = size
        self._rate = control_hz
        self._path: Path | None = None
        self._frames: Iterator[tuple[float, Array]] = iter(())
        self._last = -np.inf  # time of the frame that was taken last

    def read(self, path: Path, start: float, count: int) -> Array:
        """(count, H, W, 3) uint8: the frames at start, start + 1 / rate, ... [s].

        Raises: DataError: the file is damaged, of another size, or has no frame at one of these times.
        """
        tolerance = 0.5 / self._rate
        if path != self._path or start - tolerance < self._last:
            self._path, self._frames, self._last = path, self._decoded(path), -np.inf
        found: list[Array] = []
        for time, pixels in self._frames:
            wanted = start + len(found) / self._rate
            if time > wanted + tolerance:
                break
            if time > wanted - tolerance:
                found.append(pixels)
                self._last = time
            if len(found) == count:
                return np.stack(found)
        raise DataError(f"{path} is damaged: it shows nothing at {start + len(found) / self._rate:.3f} s")

    def _decoded(self, path: Path) -> Iterator[tuple[float, Array]]:
        """Every frame and when it is shown [s]."""
        try:
            with av.open(
                str(path.absolute()), format="mp4"
            ) as container:  # no playlist, which could name other files
                if not container.streams.video:
                    raise DataError(f"{path} is damaged: no video in it")
                stream = container.streams.video[0]
                if (stream.height, stream.width) != (self._size.height, self._size.width):
                    raise DataError(
                        f"{path} shows {stream.height}x{stream.width} pixels; info.json says "
                        f"{self._size.height}x{self._size.width}"
                    )
                for frame in container.decode(stream):
                    if frame.time is not None:
                        yield float(frame.time), frame.to_ndarray(format="rgb24")
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{path} is damaged: {error}") from error
