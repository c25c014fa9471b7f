"""Pay within a share of the task's tolerance, for a sample's own goal and for goals in hindsight."""

import numpy as np
import pytest
from learning_toys import episode, goal_spec

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.data.sampling.tolerance import reward_within
from robot_orl.types import Array, Episode


def within_one(achieved: Array, desired: Array) -> Array:
    """Paid where the distance is below 1."""
    return np.asarray(np.linalg.norm(achieved - desired, axis=-1) < 1, np.float32) - np.float32(1)


def passing(places: list[float]) -> Episode:
    """The goal is (0, 0); the thing is at (x, 0) for these x."""
    count = len(places)
    thing = np.stack([np.float32(places), np.zeros(count, np.float32)], axis=1)
    obs = {"speed": np.zeros((count, 1)), "goal": np.zeros((count, 2)), "thing": thing}
    paid = within_one(thing[1:], np.zeros((count - 1, 2), np.float32))
    return episode(obs, np.zeros(count - 1), list(paid))


def approach(places: list[float]) -> Replay:
    return Replay(goal_spec(), within_one).extend([passing(places)])


def test_pay_ends_at_that_share_of_the_tolerance_in_every_direction() -> None:
    far = np.array([0.79, 0.81, -0.79, -0.81], np.float32)
    achieved, goal = np.stack([far, np.zeros(4, np.float32)], axis=1) + 5, np.full((4, 2), 5, np.float32)
    np.testing.assert_array_equal(reward_within(within_one, achieved, goal, 0.8), [0, -1, 0, -1])
    np.testing.assert_array_equal(reward_within(within_one, achieved, goal, 1.0), [0, 0, 0, 0])


def test_steps_are_paid_within_it_and_recorded_rewards_stay() -> None:
    replay = approach([3, 0.9, 0.7, 0.9, 0.7])
    np.testing.assert_array_equal(replay.rewards(), [0, 0, 0, 0])
    np.testing.assert_array_equal(replay.paid(0.8), [-1, 0, -1, 0])
    np.testing.assert_array_equal(replay.paid(0.6), [-1, -1, -1, -1])


def test_n_step_targets_sum_what_is_paid_within_it() -> None:
    replay = approach([3, 0.9, 0.7, 0.9, 0.7])
    sampling = Sampling(2, 2, 0.5, hindsight_share=1e-9, goal_tolerance=0.8)
    batch = replay.gather(np.array([0, 1]), sampling, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.reward, [-1 + 0.5 * 0, 0 + 0.5 * -1])


def test_without_hindsight_the_rewards_are_the_datas_own() -> None:
    sampling = Sampling(2, 2, 0.5, goal_tolerance=0.8)
    batch = approach([3, 0.9, 0.7, 0.9]).gather(np.array([0, 1]), sampling, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.reward, [0, 0])


def test_episodes_that_come_later_are_paid_alike() -> None:
    replay = approach([3, 0.9])
    np.testing.assert_array_equal(replay.paid(0.8), [-1])
    for _ in range(5):
        replay.add(passing([3, 0.7, 0.9]))
    np.testing.assert_array_equal(replay.paid(0.8), [-1, *([0, -1] * 5)])


@pytest.mark.parametrize(("tolerance", "paid"), [(1.0, 0.0), (0.5, -1.0)])
def test_goals_in_hindsight_are_paid_within_it_too(tolerance: float, paid: float) -> None:
    """The thing is at 3 and the goal becomes 2.4: reached within 1, not within a half."""
    replay = approach([5, 3, 2.4])
    sampling = Sampling(
        500, hindsight_share=1.0, hindsight_past=1.0, hindsight_min_move=0.7, goal_tolerance=tolerance
    )
    batch = replay.gather(np.zeros(500, np.int64), sampling, np.random.default_rng(0))
    to_last = batch.obs[:, 1] == np.float32(2.4)  # s' = 3, the goal 2.4: 0.6 away
    assert to_last.any()
    assert (batch.reward[to_last] == paid).all()
