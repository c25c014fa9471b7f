"""Clocks, the absolute-deadline ticker and the log of what timing was really had.

    slot       0        1        2        3        4
    deadline   |--------|--------|--------|--------|-->  anchor + k * period, never moved
    work       [tick 0 ][..tick 1......]  [tick 3 ]
                                 ^ slot 2 had begun before the work ended: counted as missed, skipped

Relative sleeps drift because each computes its deadline when it is called; absolute deadlines do not.
"""

import ctypes
import ctypes.util
import errno
import os
import sys
import time
from typing import Any, Protocol

import numpy as np

from robot_orl.types import Array

NS_PER_S = 1_000_000_000
SPIN_NS = 200_000  # longer than nearly every wake-up takes under real-time scheduling
TIMER_ABSTIME = 1  # <time.h>; Python's time module does not export it
# Microseconds, 1-2-5 steps; what lies beyond the last edge is counted in the last bin.
HISTOGRAM_EDGES_US = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6)


class Clock(Protocol):
    """Time as an argument: the real one below, or one that a test moves by hand.

    method: how it sleeps, in words; goes into the report.
    """

    method: str

    def now_ns(self) -> int:
        """Monotonic time [ns]."""

    def sleep_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns` or later, at once if it has passed."""


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class RealClock:
    """CLOCK_MONOTONIC with `clock_nanosleep(TIMER_ABSTIME)`; `time.sleep` where that does not exist."""

    def __init__(self) -> None:
        self._nanosleep = _find_clock_nanosleep()
        self.method = (
            "clock_nanosleep with absolute deadlines"
            if self._nanosleep
            else f"time.sleep: {sys.platform} has no clock_nanosleep, so wake-ups come later"
        )
        self._deadline = _Timespec()

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep_until(self, deadline_ns: int) -> None:
        if self._nanosleep is None:
            time.sleep(max(0, deadline_ns - self.now_ns()) / NS_PER_S)
            return
        self._deadline.tv_sec, self._deadline.tv_nsec = divmod(deadline_ns, NS_PER_S)
        code = errno.EINTR
        while code == errno.EINTR:  # a signal woke us; its handler has run, the deadline stands
            code = self._nanosleep(time.CLOCK_MONOTONIC, TIMER_ABSTIME, ctypes.byref(self._deadline), None)
        if code:
            raise OSError(code, f"clock_nanosleep: {os.strerror(code)}")


class SpinningClock:
    """Sleeps until shortly before a deadline and looks at the time again and again for the rest.

    Takes the time of waking up out of the error. Only for a thread with real-time scheduling: an ordinary
    one pays for the time that it spins by waiting longer for the processor afterwards.
    """

    def __init__(self, clock: Clock, spin_ns: int = SPIN_NS) -> None:
        """spin_ns: how long before the deadline the sleep ends [ns]."""
        self.method = f"{clock.method}, the last {spin_ns / 1e3:g} us awake"
        self._clock = clock
        self._spin_ns = spin_ns

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def sleep_until(self, deadline_ns: int) -> None:
        self._clock.sleep_until(deadline_ns - self._spin_ns)
        now_ns = self._clock.now_ns
        while now_ns() < deadline_ns:
            pass


def control_clock(has_priority: bool, spin_ns: int = SPIN_NS) -> Clock:
    """The clock of a control loop. has_priority: its thread has real-time scheduling, so it may spin."""
    clock = RealClock()
    return SpinningClock(clock, spin_ns) if has_priority and spin_ns else clock


def _find_clock_nanosleep() -> Any | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None), "clock_nanosleep", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Timespec), ctypes.c_void_p)
        function.restype = ctypes.c_int
    return function


class Ticker:
    """Wakes at anchor + k * period. A slot that began before the last tick's work ended is skipped.

    missed: skipped slots so far.
    """

    def __init__(self, period_ns: int, clock: Clock) -> None:
        self.period_ns = period_ns
        self.missed = 0
        self._clock = clock
        self.start()

    def start(self) -> int:
        """Anchor anew after a pause that is no part of control. Returns now; a period on is the next tick."""
        now_ns = self._clock.now_ns()
        self._deadline_ns = now_ns + self.period_ns
        return now_ns

    def wait(self) -> int:
        """Sleep until the next slot that has not begun; returns the time of waking [ns]."""
        late_ns = self._clock.now_ns() - self._deadline_ns
        if late_ns > 0:
            slots = -(-late_ns // self.period_ns)  # rounded up: the slot under way is lost as well
            self.missed += slots
            self._deadline_ns += slots * self.period_ns
        self._clock.sleep_until(self._deadline_ns)
        self._deadline_ns += self.period_ns
        return self._clock.now_ns()


class TimingLog:
    """Per-tick durations in preallocated memory: recording one allocates nothing.

    period error: |time between two ticks - period|.  inference: the policy alone.  work: from waking to
    the end of the tick's work; what is left of the period is the head room.  All in ns, (capacity,).
    """

    def __init__(self, period_ns: int, capacity: int) -> None:
        self._period_ns = period_ns
        self._columns = {name: np.zeros(capacity, np.int64) for name in ("period_error", "inference", "work")}
        self._counts = dict.fromkeys(self._columns, 0)
        self._last_ns: int | None = None

    def restart(self) -> None:
        """The next tick has no predecessor: homing lay between."""
        self._last_ns = None

    def tick(self, started_ns: int) -> None:
        if self._last_ns is not None:
            self._add("period_error", abs(started_ns - self._last_ns - self._period_ns))
        self._last_ns = started_ns

    def inference(self, duration_ns: int) -> None:
        self._add("inference", duration_ns)

    def work(self, duration_ns: int) -> None:
        self._add("work", duration_ns)

    def _add(self, name: str, value_ns: int) -> None:
        index = self._counts[name]
        self._columns[name][index] = value_ns
        self._counts[name] = index + 1

    def microseconds(self, name: str) -> Array:
        """The recorded values of one column [us], (count,) float64."""
        return self._columns[name][: self._counts[name]] / 1e3

    def summary(self, name: str) -> dict[str, float | int | None]:
        """p50, p99, p99.9 and max [us], and their count; None where nothing was recorded."""
        return summarise(self.microseconds(name))

    def histogram(self, name: str) -> dict[str, list[float] | list[int]]:
        """Bin edges [us] and counts, ready for a plot."""
        edges = np.array(HISTOGRAM_EDGES_US)
        values = np.minimum(self.microseconds(name), edges[-1])
        return {"edges_us": edges.tolist(), "counts": np.histogram(values, edges)[0].tolist()}


def summarise(values: Array) -> dict[str, float | int | None]:
    """Percentiles that are values which occurred (never interpolated below a rare maximum)."""
    if not len(values):
        return {"p50": None, "p99": None, "p99.9": None, "max": None, "count": 0}
    p50, p99, p99_9 = np.percentile(values, [50, 99, 99.9], method="higher").tolist()
    return {"p50": p50, "p99": p99, "p99.9": p99_9, "max": float(values.max()), "count": len(values)}
