"""A camera that is read by a process of its own: the latest frame at any time, without waiting."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from robot_orl.deploy.sensors.aruco import Sighting
from robot_orl.deploy.sensors.camera_process import (
    CameraMemory,
    State,
    memory_size,
    order,
    unpack_status,
)
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.deploy.sensors.source import CameraConfig
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.errors import RunError
from robot_orl.types import Array

CLOSING_S = 1.0
POLL_S = 0.005


@dataclass(frozen=True, eq=False)
class Frame:
    """image: (H, W, 3) uint8, red first, a copy.  t_ns: when it was taken [ns, CLOCK_MONOTONIC].
    number: 1, 2, ... as they came from the device."""

    image: Array
    t_ns: int
    number: int


@dataclass(frozen=True)
class CameraStatus:
    """state: 'starting', 'streaming', 'lost', 'ended' (a file) or 'dead' (its process is gone).

    frames, dropped: that came, that were due and did not.  reconnects: after the device was lost.
    message: why it is lost or dead.  t_ns: when the process said so [ns].
    """

    state: str
    frames: int
    dropped: int
    reconnects: int
    message: str
    t_ns: int


class Camera:
    """Context manager around the process. The memory has no name, so nothing is left behind by any death."""

    def __init__(self, cfg: CameraConfig, tracking: dict[str, Any] | None = None) -> None:
        """tracking: `MarkerTracker.to_dict()` of what the process is to look for, or None."""
        self.cfg = cfg
        self._order = order(cfg, tracking)
        self._descriptor: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Camera":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of its process; None before `start` and after `close`."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, or a new one where it has died; frames come when it has opened the device."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end_process()
        if self._descriptor is None:
            self._descriptor = create_memory(memory_size(self.cfg))
            self._memory = CameraMemory(self._descriptor, self.cfg)
        command = [sys.executable, "-m", "robot_orl.deploy.sensors.camera_process", str(self._descriptor)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(self._descriptor,),
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "ERROR"},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._order)
        self._process.stdin.flush()

    def latest(self) -> Frame | None:
        """The latest frame, None before the first; its age tells how old it is. Takes one copy."""
        if (value := self._channels().frames.read()) is None:
            return None
        return Frame(value.payload.reshape(*value.shape, 3), value.t_ns, value.number)

    def sighting(self) -> Sighting | None:
        """Where the tracked thing was seen last, None before the first time."""
        value = self._channels().sightings.read()
        return None if value is None else Sighting.from_array(value.payload, value.t_ns)

    def status(self) -> CameraStatus:
        value = self._channels().status.read()
        found = (State.STARTING, 0, 0, 0, "") if value is None else unpack_status(value.payload)
        state, frames, dropped, reconnects, message = found
        name = state.name.lower()
        assert self._process is not None
        if (code := self._process.poll()) is not None and state != State.ENDED:
            name, message = "dead", f"the camera's process ended with {code}"
        return CameraStatus(name, frames, dropped, reconnects, message, value.t_ns if value else 0)

    def wait(self, timeout_s: float = 10.0) -> Frame:
        """The first frame. Raises: RunError: there is none after `timeout_s` [s], or there will be none."""
        end_ns = time.monotonic_ns() + round(timeout_s * NS_PER_S)
        while (frame := self.latest()) is None:
            status = self.status()
            is_over = status.state in ("dead", "ended") or time.monotonic_ns() > end_ns
            if is_over or status.state == "lost":
                raise RunError(status.message or f"no frame from '{self.cfg.source}' after {timeout_s:g} s")
            time.sleep(POLL_S)
        return frame

    def next(self, timeout_s: float = 10.0) -> Frame:
        """The first frame taken from now on. Raises: RunError: none comes."""
        now_ns = time.monotonic_ns()
        while (frame := self.wait(timeout_s)).t_ns < now_ns:
            status = self.status()
            if status.state in ("dead", "ended") or time.monotonic_ns() - now_ns > timeout_s * NS_PER_S:
                raise RunError(status.message or f"no new frame from '{self.cfg.source}'")
            time.sleep(POLL_S)
        return frame

    def close(self) -> None:
        """End the process and free the memory. Works in any state, more than once."""
        self._end_process()
        if self._descriptor is not None:
            os.close(self._descriptor)
            del self._memory
        self._descriptor = None

    def _channels(self) -> CameraMemory:
        if self._descriptor is None:
            raise RunError(f"camera '{self.cfg.source}': start it first")
        return self._memory

    def _end_process(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already
            self._process.stdin.close()
        try:
            self._process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def live_frames(cfg: CameraConfig, duration_s: float) -> Iterator[tuple[str, Array]]:
    """Frames of a camera as they come, with a name, (H, W, 3) uint8; those between two calls are left out.

    Raises: RunError: there is no camera, or it went away.
    """
    end_ns = time.monotonic_ns() + round(duration_s * NS_PER_S)
    with Camera(cfg) as camera:
        while time.monotonic_ns() < end_ns:
            frame = camera.next()
            yield f"frame {frame.number}", frame.image
