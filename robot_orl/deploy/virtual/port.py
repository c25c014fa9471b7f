"""A serial port that is no hardware: a pseudo-terminal, and a link to it at a path of one's choice."""

import contextlib
import hashlib
import os
import re
import socket
import sys
import termios
import tty
from pathlib import Path
from typing import Protocol

from robot_orl.errors import UsageError

CHUNK = 4_096
_OWN_TARGET = re.compile(r"/dev/(pts/\d+|ttys\d+)")  # what a pseudo-terminal is called on Linux and macOS
_SPEEDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch(r"B[1-9]\d+", name)}


class Terminal(Protocol):
    """The arm's end of a line, in a terminal or in memory. target: its name."""

    @property
    def target(self) -> str: ...

    @property
    def baud(self) -> int | None: ...

    def claim(self) -> None: ...

    def open(self) -> None: ...

    def fileno(self) -> int | None: ...

    def read(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def unplug(self) -> None: ...

    def close(self) -> None: ...


class PseudoTerminal:
    """Our end of the line. The other end is opened like a serial port, at `link`."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master: int | None = None
        self._slave: int | None = None
        self._claim: socket.socket | None = None
        self._target = ""

    def claim(self) -> None:
        """Have the path before anything is at it.

        Raises: UsageError: something else is in the way, or another virtual arm uses the path.
        """
        self._check()
        self._claim = self._claim or self._claimed()

    def open(self) -> None:
        """Make the terminal and its link; a link that a virtual arm left behind is replaced, and so is the
        own terminal where it is open.

        Raises: UsageError: as `claim`, or it cannot be made there.
        """
        self.claim()
        self.unplug()
        self._master, self._slave = os.openpty()
        # Our own handle on the other end keeps its settings, and us from an error, while nobody is there.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._target = os.ttyname(self._slave)
        partial = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        try:
            os.symlink(self._target, partial)
            os.replace(partial, self.link)
        except OSError as error:
            self.close()
            raise UsageError(f"cannot make {self.link}: {error.strerror}") from error

    @property
    def target(self) -> str:
        """What the link points to."""
        return self._target

    def fileno(self) -> int | None:
        """To wait for bytes at; None: the port is closed."""
        return self._master

    @property
    def baud(self) -> int | None:
        """The rate that the other end has set [bit/s]; None: one that has no name in termios."""
        if self._slave is None:
            return None
        return _SPEEDS.get(termios.tcgetattr(self._slave)[4])

    def read(self) -> bytes:
        """What has come; b'' if nothing has."""
        if self._master is None:
            return b""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._master, CHUNK)
        return b""

    def write(self, data: bytes) -> None:
        """What the other end does not read in time is lost, as on a wire."""
        if self._master is not None and data:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def unplug(self) -> None:
        """The port vanishes: whoever has it open sees a hang-up. `open` brings another one."""
        for descriptor in (self._slave, self._master):
            if descriptor is not None:
                os.close(descriptor)
        self._slave = self._master = None
        with contextlib.suppress(OSError):
            if os.readlink(self.link) == self._target:
                self.link.unlink()

    def close(self) -> None:
        """Works from any state."""
        self.unplug()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _check(self) -> None:
        """Raises: UsageError: what is at the path is not ours to replace."""
        if not os.path.lexists(self.link):
            if not self.link.parent.is_dir():
                raise UsageError(f"there is no folder {self.link.parent} for port={self.link}")
            return
        if not (self.link.is_symlink() and _OWN_TARGET.fullmatch(os.readlink(self.link))):
            raise UsageError(f"{self.link} is there and is no virtual arm's link; choose another port=")

    def _claimed(self) -> socket.socket | None:
        """A name that only one process has; it goes with the process, however that ends (Linux only)."""
        if not sys.platform.startswith("linux"):
            return None
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.link.parent.resolve() / self.link.name
        name = hashlib.sha256(os.fsencode(path)).hexdigest()  # the path may be too long for an address
        try:
            claim.bind(f"\0robot-orl virtual-arm {name}")
        except OSError as error:
            claim.close()
            raise UsageError(f"another virtual arm is at {self.link}; choose another port=") from error
        return claim
