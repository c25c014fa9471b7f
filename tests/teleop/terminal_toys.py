"""A pseudo-terminal with a process in it, as a person meets it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE_S = 60.0
COLUMNS, ROWS = 100, 24


class Terminal:
    """A pseudo-terminal with a collecting process in it.  said: all that it has written.

    words: what is collected and how.  program: what Python runs.  environment: beside this one's.
    under_shell: the process that is started is a shell, whose terminal stays when the collecting one ends.
    """

    def __init__(
        self,
        *words: str,
        under_shell: bool = False,
        term: str = "xterm-256color",
        program: tuple[str, ...] = ("-m", "robot_orl.cli"),
        **environment: str,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._slave = slave
        self.modes = termios.tcgetattr(slave)
        self.said = b""
        self._read_to = 0
        command = [sys.executable, *program, "collect", *words]
        self.process = subprocess.Popen(
            ["sh", "-c", '"$@"; read stay', "sh", *command] if under_shell else command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": term, **environment},
        )

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def look(self, seconds: float = 0.02) -> str:
        """What is new on the screen, without colours."""
        if select.select([self._master], [], [], seconds)[0]:
            with suppress(OSError):
                self.said += os.read(self._master, 65_536)
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.said[self._read_to :]).decode()

    def wait(self, what: str) -> None:
        """Until it is on the screen, behind what was waited for before."""
        deadline_s = time.monotonic() + PATIENCE_S
        is_over = False
        while re.search(what, self.look()) is None:
            assert time.monotonic() < deadline_s, f"no {what!r} in:\n{self.look()[-2_000:]}"
            assert not is_over, f"ended without {what!r}:\n{self.look()[-2_000:]}"
            is_over = self.process.poll() is not None and not select.select([self._master], [], [], 0.2)[0]
        self._read_to = len(self.said)

    def hold(self, key: bytes, until: str) -> None:
        """As a keyboard does: the key again and again."""
        deadline_s = time.monotonic() + PATIENCE_S
        while re.search(until, self.look(0.03)) is None:
            assert time.monotonic() < deadline_s, self.look()[-2_000:]
            self.press(key)

    def end(self) -> int:
        """What it ended with, once it has; reads what it still says."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline_s, self.look()[-2_000:]
            self.look()
        self.look(0.1)
        return self.process.returncode

    def now(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def hang_up(self) -> None:
        """The ssh connection breaks, the window is closed."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def terminal(*words: str, **options: Any) -> Iterator[Terminal]:
    found = Terminal(*words, **options)
    try:
        yield found
    finally:
        found.close()
