"""Progress with an estimate: a bar in a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Iterator, Sequence
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
BAR_EVERY_S, LINE_EVERY_S = 0.2, 10.0


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
            # No refreshing thread: beside a control loop it would compete for the interpreter.
            self._rich = Progress(*columns, console=console, auto_refresh=False)
            self._rich.start()
            self._task = self._rich.add_task(self.title, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
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
        if self._rich is not None:
            self._rich.update(self._task, completed=self.done, note=self._note, refresh=True)
        else:
            self._print_line(now - self._start)

    def _print_line(self, spent_s: float) -> None:
        units = max(self.done - self._first, 1)
        left_s = spent_s / units * (self.total - self.done)
        line = f"{self.title}: {self.done}/{self.total}, {spent_s:.0f} s spent, about {left_s:.0f} s left"
        console.print(line + (f", {self._note}" if self._note else ""), highlight=False, soft_wrap=True)


def track(items: Sequence[T], title: str) -> Iterator[T]:
    """Iterate with a bar."""
    with Bar(title, len(items)) as bar:
        for item in items:
            yield item
            bar.advance()
