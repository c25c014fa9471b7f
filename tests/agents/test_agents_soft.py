"""The soft actor-critic that several agents are made of, against numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch
from linear_awac import column
from linear_soft import linear, log_density

TWO = ((2.0, 1.0, 0.5), (1.0, -1.0, 1.0))
NOISE = column(0.0, 1.0)  # with mean 0.3 and deviation 0.5: 0.3 and 0.8 before the tanh
A, B = math.tanh(0.3), math.tanh(0.8)
LOG_A, LOG_B = log_density(0.3, 0.3, 0.5), log_density(0.8, 0.3, 0.5)


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


def soft(critic: Any = TWO, target: Any = None, **settings: Any) -> Any:
    settings = {"mean": 0.3, "std": 0.5, "temperature": 0.25} | settings
    return linear("cql", critic, target, **settings)


def target(agent: Any, reward: list[float], discount: list[float], next_state: torch.Tensor) -> list[float]:
    members = torch.arange(len(agent.critic.layers[0].weight))
    found = agent.target(torch.tensor(reward), torch.tensor(discount), next_state, NOISE[None], members)
    return found.tolist()


def test_the_target_counts_the_entropy_of_the_next_action() -> None:
    agent = soft(((9, 9, 9), (9, 9, 9)), TWO, entropy_backup=True)
    found = target(agent, [-1.0, 0.0], [0.9, 0.81], column(1, -3))
    # the minimum of 2.5 + a and 2 - a; of -5.5 + b and -2 - b
    first, second = min(2.5 + A, 2 - A), min(-5.5 + B, -2 - B)
    assert found == approx([-1 + 0.9 * (first - 0.25 * LOG_A), 0.81 * (second - 0.25 * LOG_B)])


def test_the_target_without_entropy_is_reward_and_discounted_minimum() -> None:
    agent = soft(((9, 9, 9), (9, 9, 9)), TWO, entropy_backup=False)
    found = target(agent, [-1.0, 0.0], [0.9, 0.0], column(1, -3))
    assert found == approx([-1 + 0.9 * (2 - A), 0])


def test_a_terminated_step_is_worth_its_reward_alone() -> None:
    agent = soft(target=((1, 1, 1000),) * 2, entropy_backup=True)
    assert target(agent, [-1.0, 0.0], [0.0, 0.0], column(5, 6)) == [-1, 0]


def test_the_actor_climbs_the_minimum_of_the_critics_and_pays_for_certainty() -> None:
    agent = soft()
    loss, (log_prob, metrics) = agent.actor_loss(agent._policy.actor, column(1, -3), NOISE)
    assert log_prob.tolist() == approx([LOG_A, LOG_B])
    first, second = min(2.5 + A, 2 - A), min(-5.5 + B, -2 - B)
    assert loss.item() == approx((0.25 * LOG_A - first + 0.25 * LOG_B - second) / 2)
    assert metrics["actor/entropy"].item() == approx(-(LOG_A + LOG_B) / 2)
    assert metrics["actor/std"].item() == approx(0.5)


def test_the_actors_gradient_goes_through_the_action_and_its_density() -> None:
    agent = soft(((0, 3.0, 0),))
    agent.actor_loss(agent._policy.actor, column(0), column(0.0))[0].backward()
    bias = agent._policy.actor.net[-1].bias.grad
    # d/dmean: Q'(a) (1 - a^2) is climbed; d log p / d mean = 2 tanh(u), through the tanh's slope
    assert bias[0].item() == approx(-3 * (1 - A**2) + 0.25 * 2 * A)
    assert agent.temperature.log_value.grad is None


def test_the_temperature_rises_while_the_entropy_is_below_its_target() -> None:
    agent = soft(target_entropy=-0.5)
    log_prob = torch.tensor([1.0, 0.25])
    # entropy -0.625 is below -0.5 by 0.125
    loss, _ = agent.temperature_loss(lambda: torch.tensor(2.0), log_prob)
    assert loss.item() == approx(-2 * 0.125)
    before = agent.temperature().item()
    agent.descend_temperature(agent.temperature_gradient(log_prob)[0])
    assert agent.temperature().item() > before
    agent.descend_temperature(agent.temperature_gradient(torch.tensor([-4.0]))[0])
    agent.descend_temperature(agent.temperature_gradient(torch.tensor([-4.0]))[0])
    assert agent.temperature().item() < before


def test_the_deployed_action_is_the_tanh_of_the_mean() -> None:
    assert soft().policy()(column(0, 5)).flatten().tolist() == approx([A, A])
