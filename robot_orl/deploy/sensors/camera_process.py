"""The process of a camera: reads frames, stamps them, puts the latest into shared memory.

    python -m robot_orl.deploy.sensors.camera_process FD        the order on stdin: one line of JSON

It ends when its stdin does, so not even a killed parent leaves it behind. A device that vanishes is opened
again and again, waiting longer each time. With an order to track, it also looks for markers in every
frame and shares what it saw, so that a control loop reads a pose in microseconds.

    memory   | status | frames | sightings |    three channels, see channel.py
    status   int64 state, frames, dropped, reconnects | 256 bytes message, UTF-8
"""

import json
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import cv2
import numpy as np

from robot_orl.deploy.sensors.aruco import SIGHTING_BYTES, MarkerTracker
from robot_orl.deploy.sensors.channel import Channel, size_of
from robot_orl.deploy.sensors.source import CameraConfig, Source, open_source
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock
from robot_orl.errors import RunError
from robot_orl.types import Array

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 2.0
PRIORITY = 5  # SCHED_FIFO, below that of control loops, who wait for nobody
_STATUS = struct.Struct("<4q256s")


class State(IntEnum):
    STARTING = 0
    STREAMING = 1
    LOST = 2  # the device is not there, or gives what was not asked for; being opened again
    ENDED = 3  # of a file


class CameraMemory:
    """The three channels of a camera in the memory behind a file descriptor."""

    def __init__(self, descriptor: int, cfg: CameraConfig) -> None:
        memory = mmap.mmap(descriptor, memory_size(cfg))
        offset = 0
        channels = []
        for capacity in _capacities(cfg):
            channels.append(Channel(memory, offset, capacity))
            offset += size_of(capacity)
        self.status, self.frames, self.sightings = channels


def _capacities(cfg: CameraConfig) -> tuple[int, int, int]:
    return _STATUS.size, cfg.width * cfg.height * 3, SIGHTING_BYTES


def memory_size(cfg: CameraConfig) -> int:
    """Bytes of a camera's memory."""
    return sum(map(size_of, _capacities(cfg)))


def pack_status(state: State, frames: int, dropped: int, reconnects: int, message: str) -> Array:
    text = message.encode()[:256].decode(errors="ignore").encode()
    return np.frombuffer(_STATUS.pack(state, frames, dropped, reconnects, text), np.uint8)


def unpack_status(payload: Array) -> tuple[State, int, int, int, str]:
    state, frames, dropped, reconnects, text = _STATUS.unpack(payload.tobytes())
    return State(state), frames, dropped, reconnects, text.rstrip(b"\0").decode()


class Streaming:
    """Frames from a device into memory, over losses of the device."""

    def __init__(
        self, cfg: CameraConfig, memory: CameraMemory, tracker: MarkerTracker | None, clock: Clock
    ) -> None:
        self._cfg, self._memory, self._tracker, self._clock = cfg, memory, tracker, clock
        self._frames = self._dropped = self._reconnects = 0
        if (before := memory.status.read()) is not None:  # of a process that died
            _, self._frames, self._dropped, self._reconnects, _ = unpack_status(before.payload)

    def run(self, open_it: Callable[[CameraConfig, Clock], Source] = open_source) -> None:
        """Until a file has ended; a device never ends."""
        retry_s = FIRST_RETRY_S
        self._tell(State.STARTING)
        while True:
            before = self._frames
            try:
                source = open_it(self._cfg, self._clock)
                try:
                    self._stream(source)
                    self._tell(State.ENDED, source)
                    return
                finally:
                    self._dropped += source.dropped
                    source.close()
            except RunError as error:
                self._tell(State.LOST, message=str(error))
            if self._frames > before:
                retry_s = FIRST_RETRY_S
            self._clock.sleep_until(self._clock.now_ns() + round(retry_s * NS_PER_S))
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _stream(self, source: Source) -> None:
        """Every frame that comes; one after a loss counts as a reconnection."""
        is_first = True
        while (read := source.read()) is not None:
            frame, t_ns = read
            self._reconnects += is_first and self._frames > 0
            is_first = False
            self._frames += 1
            self._memory.frames.write(t_ns, frame, frame.shape[:2])
            self._tell(State.STREAMING, source)
            if self._tracker is not None and (seen := self._tracker.update(frame, t_ns)) is not None:
                self._memory.sightings.write(t_ns, seen.to_array())

    def _tell(self, state: State, source: Source | None = None, message: str = "") -> None:
        dropped = self._dropped + (source.dropped if source else 0)
        told = pack_status(state, self._frames, dropped, self._reconnects, message)
        self._memory.status.write(self._clock.now_ns(), told)


def order(cfg: CameraConfig, tracking: dict[str, Any] | None) -> bytes:
    """What the process is told on its stdin."""
    return json.dumps({"camera": asdict(cfg), "tracking": tracking}).encode() + b"\n"


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGQUIT):  # keys are for the parent, which ends us
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    cfg = CameraConfig(**told["camera"])
    prefer_over_others()
    tracker = None if told["tracking"] is None else MarkerTracker.from_dict(told["tracking"])
    Streaming(cfg, CameraMemory(int(sys.argv[1]), cfg), tracker, RealClock()).run()


def prefer_over_others() -> None:
    """Real-time priority for this process, where it may be had: a robot stops when its camera is late."""
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def _end_with_parent() -> None:
    """Also out of a read that hangs in the driver."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
