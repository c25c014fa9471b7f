import signal

import numpy as np
import pytest
from deploy_toys import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from robot_orl.deploy.timing import RealClock, SpinningClock, Ticker, TimingLog, summarise

PERIOD = 1000


def test_ticks_keep_absolute_deadlines_whatever_the_work_takes(clock: FakeClock) -> None:
    ticker, anchor = Ticker(PERIOD, clock), clock.now_ns()
    woken = []
    for work in (0, 999, 1, 500):
        woken.append(ticker.wait() - anchor)
        clock.time_ns += work
    assert woken == [1000, 2000, 3000, 4000]
    assert ticker.missed == 0


def test_late_tick_is_counted_and_slot_skipped(clock: FakeClock) -> None:
    ticker, anchor = Ticker(PERIOD, clock), clock.now_ns()
    ticker.wait()
    clock.time_ns += 2500  # ends at 3500: the slots of 2000 and 3000 have begun without us
    assert ticker.wait() - anchor == 4000
    assert ticker.missed == 2
    assert ticker.wait() - anchor == 5000


def test_work_that_ends_on_the_deadline_misses_nothing(clock: FakeClock) -> None:
    ticker, anchor = Ticker(PERIOD, clock), clock.now_ns()
    ticker.wait()
    clock.time_ns += PERIOD
    assert ticker.wait() - anchor == 2000
    assert ticker.missed == 0


@given(st.lists(st.integers(0, 10 * PERIOD), min_size=1))
def test_no_work_makes_the_ticker_drift_or_lose_count(works: list[int]) -> None:
    clock = FakeClock()
    ticker, anchor = Ticker(PERIOD, clock), clock.now_ns()
    for ticks, work in enumerate(works, start=1):
        since_anchor = ticker.wait() - anchor
        assert since_anchor == (ticks + ticker.missed) * PERIOD
        clock.time_ns += work


def test_a_pause_followed_by_start_misses_nothing(clock: FakeClock) -> None:
    ticker = Ticker(PERIOD, clock)
    clock.time_ns += 77_777
    assert ticker.start() == clock.now_ns()
    anchor = clock.now_ns()
    assert ticker.wait() - anchor == PERIOD
    assert ticker.missed == 0


class GlancedClock(FakeClock):
    """Every look at it takes 3 ns. asked: the deadlines that it slept for.  oversleeps: by so much [ns]."""

    def __init__(self, oversleeps: int = 0) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.oversleeps = oversleeps

    def now_ns(self) -> int:
        self.time_ns += 3
        return self.time_ns

    def sleep_until(self, deadline_ns: int) -> None:
        self.asked.append(deadline_ns)
        self.time_ns = max(self.time_ns, deadline_ns) + self.oversleeps


def test_a_spinning_clock_sleeps_until_shortly_before_the_deadline_and_then_looks_at_the_time() -> None:
    inner = GlancedClock()
    deadline = inner.time_ns + 1000
    SpinningClock(inner, spin_ns=100).sleep_until(deadline)
    assert inner.asked == [deadline - 100]
    assert inner.time_ns == deadline + 2  # 34 looks of 3 ns: the first that is not before it


@given(st.integers(-500, 5000), st.integers(0, 500), st.integers(0, 2000))
def test_a_spinning_clock_never_returns_early(ahead: int, spin: int, oversleeps: int) -> None:
    inner = GlancedClock(oversleeps)
    deadline = inner.time_ns + ahead
    SpinningClock(inner, spin).sleep_until(deadline)
    assert inner.time_ns >= deadline
    if spin + 3 <= ahead and oversleeps <= spin:
        assert inner.time_ns <= deadline + 3


def test_ticks_of_a_spinning_clock_keep_the_same_deadlines() -> None:
    inner = GlancedClock(oversleeps=40)
    clock = SpinningClock(inner, spin_ns=100)
    ticker, anchor = Ticker(PERIOD, clock), inner.time_ns
    for tick in range(1, 5):
        assert 0 <= ticker.wait() - (anchor + tick * PERIOD) <= 6
    assert ticker.missed == 0
    assert "the last 0.1 us awake" in clock.method


def test_real_clock_never_wakes_early_even_when_a_signal_interrupts_it() -> None:
    clock = RealClock()
    caught: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: caught.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        deadline = clock.now_ns() + 20_000_000
        clock.sleep_until(deadline)
        assert clock.now_ns() >= deadline
        assert caught == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_without_clock_nanosleep_the_real_clock_says_so_and_still_never_wakes_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    clock = RealClock()
    assert "darwin has no clock_nanosleep" in clock.method
    deadline = clock.now_ns() + 1_000_000
    clock.sleep_until(deadline)
    assert clock.now_ns() >= deadline


def test_period_error_is_the_distance_of_the_interval_from_the_period() -> None:
    log = TimingLog(10_000, capacity=10)
    for started in (0, 10_000, 21_000, 29_000):
        log.tick(started)
    log.restart()  # homing: what lies between is no period
    for started in (500_000, 510_000):
        log.tick(started)
    assert log.microseconds("period_error").tolist() == [0, 1, 2, 0]


def test_percentiles_are_values_that_occurred() -> None:
    found = summarise(np.arange(1.0, 1001.0))  # rank q * 999, rounded up
    assert found == {"p50": 501, "p99": 991, "p99.9": 1000, "max": 1000, "count": 1000}
    assert summarise(np.array([]))["p50"] is None


def test_histogram_counts_every_value_also_beyond_the_last_edge() -> None:
    log = TimingLog(1, capacity=4)
    for value_us in (0, 3, 3, 9_000_000):
        log.inference(value_us * 1000)
    histogram = log.histogram("inference")
    counts = dict(zip(histogram["edges_us"], histogram["counts"], strict=False))
    assert {edge: count for edge, count in counts.items() if count} == {0: 1, 2: 2, 500_000: 1}
