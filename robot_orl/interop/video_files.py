"""Video files through PyAV: what they say of themselves, and all their frames.

Only these containers are opened, and only as local files: others, such as playlists, name further files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.errors import DataError
from robot_orl.interop.base import library
from robot_orl.types import Array, Camera

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")
MAX_BYTES = 2**33  # of one video's frames, which are held in memory at once
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts",
}


@dataclass(frozen=True)
class Video:
    """rate_hz: frames per second [Hz], None where the file does not say.

    frames: how many, as the file says or as its duration suggests; 0 where it does not tell.
    """

    path: Path
    size: Camera
    rate_hz: float | None
    frames: int


def probe(path: Path) -> Video:
    """Raises: DataError: no video, or damaged."""
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        rate_hz = float(rate) if rate else None
        frames = int(stream.frames or 0)
        if not frames and rate_hz and container.duration:
            frames = round(container.duration / 1e6 * rate_hz)  # it counts in microseconds
        return Video(path, Camera(stream.height, stream.width), rate_hz, frames)


def decode(video: Video) -> tuple[Array, Array]:
    """All frames, (N, H, W, 3) uint8, and when each is shown, (N,) int64 [ns] from the first; -1: unknown.

    Raises: DataError: damaged, cut off, of changing size, or more than 8 GiB.
    """
    row = (video.size.height, video.size.width, 3)
    frames = np.empty((_room(video, max(video.frames, 1)), *row), np.uint8)
    times_s: list[float | None] = []
    with _opened(video.path) as (container, stream):
        for frame in container.decode(stream):
            count = len(times_s)
            if (frame.height, frame.width) != row[:2]:
                raise DataError(
                    f"{video.path}: frame {count} is {frame.width}x{frame.height}, not {row[1]}x{row[0]}"
                )
            if count == len(frames):  # the file said fewer
                more = _room(video, count + count // 4 + 1) - count
                frames = np.concatenate([frames, np.empty((more, *row), np.uint8)])
            frames[count] = frame.to_ndarray(format="rgb24")
            times_s.append(frame.time)
    if len(times_s) < video.frames - max(1, video.frames // 20):  # a duration is a rough count
        raise DataError(f"{video.path} was cut off: {len(times_s)} of about {video.frames} frames are there")
    return frames[: len(times_s)], _since_first(times_s)


def _room(video: Video, frames: int) -> int:
    """`frames`, if that many fit. Raises: DataError: they do not."""
    if frames * video.size.height * video.size.width * 3 > MAX_BYTES:
        raise DataError(
            f"{video.path} has about {frames} frames of {video.size.width}x{video.size.height}: more than "
            f"{MAX_BYTES >> 30} GiB unpacked; cut it into episodes first"
        )
    return frames


def _since_first(times_s: list[float | None]) -> Array:
    known = [time for time in times_s if time is not None]
    if len(known) < len(times_s) or not known:
        return np.full(len(times_s), -1, np.int64)
    times_ns = np.round((np.array(known) - known[0]) * 1e9).astype(np.int64)
    return times_ns if (np.diff(times_ns) > 0).all() else np.full(len(times_ns), -1, np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream. Raises: DataError: whatever fails while it is open."""
    av = library("av")
    try:
        with av.open(str(path.absolute()), options=_OPTIONS) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except av.error.FFmpegError as error:
        raise DataError(f"{path} cannot be read as video: {error.strerror or error}") from error
