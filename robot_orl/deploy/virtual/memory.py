"""A virtual arm within this process: its line is memory, and its time passes only while somebody waits.

    line = MemoryLine(mechanics, baud)
    robot = DynamixelRobot(cfg, task, clock=line, make_port=line.make_port)

The driver, the maker's SDK, the servos and the physics are those of a real line, byte for byte. Whoever
waits, for an answer or for the next tick, lets the arm live until then, so hours pass in minutes and a run
is the same every time. What takes a computer time takes none here; `sleep_until` stands in for it.
"""

import errno
import termios
from collections.abc import Sequence

from serial import SerialException

from robot_orl.deploy.dynamixel.port import POLL_S, BusPort
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.deploy.virtual.arm import VirtualArm, make_servos
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import Event, LineFaults
from robot_orl.deploy.virtual.mechanics import Mechanics

_POLL_NS = round(POLL_S * NS_PER_S)


class MemoryTerminal:
    """The arm's end of the line. sent, answered: bytes on their way.  plugs: how often it was plugged in."""

    target = "memory"

    def __init__(self, baud: int) -> None:
        self.baud: int | None = baud
        self.sent, self.answered = bytearray(), bytearray()
        self.is_plugged = False
        self.plugs = 0

    def claim(self) -> None:
        """Nobody else can have it."""

    def open(self) -> None:
        """Plug it in: whoever had it open before has lost it."""
        self.unplug()
        self.is_plugged = True
        self.plugs += 1

    def read(self) -> bytes:
        found = bytes(self.sent)
        self.sent.clear()
        return found

    def write(self, data: bytes) -> None:
        if self.is_plugged:
            self.answered += data

    def unplug(self) -> None:
        self.is_plugged = False
        self.sent.clear()
        self.answered.clear()

    def close(self) -> None:
        self.unplug()

    def fileno(self) -> None:
        """There is nothing to wait at."""


class MemoryLine:
    """A `Clock` and the arm that lives by it. It begins at `start_ns`."""

    method = "virtual time"

    def __init__(
        self,
        mechanics: Mechanics,
        baud: int = 1_000_000,
        faults: LineFaults | None = None,
        events: Sequence[Event] = (),
        start_ns: int = NS_PER_S,
    ) -> None:
        """Raises: UsageError: no such rate, or an event of a servo that is not there."""
        self._now_ns = start_ns
        self._stall_ns = 0
        self.terminal = MemoryTerminal(baud)
        bus = VirtualBus(make_servos(mechanics, baud, start_ns), faults)
        self.arm = VirtualArm(mechanics, bus, self.terminal, self, events)
        self.terminal.open()

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until(self, deadline_ns: int) -> None:
        self.live_until(deadline_ns)

    def stall(self, seconds: float) -> None:
        """Whoever waits now goes on so much later, as where the computer is busy with something else."""
        self._stall_ns += round(seconds * NS_PER_S)

    def live_until(self, deadline_ns: int, answered: int | None = None) -> None:
        """Let time pass, up to `deadline_ns` or until so many bytes have been answered."""
        while self._now_ns < deadline_ns or self._stall_ns:
            if self._stall_ns:
                deadline_ns, answered = max(self._now_ns + self._stall_ns, deadline_ns), None
                self._stall_ns = 0
            if answered is not None and len(self.terminal.answered) >= answered:
                return
            self._now_ns = min(max(self._now_ns, self.arm.next_ns), deadline_ns)
            self.arm.advance(self._now_ns)

    def make_port(self, name: str, baud: int, reply_s: float) -> "MemoryPort":
        return MemoryPort(name, baud, reply_s, self)


class MemoryPort(BusPort):
    """The driver's end of the line."""

    def __init__(self, name: str, baud: int, reply_s: float, line: MemoryLine) -> None:
        super().__init__(name, baud, reply_s)
        self._line = line

    def connected(self) -> "_Connection":
        if not self._line.terminal.is_plugged:
            raise SerialException(errno.ENOENT, f"could not open port {self.port_name}")
        return _Connection(self._line)

    def getCurrentTime(self) -> float:
        return self._line.now_ns() / 1e6


class _Connection:
    """What pyserial offers of a port, as far as it is used."""

    def __init__(self, line: MemoryLine) -> None:
        self._line = line
        self._plug = line.terminal.plugs
        self.reset_input_buffer()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer where not so many come within the time of a poll."""
        self._check()
        if size <= 0:
            return b""
        waiting = self._line.terminal.answered
        if len(waiting) < size:
            self._line.live_until(self._line.now_ns() + _POLL_NS, size)
            self._check()
        found = bytes(waiting[:size])
        del waiting[:size]
        return found

    def write(self, data: Sequence[int]) -> int:
        self._check()
        self._line.terminal.sent += bytes(data)
        self._line.arm.advance(self._line.now_ns())
        return len(data)

    def reset_input_buffer(self) -> None:
        if not self._is_there():
            raise termios.error(errno.EIO, "Input/output error")  # as pyserial lets it through
        self._line.terminal.answered.clear()

    def close(self) -> None:
        """Nothing is held."""

    def _is_there(self) -> bool:
        return self._line.terminal.is_plugged and self._line.terminal.plugs == self._plug

    def _check(self) -> None:
        if not self._is_there():
            raise SerialException("device reports readiness to read but returned no data")
