"""Cloning: its loss by hand, and of which episodes it is."""

import math
from typing import Any

import numpy as np
import pytest
from learning_toys import identity, point_spec, points
from linear_agents import bandit, column, train

from robot_orl.agents.bc import BC, BCConfig
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import UsageError


def bc(**settings: Any) -> BC:
    cfg = BCConfig(hidden=[], batch_size=256, learning_rate=0.03, actor_average=0.05, **settings)
    return BC(cfg, point_spec(), identity(point_spec()), seed=0)


def test_the_loss_is_the_mean_negative_likelihood() -> None:
    agent = bc(log_std_low=math.log(0.5), log_std_high=math.log(0.5))
    output: Any = agent._policy.actor.net[0]
    output.weight.data.zero_()
    output.bias.data.zero_()
    loss, metrics = agent.actor_loss(agent._policy.actor, column(1, 2), column(0.5, -1))
    # z = 1 and -2: -(-0.5 - 2) / 2 - ln 2 + 0.918939
    assert loss.item() == pytest.approx(1.25 - math.log(2) + 0.918939, abs=1e-5)
    assert metrics["actor/std"].item() == pytest.approx(0.5)


@pytest.mark.parametrize(("share", "best"), [(1.0, 0.0), (0.5, 0.5), (0.1, 0.9)])
def test_it_clones_the_mean_of_the_best_share_of_the_episodes(share: float, best: float) -> None:
    """Uniform actions that pay what they are: the best share p has the mean 1 - p."""
    assert train(bc(best_share=share), bandit(), 200) == pytest.approx(best, abs=0.04)


def test_a_best_share_keeps_one_episode_at_least_and_none_is_no_share() -> None:
    replay = Replay(point_spec()).extend([points([1, 2], [-1]), points([5, 6], [0])])
    agent = bc(best_share=0.01)
    batch = replay.sample(agent.sampling, np.random.default_rng(0))
    assert set(batch.obs[:, 0]) == {5}
    with pytest.raises(UsageError, match=r"best_share=0\.0 is outside"):
        BCConfig(best_share=0.0)
