"""Laws of what a person is told about an episode before they save it."""

from dataclasses import replace

import numpy as np
import pytest
from learning_toys import points

from data_collection.teleop.doubts import doubts, unmoved
from data_collection.teleop.session import Label
from robot_orl.types import Actor

HZ, HORIZON = 25.0, 100  # 2 s are 50 steps
SUCCESS = "you say success, but the task does not: its rewards stay those of a failure"
FAILURE = "you say failure, but the task says success: its rewards stay those of a success"
NOBODY = "nobody acts in any of these steps: standing still would be learned"


def said(steps: int, still: range = range(0), label: Label | None = None, success: bool = False) -> str:
    flags = np.isin(np.arange(steps), still)
    return doubts(label or Label(), success, flags, HORIZON, HZ)


def test_an_episode_in_which_nobody_acts_is_told_however_short_it_is() -> None:
    assert said(1, range(1)) == NOBODY
    assert said(90, range(90)) == NOBODY
    assert said(90, range(89, 90)) == ""


@pytest.mark.parametrize(("still", "seconds"), [(49, None), (50, 2), (74, 2), (75, 3)])
def test_standing_still_is_told_after_two_seconds_of_it(still: int, seconds: int | None) -> None:
    told = "" if seconds is None else f"nobody acts for {seconds} s in a row: standing still would be learned"
    for start in (0, 5, 90 - still):  # at its beginning, amid it, at its end
        assert said(90, range(start, start + still)) == told


def test_only_what_is_kept_counts() -> None:
    assert said(90, range(30, 85), Label(trim=(0, 79))) == ""
    assert said(90, range(30, 85), Label(trim=(0, 80))) != ""
    assert said(90, range(30, 85), Label(trim=(30, 34))) == NOBODY


def test_all_that_is_to_be_told_is_told_in_one_line() -> None:
    assert said(9, label=Label(success=True)) == SUCCESS
    assert said(9, label=Label(success=False), success=True) == FAILURE
    assert said(9, label=Label(success=True), success=True) == ""
    longer = "101 steps; policies have 100 to do it, the task's horizon"
    assert said(101) == longer
    assert said(101, range(101), Label(success=True)) == f"{SUCCESS}; {NOBODY}; {longer}"


def test_a_policys_steps_are_nobodys_standing_still() -> None:
    """Of four steps nobody proposes the first, a policy acts in the second, a person in the others."""
    actor = np.array([Actor.HUMAN, Actor.POLICY, Actor.HUMAN, Actor.INTERVENTION], np.uint8)
    proposed = np.array([[np.nan], [np.nan], [0.0], [0.5]], np.float32)
    episode = replace(points([0, 1, 2, 3, 4], [0] * 4), actor=actor, action_operator=proposed)
    assert unmoved(episode).tolist() == [True, False, False, False]
