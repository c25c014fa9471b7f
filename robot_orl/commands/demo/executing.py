"""A stage as a process of its own, and what runs beside it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from robot_orl.commands.demo.stages import Beside, Stage
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import Interrupted, die_with_parent, taken_signals

START_S, STOP_S, POLL_S = 60.0, 10.0, 0.05  # of what runs beside a stage


def execute(stage: Stage) -> None:
    """Run the stage in a process group of its own, so that a Ctrl-C reaches it once, through us.

    What runs beside it is not told: it ends when the stage has come to its own end.
    Raises: Interrupted, RunError.  Exits where the stage was used wrongly.
    """
    interrupted = False
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        if process is not None:
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in taken_signals()}
    code = 130
    try:
        with _running(stage.beside, lambda: interrupted):
            if not interrupted:
                process = _start(stage.words)
                if interrupted:  # between the two lines above
                    process.send_signal(signal.SIGINT)
                code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted or code == 130:
        raise Interrupted("the demo is interrupted; the same command goes on where it was")
    if code == UsageError.exit_code:
        sys.exit(code)  # the stage itself has said what is wrong; the same command would only say it again
    if code:
        raise RunError(f"stage '{stage.name}' failed with exit code {code}; the same command goes on from it")


def _start(words: list[str], **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "robot_orl.cli", *words]
    return subprocess.Popen(command, process_group=0, preexec_fn=die_with_parent, **options)  # type: ignore[call-overload]


@contextmanager
def _running(beside: Beside | None, is_interrupted: Callable[[], bool]) -> Iterator[None]:
    """Raises: RunError: it does not come up.  Exits where it was used wrongly: it has said so itself."""
    if beside is None:
        yield
        return
    beside.log.parent.mkdir(parents=True, exist_ok=True)
    with beside.log.open("wb") as log:
        process = _start(beside.words, stdout=log)
        try:
            _await(process, beside, is_interrupted)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], beside: Beside, is_interrupted: Callable[[], bool]) -> None:
    """Until it has said that it is up."""
    end_s = time.monotonic() + START_S
    while not beside.log.stat().st_size and not is_interrupted():
        code = process.poll()
        if code == UsageError.exit_code:
            sys.exit(code)
        if code is not None or time.monotonic() > end_s:
            raise RunError(f"`robot-orl {beside.words[0]}` did not come up; its log is {beside.log}")
        time.sleep(POLL_S)
