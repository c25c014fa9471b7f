"""What a batch holds: the right neighbours, n-step sums and discounts, uniform draws, refused episodes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_toys import episode, goal_spec, point_spec, points

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.errors import DataError
from robot_orl.types import Actor, Array, Batch, Episode


def by_first_obs(batch: Batch) -> dict[float, tuple[float, float, float]]:
    """s -> (n-step reward, discount, s'), for replays in which every s is another number."""
    rows = zip(batch.obs[:, 0], batch.reward, batch.discount, batch.next_obs[:, 0], strict=True)
    return {float(s): (float(r), float(d), float(n)) for s, r, d, n in rows}


def everything(
    replay: Replay, n_step: int = 1, discount: float = 0.5
) -> dict[float, tuple[float, float, float]]:
    return by_first_obs(replay.sample(Sampling(5000, n_step, discount), np.random.default_rng(0)))


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not() -> None:
    replay = Replay(point_spec())
    replay.add(points([1, 2, 3], [-1, -1], terminated=False))
    replay.add(points([4, 5, 6], [-1, 0], terminated=True))
    found = everything(replay, discount=0.5)
    assert found == {1: (-1, 0.5, 2), 2: (-1, 0.5, 3), 4: (-1, 0.5, 5), 5: (0, 0, 6)}


def test_n_step_rewards_and_discounts_stop_at_the_end_of_the_episode() -> None:
    replay = Replay(point_spec())
    replay.add(points([1, 2, 3, 4, 5], [-1, -2, -4, -8], terminated=False))
    replay.add(points([10, 20, 30], [-16, -32], terminated=True))
    found = everything(replay, n_step=3, discount=0.5)
    assert found == {
        1: (-1 - 1 - 1, 0.125, 4),  # -1 - 2/2 - 4/4, three steps ahead
        2: (-2 - 2 - 2, 0.125, 5),
        3: (-4 - 4, 0.25, 5),  # two steps are left
        4: (-8, 0.5, 5),
        10: (-16 - 16, 0.0, 30),
        20: (-32, 0.0, 30),
    }


def test_a_long_n_step_in_the_last_episode_reads_nothing_beyond_it() -> None:
    replay = Replay(point_spec()).extend([points([1, 2], [-1]), points([3, 4], [-2])])
    assert everything(replay, n_step=50, discount=0.5) == {1: (-1, 0.5, 2), 3: (-2, 0.5, 4)}


def test_each_observation_keeps_its_own_action_and_successor_across_episodes() -> None:
    rng = np.random.default_rng(1)
    replay = Replay(point_spec())
    start = 0
    for length in rng.integers(1, 9, size=40):
        replay.add(points(list(range(start, start + length + 1)), [-1.0] * length))
        start += length + 10  # the next episode continues nowhere
    batch = replay.sample(Sampling(4000), rng)
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)
    np.testing.assert_array_equal(batch.action, batch.obs / np.float32(10))
    assert len(np.unique(batch.obs)) == len(replay)


def test_steps_are_drawn_uniformly_whatever_their_episode_is() -> None:
    replay = Replay(point_spec())
    replay.add(points([0, 1], [-1]))
    replay.add(points(list(range(10, 30)), [-1] * 19))
    draws = replay.sample(Sampling(20_000), np.random.default_rng(7)).obs[:, 0]
    _, counts = np.unique(draws, return_counts=True)
    assert len(counts) == 20
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert 7.6 < chi_square < 36.2  # the central 98% of chi-square with 19 degrees of freedom


def test_growing_keeps_what_is_there() -> None:
    episodes = [points([i, i + 0.25, i + 0.5], [-1, -i]) for i in range(100)]
    grown, capacities = Replay(point_spec()), set()
    for added in episodes:
        grown.add(added)
        capacities.add(len(grown._action))
    assert len(capacities) <= 8  # doubled, not grown by each episode
    assert (len(grown), grown.episodes) == (200, 100)
    expected = np.concatenate([added.obs["position"] for added in episodes])
    np.testing.assert_array_equal(grown.observations(), expected)
    found = everything(grown)
    assert all(found[i] == (-1, 0.5, i + 0.25) and found[i + 0.25] == (-i, 0.5, i + 0.5) for i in range(100))


def test_episodes_that_are_added_between_draws_count_for_every_way_of_sampling() -> None:
    replay = Replay(point_spec())
    replay.add(points([1, 2, 3], [-1, -2]))
    assert everything(replay, n_step=2) == {1: (-2, 0.25, 3), 2: (-2, 0.5, 3)}
    assert everything(replay, n_step=1) == {1: (-1, 0.5, 2), 2: (-2, 0.5, 3)}
    replay.add(points([10, 20, 30], [-8, -16], terminated=True))
    two = {1: (-2, 0.25, 3), 2: (-2, 0.5, 3), 10: (-16, 0, 30), 20: (-16, 0, 30)}
    assert everything(replay, n_step=2) == two
    assert everything(replay, n_step=1) == {
        1: (-1, 0.5, 2),
        2: (-2, 0.5, 3),
        10: (-8, 0.5, 20),
        20: (-16, 0, 30),
    }


def test_chosen_steps_come_in_the_order_in_which_they_were_asked_for() -> None:
    replay = Replay(point_spec()).extend([points([1, 2, 3], [-1, -2]), points([10, 20], [-8])])
    batch = replay.gather(np.array([2, 0, 2, 1]), Sampling(4, 2, 0.5), np.random.default_rng(0))
    np.testing.assert_array_equal(batch.obs[:, 0], [10, 1, 10, 2])
    np.testing.assert_array_equal(batch.next_obs[:, 0], [20, 3, 20, 3])
    np.testing.assert_array_equal(batch.reward, [-8, -2, -8, -2])
    np.testing.assert_array_equal(batch.discount, [0.5, 0.25, 0.5, 0.5])


def test_a_batch_is_the_callers_own() -> None:
    replay, sampling = Replay(point_spec()).extend([points([1, 2, 3], [-1, -1])]), Sampling(20)
    first = replay.sample(sampling, np.random.default_rng(0))
    for name in ("obs", "action", "reward", "discount", "next_obs"):
        array = getattr(first, name)
        assert array.flags.owndata
        assert array.flags.c_contiguous
        array[:] = 99
    again = replay.sample(sampling, np.random.default_rng(0))
    assert set(again.obs[:, 0]) == {1, 2}
    assert (again.reward == -1).all()
    assert (first.obs == 99).all()


def test_reserved_room_is_not_data() -> None:
    replay = Replay(point_spec())
    replay.reserve(1000, 10)
    room = len(replay._action)
    replay.extend(points([i, i + 0.5], [-1]) for i in range(10))
    assert (len(replay), len(replay.observations()), len(replay._action)) == (10, 20, room)
    assert everything(replay) == {i: (-1, 0.5, i + 0.5) for i in range(10)}


def test_unknown_rewards_are_refused_and_nothing_of_the_episode_stays() -> None:
    replay = Replay(point_spec()).extend([points([1, 2], [-1])])
    with pytest.raises(DataError, match=r"^an episode by 'made' has unknown rewards: train without"):
        replay.add(points([3, 4, 5], [-1, np.nan]))
    assert (len(replay), replay.episodes) == (1, 1)
    assert everything(replay) == {1: (-1, 0.5, 2)}


def test_an_empty_replay_cannot_be_sampled() -> None:
    with pytest.raises(DataError, match="empty replay"):
        Replay(point_spec()).sample(Sampling(1), np.random.default_rng(0))


def test_without_a_reward_function_hindsight_changes_nothing() -> None:
    replay = Replay(point_spec()).extend([points([1, 2, 3], [-1, -1])])
    with_share = replay.sample(Sampling(50, hindsight_share=1.0), np.random.default_rng(3))
    without = replay.sample(Sampling(50), np.random.default_rng(3))
    assert_same(with_share, without)


# the slow reference


def reference(
    episodes: list[Episode], goal: bool, sampling: Sampling, rng: np.random.Generator
) -> tuple[list[Array], ...]:
    """A batch made with lists and loops, from the same random numbers in the same order."""
    spec = goal_spec() if goal else point_spec()
    steps = [(e, t) for e, one in enumerate(episodes) for t in range(len(one))]
    drawn = [steps[i] for i in rng.integers(len(steps), size=sampling.batch_size)]
    later, lucky = [0] * len(drawn), [0.0] * len(drawn)
    if goal and sampling.hindsight_share > 0:
        offsets = [sum(len(one) for one in episodes[:e]) for e, _ in drawn]
        first = [o + t for o, (_, t) in zip(offsets, drawn, strict=True)]
        last = [o + len(episodes[e]) for o, (e, _) in zip(offsets, drawn, strict=True)]
        later = [int(i) - o + 1 for i, o in zip(rng.integers(first, last), offsets, strict=True)]
        lucky = list(rng.random(len(drawn)))
    rows: tuple[list[Array], ...] = ([], [], [], [], [])
    for (e, t), goal_at, luck in zip(drawn, later, lucky, strict=True):
        one, end = episodes[e], min(t + sampling.n_step, len(episodes[e]))
        obs = {key: values[t].copy() for key, values in one.obs.items()}
        next_obs = {key: values[end].copy() for key, values in one.obs.items()}
        rewards = list(one.reward[t:end])
        if goal and luck < sampling.hindsight_share:
            new_goal = one.obs["thing"][goal_at]
            if np.linalg.norm(new_goal - obs["thing"]) >= sampling.hindsight_min_move:
                obs["goal"] = next_obs["goal"] = new_goal
                rewards = [paid(one.obs["thing"][i + 1], new_goal) for i in range(t, end)]
        total = 0.0
        for power, reward in enumerate(rewards):
            total += sampling.discount**power * float(reward)
        discount = 0.0 if one.terminated[end - 1] else sampling.discount ** (end - t)
        for column, value in zip(
            rows, (spec.flatten(obs), one.action[t], total, discount, spec.flatten(next_obs)), strict=True
        ):
            column.append(value)
    return rows


def paid(achieved: Array, desired: Array) -> Array:
    """0 within half a metre, else -1."""
    near = np.abs(np.asarray(achieved) - desired).max(axis=-1) < 0.5
    return near.astype(np.float32) - np.float32(1)


def assert_same(found: Batch, expected: Batch) -> None:
    for name in ("obs", "action", "reward", "discount", "next_obs"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def random_episode(rng: np.random.Generator, length: int, goal: bool) -> Episode:
    rewards = -rng.integers(0, 2, length).astype(float)
    terminated = bool(rng.random() < 0.5)
    if not goal:
        return points(list(rng.normal(size=length + 1)), list(rewards), terminated)
    thing = rng.integers(0, 2, (length + 1, 2)).cumsum(axis=0)  # stands still now and then
    obs = {"speed": rng.normal(size=length + 1), "goal": rng.normal(size=(length + 1, 2)), "thing": thing}
    return episode(obs, rng.normal(size=length), list(rewards), terminated)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    n_step=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    goal=st.booleans(),
)
def test_batches_equal_a_slow_reference_bit_for_bit(
    seed: int, lengths: list[int], n_step: int, share: float, goal: bool
) -> None:
    rng = np.random.default_rng(seed)
    episodes = [random_episode(rng, length, goal) for length in lengths]
    replay = Replay(goal_spec() if goal else point_spec(), paid if goal else None).extend(episodes)
    # powers of a half add up without rounding in any order
    sampling = Sampling(20, n_step, 0.5, share, hindsight_min_move=0.5)
    found = replay.sample(sampling, np.random.default_rng(seed))
    columns = reference(episodes, goal, sampling, np.random.default_rng(seed))
    assert_same(found, Batch(*(np.asarray(column, np.float32) for column in columns)))


def test_whole_episodes_are_read_back_by_their_number_and_those_without_a_step_do_not_count() -> None:
    replay = Replay(point_spec())
    empty = replace(points([7, 8], [-9]), obs={"position": np.zeros((1, 1))}, action=np.zeros((0, 1)))
    replay.extend([points([1, 2, 3], [-1, -2]), empty, points([4, 5], [-3], terminated=True)])
    assert replay.episodes == 2
    second, first = replay.trajectories([1, 0])
    assert [second.obs.tolist(), first.obs.tolist()] == [[[4], [5]], [[1], [2], [3]]]
    assert [second.reward.tolist(), first.reward.tolist()] == [[-3], [-1, -2]]
    assert (second.terminated, first.terminated) == (True, False)
    assert first.actor.tolist() == [Actor.SCRIPT, Actor.SCRIPT]
    assert np.allclose(first.action, [[0.1], [0.2]])
    assert replay.rewards().tolist() == [-1, -2, -3]
    assert replay.actions().shape == (3, 1)
