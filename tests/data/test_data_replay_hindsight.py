"""Relabelled goals: from later in the same episode, paid on every step, only where something moved."""

import numpy as np
from learning_toys import episode, goal_spec

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.types import Array, Batch, Episode

OWN_GOAL = 100.0


def paid(achieved: Array, desired: Array) -> Array:
    """0 where the thing is at the goal within 0.1, else -1."""
    return (np.abs(achieved - desired).max(axis=-1) < 0.1).astype(np.float32) - np.float32(1)


def moving(things: list[float], terminated: bool = False) -> Episode:
    """The thing is at (x, 0) for each x; its own goal is at (100, 100); `speed` is the time step."""
    count = len(things)
    obs = {
        "speed": np.arange(count),
        "thing": np.stack([things, np.zeros(count)], axis=1),
        "goal": np.full((count, 2), OWN_GOAL),
    }
    return episode(obs, np.zeros(count - 1), [-1.0] * (count - 1), terminated)


def sampled(episodes: list[Episode], sampling: Sampling) -> Batch:
    return Replay(goal_spec(), paid).extend(episodes).sample(sampling, np.random.default_rng(0))


# columns of the flat observation: speed, goal (x, y), thing (x, y)
TIME, GOAL, THING = 0, 1, 3


def test_goals_come_from_later_steps_of_the_same_episode() -> None:
    episodes = [moving([0, 1, 2, 3]), moving([10, 11, 12]), moving([20, 21, 22, 23, 24])]
    batch = sampled(episodes, Sampling(5000, hindsight_share=1.0))
    seen = {(float(row[THING]), float(row[GOAL])) for row in batch.obs}
    later = {(float(s), float(g)) for first, last in ((0, 3), (10, 12), (20, 24))
             for s in range(first, last) for g in range(s + 1, last + 1)}  # fmt: skip
    assert seen == later
    np.testing.assert_array_equal(batch.obs[:, GOAL : GOAL + 2], batch.next_obs[:, GOAL : GOAL + 2])
    assert (batch.obs[:, GOAL + 1] == 0).all()


def test_goals_may_come_from_the_whole_episode() -> None:
    episodes = [moving([0, 1, 2, 3]), moving([10, 11, 12])]
    batch = sampled(episodes, Sampling(5000, hindsight_share=1.0, hindsight_past=1.0))
    seen = {(float(row[THING]), float(row[GOAL])) for row in batch.obs if row[GOAL] != OWN_GOAL}
    # every other place of the episode, the one that it starts from included; its own would not have moved
    anywhere = {(float(s), float(g)) for first, last in ((0, 3), (10, 12))
                for s in range(first, last) for g in range(first, last + 1) if s != g}  # fmt: skip
    assert seen == anywhere
    left = batch.obs[:, GOAL] < batch.obs[:, THING]
    assert (batch.reward[left] == -1).all()


def test_as_many_goals_come_from_the_whole_episode_as_asked_for() -> None:
    things = [float(x) for x in range(101)]
    sampling = Sampling(20_000, hindsight_share=1.0, hindsight_past=0.5)
    batch = sampled([moving(things)], sampling)
    late = batch.obs[batch.obs[:, THING] == 90]  # of its 101 places 90 lie before it
    before = (late[:, GOAL] < 90).mean()
    assert abs(before - 0.5 * 90 / 101) < 0.15  # 4 standard deviations of 200


def test_each_later_step_is_as_likely() -> None:
    batch = sampled([moving([0, 1, 2, 3, 4])], Sampling(20_000, hindsight_share=1.0))
    first = batch.obs[batch.obs[:, THING] == 0]
    _, counts = np.unique(first[:, GOAL], return_counts=True)
    expected = len(first) / 4
    assert ((counts - expected) ** 2 / expected).sum() < 11.3  # 99% of chi-square with 3 degrees


def test_rewards_are_paid_anew_on_every_one_of_the_n_steps() -> None:
    batch = sampled([moving([0, 1, 2, 2, 5])], Sampling(2000, n_step=3, discount=0.5, hindsight_share=1.0))
    rows = zip(batch.obs[:, TIME], batch.obs[:, GOAL], batch.reward, batch.discount, strict=True)
    found = {(float(t), float(g)): (float(r), float(d)) for t, g, r, d in rows}
    assert found == {
        (0, 1): (0 - 0.5 - 0.25, 0.125),  # reached, then left
        (0, 2): (-1 + 0 + 0, 0.125),  # reached at the second step, held at the third
        (0, 5): (-1 - 0.5 - 0.25, 0.125),
        (1, 2): (0 + 0 - 0.25, 0.125),
        (1, 5): (-1 - 0.5 + 0, 0.125),
        (2, OWN_GOAL): (-1 - 0.5, 0.25),  # drew (2, 0), where the thing is already
        (2, 5): (-1 + 0, 0.25),  # two steps are left
        (3, 5): (0, 0.5),
    }


def test_a_terminated_episode_does_not_bootstrap_under_another_goal_either() -> None:
    batch = sampled([moving([0, 1, 2], terminated=True)], Sampling(200, discount=0.5, hindsight_share=1.0))
    last = batch.obs[:, TIME] == 1
    assert (batch.discount[last] == 0).all()
    assert (batch.discount[~last] == 0.5).all()


def test_a_goal_that_is_already_reached_is_not_given() -> None:
    still = moving([7, 7, 7, 7])
    batch = sampled([still], Sampling(200, hindsight_share=1.0, hindsight_min_move=0.01))
    assert (batch.obs[:, GOAL] == OWN_GOAL).all()
    assert (batch.reward == -1).all()
    nudged = moving([7, 7.25, 7.25])
    for min_move, is_relabelled in ((0.25, True), (0.26, False)):
        batch = sampled([nudged], Sampling(200, hindsight_share=1.0, hindsight_min_move=min_move))
        first = batch.obs[batch.obs[:, TIME] == 0]
        assert (first[:, GOAL] == (7.25 if is_relabelled else OWN_GOAL)).all()


def test_the_share_of_relabelled_samples_is_kept() -> None:
    episodes = [moving(list(range(51)))]
    for share in (0.0, 0.3, 0.8, 1.0):
        batch = sampled(episodes, Sampling(20_000, hindsight_share=share))
        found = (batch.obs[:, GOAL] != OWN_GOAL).mean()
        assert abs(found - share) < 0.015  # 4 standard deviations


def test_the_replay_itself_keeps_its_own_goals_and_rewards() -> None:
    replay = Replay(goal_spec(), paid).extend([moving([0, 1, 2])])
    before = replay.observations().copy()
    replay.sample(Sampling(500, n_step=2, hindsight_share=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(replay.observations(), before)
    unchanged = replay.sample(Sampling(50), np.random.default_rng(0))
    assert (unchanged.reward == -1).all()
