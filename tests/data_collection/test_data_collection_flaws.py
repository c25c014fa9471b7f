from dataclasses import replace

import numpy as np
import pytest

from data_collection.flaws import FlawedHand, Flaws

NONE = Flaws(gain=1.0, speed=1.0, tremor=0.0, misjudgement=np.zeros(3), pauses=(), wanderings=(), drops=())


def hand(flaws: Flaws) -> FlawedHand:
    return FlawedHand(flaws, np.random.default_rng(0))


def test_severity_zero_draws_no_flaw() -> None:
    drawn = Flaws.draw(0.0, np.random.default_rng(3), horizon=50)
    np.testing.assert_array_equal(drawn.misjudgement, np.zeros(3))
    assert replace(drawn, misjudgement=NONE.misjudgement) == NONE


def test_a_flawless_hand_does_what_is_intended_within_range() -> None:
    action = hand(NONE).execute(np.array([0.3, -0.2, 4.0, -1.0]), carrying=False)
    np.testing.assert_array_equal(action, [0.3, -0.2, 1.0, -1.0])


def test_gain_and_speed_change_the_motion_but_not_the_fingers() -> None:
    action = hand(replace(NONE, gain=2.0, speed=0.5)).execute(np.array([0.2, 0.4, -0.1, -0.7]), carrying=True)
    np.testing.assert_allclose(action, [0.4, 0.5, -0.2, -0.7])


def test_a_pause_stands_still_with_the_fingers_as_they_were() -> None:
    paused = hand(replace(NONE, pauses=((1, 3),)))
    assert not paused.is_pausing()
    paused.execute(np.array([1.0, 1.0, 1.0, -0.6]), carrying=False)
    for _ in range(2):
        assert paused.is_pausing()
        np.testing.assert_array_equal(paused.pause(), [0.0, 0.0, 0.0, -0.6])
    assert not paused.is_pausing()


def test_a_drop_begins_while_something_is_carried_and_lasts_its_steps() -> None:
    dropping = hand(replace(NONE, drops=((1, 3),)))
    close = np.array([0.0, 0.0, 0.0, -1.0])
    carrying = [False, False, True, True, False, False, True, True]
    fingers = [dropping.execute(close, c)[3] for c in carrying]
    # The second step of carrying is the fourth of the episode; the object is lost, the fingers close again.
    assert fingers == [-1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0]


def test_wandering_keeps_one_direction_per_stretch() -> None:
    wandering = hand(replace(NONE, wanderings=((0, 3), (3, 5))))
    actions = np.stack([wandering.execute(np.zeros(4), carrying=False) for _ in range(6)])
    np.testing.assert_array_equal(actions[0], actions[2])
    np.testing.assert_array_equal(actions[3], actions[4])
    assert not np.array_equal(actions[0], actions[3])
    np.testing.assert_array_equal(actions[5], np.zeros(4))


def test_tremor_has_its_standard_deviation_and_is_correlated() -> None:
    trembling = hand(replace(NONE, tremor=0.1))
    actions = np.stack([trembling.execute(np.zeros(4), carrying=False) for _ in range(5000)])[20:]
    assert actions.std() == pytest.approx(0.1, rel=0.05)
    neighbours = (actions[1:] * actions[:-1]).mean() / actions.var()
    assert neighbours == pytest.approx(0.6, abs=0.05)
