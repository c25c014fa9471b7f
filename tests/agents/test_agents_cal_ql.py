"""Cal-QL is CQL that leaves values of the policy's actions at the returns that the data had."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import point_spec, points
from linear_awac import column
from linear_soft import bandit, learned, linear, narrow, set_gaussian, small

from robot_orl.agents.cal_ql import CalQLConfig
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import UsageError
from robot_orl.training.checks.data_checks import require_rewards
from robot_orl.types import Batch

CHANCE = -math.log(2)


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


def batch(returns: float, size: int = 64) -> Batch:
    """One-step episodes; as if their returns were others than their rewards."""
    rng = np.random.default_rng(0)
    action, zero = rng.uniform(-1, 1, (size, 1)).astype(np.float32), np.zeros(size, np.float32)
    start = rng.normal(size=(size, 1)).astype(np.float32)
    known = np.full(size, returns, np.float32)
    return Batch(start, action, -(action[:, 0] ** 2), zero, start, known, zero, start)


def gradients(agent: Any, data: Batch) -> Any:
    draw = agent.draw(len(data.action))
    return agent.gradients(*agent.inputs(data), *draw, agent.floor(data))


def twins(**settings: Any) -> tuple[Any, Any]:
    """CQL and Cal-QL with the same weights and the same random numbers to come."""
    settings = {"backup_actions": 2, "action_samples": 3, "conservative_weight": 2.0} | settings
    plain, calibrated = small("cql", **settings), small("cal_ql", **settings)
    calibrated.load_state_dict(plain.state_dict())
    return plain, calibrated


def test_with_returns_of_minus_infinity_it_is_cql() -> None:
    plain, calibrated = twins()
    data = batch(-math.inf)
    expected, found = plain.update(data), calibrated.update(data)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    for left, right in zip(plain.critic.parameters(), calibrated.critic.parameters(), strict=True):
        assert torch.equal(left, right)


def test_with_returns_above_every_value_the_policys_actions_are_not_pressed_down() -> None:
    agent = linear("cal_ql", ((0, 1.0, 0), (0, 1.0, 0)), mean=0.3, action_samples=1)
    samples, density = torch.tensor([[[0.2]], [[0.4]], [[-0.6]]]), torch.full((3, 1), CHANCE)
    floor = torch.tensor([50.0])
    q = samples[None, :, :, 0].expand(2, 3, 1)
    assert agent.calibrated(q, floor).flatten().tolist() == approx([50, 50, -0.6] * 2)
    loss, _ = agent.conservative_loss(
        agent.critic, column(0), column(0.5), torch.tensor([0.5]), samples, density, floor
    )
    # the target is met; only the data's action has a gradient, of 1 times the weight
    loss.backward()
    assert agent.critic.layers[0].bias.grad.flatten().tolist() == approx([-5, -5])


def test_the_penalty_counts_the_return_where_the_critic_is_below_it() -> None:
    agent = linear("cal_ql", ((0, 1.0, 0), (0, 0, 0)), action_samples=1, conservative_weight=2.0)
    samples, density = torch.tensor([[[-0.5]], [[0.5]], [[-0.25]]]), torch.full((3, 1), CHANCE)
    loss, (penalty, _) = agent.conservative_loss(
        agent.critic, column(0), column(0.25), torch.tensor([0.25]), samples, density, torch.tensor([0.1])
    )
    first = math.log((math.exp(0.1) + math.exp(0.5) + math.exp(-0.25)) / 3) - 0.25
    second = math.log((2 * math.exp(0.1) + 1) / 3)
    assert penalty.flatten().tolist() == approx([first, second])
    assert loss.item() == approx(0.25**2 + 2 * (first + second))


def test_returns_between_lie_between() -> None:
    plain, calibrated = twins(action_gap=0.0)
    penalties = []
    for agent, data in ((plain, batch(-math.inf)), (calibrated, batch(-0.2)), (calibrated, batch(5.0))):
        agent.generator.manual_seed(0)
        found = agent.gradients(*agent.inputs(data), *agent.draw(64), torch.from_numpy(data.returns))
        penalties.append(found[-1]["critic/penalty"].item())
    assert penalties[0] < penalties[1] < penalties[2]


# the floor


def floors(agent: Any, *episodes: Any) -> dict[float, float]:
    """By position, as a replay gives them."""
    replay = Replay(point_spec()).extend(episodes)
    data = replay.sample(agent.sampling, np.random.default_rng(0))
    return dict(zip(data.obs[:, 0].tolist(), agent.floor(data).tolist(), strict=True))


def test_the_floor_of_an_episode_that_terminated_is_its_discounted_return() -> None:
    agent = small("cal_ql", discount=0.5)
    found = floors(agent, points([0, 1, 2, 3], [-1, -1, 0], terminated=True))
    assert found == {0: approx(-1.5), 1: approx(-1), 2: approx(0)}


def test_the_floor_of_one_that_was_cut_off_is_as_if_the_lowest_reward_went_on() -> None:
    agent = small("cal_ql", discount=0.5, n_step=2)
    found = floors(agent, points([0, 1, 2], [-1, 0]))
    # -1 / (1 - 0.5) behind the end
    assert found == {0: approx(-1 + 0 - 0.25 * 2), 1: approx(0 - 0.5 * 2)}
    worse = small("cal_ql", discount=0.5, lowest_reward=-3.0)
    assert floors(worse, points([0, 1, 2], [-1, 0]))[1] == approx(-0.5 * 6)


def test_no_floor_reaches_into_the_next_episode() -> None:
    agent = small("cal_ql", discount=0.5)
    first, second = points([0, 1], [-1], terminated=True), points([5, 6, 7], [0, -1], terminated=True)
    assert floors(agent, first, second) == {0: approx(-1), 5: approx(-0.5), 6: approx(-1)}


def test_a_floor_needs_an_end_of_all_things() -> None:
    with pytest.raises(UsageError, match="cal_ql needs discount < 1"):
        CalQLConfig(discount=1.0)


def test_rewards_below_the_lowest_are_refused_in_one_line() -> None:
    replay = Replay(point_spec()).extend([points([0, 1, 2], [-3, 0])])
    with pytest.raises(UsageError) as raised:
        require_rewards(replay, CalQLConfig(), "data/x")
    assert str(raised.value) == (
        "the rewards of the data lie in -3 .. 0, and agent.lowest_reward=-1 is above that: returns of "
        "cut-off episodes would be no lower bound; set agent.lowest_reward to the lowest reward of the task"
    )
    require_rewards(replay, CalQLConfig(lowest_reward=-3.0), "data/x")


# what it is for


@pytest.mark.e2e  # trains
def test_values_of_the_policys_actions_sink_less_than_cqls() -> None:
    """Everything is paid -1; the policy acts at 0.83 and the data within 0.5."""
    values = []
    for name in ("cql", "cal_ql"):
        agent = small(name, action_samples=4, backup_actions=1, actor_learning_rate=0.0)
        set_gaussian(agent._policy.actor, 1.2, 0.3)
        rng, size = np.random.default_rng(0), agent.sampling.batch_size
        for _ in range(100):
            paid = bandit(rng, narrow, 0.0, size)
            one = np.ones(size, np.float32)
            agent.update(replace(paid, reward=-one, returns=-one))
        values.append(agent.q_values(column(0), column(math.tanh(1.2))).amin().item())
    assert values[0] < values[1] - 0.5 < -1


@pytest.mark.e2e  # trains
def test_it_finds_the_best_action_that_the_data_hold() -> None:
    settings: dict[str, Any] = {"action_samples": 4, "backup_actions": 2, "temperature": 0.01}
    agent = small("cal_ql", conservative_weight=0.1, target_entropy=-3.0, **settings)
    assert learned(agent, narrow, best=0.3, updates=250) == pytest.approx(0.3, abs=0.06)
