"""The control rate that a person is shown."""

import pytest
from teleop_toys import MS, Clock

from data_collection.teleop.pacing import Pacing


def test_the_rate_and_the_lag_are_those_of_the_ticks() -> None:
    """25 Hz: the second tick is 10 ms late; the fifth is 45 ms late, so that a slot is missed after it."""
    pace = Pacing(25.0, Clock(0.0, 10.0, 0.0, 0.0, 45.0, 0.0))
    assert pace.start() == 0
    ticks = [pace.wait() / MS for _ in range(6)]
    assert ticks == [40, 90, 120, 160, 245, 280]
    assert pace.lag_ms == 0.0
    assert pace.rate_hz == pytest.approx(6 / 0.280)


def test_the_lag_is_that_of_the_latest_tick() -> None:
    pace = Pacing(25.0, Clock(0.0, 10.0, 0.0, 45.0))
    pace.start()
    assert [(pace.wait(), pace.lag_ms)[1] for _ in range(4)] == [0.0, 10.0, 0.0, 45.0]


def test_a_new_episode_begins_on_time() -> None:
    pace = Pacing(25.0, Clock(0.0, 3_000.0, 0.0))
    pace.start()
    pace.wait()
    pace.wait()
    pace.start()
    pace.wait()
    assert (pace.lag_ms, pace.rate_hz) == (0.0, 25.0)
