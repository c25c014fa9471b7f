"""Promotion is decided on matched starts, with numbers worked out by hand."""

import math
import tracemalloc

import numpy as np
import pytest

from robot_orl.commands.compare import _told
from robot_orl.deploy.promotion.comparison import (
    MOST,
    Pairs,
    Verdict,
    compared,
    difference_interval,
    episodes_needed,
    mcnemar,
    mean_interval,
    verdict,
)
from robot_orl.statistics import wilson_interval


def test_pairs_are_counted_by_who_succeeded() -> None:
    new, current = [True, True, True, False, False], [True, False, False, True, False]
    pairs = Pairs.of(new, current)
    assert pairs == Pairs(both=1, only_new=2, only_current=1, neither=1)
    assert (pairs.n, pairs.difference) == (5, 0.2)
    with pytest.raises(ValueError, match="shorter"):
        Pairs.of([True], [])


def test_only_pairs_that_differ_speak_against_equality() -> None:
    assert mcnemar(Pairs(500, 0, 0, 500)) == 1
    assert mcnemar(Pairs(0, 3, 3, 0)) == 1
    # 1 of 6: (1 + 6) / 64 on one side
    assert mcnemar(Pairs(40, 5, 1, 2)) == 14 / 64
    assert mcnemar(Pairs(0, 1, 5, 99)) == 14 / 64
    assert mcnemar(Pairs(0, 10, 0, 0)) == 2 / 1024


def test_the_interval_of_pairs_that_never_differ_is_that_of_one_rate() -> None:
    # Nobody fails, so nothing is known of a correlation: 1 - Wilson's bound of 10 of 10 on either side.
    room = 1 - wilson_interval(10, 10)[0]
    assert difference_interval(Pairs(10, 0, 0, 0)) == pytest.approx((-room, room))
    assert room == pytest.approx(1.96**2 / (10 + 1.96**2))


def test_the_interval_is_as_worked_out_by_hand() -> None:
    # n = 50: new 43 of 50, current 37 of 50; phi = (35 * 5 - 8 * 2 - 25) / sqrt(43 * 7 * 37 * 13).
    pairs = Pairs(both=35, only_new=8, only_current=2, neither=5)
    phi = 134 / math.sqrt(43 * 7 * 37 * 13)
    (l1, u1), (l2, u2) = wilson_interval(43, 50), wilson_interval(37, 50)
    below = math.sqrt((0.86 - l1) ** 2 - 2 * phi * (0.86 - l1) * (u2 - 0.74) + (u2 - 0.74) ** 2)
    above = math.sqrt((u1 - 0.86) ** 2 - 2 * phi * (u1 - 0.86) * (0.74 - l2) + (0.74 - l2) ** 2)
    assert difference_interval(pairs) == pytest.approx((0.12 - below, 0.12 + above))
    # With (0.738, 0.930) and (0.604, 0.841) and phi 0.352: sqrt(0.0164) below, sqrt(0.0167) above.
    assert difference_interval(pairs) == pytest.approx((-0.008, 0.249), abs=1e-3)


def test_the_interval_of_the_other_way_round_is_the_mirror_image() -> None:
    low, high = difference_interval(Pairs(35, 8, 2, 5))
    assert difference_interval(Pairs(35, 2, 8, 5)) == pytest.approx((-high, -low))


def test_pairs_that_go_together_leave_less_doubt() -> None:
    together, apart = difference_interval(Pairs(70, 5, 5, 20)), difference_interval(Pairs(56, 19, 19, 6))
    assert together[1] - together[0] < apart[1] - apart[0]


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    ways = rng.multinomial(60, [0.7, 0.15, 0.05, 0.1], size=1000)  # a true difference of 0.1
    covered = [
        low <= 0.1 <= high for low, high in (difference_interval(Pairs(*map(int, way))) for way in ways)
    ]
    assert 0.93 <= np.mean(covered) <= 0.99


def test_the_verdict_is_by_the_whole_interval_against_the_margin() -> None:
    assert verdict((-0.05, 0.2), 0.05) is Verdict.PROMOTE
    assert verdict((-0.051, 0.2), 0.05) is Verdict.NOT_ENOUGH
    assert verdict((-0.3, -0.051), 0.05) is Verdict.KEEP
    assert verdict((-0.3, -0.05), 0.05) is Verdict.NOT_ENOUGH


def test_four_times_the_episodes_halve_the_doubt() -> None:
    # 20 of 20 each: the lower bound is -0.161, half that of a margin of 0.0805 needs four times as many.
    pairs = Pairs(20, 0, 0, 0)
    half = -difference_interval(pairs)[0]
    assert episodes_needed(pairs, half / 2) == 80
    assert episodes_needed(Pairs(10, 0, 5, 5), 0.1) is None  # it looks worse already
    # The bound on success is at the margin but for a hair: more than there are seeds.
    assert episodes_needed(pairs, 1e-9) == MOST + 1
    assert "more than episodes=10000, the most that can be played" in _told(
        compared([True] * 20, [True] * 20, np.zeros(20), np.zeros(20), 1e-9, np.random.default_rng(0))
    )


def test_the_most_pairs_that_can_be_played_are_resampled_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    tracemalloc.start()
    try:
        mean_interval(np.repeat([-1.0, 1.0], 500), rng)
        assert tracemalloc.get_traced_memory()[1] < 40e6  # 10,000 times 1000 pairs at once: 160 MB
    finally:
        tracemalloc.stop()


def test_returns_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    assert mean_interval(np.full(30, 2.0), rng) == (2.0, 2.0)
    low, high = mean_interval(np.repeat([-1.0, 1.0], 50), rng)
    assert (low, high) == pytest.approx((-0.196, 0.196), abs=0.03)


def test_the_figures_say_who_may_act() -> None:
    rng = np.random.default_rng(0)
    new, current = [True] * 95 + [False] * 5, [True] * 90 + [False] * 10
    found = compared(new, current, np.arange(100), np.arange(100) - 2, 0.05, rng)
    assert (found["verdict"], found["may_be_promoted"], found["episodes_needed"]) == ("promote", True, None)
    assert (found["new"]["success"], found["current"]["successes"]) == (0.95, 90)
    assert (found["return_difference"], found["return_difference95"]) == (2.0, [2.0, 2.0])
    found = compared(new[:10], current[:10], np.zeros(10), np.zeros(10), 0.05, rng)
    assert (found["verdict"], found["may_be_promoted"]) == ("not enough episodes", False)
    assert found["episodes_needed"] > 10
    found = compared([False] * 50, [True] * 50, np.zeros(50), np.zeros(50), 0.05, rng)
    assert (found["verdict"], found["may_be_promoted"]) == ("keep", False)
