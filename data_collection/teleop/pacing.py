"""Real time for a session, and how well it is kept."""

from collections import deque

from data_collection.record import RealTime
from robot_orl.deploy.timing import NS_PER_S, Clock

RATE_TICKS = 25  # that the rate is the mean of


class Pacing:
    """A rollout's pace.

    rate_hz: achieved control rate, the mean of the latest ticks.  lag_ms: how late the latest one was.
    """

    def __init__(self, control_hz: float, clock: Clock) -> None:
        self._real = RealTime(control_hz, clock)
        self._period_ns = NS_PER_S / control_hz
        self._ticks: deque[int] = deque(maxlen=RATE_TICKS + 1)
        self.rate_hz, self.lag_ms = control_hz, 0.0

    def start(self) -> int:
        self._ticks.clear()
        self._ticks.append(0)
        return self._real.start()

    def wait(self) -> int:
        now_ns = self._real.wait()
        due = round(self._ticks[-1] / self._period_ns) + 1
        self.lag_ms = max(0.0, now_ns - due * self._period_ns) / 1e6
        self._ticks.append(now_ns)
        if now_ns > self._ticks[0]:
            self.rate_hz = (len(self._ticks) - 1) * NS_PER_S / (now_ns - self._ticks[0])
        return now_ns
