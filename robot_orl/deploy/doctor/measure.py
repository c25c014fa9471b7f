"""Measurements of this host, each with its sample count."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import DEVNULL

import numpy as np

from robot_orl.deploy.timing import NS_PER_S, Clock, Ticker, TimingLog, summarise

IDLE, LOADED = "idle", "load"
WATCHED_NS, RESTED_NS = 10_000_000, 20_000_000  # awake for a third of the time: others must live, too
STALL_NS = 50_000  # no look at the clock takes so long by itself
# Busy with memory as well as arithmetic; ends with its parent, whatever ends that.
BUSY = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
parent, memory = int(sys.argv[2]), bytearray(1 << 22)
while os.getppid() == parent:
    for _ in range(20):
        memory = memory[1:] + memory[:1]
"""


@dataclass(frozen=True)
class Period:
    """Ticks at one rate. under: 'idle' or 'load'.  error_us: of the period, summary [us].

    missed: slots that were skipped.  drift_us: how far the last tick was from anchor + k * period [us].
    """

    hz: float
    under: str
    ticks: int
    missed: int
    error_us: dict[str, float | int | None]
    drift_us: float


def measure_period(hz: float, seconds: float, clock: Clock, under: str) -> Period:
    """Tick without any work. seconds: of ticks, two at least; missed slots come on top."""
    period_ns = round(NS_PER_S / hz)
    ticks = max(2, round(seconds * hz))
    log, ticker = TimingLog(period_ns, ticks), Ticker(period_ns, clock)
    anchor_ns = woken_ns = ticker.start()
    for _ in range(ticks):
        woken_ns = ticker.wait()
        log.tick(woken_ns)
    drift_ns = woken_ns - anchor_ns - (ticks + ticker.missed) * period_ns
    return Period(hz, under, ticks, ticker.missed, log.summary("period_error"), drift_ns / 1e3)


def measure_calls(
    call: Callable[[], object], hz: float, seconds: float, clock: Clock
) -> dict[str, float | int | None]:
    """How long a call takes that is made once per tick, as in a control loop: summary [us].

    Once per tick, because meanwhile others have used the processor's caches.
    """
    ticker = Ticker(round(NS_PER_S / hz), clock)
    durations = np.zeros(max(1, round(seconds * hz)))
    for number in range(len(durations)):
        ticker.wait()
        begin_ns = clock.now_ns()
        call()
        durations[number] = clock.now_ns() - begin_ns
    return summarise(durations / 1e3)


def measure_stalls(seconds: float, clock: Clock) -> dict[str, float | int]:
    """How often a thread that looks at the clock all the time does not get to look for 50 us and more.

    At real-time priority only firmware, a hypervisor or the kernel itself can be the reason.
    Returns: watched_s, count, longest_us, and share of the watched time.
    """
    stalls: list[int] = []
    watched_ns = 0
    end_ns = clock.now_ns() + round(seconds * NS_PER_S)
    while (last_ns := clock.now_ns()) < end_ns:
        begin_ns = last_ns
        while last_ns - begin_ns < WATCHED_NS:
            now_ns = clock.now_ns()
            if now_ns - last_ns >= STALL_NS:
                stalls.append(now_ns - last_ns)
            last_ns = now_ns
        watched_ns += last_ns - begin_ns
        clock.sleep_until(last_ns + RESTED_NS)
    return {
        "watched_s": watched_ns / NS_PER_S,
        "count": len(stalls),
        "longest_us": max(stalls, default=0) / 1e3,
        "share": sum(stalls) / max(watched_ns, 1),
    }


@contextmanager
def busy_processes(number: int) -> Iterator[list[int]]:
    """Processes that are busy all the time, one processor after the other; gives their ids."""
    has_affinity = hasattr(os, "sched_getaffinity")
    processors = sorted(os.sched_getaffinity(0)) if has_affinity else list(range(os.cpu_count() or 1))
    children: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(number):
            words = [str(processors[index % len(processors)]), str(os.getpid())]
            # No pipe of ours: whoever reads our output would wait for them.
            children.append(
                subprocess.Popen([sys.executable, "-c", BUSY, *words], stdin=DEVNULL, stdout=DEVNULL)
            )
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
