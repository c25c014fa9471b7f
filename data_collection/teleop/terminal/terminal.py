"""The terminal at stdin for as long as hands use it: keys one by one, a screen of its own, never waiting.

It is opened anew, so that what other processes have open of it goes on waiting as they are used to. Its modes
are put back in `close`; where this process is killed, by a small one that watches it.
"""

import errno
import os
import select
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import Any

from data_collection.teleop.terminal.keys import ASK, END
from robot_orl.errors import UsageError

DUMB = "dumb"  # what TERM says of one that cannot move its cursor
ENTER = b"\x1b[?1049h\x1b[?25l"  # another screen, no cursor
LEAVE = END + b"\x1b[?25h\x1b[?1049l"
PATIENCE_S = 0.5  # with a terminal that takes nothing, at the end
# Ends silently once it is told to; puts the terminal back if whoever should tell it has gone instead.
WATCHER = """
trap '' INT QUIT TERM HUP TTOU TSTP
read -r told || { stty "$1" <&3; printf "$2" >&3; }
"""


class Terminal:
    """operator: its name, for what goes wrong.  is_lost: nobody will ever press a key again."""

    def __init__(self, operator: str = "keyboard") -> None:
        self.is_lost = False
        self._operator = operator
        self._descriptor: int | None = None
        self._modes: list[Any] = []
        self._unsent = b""
        self._watcher: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Raises: UsageError: stdin is no terminal, or one whose keys are somebody else's."""
        try:
            stdin = sys.stdin.fileno()
            if not os.isatty(stdin) or os.tcgetpgrp(stdin) != os.getpgrp():
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
            flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self._descriptor = os.open(os.ttyname(stdin), flags)
            self._modes = termios.tcgetattr(self._descriptor)
        except (OSError, ValueError, AttributeError, termios.error) as error:
            raise UsageError(
                f"operator={self._operator} needs a terminal, in the foreground, to read keys from"
            ) from error
        if os.environ.get("TERM", DUMB) == DUMB:
            os.close(self._descriptor)
            self._descriptor = None
            raise UsageError(
                f"operator={self._operator} needs a terminal that can move its cursor; TERM says it cannot"
            )
        self._watcher = _watch(self._descriptor)
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, _single_keys(self._descriptor))
        self.write(ENTER + ASK)

    def close(self) -> None:
        """Works from any state, more than once."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with suppress(OSError, termios.error):  # it has gone
            if not _say_at_last(descriptor, self._unsent + LEAVE):
                termios.tcflush(descriptor, termios.TCOFLUSH)
                _say_at_last(descriptor, LEAVE, patience_s=0.0)  # there is room now, if it ever goes on
            termios.tcflush(descriptor, termios.TCIFLUSH)  # releases and the like are not for the shell
        with suppress(OSError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, self._modes)
        os.close(descriptor)
        if self._watcher is not None:
            with suppress(OSError):
                self._watcher.communicate(b"told\n")

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, for as long as it can be asked."""
        if self._descriptor is not None:
            with suppress(OSError):
                columns, rows = os.get_terminal_size(self._descriptor)
                return columns or 80, rows or 24
        return 80, 24

    @property
    def is_busy(self) -> bool:
        """It has not taken yet what was written before: no use to draw another picture."""
        return self._descriptor is None or bool(self._unsent)

    def read(self) -> bytes:
        """What has come since the last call."""
        if self._descriptor is None or self.is_lost:
            return b""
        try:
            content = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            content = b""
        self.is_lost = not content
        return content

    def write(self, content: bytes) -> None:
        """As much of it as goes without waiting; the rest comes before anything else."""
        self._unsent += content
        if self._descriptor is not None and self._unsent:
            with suppress(OSError):  # a slow line; of a lost one reading tells
                self._unsent = self._unsent[os.write(self._descriptor, self._unsent) :]


def _say_at_last(descriptor: int, content: bytes, patience_s: float = PATIENCE_S) -> bool:
    """Whether the terminal has taken all of it in that time [s]; one that is stopped never would."""
    deadline_s = time.monotonic() + patience_s
    while content:
        left_s = max(0.0, deadline_s - time.monotonic())
        if not select.select([], [descriptor], [], left_s)[1]:
            return False
        with suppress(BlockingIOError):
            content = content[os.write(descriptor, content) :]
    return True


def _single_keys(descriptor: int) -> list[Any]:
    """Modes: keys come one by one, unseen. Ctrl-C stays a signal; no other key stops or ends the process."""
    modes = termios.tcgetattr(descriptor)
    modes[0] &= ~termios.ICRNL
    modes[3] &= ~(termios.ECHO | termios.ICANON)
    modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
    modes[6][termios.VSUSP] = modes[6][termios.VQUIT] = b"\0"
    return modes


def _watch(descriptor: int) -> "subprocess.Popen[bytes] | None":
    """What puts the terminal back after a kill; None: this system cannot."""
    try:
        found = subprocess.run(["stty", "-g"], stdin=descriptor, capture_output=True, check=True)
        return subprocess.Popen(
            ["sh", "-c", f"exec 3<&{descriptor}; {WATCHER}", "sh", found.stdout.decode().strip(),
             LEAVE.decode().replace("\x1b", "\\033")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[descriptor],
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
