"""Monte Carlo returns: by hand, at the borders of episodes, for other goals, in the mirror, in mixtures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_toys import episode, goal_spec, point_spec, points

from robot_orl.data.sampling.better import best_steps
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.mirror import mirror_of
from robot_orl.types import Array, Batch, Episode

TIME, GOAL, THING = 0, 1, 3  # columns of the flat observation of `goal_spec`
DISCOUNT = 0.5


def paid(achieved: Array, desired: Array) -> Array:
    """0 where the thing is at the goal within 0.1, else -1."""
    return (np.abs(achieved - desired).max(axis=-1) < 0.1).astype(np.float32) - np.float32(1)


def moving(things: list[float], terminated: bool = False) -> Episode:
    """The thing is at (x, 0) for each x, its own goal at (100, 100); `speed` is the number of the step."""
    count = len(things)
    obs = {
        "speed": np.arange(count),
        "thing": np.stack([things, np.zeros(count)], axis=1),
        "goal": np.full((count, 2), 100.0),
    }
    return episode(obs, np.zeros(count - 1), [-1.0] * (count - 1), terminated)


def drawn(replay: Replay, sampling: Sampling, seed: int = 0) -> Batch:
    return replay.sample(sampling, np.random.default_rng(seed))


def rows(batch: Batch) -> dict[float, tuple[float, float, float]]:
    """s -> (returns, tail, last s), for replays in which every s is another number."""
    assert batch.returns is not None
    assert batch.tail is not None
    assert batch.last_obs is not None
    found = zip(batch.obs[:, 0], batch.returns, batch.tail, batch.last_obs[:, 0], strict=True)
    return {float(s): (float(g), float(t), float(last)) for s, g, t, last in found}


def test_a_return_is_what_followed_and_stops_at_the_end_of_its_episode() -> None:
    replay = Replay(point_spec())
    replay.add(points([1, 2, 3, 4], [-1, -2, -4], terminated=True))
    replay.add(points([10, 20, 30], [-8, -16], terminated=True))
    assert rows(drawn(replay, Sampling(500, discount=DISCOUNT, trace=1.0))) == {
        1: (-1 - 1 - 1, 0, 4),  # -1 - 2/2 - 4/4
        2: (-2 - 2, 0, 4),
        3: (-4, 0, 4),
        10: (-8 - 8, 0, 30),
        20: (-16, 0, 30),
    }


def test_a_truncated_episode_tells_the_weight_of_what_is_unknown() -> None:
    replay = Replay(point_spec()).extend([points([1, 2, 3], [-1, -2], terminated=False)])
    assert rows(drawn(replay, Sampling(100, discount=DISCOUNT, trace=1.0))) == {
        1: (-2, 0.25, 3),
        2: (-2, 0.5, 3),
    }


def test_with_the_lowest_reward_forever_after_a_truncated_return_is_a_lower_bound() -> None:
    """Of an episode that goes on for 200 steps, seen in part: whatever its rewards in -1 .. 0 are."""
    reward = -np.random.default_rng(0).integers(0, 2, 200).astype(float)
    whole = Replay(point_spec()).extend([points(list(range(201)), list(reward), terminated=True)])
    part = Replay(point_spec()).extend([points(list(range(11)), list(reward[:10]))])
    sampling = Sampling(400, discount=0.9, trace=1.0)
    true, seen = rows(drawn(whole, replace_size(sampling, 4000))), rows(drawn(part, sampling))
    assert len(seen) == 10
    for s, (returns, tail, _) in seen.items():
        assert returns + tail * -1 / (1 - 0.9) <= true[s][0] + 1e-6
        assert returns > true[s][0], "alone, it is none"


def replace_size(sampling: Sampling, size: int) -> Sampling:
    return Sampling(size, discount=sampling.discount, trace=sampling.trace)


def test_no_returns_are_made_and_no_number_is_drawn_unless_asked_for() -> None:
    replay = Replay(goal_spec(), paid).extend([moving([0, 1, 2, 3])])
    rngs = [np.random.default_rng(0) for _ in range(2)]
    plain, full = (
        replay.sample(Sampling(50, hindsight_share=0.5, trace=trace), rng)
        for trace, rng in zip((None, 1.0), rngs, strict=True)
    )
    assert plain.returns is plain.tail is plain.last_obs is None
    assert set(plain.arrays()) == {"obs", "action", "reward", "discount", "next_obs"}
    for name, array in plain.arrays().items():
        np.testing.assert_array_equal(getattr(full, name), array)
    assert rngs[0].random() == rngs[1].random()


def test_returns_of_relabelled_goals_are_paid_for_these_goals() -> None:
    replay = Replay(goal_spec(), paid).extend([moving([0, 1, 2, 2, 5]), moving([50, 51], terminated=True)])
    batch = drawn(replay, Sampling(3000, discount=DISCOUNT, hindsight_share=1.0, trace=1.0))
    assert batch.returns is not None
    assert batch.tail is not None
    assert batch.last_obs is not None
    found = {
        (float(o[THING]), float(o[TIME]), float(o[GOAL])): (float(g), float(t))
        for o, g, t in zip(batch.obs, batch.returns, batch.tail, strict=True)
    }
    assert found == {
        (0, 0, 1): (0 - 0.5 - 0.25 - 0.125, 0.0625),  # reached, then left
        (0, 0, 2): (-1 + 0 + 0 - 0.125, 0.0625),  # reached, held, left
        (0, 0, 5): (-1 - 0.5 - 0.25 + 0, 0.0625),
        (1, 1, 2): (0 + 0 - 0.25, 0.125),
        (1, 1, 5): (-1 - 0.5 + 0, 0.125),
        (2, 2, 5): (-1 + 0, 0.25),
        (2, 3, 5): (0, 0.5),
        (2, 2, 100): (-1 - 0.5, 0.25),  # drew (2, 0), where the thing is already: its own goal stays
        (50, 0, 51): (0, 0),  # terminated
    }
    np.testing.assert_array_equal(batch.last_obs[:, GOAL], batch.obs[:, GOAL])
    assert set(batch.last_obs[:, THING]) == {5, 51}


def test_goals_count_as_reached_within_the_tolerance_of_the_batch() -> None:
    near = moving([0, 1, 1.06])  # 0.06 from the goal (1, 0): within 0.1, not within its half
    replay = Replay(goal_spec(), paid).extend([near])
    found = []
    for tolerance in (1.0, 0.5):
        batch = drawn(replay, Sampling(300, discount=DISCOUNT, hindsight_share=1.0, trace=1.0,
                                       goal_tolerance=tolerance))  # fmt: skip
        assert batch.returns is not None
        mine = (batch.obs[:, TIME] == 0) & (batch.obs[:, GOAL] == 1)
        found.append(set(batch.returns[mine]))
    assert found == [{0.0}, {-0.5}]


def lambda_return(reward: Array, value: Array, discount: float, trace: float, terminated: bool) -> float:
    """By the recursion G = r + discount * ((1 - trace) V(s') + trace G'), from the end backwards."""
    total = 0.0 if terminated else float(value[-1])
    for k in reversed(range(len(reward))):
        bootstrap = 0.0 if terminated and k == len(reward) - 1 else float(value[k])
        if k == len(reward) - 1:
            total = float(reward[k]) + discount * bootstrap
        else:
            total = float(reward[k]) + discount * ((1 - trace) * bootstrap + trace * total)
    return total


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("trace", [0.0, 0.5, 0.95, 1.0])
def test_in_expectation_a_trace_gives_the_td_lambda_return(trace: float, terminated: bool) -> None:
    states, reward = [0.0, 1.0, 2.0, 3.0, 4.0], [-1.0, 0.0, -2.0, -1.0]
    replay = Replay(point_spec()).extend([points(states, reward, terminated), points([9, 8], [-50])])
    batch = drawn(replay, Sampling(40_000, discount=0.9, trace=trace))
    assert batch.returns is not None
    assert batch.tail is not None
    assert batch.last_obs is not None
    value = 3 * batch.last_obs[:, 0] - 10  # V(s) = 3 s - 10
    mine = batch.obs[:, 0] == 0
    found = (batch.returns + batch.tail * value)[mine].astype(float)
    expected = lambda_return(np.array(reward), 3 * np.array(states[1:]) - 10, 0.9, trace, terminated)
    assert mine.sum() > 7000
    assert found.mean() == pytest.approx(expected, abs=4 * float(found.std()) / 80 + 1e-5)
    assert trace in (0, 1) or found.std() > 0.1


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    trace=st.sampled_from([0.5, 1.0]),
)
def test_returns_equal_a_slow_reference_also_after_the_replay_has_grown(
    seed: int, lengths: list[int], trace: float
) -> None:
    rng, replay, reference, first = np.random.default_rng(seed), Replay(point_spec()), {}, 0.0
    sampling = Sampling(200, discount=DISCOUNT, trace=trace)
    for length in lengths:
        reward = -rng.integers(0, 3, length).astype(float)
        terminated = bool(rng.random() < 0.5)
        replay.add(points(list(np.arange(first, first + length + 1)), list(reward), terminated))
        for t in range(length):
            reference[first + t] = first, reward, terminated
        first += length + 1
        for s, (returns, tail, last) in rows(drawn(replay, sampling, seed)).items():
            start, reward_of, ends = reference[s]
            begin, stop = int(s - start), int(last - start)
            path = reward_of[begin:stop]
            assert returns == sum(r * DISCOUNT**k for k, r in enumerate(path))
            is_over = ends and stop == len(reward_of)
            assert tail == (0 if is_over else DISCOUNT ** len(path))
            assert trace < 1 or stop == len(reward_of)


def test_a_mixture_has_the_returns_of_both_sides() -> None:
    old = Replay(point_spec()).extend([points([1, 2], [-1], terminated=True)])
    new = Replay(point_spec()).extend([points([10, 20], [-4])])
    batch = Mixture(old, new, 0.5).sample(Sampling(8, discount=0.5, trace=1.0), np.random.default_rng(0))
    assert rows(batch) == {1: (-1, 0, 2), 10: (-4, 0.5, 20)}


def test_the_best_share_of_episodes_is_by_the_mean_reward_of_a_step() -> None:
    replay = Replay(point_spec())
    replay.add(points([0, 1], [-1]))
    replay.add(points([10, 11, 12, 13], [-1, 0, 0]))  # mean -1/3: a longer one with the same sum
    replay.add(points([20, 21, 22], [-1, 0]))
    replay.add(points([30, 31], [0]))
    for share, firsts in ((0.25, {30}), (0.5, {30, 10, 11, 12}), (0.01, {30})):
        assert set(drawn(replay, Sampling(300, best_share=share)).obs[:, 0]) == firsts
    assert len(set(drawn(replay, Sampling(300)).obs[:, 0])) == 7
    replay.add(points([40, 41], [0.5]))  # the replay grows, and a better one is among them
    assert set(drawn(replay, Sampling(300, best_share=0.2)).obs[:, 0]) == {40}


def test_of_equally_good_episodes_the_first_are_the_best() -> None:
    last_row = np.array([2, 2, 5, 5, 8, 8])
    assert best_steps(np.zeros(6, np.float32), last_row, 0.34).tolist() == [0, 1]
    assert best_steps(np.zeros(6, np.float32), last_row, 1.0).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_mirrored_sample_has_its_last_observation_in_the_mirror_and_the_same_return() -> None:
    spec = point_spec()
    flipped = mirror_of(spec, lambda name: (name, -1.0, 0.0))
    replay = Replay(spec, mirror=flipped).extend([points([1, 2, 3], [-1, -2])])
    found = rows(drawn(replay, Sampling(400, discount=DISCOUNT, mirror_share=0.5, trace=1.0)))
    assert found == {1: (-2, 0.25, 3), 2: (-2, 0.5, 3), -1: (-2, 0.25, -3), -2: (-2, 0.5, -3)}
