"""A process beside the one that holds the robot: how it is started, told things, asked how it is, and ended.

    python -m MODULE FD...      orders on its stdin, answers on its stdout: JSON, a line each

It is a fresh interpreter, never a fork of one with threads. The first line is its order; it answers
{"ready": ...} once it can begin, or {"error": ..., "usage": ...}. Its stdin ends when we do, however that
happens, so none is left behind. Signals of a terminal or a service manager reach all processes of a group:
it ignores them, for what they ask for is ours to decide. Nothing in a control loop waits for these pipes.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, NoReturn

from robot_orl.errors import RobotOrlError, RunError, UsageError

START_S = 60.0
LOOK_S = 0.05  # between two looks at whether to stop
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGTSTP, signal.SIGQUIT)


class Lines:
    """Lines of JSON as they come through a pipe, read up to the end of each: what is left is in the pipe, so
    whoever waits for its descriptor misses none."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.descriptor = stream.fileno()
        self._bytes = b""

    def next(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next line, None: it ended. timeout_s: None waits. Raises: TimeoutError: there is none yet."""
        while not self._bytes.endswith(b"\n"):
            if timeout_s is not None and not select.select([self.descriptor], [], [], timeout_s)[0]:
                raise TimeoutError
            part = os.read(self.descriptor, 1)
            if not part:
                return None
            self._bytes += part
        line, self._bytes = self._bytes, b""
        found: dict[str, Any] = json.loads(line)
        return found


class Child:
    """One such process, seen from the process that holds the robot. name: for people, 'policy'.

    ready: what it said when it could begin.
    """

    def __init__(self, name: str, module: str, order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """descriptors: handed on, and to it as arguments. It starts now; `wait` until it is ready."""
        self.name = name
        self.ready: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, descriptors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(descriptors),
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout is not None
        self._answers = Lines(self._process.stdout)
        self._said: str | None = None
        self._error = ""  # its last words, where they came while somebody listened
        self.tell(order)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, order: Mapping[str, Any]) -> None:
        """One line; if it is dead, `problem` says so."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, should_stop: Callable[[], bool]) -> bool:
        """Until it is ready; False: told to stop. Raises: UsageError, RunError: what it says is wrong."""
        end_s = time.monotonic() + START_S
        while not should_stop():
            with suppress(TimeoutError):
                self.ready = self._checked(self._answers.next(LOOK_S))["ready"]
                return True
            if time.monotonic() > end_s:
                raise RunError(f"the {self.name} process did not start within {START_S:g} s")
        return False

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """Its next line, but for the one that it is ready: nobody may have waited for that.

        Raises: RunError: none came.
        """
        try:
            while "ready" in (line := self._checked(self._answers.next(timeout_s))):
                pass
            return line
        except TimeoutError:
            raise RunError(f"the {self.name} process did not answer within {timeout_s:g} s") from None

    def said(self) -> Iterator[dict[str, Any]]:
        """The lines that have come without being asked for; never waits, and is silent of its death."""
        with suppress(TimeoutError):
            while (line := self._answers.next(0.0)) is not None:
                if "error" in line:
                    self._error = str(line["error"])
                elif "ready" not in line:
                    yield line

    def _checked(self, line: dict[str, Any] | None) -> dict[str, Any]:
        if line is None:
            self._process.wait()
            raise RunError(self.problem() or f"the {self.name} process ended")
        if "error" in line:
            raise (UsageError if line.get("usage") else RunError)(line["error"])
        return line

    def problem(self) -> str | None:
        """Why it is not there any more; None: it lives. One system call, for the inside of a control loop."""
        code = self._process.poll()
        if code is None:
            return None
        if self._said is None:
            self._said = self._last_words()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._said = f"the {self.name} process {how}" + (f": {self._said}" if self._said else "")
        return self._said

    def _last_words(self) -> str:
        """Of a process that is dead: its error, if it said one."""
        with suppress(TimeoutError, ValueError):
            while (line := self._answers.next(0.0)) is not None:
                if "error" in line:
                    return str(line["error"])
        return self._error

    def end(self, timeout_s: float) -> None:
        """Close its stdin, and make sure that it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


# --- in the process itself ------------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[Lines]:
    """The body of such a process: its orders. What it raises becomes its last line."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield Lines(sys.stdin.buffer)
    except RobotOrlError as error:
        _fail(str(error), isinstance(error, UsageError))
    except Exception as error:
        _fail(f"{type(error).__name__}: {error}", False)


def say(line: Mapping[str, Any]) -> None:
    """To whoever started us; a reader that is gone does not matter."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")


def _fail(error: str, is_usage: bool) -> NoReturn:
    say({"error": error, "usage": is_usage})
    sys.stderr.flush()
    os._exit(1)
