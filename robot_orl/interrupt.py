"""Ctrl-C that loses nothing: the first one asks the work to stop at its next safe point."""

import signal
from types import FrameType, TracebackType
from typing import Any

from robot_orl.errors import RobotOrlError


class Interrupted(RobotOrlError):
    """The work was asked to stop and its state is saved. Exit code 130, as of a shell."""

    exit_code = 130


class StopFlag:
    """Context manager: SIGINT and SIGTERM set `requested`; a second one stops at once.

    Signals reach the main thread only; elsewhere the flag is inert and can be set by hand.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopFlag":
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self, saved: str) -> None:
        """At a safe point. saved: one line on what is kept and how to go on.

        Raises: Interrupted: a stop was requested.
        """
        if self.requested:
            raise Interrupted(f"interrupted; {saved}")
