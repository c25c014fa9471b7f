"""Progress with an estimate: a bar in a terminal, a line every few seconds elsewhere.

It is decoration: where it cannot be written any more, as to a closed terminal, the work goes on without.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
console = Console(stderr=True, markup=False, emoji=False)
BAR_EVERY_S, DETACHED_EVERY_S, LINE_EVERY_S = 0.2, 0.5, 10.0
FAREWELL_S = 1.0  # how long the last picture of a detached bar may take


class Bar:
    """Context manager around work of `total` units, of which `done` were finished before."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.done = title, total, done
        self._first = done
        self._start = time.monotonic()
        self._shown_s = self._start
        self._rich: Progress | None = None
        self._note = ""
        self._every_s = BAR_EVERY_S if console.is_terminal else LINE_EVERY_S

    def __enter__(self) -> "Bar":
        self._start = self._shown_s = time.monotonic()
        if console.is_terminal:
            columns = (
                TextColumn("{task.description:<28}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            # No refreshing thread: it would compete with the work for the interpreter.
            self._rich = Progress(*columns, console=console, auto_refresh=False)
            with suppress(OSError):
                self._rich.start()
            self._task = self._rich.add_task(self.title, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            with suppress(OSError):
                self._rich.stop()

    def advance(self, units: int = 1, note: str | None = None) -> None:
        """note: a short text shown behind the bar."""
        self.done += units
        self._note = self._note if note is None else note
        now = time.monotonic()
        is_last = bool(units) and self.done >= self.total
        if not is_last and note is None and now - self._shown_s < self._every_s:
            return
        self._shown_s = now
        with suppress(OSError):
            if self._rich is not None:
                self._rich.update(self._task, completed=self.done, note=self._note, refresh=True)
            else:
                line = _line(self.title, self.done, self.total, self.done - self._first, now - self._start)
                note = f", {self._note}" if self._note else ""
                console.print(line + note, highlight=False, soft_wrap=True)


def _line(title: str, done: int, total: int, units: int, spent_s: float) -> str:
    """units: how many of `done` were finished in `spent_s` [s]."""
    left_s = spent_s / max(units, 1) * (total - done)
    return f"{title}: {done}/{total}, {spent_s:.0f} s spent, about {left_s:.0f} s left"


class DetachedBar:
    """Progress of a loop that must never wait for whoever reads stderr. Context manager.

    The loop sets `done`; a thread of its own shows it twice a second. It alone waits where the terminal
    is stalled (Ctrl-S, a dead connection), in a bare system call that holds no lock of the interpreter
    or of sys.stderr.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> "DetachedBar":
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(FAREWELL_S)  # a stalled terminal keeps it; it ends with the process

    def _show(self) -> None:
        try:
            number = sys.stderr.fileno()
            is_terminal = os.isatty(number)
            while not self._ended.wait(DETACHED_EVERY_S if is_terminal else LINE_EVERY_S):
                self._write(number, is_terminal, "")
            self._write(number, is_terminal, "\n")
        except OSError:  # nobody reads any more, or there is no stderr
            pass

    def _write(self, number: int, is_terminal: bool, end: str) -> None:
        line = _line(self.title, self.done, self.total, self.done, time.monotonic() - self._start)
        os.write(number, (f"\r{line}\x1b[K{end}" if is_terminal else f"{line}\n").encode())


def track(items: Sequence[T], title: str) -> Iterator[T]:
    """Iterate with a bar."""
    with Bar(title, len(items)) as bar:
        for item in items:
            yield item
            bar.advance()
