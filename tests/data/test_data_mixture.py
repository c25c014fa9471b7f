"""Batches of old and new data in fixed shares."""

import numpy as np
import pytest
from learning_toys import point_spec, points

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling


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
