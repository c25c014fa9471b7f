"""Batches of old and new data in fixed shares."""

from dataclasses import replace

import numpy as np
import pytest
from learning_toys import point_spec, points

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.types import Actor, Episode


def replay(first: int) -> Replay:
    values = list(range(first, first + 20))
    return Replay(point_spec()).extend([points(values, [-float(v) for v in values[1:]])])


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.25, 4), (0.3, 5), (0.5, 8), (0.9, 14), (1.0, 16)])
def test_a_fixed_share_of_every_batch_is_offline_data(share: float, old: int) -> None:
    mixture = Mixture(replay(0), replay(1000), share)
    rng = np.random.default_rng(0)
    for _ in range(20):
        batch = mixture.sample(Sampling(16), rng)
        assert batch.obs.shape == (16, 1)
        assert int((batch.obs[:, 0] < 1000).sum()) == old
        np.testing.assert_array_equal(batch.reward, -batch.next_obs[:, 0])  # rows stay whole
        np.testing.assert_array_equal(batch.action, batch.obs / np.float32(10))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_everything_is_offline_data_while_there_is_no_other(share: float) -> None:
    batch = Mixture(replay(0), Replay(point_spec()), share).sample(Sampling(16), np.random.default_rng(0))
    assert batch.obs.shape == (16, 1)
    assert (batch.obs < 1000).all()


def test_what_is_added_online_is_drawn_from_the_next_batch_on() -> None:
    online = Replay(point_spec())
    mixture, rng = Mixture(replay(0), online, 0.5), np.random.default_rng(0)
    assert (mixture.sample(Sampling(16), rng).obs < 1000).all()
    online.add(points([1000, 1001], [-1]))
    assert int((mixture.sample(Sampling(16), rng).obs >= 1000).sum()) == 8


# steps in which somebody had taken over


POLICY, INTERVENTION = int(Actor.POLICY), int(Actor.INTERVENTION)


def helped(first: int, actors: list[int]) -> Episode:
    """An online episode: positions from `first` on, and who acted."""
    made = points(list(range(first, first + len(actors) + 1)), [-1.0] * len(actors))
    return replace(made, actor=np.array(actors, np.uint8))


def test_interventions_have_a_share_of_their_own_on_the_side_of_the_demonstrations() -> None:
    """Of 40: 20 demonstrations, of which a quarter, 5, are of interventions; 20 of all that was online."""
    online = Replay(point_spec()).extend([helped(1000, [POLICY] * 4), helped(2000, [INTERVENTION] * 8)])
    online.add(helped(3000, [POLICY] * 8))
    mixture, rng = Mixture(replay(0), online, 0.5, 0.25), np.random.default_rng(0)
    batches = [mixture.sample(Sampling(40), rng).obs[:, 0] for _ in range(200)]
    for obs in batches:
        assert ((obs < 1000).sum(), len(obs)) == (15, 40)
        assert ((obs[15:20] >= 2000) & (obs[15:20] < 3000)).all()
    rest = np.concatenate([obs[20:] for obs in batches])  # 8 of its 20 steps are of interventions, too
    assert ((rest >= 2000) & (rest < 3000)).mean() == pytest.approx(8 / 20, abs=0.03)


def test_a_batch_has_no_more_interventions_than_there_are() -> None:
    online = Replay(point_spec()).extend([helped(1000, [POLICY, INTERVENTION, POLICY, INTERVENTION])])
    mixture, rng = Mixture(replay(0), online, 0.5, 1.0), np.random.default_rng(0)
    assert (mixture.sample(Sampling(40), rng).obs[:, 0] < 1000).sum() == 18
    online.add(helped(2000, [INTERVENTION] * 3))
    assert mixture.intervention_count(40) == 5  # those added since count
    assert (mixture.sample(Sampling(40), rng).obs[:, 0] < 1000).sum() == 15
    online.add(helped(3000, [INTERVENTION] * 30))
    assert mixture.intervention_count(40) == 20
    assert (mixture.sample(Sampling(40), rng).obs[:, 0] < 1000).sum() == 0


def test_where_nobody_took_over_batches_are_as_without_a_share_of_interventions() -> None:
    online = Replay(point_spec()).extend([helped(1000, [POLICY] * 4)])
    found = Mixture(replay(0), online, 0.5, 0.5).sample(Sampling(16), np.random.default_rng(0))
    expected = Mixture(replay(0), online, 0.5).sample(Sampling(16), np.random.default_rng(0))
    np.testing.assert_array_equal(found.obs, expected.obs)
