"""A share of the samples comes from the better episodes."""

import numpy as np
import pytest
from learning_toys import point_spec, points

from robot_orl.data.sampling.better import Better
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling


def test_better_steps_are_those_of_episodes_whose_mean_reward_is_above_the_mean() -> None:
    better = Better()
    reward = np.array([-1, -1, -1, -1, 0, -1, 0, 0], np.float32)
    last_row = np.array([3, 3, 3, 6, 6, 10, 10, 10])
    # mean rewards -1, -1 / 2 and -1 / 3, of mean -0.61
    assert better.of(reward, last_row).tolist() == [3, 4, 5, 6, 7]
    more = np.append(reward, [0, 0, 0]).astype(np.float32)
    # and 0, of mean -0.46: one falls behind
    assert better.of(more, np.append(last_row, [14] * 3)).tolist() == [*range(5, 11)]
    most = np.append(more, [9]).astype(np.float32)
    assert better.of(most, np.append(last_row, [14] * 3 + [16])).tolist() == [11], "the mean is 1.43"


def test_a_short_failure_is_not_better_than_a_long_success() -> None:
    reward = np.array([-1] * 10 + [-1] * 50 + [0] * 50, np.float32)
    last_row = np.array([10] * 10 + [111] * 100)
    assert Better().of(reward, last_row).tolist() == [*range(10, 110)]


def test_where_no_episode_is_better_there_is_none() -> None:
    assert len(Better().of(np.float32([-1, -1]), np.array([1, 3]))) == 0
    replay = Replay(point_spec()).extend([points([1, 2], [-1]), points([3, 4], [-1])])
    draws = replay.sample(Sampling(100, better_share=1.0), np.random.default_rng(0)).obs[:, 0]
    assert set(draws) == {1, 3}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_comes_from_better_episodes_and_the_rest_from_all(share: float) -> None:
    poor = [points(list(range(10 * k, 10 * k + 5)), [-1] * 4) for k in range(1, 4)]
    replay = Replay(point_spec()).extend([*poor, points([1, 2, 3, 4], [-1, -1, 0])])
    draws = replay.sample(Sampling(30_000, better_share=share), np.random.default_rng(1)).obs[:, 0]
    expected = share + (1 - share) * 3 / 15
    assert np.mean(draws < 10) == pytest.approx(expected, abs=0.01)
    assert set(draws[draws < 10]) == {1, 2, 3}


def test_what_is_better_is_told_anew_as_a_replay_grows_and_for_each_part_of_a_mixture() -> None:
    old = Replay(point_spec()).extend([points([1, 2], [-1]), points([3, 4], [0])])
    new = Replay(point_spec()).extend([points([11, 12], [0])])
    mixture, sampling = Mixture(old, new, 0.5), Sampling(40, better_share=1.0)
    rng = np.random.default_rng(2)
    assert set(mixture.sample(sampling, rng).obs[:, 0]) == {3, 11}
    new.add(points([13, 14], [2]))
    assert set(mixture.sample(sampling, rng).obs[:, 0]) == {3, 13}
