"""A serial port for the maker's SDK, with waits that sleep, deadlines that hold and errors in words."""

import errno
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import serial
from dynamixel_sdk import PortHandler
from serial.tools import list_ports

from robot_orl.errors import RunError, UsageError

POLL_S = 0.0005  # a read returns at the latest after this time, so that the SDK looks at its deadline
WRITE_S = 0.1  # a port that takes no byte for this long is gone
BAUD_RATES = (9_600, 57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)


class PortLost(RunError):
    """The port cannot be opened, or is gone: the cable, the adapter or the power of the bus."""


class Overrun(Exception):
    """Bytes kept coming beyond a transaction's deadline; the SDK itself would read them for ever."""


class BusPort(PortHandler):
    """The SDK's port, changed where a control loop needs it.

    The SDK's own spins until its deadline, which it takes from the clock that people set, 34 ms from now
    at the earliest; it does not look at it while bytes keep coming, and never gives up writing.
    """

    def __init__(self, name: str, baud: int, reply_s: float) -> None:
        """Args:
        name: such as /dev/ttyUSB0.  baud: bits per second.
        reply_s: how much longer than its time on the wire an answer may take [s].
        Raises: UsageError: not a baud rate of these servos.
        """
        super().__init__(name)
        if baud not in BAUD_RATES:
            raise UsageError(
                f"baud={baud} is no baud rate of these servos; valid: {', '.join(map(str, BAUD_RATES))}"
            )
        self.baudrate = baud
        self.patience = 1.0  # times that an answer may be late
        self._reply_ms = reply_s * 1e3
        self._end_ms = 0.0

    def open(self) -> None:
        """Raises: UsageError: there is no such port, or it may not be used.  PortLost: it cannot be had."""
        try:
            self.openPort()
        except (OSError, ValueError) as error:
            raise _open_error(self.port_name, error) from error

    def setupPort(self, cflag_baud: int) -> bool:
        """The SDK opens a port through this."""
        self.close()
        self.ser = self.connected()
        self.is_open = True
        self.tx_time_per_byte = 10.0 * 1000.0 / self.baudrate  # 8 data bits, a start and a stop bit [ms]
        return True

    def connected(self) -> Any:
        """What reads and writes bytes. Raises: OSError, ValueError: there is no such port."""
        found = serial.Serial(
            self.port_name, self.baudrate, timeout=POLL_S, write_timeout=WRITE_S, exclusive=True
        )
        with suppress(ValueError, AttributeError, NotImplementedError):  # not of every adapter
            found.set_low_latency_mode(True)  # an FTDI adapter holds answers back for 16 ms else
        return found

    def close(self) -> None:
        """Works from any state."""
        self.is_open = self.is_using = False
        if self.ser is not None:
            with suppress(OSError):  # it is gone, which is what was wanted
                self.ser.close()
            self.ser = None

    def getCurrentTime(self) -> float:
        return time.monotonic_ns() / 1e6

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self.patience * self._reply_ms)

    def setPacketTimeoutMillis(self, msec: float) -> None:
        super().setPacketTimeoutMillis(msec)
        self._end_ms = self.packet_start_time + msec

    def readPort(self, length: int) -> bytes:
        """Raises: Overrun: the deadline has passed and still there is more."""
        found = self.ser.read(length)
        if found and self.getCurrentTime() > self._end_ms + self._reply_ms:
            raise Overrun
        return found

    def drain(self, quiet_s: float) -> int:
        """Throw away what comes until nothing has come for `quiet_s`; returns how many bytes.

        Ends after ten times that long at the latest: a late answer must not be taken for the next one.
        """
        begin = quiet_since = self.getCurrentTime()
        dropped, quiet_ms = 0, quiet_s * 1e3
        while (now := self.getCurrentTime()) - quiet_since < quiet_ms and now - begin < 10 * quiet_ms:
            if found := self.ser.read(256):
                dropped += len(found)
                quiet_since = self.getCurrentTime()
        return dropped


MakePort = Callable[[str, int, float], BusPort]  # name, baud, reply_s: a real one, or one in memory


def _open_error(name: str, error: Exception) -> RunError | UsageError:
    number, text = getattr(error, "errno", None), str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return UsageError(f"no port {name}; {_ports_there(ports())}")
    if number in (errno.EACCES, errno.EPERM):
        return UsageError(
            f"{name} may not be opened by this user; `sudo usermod -aG dialout $USER`, then log in again"
        )
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return PortLost(f"{name} is in use by another program; end it first")
    if "ioctl" in text or number in (errno.ENOTTY, errno.EISDIR):
        return UsageError(f"{name} is not a serial port; {_ports_there(ports())}")
    return PortLost(f"{name} cannot be opened: {text}")


def choose_port(name: str | None) -> str:
    """The one that was asked for, or else the only one there is. Raises: UsageError: none, or several."""
    if name is not None:
        return name
    found = ports()
    if len(found) != 1:
        raise UsageError(f"which port? {_ports_there(found)}")
    return found[0].split(" (")[0]


def ports() -> list[str]:
    """The serial ports of this machine that have a device behind them, with what it calls itself."""
    found = [port for port in list_ports.comports() if port.vid is not None]
    return sorted(f"{port.device} ({port.description})" for port in found)


def _ports_there(found: Sequence[str]) -> str:
    if found:
        return f"there are: {', '.join(found)}; choose one with robot.port=..."
    return "no serial port is there: is the adapter plugged in and the arm powered?"


def latency_hint(name: str, sysfs: Path = Path("/sys")) -> str | None:
    """What to do where the adapter holds answers back, or None. sysfs: where the kernel tells about it."""
    device = Path(os.path.realpath(name)).name
    file = sysfs / "bus/usb-serial/devices" / device / "latency_timer"
    try:
        latency_ms = int(file.read_text())
    except (OSError, ValueError):
        return None  # not an FTDI adapter
    if latency_ms <= 1:
        return None
    return f"{name} holds answers back for {latency_ms} ms; mend it with: echo 1 | sudo tee {file}"


def is_pseudo_terminal(name: str) -> bool:
    """Whether a program and no adapter is behind the port, such as the virtual arm."""
    return re.fullmatch(r"/dev/(pts/\d+|ttys\d+)", os.path.realpath(name)) is not None  # Linux, macOS
