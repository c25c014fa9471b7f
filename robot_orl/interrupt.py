"""Ctrl-C that loses nothing: the first one asks the work to stop at its next safe point."""

import ctypes
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from robot_orl.errors import RobotOrlError

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, a closed terminal


def taken_signals() -> list[signal.Signals]:
    """The signals to answer: a hang-up that is ignored, as under `nohup`, stays ignored."""
    return [n for n in STOP_SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]


class Interrupted(RobotOrlError):
    """The work was asked to stop and its state is saved. Exit code 130, as of a shell."""

    exit_code = 130


class StopFlag:
    """Context manager: SIGINT, SIGTERM and SIGHUP set `requested`; a second one stops at once.

    But for a second SIGHUP: a closing terminal sends it more than once, and nobody is there any more.

    Signals reach the main thread only; elsewhere the flag is inert and can be set by hand.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopFlag":
        try:
            for number in taken_signals():
                self._previous[number] = signal.signal(number, self._handle)
        except ValueError:  # not in the main thread
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number != signal.SIGHUP:
            raise KeyboardInterrupt
        self.requested = True

    def check(self, saved: str) -> None:
        """At a safe point. saved: one line on what is kept and how to go on.

        Raises: Interrupted: a stop was requested.
        """
        if self.requested:
            raise Interrupted(f"interrupted; {saved}")


def die_with_parent() -> None:
    """In a child process: stop, state saved, when its parent is killed (Linux; elsewhere it runs on)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
