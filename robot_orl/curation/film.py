"""Frames to an mp4 that plays in browsers (H.264); it appears under its name when it is complete."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array


class Film:
    """Context manager: `add` frames; on leaving without an error the file appears under its name.

    rate_hz: frames per second.  Raises: UsageError: not an .mp4.  RunError: it cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if path.suffix.lower() != ".mp4":
            raise UsageError(f"video={path} does not end in .mp4")
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._rate_hz = rate_hz
        self._stream: Any = None

    def __enter__(self) -> "Film":
        try:
            import av
        except ImportError as error:
            raise RunError("writing a video needs PyAV: pip install 'robot-orl[interop]'") from error
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._partial), "w", format="mp4")
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error
        return self

    def add(self, frame: Array) -> None:
        """frame: (H, W, 3) uint8, of one size; an odd size is padded by its last row or column."""
        import av

        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            rate = Fraction(self._rate_hz).limit_denominator(1000)
            self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20"})
            self._stream.height, self._stream.width = even.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        self._mux(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"))

    def _mux(self, frame: Any) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                self._mux(None)
            self._container.close()
            if kind is None:
                self._partial.replace(self.path)
        except OSError as failure:
            raise RunError(f"cannot write {self.path}: {failure.strerror or failure}") from failure
        finally:
            self._partial.unlink(missing_ok=True)
