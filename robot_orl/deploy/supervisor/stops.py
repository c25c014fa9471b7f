"""Ways to stop a robot, and the one flag that they set. Looking at it waits for nothing and nobody.

An interrupt (Ctrl-C, SIGTERM, a closed terminal) ends a run: the robot stops, and lies down where it can.
An emergency (a key, Ctrl-Z, a file, SIGUSR1, a dead-man input let go) stops it, and nothing moves any more.

Whatever may wait, a terminal or a disk, is looked at by a thread of its own; should that thread hang, the
other ways still work, and a dead-man input that nobody refreshes stops the robot by itself.
"""

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from robot_orl.errors import UsageError
from robot_orl.interrupt import taken_signals

POLL_S = 0.02
HELD_KEY = b" "  # what is held down as a dead-man input


class StopRequest:
    """Whether the robot is to stop, and why. Set from threads and signal handlers: it has no lock.

    reason: one line, of the first request.  is_emergency: nothing may move any more.  count: requests.
    looked_ns: when `is_set` was last asked; None: never.  is_seen: it has answered yes.
    look: called before `is_set` answers, with the time; it may set this, and waits for nothing.
    """

    def __init__(self, dead_man_s: float | None = None) -> None:
        """dead_man_s: how long a `refresh` lasts [s]; None: there is no dead-man input."""
        self.reason: str | None = None
        self.is_emergency = False
        self.count = 0
        self.looked_ns: int | None = None
        self.is_seen = False
        self.look: Callable[[int], None] | None = None
        self._dead_man_s = dead_man_s
        self._refreshed_ns: int | None = None

    def set(self, reason: str = "interrupt") -> None:
        """End the run."""
        self.reason = self.reason or reason
        self.count += 1

    def emergency(self, reason: str) -> None:
        """Stop at once, and for good."""
        self.reason = reason if not self.is_emergency else self.reason
        self.is_emergency = True
        self.count += 1

    def refresh(self, now_ns: int) -> None:
        """The dead-man input is held at this time."""
        self._refreshed_ns = now_ns

    @property
    def is_held(self) -> bool:
        """Whether the dead-man input, if there is one, has been held at all."""
        return self._dead_man_s is None or self._refreshed_ns is not None

    def is_set(self, now_ns: int) -> bool:
        """Whether to stop. now_ns: the time, for the dead-man input, which counts once it has been held."""
        self.looked_ns = now_ns
        if self.look is not None:
            self.look(now_ns)
        if self._refreshed_ns is not None and self._dead_man_s is not None and not self.is_emergency:
            age_s = (now_ns - self._refreshed_ns) / 1e9
            if age_s > self._dead_man_s:
                self.emergency(f"the dead-man input was let go for {self._dead_man_s:g} s")
        self.is_seen = self.reason is not None
        return self.is_seen


OF_KEYS = {signal.SIGTSTP: "Ctrl-Z", signal.SIGQUIT: "Ctrl-\\"}


@contextmanager
def stop_on_signals(stop: StopRequest) -> Iterator[None]:
    """Signals set `stop` instead of raising in the middle of a command to the robot."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only, so none can interrupt us here
        return

    def request(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP or stop.reason is None:  # a closing terminal sends it more than once
            stop.set()

    def emergency(number: int, frame: FrameType | None) -> None:
        stop.emergency(OF_KEYS.get(signal.Signals(number), "signal SIGUSR1"))

    # They would suspend or end us in the middle of a motion, and whoever pressed them wanted a halt.
    handlers = dict.fromkeys(taken_signals(), request)
    handlers |= dict.fromkeys((signal.SIGUSR1, *OF_KEYS), emergency)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


@contextmanager
def stop_sources(
    stop: StopRequest,
    keyboard: int | None = None,
    estop_file: str | None = None,
    dead_man_file: str | None = None,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> Iterator[None]:
    """Let the terminal and files set `stop` while the body runs.

    keyboard: descriptor of the terminal: any key is an emergency; where there is a dead-man input and no
    file for it, space is that input.  estop_file: its appearance is an emergency.  dead_man_file: touching
    it refreshes.
    Raises: UsageError: the file to appear is there, or cannot come, or there is none to touch or no terminal.
    """
    has_dead_man = not stop.is_held
    if estop_file is not None and os.path.lexists(estop_file):
        raise UsageError(f"{estop_file} exists, which means stop: remove it first")
    if estop_file is not None and not Path(estop_file).parent.is_dir():
        raise UsageError(f"{estop_file} can never appear: there is no folder {Path(estop_file).parent}")
    if dead_man_file is not None and not os.path.exists(dead_man_file):
        raise UsageError(f"no file {dead_man_file} to touch as a dead-man input")
    if has_dead_man and dead_man_file is None and keyboard is None:
        raise UsageError("there is no terminal to hold a key in: give dead_man_file=, or no dead_man_s=")
    ended = threading.Event()
    with ExitStack() as undo:
        watches: list[Callable[[], None]] = []
        if keyboard is not None:
            undo.enter_context(_single_keys(keyboard))
            held = HELD_KEY if has_dead_man and dead_man_file is None else b""
            watches.append(lambda: _watch_keys(stop, keyboard, held, now_ns, ended))
        if estop_file is not None:
            watches.append(lambda: _watch_file(stop, Path(estop_file), ended))
        if dead_man_file is not None:
            watches.append(lambda: _watch_touches(stop, Path(dead_man_file), now_ns, ended))
        threads = [threading.Thread(target=watch, name="stop", daemon=True) for watch in watches]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:  # so that none reads a key that is no more for us
                thread.join(5 * POLL_S)


def terminal() -> int | None:
    """The descriptor of the terminal whose keys are ours to read, or None."""
    try:
        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) and _is_foreground(descriptor) else None
    except (AttributeError, OSError, ValueError):  # no stdin, or one that is no file
        return None


def _is_foreground(descriptor: int) -> bool:
    """In the background, reading a terminal would suspend us."""
    return os.tcgetpgrp(descriptor) == os.getpgrp()


@contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Keys come one by one, unseen, as long as the body runs; what was typed before is dropped."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSAFLUSH)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _watch_keys(
    stop: StopRequest, descriptor: int, held: bytes, now_ns: Callable[[], int], ended: threading.Event
) -> None:
    with suppress(OSError):  # the terminal has gone, of which SIGHUP tells
        while not ended.is_set():
            ready, _, _ = select.select([descriptor], [], [], POLL_S)
            if not ready:
                continue
            if not _is_foreground(descriptor):
                ended.wait(POLL_S)  # what is typed is another's, and may lie there for long
                continue
            keys = os.read(descriptor, 64)
            if not keys:
                return
            if held and not keys.strip(held):
                stop.refresh(now_ns())
            else:
                stop.emergency("a key was pressed")


def _watch_file(stop: StopRequest, file: Path, ended: threading.Event) -> None:
    while not ended.wait(POLL_S):
        if os.path.lexists(file):
            stop.emergency(f"{file} appeared")
            return


def _watch_touches(stop: StopRequest, file: Path, now_ns: Callable[[], int], ended: threading.Event) -> None:
    seen = None
    while not ended.wait(POLL_S):
        try:
            touched = file.stat().st_mtime_ns
        except OSError:
            continue  # removed: not refreshed
        if seen is not None and touched != seen:
            stop.refresh(now_ns())
        seen = touched
