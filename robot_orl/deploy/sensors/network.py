"""A camera behind a network: Motion JPEG over HTTP, as phones, mjpg-streamer and network cameras send it.

    http://192.168.1.20:8080/?action=stream      or the path of a Unix socket that speaks the same

    HTTP/1.0 200 OK                                       once
    Content-Type: multipart/x-mixed-replace; boundary=b

    --b                                                   for each frame
    Content-Length: 40489
    X-Timestamp: 5421.033217                              if it tells: when it was taken [s]

    <JPEG>

A frame behind which another one has come already is skipped, so that one is never older than its way made it.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from urllib.parse import urlsplit

import cv2
import numpy as np

from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.errors import RunError
from robot_orl.types import Array

SILENT_AFTER_S = 2.0
MAX_PART_BYTES = 32_000_000
RECEIVE_BYTES = 1 << 20
PLAUSIBLE_DELAY_NS = NS_PER_S  # between the stamp of a frame and its coming here; beyond: of another clock
END = b"\r\n\r\n"  # of headers


def is_network(source: str) -> bool:
    if source.startswith("http://"):
        return True
    try:
        return stat.S_ISSOCK(os.stat(source).st_mode)
    except (OSError, ValueError):
        return False


class NetworkCamera:
    """Frames as they come; follows `source.Source`."""

    def __init__(
        self, source: str, clock: Clock, check: Callable[[Array], Array] = lambda frame: frame
    ) -> None:
        """check: raises where a frame has a size that was not asked for.

        Raises: RunError: nobody answers, or not with such a stream.
        """
        self.dropped = 0
        self._source, self._clock, self._check = source, clock, check
        self._buffer = bytearray()
        try:
            self._socket = _connect(source)
        except (OSError, ValueError) as error:
            raise RunError(f"no camera answers at '{source}': {error}") from error
        try:
            self._greet()
        except RunError:
            self.close()
            raise

    def read(self) -> tuple[Array, int] | None:
        """The newest frame, (H, W, 3) uint8, red first, and when it was taken [ns]; waits for it.

        Raises: RunError: the stream has ended, is silent or gives something else.
        """
        while (part := self._part()) is None:
            self._receive()
        while (newer := self._part()) is not None or self._receive_more():
            if newer is not None:
                part = newer
                self.dropped += 1
        jpeg, t_ns = part
        frame = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if frame is None:
            raise RunError(f"camera '{self._source}' gave a frame that cannot be decoded")
        return cv2.cvtColor(self._check(frame), cv2.COLOR_BGR2RGB), t_ns

    def close(self) -> None:
        self._socket.close()

    def _greet(self) -> None:
        address = urlsplit(self._source) if self._source.startswith("http://") else None
        path = "/" if address is None else (address.path or "/") + (address.query and f"?{address.query}")
        host = "localhost" if address is None else address.netloc.rpartition("@")[2]
        try:
            self._socket.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        except OSError as error:
            raise self._gone(error) from error
        while (head := self._head()) is None:
            self._receive()
        status = head.partition("\r\n")[0]
        if " 200" not in status or "multipart/" not in head.lower():
            raise RunError(f"'{self._source}' answers {status[:60]!r}, not with a stream of JPEG")

    def _receive(self) -> None:
        """Wait for what comes. Raises: RunError: nothing does."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone("the stream has ended")
        self._buffer += data
        if len(self._buffer) > 2 * MAX_PART_BYTES:
            raise self._gone("that is no stream of JPEG")

    def _receive_more(self) -> bool:
        """Take what has come already; whether there was anything."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        self._receive()
        return True

    def _head(self) -> str | None:
        """Headers up to their end, taken from the buffer, or None where they are not whole."""
        size = self._buffer.find(END)
        if size < 0:
            return None
        head = self._buffer[:size].decode("latin-1")
        del self._buffer[: size + len(END)]
        return head

    def _part(self) -> tuple[bytes, int] | None:
        """The next JPEG in the buffer, and its time [ns]; None: not whole yet."""
        at = self._buffer.find(END)
        if at < 0:
            return None
        told = dict(
            (name.strip().lower(), value.strip())
            for name, _, value in (
                line.partition(":") for line in self._buffer[:at].decode("latin-1").split("\r\n")
            )
        )
        size = int(told["content-length"]) if told.get("content-length", "").isdecimal() else 0
        if not 0 < size <= MAX_PART_BYTES:
            raise self._gone("a frame does not tell its length")
        begin = at + len(END)
        if len(self._buffer) < begin + size:
            return None
        jpeg = bytes(self._buffer[begin : begin + size])
        del self._buffer[: begin + size]
        return jpeg, self._time_ns(told.get("x-timestamp", ""))

    def _time_ns(self, stamp: str) -> int:
        """When a frame was taken: as it says where that is of our clock, else now."""
        now_ns = self._clock.now_ns()
        try:
            stamp_ns = round(float(stamp) * NS_PER_S)
        except (ValueError, OverflowError):
            return now_ns
        return stamp_ns if 0 <= now_ns - stamp_ns <= PLAUSIBLE_DELAY_NS else now_ns

    def _gone(self, why: object) -> RunError:
        return RunError(f"camera '{self._source}' is gone: {why}")


def _connect(source: str) -> socket.socket:
    """Raises: OSError, ValueError: that is nobody's address."""
    if source.startswith("http://"):
        address = urlsplit(source)
        return socket.create_connection((address.hostname or "", address.port or 80), SILENT_AFTER_S)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(SILENT_AFTER_S)
    try:
        found.connect(source)
    except OSError:
        found.close()
        raise
    return found
