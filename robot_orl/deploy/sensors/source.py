"""Where frames come from: a camera (USB, network), a video or a folder of images, read in the same way."""

import os
import sys
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from robot_orl.deploy.sensors.network import NetworkCamera, is_network
from robot_orl.deploy.sensors.stored_frames import Frames, ImageFolder, VideoFile
from robot_orl.deploy.timing import NS_PER_S, Clock, Ticker
from robot_orl.errors import RunError, UsageError
from robot_orl.schema import Schema, setting
from robot_orl.types import Array

PLAUSIBLE_DELAY_NS = NS_PER_S  # between the exposure of a frame and our getting hold of it
STALLED_AFTER_S = "2"
BACKEND = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY


@dataclass
class CameraConfig(Schema):
    """A camera and how it is read."""

    source: str = setting(
        help="USB camera (0, /dev/v4l/by-id/...), http:// of a network camera, video or image folder."
    )
    width: int = setting(640, "Of a frame.", unit="pixels", low=16, high=3840)
    height: int = setting(480, "Of a frame.", unit="pixels", low=16, high=2160)
    fps: float = setting(
        30.0, "Frames per second; of a file: how fast it is played.", unit="Hz", low=0.1, high=1000
    )
    fourcc: str = setting("MJPG", "Format that a USB camera is asked for.")
    loop: bool = setting(False, "Begin a file again when it has ended.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.fourcc) != 4 or not self.fourcc.isascii():
            raise UsageError(f"fourcc={self.fourcc} is not four letters such as MJPG")


class Source(Protocol):
    """An open camera."""

    @property
    def dropped(self) -> int:
        """Frames that were due and never came, so far."""

    def read(self) -> tuple[Array, int] | None:
        """The next frame, (H, W, 3) uint8, red first, and when it was taken [ns]; None: the file has ended.

        Waits for it. Raises: RunError: the device is gone.
        """

    def close(self) -> None: ...


def is_device(source: str) -> bool:
    """Whether it is a camera, and not stored frames."""
    return _is_usb(source) or is_network(source)


def _is_usb(source: str) -> bool:
    return source.isdecimal() or source.startswith("/dev/")


def open_source(cfg: CameraConfig, clock: Clock) -> Source:
    """Raises: RunError: it is not there, or gives frames of another size than asked for."""
    if _is_usb(cfg.source):
        return UsbCamera(cfg, clock)
    if is_network(cfg.source):
        return NetworkCamera(cfg.source, clock, lambda frame: require_size(frame, cfg))
    if os.path.isdir(cfg.source):
        return Player(cfg, clock, ImageFolder(cfg.source))
    if not os.path.exists(cfg.source):
        raise RunError(f"no camera, video or folder of images at '{cfg.source}'")
    return Player(cfg, clock, VideoFile(cfg.source))


class UsbCamera:
    """A USB camera through OpenCV (V4L2 on Linux).

    A frame is stamped by the kernel where that says so, else when we got hold of it, before decoding. Gaps
    between stamps tell how many frames were dropped; a camera that slows down in the dark counts as dropping.
    Autofocus is switched off, because intrinsics hold for one focus.
    """

    def __init__(self, cfg: CameraConfig, clock: Clock, backend: int = BACKEND) -> None:
        """backend: OpenCV's way to the device."""
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", STALLED_AFTER_S)
        self.dropped = 0
        self._cfg, self._clock = cfg, clock
        device = int(cfg.source) if cfg.source.isdecimal() else cfg.source
        self._capture = cv2.VideoCapture(device, backend)
        if not self._capture.isOpened():
            raise RunError(f"no camera at '{cfg.source}', or another program uses it")
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*cfg.fourcc))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, cfg.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, cfg.height)
        self._capture.set(cv2.CAP_PROP_FPS, cfg.fps)
        self._capture.set(cv2.CAP_PROP_AUTOFOCUS, 0)
        self._period_ns = NS_PER_S / (self._capture.get(cv2.CAP_PROP_FPS) or cfg.fps)
        self._last_ns: int | None = None

    def read(self) -> tuple[Array, int] | None:
        if not self._capture.grab():
            raise RunError(f"camera '{self._cfg.source}' is gone")
        now_ns = self._clock.now_ns()
        t_ns = capture_time_ns(self._capture.get(cv2.CAP_PROP_POS_MSEC), now_ns)
        is_read, frame = self._capture.retrieve()
        if not is_read or frame is None:
            raise RunError(f"camera '{self._cfg.source}' gave a frame that cannot be decoded")
        self.dropped += missed_frames(self._last_ns, t_ns, self._period_ns)
        self._last_ns = t_ns
        return cv2.cvtColor(require_size(frame, self._cfg), cv2.COLOR_BGR2RGB), t_ns

    def close(self) -> None:
        self._capture.release()


def capture_time_ns(stamp_ms: float, now_ns: int) -> int:
    """The kernel's stamp [ms, CLOCK_MONOTONIC] where it is one, else now: drivers that do not know say 0."""
    stamp_ns = int(stamp_ms * 1e6) if np.isfinite(stamp_ms) else 0
    return stamp_ns if 0 <= now_ns - stamp_ns <= PLAUSIBLE_DELAY_NS else now_ns


def missed_frames(last_ns: int | None, t_ns: int, period_ns: float) -> int:
    """How many frames were due between two that came."""
    return 0 if last_ns is None else max(0, round((t_ns - last_ns) / period_ns) - 1)


def require_size(frame: Array, cfg: CameraConfig) -> Array:
    """The frame. Raises: RunError: it has another size, for which other intrinsics would hold."""
    height, width = frame.shape[:2]
    if (width, height) != (cfg.width, cfg.height):
        asked = f"{cfg.width}x{cfg.height}"
        raise RunError(
            f"'{cfg.source}' gives {width}x{height}, not {asked}; set width={width} height={height}"
        )
    return frame


class Player:
    """Stored frames in real time, as if a camera saw them now; those that come too late are dropped."""

    def __init__(self, cfg: CameraConfig, clock: Clock, frames: Frames) -> None:
        self.dropped = 0
        self._cfg, self._clock, self._frames = cfg, clock, frames
        self._ticker = Ticker(round(NS_PER_S / cfg.fps), clock)

    def read(self) -> tuple[Array, int] | None:
        before = self._ticker.missed
        t_ns = self._ticker.wait()
        self.dropped += sum(self._frames.skip() for _ in range(self._ticker.missed - before))
        frame = self._frames.read()
        if frame is None and self._cfg.loop:
            self._frames.rewind()
            frame = self._frames.read()
        if frame is None:
            return None
        return require_size(frame, self._cfg), t_ns

    def close(self) -> None:
        self._frames.close()
