"""RLPD: many critics, several of their updates for one of the actor, each on both kinds of data."""

from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import point_spec, points
from linear_awac import column
from linear_soft import batch, learned, linear, small

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay
from robot_orl.types import Batch

THREE = ((0, 0, 1.0), (0, 0, 2.0), (0, 0, 6.0))


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_the_actor_climbs_the_mean_of_all_critics() -> None:
    agent = linear("rlpd", THREE, critic_subset=2, temperature=1e-8)
    loss, _ = agent.actor_loss(agent._policy.actor, column(0), column(0.0))
    assert loss.item() == pytest.approx(-3, abs=1e-5)


def test_targets_take_the_minimum_of_two_drawn_critics() -> None:
    agent = linear("rlpd", THREE, critic_subset=2, entropy_backup=False)
    found = set()
    for _ in range(60):
        noise, members, _ = agent.draw(1)
        zero, one = torch.zeros(1), torch.ones(1)
        found.add(agent.target(zero, one, column(0), noise, members).item())
    assert found == {1, 2}


def test_an_update_moves_the_critics_so_many_times_and_the_actor_once() -> None:
    agent = small("rlpd", critics=3, critic_updates=5, batch_size=4)
    assert agent.sampling.batch_size == 20
    agent.update(batch(20))
    steps = [int(state["step"]) for state in agent.critic_optimizer.state_dict()["state"].values()]
    assert set(steps) == {5}
    for optimizer in (agent.actor_optimizer, agent.temperature_optimizer):
        assert {int(s["step"]) for s in optimizer.state_dict()["state"].values()} == {1}


def test_several_updates_are_those_of_its_parts_one_after_the_other() -> None:
    whole = small("rlpd", critics=2, critic_updates=2, batch_size=8, actor_learning_rate=0.0,
                  temperature_learning_rate=0.0)  # fmt: skip
    single = small("rlpd", critics=2, critic_updates=1, batch_size=8, actor_learning_rate=0.0,
                   temperature_learning_rate=0.0)  # fmt: skip
    data = batch(16)
    whole.update(data)
    draws = torch.Generator().manual_seed(0)
    assert torch.equal(draws.get_state(), single.generator.get_state())
    single.update(Batch(*(values[0::2] for values in data.arrays().values())))
    single.generator.manual_seed(0)  # and go on where the first part's draws end
    single.draw(8)
    single.update(Batch(*(values[1::2] for values in data.arrays().values())))
    for left, right in zip(weights(whole.critic), weights(single.critic), strict=True):
        torch.testing.assert_close(left, right)


def test_every_part_of_a_batch_is_half_old_data() -> None:
    old = Replay(point_spec()).extend([points([1, 1, 1, 1], [-1, -1, -1])])
    new = Replay(point_spec()).extend([points([2, 2, 2], [-1, -1])])
    agent = small("rlpd", critic_updates=5, batch_size=8)
    drawn = Mixture(old, new, 0.5).sample(agent.sampling, np.random.default_rng(0))
    for number in range(5):
        assert sorted(drawn.obs[number::5, 0].tolist()) == [1] * 4 + [2] * 4


@pytest.mark.e2e  # trains
def test_it_finds_the_best_action_of_all_from_any() -> None:
    def anywhere(rng: np.random.Generator, size: int) -> Any:
        return rng.uniform(-1, 1, size)

    agent = small("rlpd", critics=3, critic_updates=2, temperature=0.01, target_entropy=-3.0)
    assert learned(agent, anywhere, best=0.4, updates=150) == pytest.approx(0.4, abs=0.05)


def test_a_restored_agent_goes_on_bitwise() -> None:
    first, second = (small("rlpd", critics=3, critic_updates=2, batch_size=8) for _ in range(2))
    for seed in range(3):
        first.update(batch(16, seed))
    second.load_state_dict(first.state_dict())
    for agent in (first, second):
        agent.update(batch(16, 9))
    for name in ("_policy", "critic", "target_critic", "average", "temperature"):
        for left, right in zip(weights(getattr(first, name)), weights(getattr(second, name)), strict=True):
            assert torch.equal(left, right)
