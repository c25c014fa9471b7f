"""A chain whose optimum is known: AWAC finds the few good actions, cloning stays at the data's mean.

    left end (-1, lost)  <-  start (0)  ->  right end (+1, won)

The first action's sign decides where it goes and pays -1 either way; the second step pays 0 at the right
end and -1 at the left one and terminates. So only the bootstrapped value of the next state tells the two
kinds of demonstrations apart.
"""

from typing import Any

import numpy as np
import pytest
from learning_toys import episode, identity, point_spec

from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import Agent, act
from robot_orl.agents.bc import BC, BCConfig
from robot_orl.data.sampling.replay import Replay

pytestmark = pytest.mark.e2e  # trains

START = np.zeros(1, np.float32)


@pytest.fixture(scope="module")
def demonstrations() -> Replay:
    """400 episodes; a fifth goes right with 0.6 .. 1, the others left with -1 .. -0.6."""
    rng, replay = np.random.default_rng(0), Replay(point_spec())
    for number in range(400):
        side = 1 if number % 5 == 0 else -1
        actions = [side * rng.uniform(0.6, 1), rng.uniform(-1, 1)]
        won = side == 1
        replay.add(episode({"position": np.array([0, side, side])}, actions, [-1, 0 if won else -1], True))
    return replay


def trained(agent: Agent, replay: Replay, updates: int) -> float:
    """What the agent does at the start."""
    rng = np.random.default_rng(1)
    for _ in range(updates):
        agent.update(replay.sample(agent.sampling, rng))
    return float(act(agent.policy(), START)[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": "softmax", "temperature": 0.1},
        {"weights": "exp", "temperature": 0.1},
        {"weights": "exp_std", "temperature": 0.3, "layer_norm": True, "bound_targets": True, "n_step": 2},
    ],
    ids=["softmax", "exp", "exp_std"],
)
def test_awac_finds_the_good_actions(demonstrations: Replay, settings: dict[str, Any]) -> None:
    cfg = AWACConfig(hidden=[16, 16], batch_size=128, discount=0.9, actor_learning_rate=5e-3,
                     critic_learning_rate=5e-3, target_rate=0.05, **settings)  # fmt: skip
    agent = AWAC(cfg, point_spec(), identity(point_spec()), seed=0)
    assert 0.5 < trained(agent, demonstrations, 500) < 1


def test_bc_stays_at_the_mean_of_the_data(demonstrations: Replay) -> None:
    cfg = BCConfig(hidden=[16, 16], batch_size=128, learning_rate=5e-3, actor_average=1.0)
    agent = BC(cfg, point_spec(), identity(point_spec()), seed=0)
    assert trained(agent, demonstrations, 500) == pytest.approx(0.2 * 0.8 - 0.8 * 0.8, abs=0.1)
