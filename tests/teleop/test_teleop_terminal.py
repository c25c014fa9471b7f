"""Laws of the terminal at its end: a real process at a pseudo-terminal."""

import os
import pty
import select
import subprocess
import sys
import termios

import pytest

from data_collection.teleop.terminal.terminal import LEAVE

PATIENCE_S = 60.0
# stdin becomes its terminal; b"stopped": whatever it writes stays there, as after Ctrl-S
USES_IT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from data_collection.teleop.terminal.terminal import Terminal
terminal = Terminal()
terminal.open()
if sys.argv[1] == "stopped":
    termios.tcflow(0, termios.TCOOFF)
while sys.argv[1] != "listening" and not terminal.is_busy:
    terminal.write(b"x" * 1000)
terminal.close()
terminal.close()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("line", ["listening", "full", "stopped"])
def test_it_closes_whatever_the_line_does(line: str) -> None:
    ours, theirs = pty.openpty()
    modes = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-c", USES_IT, line],
        stdin=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    try:
        assert process.wait(PATIENCE_S) == 0
        assert termios.tcgetattr(theirs) == modes
        termios.tcflow(theirs, termios.TCOON)
        said = b""
        while select.select([ours], [], [], 0.1)[0]:
            said += os.read(ours, 65_536)
        assert said.endswith(LEAVE) or line == "stopped"
        assert b"\x1b[?1004l" in LEAVE  # what was asked for ends
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
