"""The client's end of the socket at which a LeRobot robot is served; see `server.py` for the frames."""

import json
import math
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.lerobot_link import server as protocol
from robot_orl.deploy.lerobot_link.server import Frame, Inbox, ProtocolError
from robot_orl.errors import RunError, UsageError, printable

KNOCK_S = 0.05  # between two looks for a server that is not there yet
END_S = 5.0  # within which a server of ours ends that has lost its client
MOST_UNANSWERED = 64  # frames; a server that reads nothing must not fill the socket
LONGEST_PATH = 100  # bytes of a socket's path, everywhere


class ServerLost(RunError):
    """The server has gone. The servos go on to the last goal, and hold there."""


@dataclass(frozen=True)
class Feature:
    """A number that LeRobot observes and commands, see `server.unit_of`."""

    name: str
    unit: str | None
    zero_rad: float | None
    rad_per_unit: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Hello:
    """What the server says of its robot. torque_off: whether a release switches it off; None: not known."""

    robot: str
    features: tuple[Feature, ...]
    left_out: tuple[str, ...]
    torque_off: bool | None


@dataclass(frozen=True)
class Status:
    """values, goals: of the F features in LeRobot's units; t_ns: when the values were asked for."""

    values: tuple[float, ...]
    goals: tuple[float, ...]
    t_ns: int
    is_tripped: bool


class Link:
    """A connected socket. No call waits for longer than it is told to, but for `hello`.

    status: the latest; None before one.  counts: 'good' answers, 'late' and 'failed' ones.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.status: Status | None = None
        self.counts: Counter[str] = Counter()
        self._stream = stream
        self._stream.setblocking(False)
        self._inbox = Inbox()
        self._sent = self._answered = 0
        self._looking = 0  # sequence of the latest LOOK

    def hello(self, should_stop: Callable[[], bool], wait_s: float) -> Hello:
        """What the robot is; it may take a while to open. Raises: RunError, UsageError: why not."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if should_stop():
                raise RunError("told to stop while LeRobot opened its robot")
            for frame in self._receive(KNOCK_S):
                if frame.kind == protocol.FAILED:
                    error = UsageError if frame.flags & protocol.MENDABLE else RunError
                    raise error(f"LeRobot: {_text(frame)}")
                return _hello(frame)
        raise RunError(f"LeRobot has not opened its robot within {wait_s:g} s; see robot.start_s")

    def look(self, wait_s: float) -> Status:
        """A new observation; asks for none while an earlier one is not answered, but waits for that.

        Raises: BadPacket: LeRobot failed, or not in time.  ServerLost.
        """
        if self._looking <= self._answered:
            self._looking = self._send(protocol.LOOK)
        self._await(self._looking, wait_s)
        assert self.status is not None
        return self.status

    def goal(self, goals: Sequence[float], is_watched: bool, wait_s: float) -> Status | None:
        """Send goals; what the robot made of them, or None where that is not said in time.

        Raises: BadPacket: LeRobot failed.  ServerLost.
        """
        flags = protocol.WATCHED if is_watched else 0
        sequence = self._send(protocol.GOAL, Frame.packed(goals), flags)
        try:
            self._await(sequence, wait_s)
        except BadPacket as error:
            if error.kind == "timeout":
                return None
            raise
        return self.status

    def release(self, wait_s: float) -> None:
        """Let LeRobot disconnect. Raises: BadPacket, ServerLost: it did not."""
        self._await(self._send(protocol.RELEASE), wait_s)

    def close(self) -> None:
        self._stream.close()

    def _send(self, kind: int, payload: bytes = b"", flags: int = 0) -> int:
        """The sequence of what was sent."""
        if self._sent - self._answered > MOST_UNANSWERED:
            for _ in self._receive(0.0):
                pass
            if self._sent - self._answered > MOST_UNANSWERED:
                raise BadPacket("LeRobot's server answers nothing", "timeout")
        data = Frame(kind, self._sent + 1, time.monotonic_ns(), payload, flags).to_bytes()
        try:
            if self._stream.send(data) < len(data):
                raise ServerLost("LeRobot's server reads nothing any more")
        except OSError as error:
            raise ServerLost(f"LeRobot's server has gone: {error.strerror}") from error
        self._sent += 1
        return self._sent

    def _await(self, sequence: int, wait_s: float) -> None:
        """Until that frame is answered, or overtaken. Raises: BadPacket, ServerLost."""
        end = time.monotonic() + wait_s
        while True:
            failure = None
            for frame in self._receive(max(0.0, end - time.monotonic())):
                if frame.kind == protocol.FAILED and frame.sequence == sequence:
                    failure = _text(frame)
            if failure is not None:
                raise BadPacket(f"LeRobot: {failure}", "corrupt")
            if self._answered >= sequence:
                return
            if time.monotonic() >= end:
                self.counts["late"] += 1
                raise BadPacket(f"no answer of LeRobot's within {wait_s * 1e3:g} ms", "timeout")

    def _receive(self, wait_s: float) -> list[Frame]:
        """What has come, waiting for the first of it. Raises: ServerLost."""
        if not select.select([self._stream], [], [], wait_s)[0]:
            return []
        try:
            data = self._stream.recv(1 << 16)
            frames = list(self._inbox.feed(data))
        except OSError as error:
            raise ServerLost(f"LeRobot's server has gone: {error.strerror}") from error
        except ProtocolError as error:
            raise ServerLost(f"what LeRobot's server says is not of its protocol: {error}") from error
        if not data:
            raise ServerLost("LeRobot's server has gone")
        for frame in frames:
            self._take(frame)
        return frames

    def _take(self, frame: Frame) -> None:
        self._answered = max(self._answered, frame.sequence)
        if frame.kind == protocol.FAILED:
            self.counts["failed"] += 1
        elif frame.kind == protocol.STATE:
            self.counts["good"] += 1
            numbers = frame.numbers()
            half = len(numbers) // 2
            is_tripped = bool(frame.flags & protocol.TRIPPED)
            self.status = Status(numbers[:half], numbers[half:], frame.t_ns, is_tripped)


class Server:
    """A server process of ours, in LeRobot's environment, and what it says. Ends with its client."""

    def __init__(self, python: str, words: Sequence[str]) -> None:
        """words: see `server.py`. Raises: UsageError: there is no such Python."""
        self._folder = Path(tempfile.mkdtemp(prefix="lerobot-"))
        self.path = self._folder / "socket"
        if len(str(self.path)) > LONGEST_PATH:
            shutil.rmtree(self._folder)
            raise UsageError(f"the path {self.path} is too long for a socket; set TMPDIR to a shorter one")
        own = f"--socket={self.path}", "--once"
        self._log = (self._folder / "log").open("wb")
        try:
            self._process = subprocess.Popen(
                [python, protocol.__file__, *own, *words],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is ours to deal with
            )
        except OSError as error:
            self._log.close()
            shutil.rmtree(self._folder)
            raise UsageError(f"robot.python={python} cannot be run: {error.strerror}") from error

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def last_line(self) -> str:
        lines = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        return printable(lines[-1]) if lines else "it said nothing"

    def close(self) -> None:
        """It has lost its client and holds the arm; one that does not end is left behind, holding it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """While it opens its robot, which it has not moved."""
        self._process.terminate()
        self.close()


def connect(
    path: Path, has_ended: Callable[[], bool], should_stop: Callable[[], bool], wait_s: float
) -> Link:
    """Knock until somebody answers. has_ended: nobody will any more.

    Raises: RunError: nobody did, in time.
    """
    end = time.monotonic() + wait_s
    while True:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(str(path))
            return Link(stream)
        except OSError as error:
            stream.close()
            if has_ended() or should_stop() or time.monotonic() > end:
                raise RunError(f"no LeRobot server answers at {path}: {error.strerror or error}") from error
        time.sleep(KNOCK_S)


def _text(frame: Frame) -> str:
    return printable(frame.payload.decode(errors="replace"))


def _hello(frame: Frame) -> Hello:
    """Raises: RunError: it is none, or of another version."""
    try:
        told = json.loads(frame.payload)
        if frame.kind != protocol.HELLO or told["protocol"] != protocol.PROTOCOL:
            raise ValueError(f"protocol {told.get('protocol')} is not {protocol.PROTOCOL}")
        return Hello(
            str(told["robot"]),
            tuple(_feature(raw) for raw in told["features"]),
            tuple(map(str, told["left_out"])),
            told["torque_off_on_release"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"what answers is no LeRobot server of this version: {error}") from error


def _feature(raw: dict[str, Any]) -> Feature:
    numbers = {}
    for name in ("zero_rad", "rad_per_unit", "low", "high"):
        value = raw[name]
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{raw['name']}: {name} is {value}")
        numbers[name] = None if value is None else float(value)
    return Feature(str(raw["name"]), raw["unit"], **numbers)
