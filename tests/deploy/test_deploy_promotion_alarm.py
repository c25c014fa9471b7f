"""When the alarm is raised: thresholds at a stated rate, and distances worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from robot_orl.deploy.promotion.alarm import (
    STD_FLOOR,
    VARIANCE_FLOOR,
    Alarm,
    Calibration,
    calibrate,
    said,
    threshold,
    whitening,
)
from robot_orl.errors import DataError


def test_the_threshold_is_the_score_that_a_new_one_exceeds_at_the_rate() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 1000.0))  # 999 of them
    assert threshold(scores, 1e-3) == 999  # rank 1000 * 0.999
    assert threshold(scores, 0.1) == 900
    assert threshold(scores[:50], 1e-3) == scores[:50].max()  # too few to show so little


def test_an_alarm_states_no_lower_rate_than_its_states_can_show() -> None:
    states = np.random.default_rng(0).normal(size=(199, 2))
    assert calibrate(states, states, None, episodes=9, source="").rate == 1 / 200
    assert calibrate(states, states, None, rate=0.05, episodes=9, source="").rate == 0.05


def test_novelty_counts_standard_deviations() -> None:
    # Two independent signals of mean 10 and deviations 2 and 5.
    states = np.array([[8, 5], [12, 5], [8, 15], [12, 15]], np.float32)
    alarm = calibrate(states, states, None, episodes=1, source="")
    shrunk = math.sqrt(1 + VARIANCE_FLOOR)
    assert alarm.novelty(np.array([10, 10], np.float32)) == 0
    assert alarm.novelty(np.array([14, 10], np.float32)) == pytest.approx(2 / shrunk, rel=1e-5)
    assert alarm.novelty(np.array([16, 30], np.float32)) == pytest.approx(5 / shrunk, rel=1e-5)


def test_what_is_always_tied_together_is_new_as_soon_as_it_is_not() -> None:
    tied = np.repeat(np.random.default_rng(0).normal(size=(500, 1)), 2, axis=1).astype(np.float32)
    alarm = calibrate(tied[::2], tied[1::2], None, rate=0.01, episodes=5, source="")
    together, apart = np.array([0.5, 0.5], np.float32), np.array([0.5, -0.5], np.float32)
    assert alarm.alarm(alarm.novelty(together), math.nan, math.nan) == 0
    assert alarm.alarm(alarm.novelty(apart), math.nan, math.nan) == Alarm.NOVEL


def test_a_signal_that_hardly_varies_is_no_reason_for_an_alarm() -> None:
    states = np.full((10, 1), 3.0, np.float32)
    _, whiten = whitening(states)
    assert whiten[0, 0] == pytest.approx(1 / (STD_FLOOR * math.sqrt(VARIANCE_FLOOR)), rel=1e-5)


def test_value_and_disagreement_are_judged_by_their_own_tails() -> None:
    states = np.zeros((99, 1), np.float32)
    first = np.arange(-99.0, 0.0)  # -99 .. -1
    q = np.stack([first, first / 2])  # means 3/4, deviations 1/4 of the first
    alarm = calibrate(states, states, q, rate=0.1, episodes=3, source="")
    # The tenth lowest value is -90 * 3/4, the tenth highest deviation 90 / 4.
    assert (alarm.value_low, alarm.disagreement_high) == (-67.5, 22.5)
    assert alarm.alarm(0.0, -67.6, 22.6) == Alarm.LOW_VALUE | Alarm.UNSURE
    assert alarm.alarm(0.0, -67.5, 22.5) == 0
    one = calibrate(states, states, q[:1], episodes=3, source="")
    assert math.isnan(one.disagreement_high)  # one critic agrees with itself


def test_an_observation_that_is_no_number_is_new() -> None:
    states = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    alarm = calibrate(states, states, None, episodes=3, source="")
    assert alarm.alarm(alarm.novelty(np.array([np.nan, 0], np.float32)), math.nan, math.nan) == Alarm.NOVEL


def test_normal_states_raise_it_at_its_rate_and_planted_ones_always() -> None:
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(6, 6))
    normal = [(rng.normal(size=(4000, 6)) @ mix).astype(np.float32) for _ in range(3)]
    alarm = calibrate(normal[0], normal[1], None, rate=0.01, episodes=40, source="")
    raised = np.mean([alarm.novelty(state) > alarm.novelty_high for state in normal[2]])
    assert 0.005 < raised < 0.02  # 40 expected, deviation 6
    planted = normal[2][:200] + np.array([0, 0, 0, 30, 0, 0], np.float32)
    assert all(alarm.novelty(state) > alarm.novelty_high for state in planted)


def test_an_alarm_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    states = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    alarm = calibrate(states, states, None, episodes=3, source="by hand")
    alarm.save(tmp_path / "alarm.safetensors")
    told = alarm.thresholds()
    assert told["value_low"] is None  # JSON knows no NaN
    found = Calibration.load(tmp_path / "alarm.safetensors", told, 3)
    assert found.novelty(states[7]) == alarm.novelty(states[7])
    assert found.thresholds() == told
    with pytest.raises(DataError, match=r"is of shapes \(3,\), \(3, 3\), not 4 signals"):
        Calibration.load(tmp_path / "alarm.safetensors", told, 4)
    save_file({name: np.zeros((), np.float32) for name in ("mean", "whiten")}, tmp_path / "scalars")
    with pytest.raises(DataError, match=r"is of shapes \(\), \(\), not 3 signals"):
        Calibration.load(tmp_path / "scalars", told, 3)


def test_people_are_told_what_crossed() -> None:
    assert said(0) == ""
    assert said(Alarm.NOVEL | Alarm.LOW_VALUE) == "OUT OF DISTRIBUTION, INTERVENE: low value"
