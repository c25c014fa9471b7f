"""Processes that a test starts, none of which outlives it."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

ENDS_S = 60.0  # by itself, once the test has seen what it wanted to see


@contextmanager
def child(command: Sequence[object], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A process for as long as the body runs; the options are Popen's.

    The body lets it end; then its `returncode` is known. A body that fails does not wait for a process that
    nobody told to end: it is killed.
    Raises: subprocess.TimeoutExpired: it did not end.
    """
    with subprocess.Popen([str(word) for word in command], **options) as process:
        try:
            yield process
            process.wait(ENDS_S)
        finally:
            process.kill()
