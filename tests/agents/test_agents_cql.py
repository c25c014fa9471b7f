"""CQL's penalty by hand, and what it is for: no value where nobody acted."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from linear_awac import column
from linear_soft import bandit, learned, linear, log_density, narrow, small

from robot_orl.agents.cql import CQLConfig, excess
from robot_orl.errors import UsageError

CHANCE = -math.log(2)  # log density of a uniform action in [-1, 1]


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


# the penalty


def test_the_penalty_is_the_log_mean_exp_over_actions_less_the_datas_value() -> None:
    # one critic, one state, two random actions of Q 0 and ln 3; the data's is worth 1
    sampled, density = torch.tensor([[[0.0], [math.log(3)]]]), torch.full((2, 1), CHANCE)
    assert excess(sampled, density, torch.tensor([[1.0]])).item() == approx(math.log((1 + 3) / 2) - 1)


def test_an_action_drawn_three_times_as_often_counts_a_third() -> None:
    sampled, density = (
        torch.tensor([[[0.0], [math.log(3)]]]),
        torch.tensor([[math.log(0.3)], [math.log(0.1)]]),
    )
    # weights 1 / 0.3 and 1 / 0.1, that is 1/4 and 3/4
    assert excess(sampled, density, torch.zeros(1, 1)).item() == approx(math.log(0.25 + 0.75 * 3))


def test_importance_sampling_finds_the_mean_over_all_actions_whoever_draws_them() -> None:
    before = 0.4 + 0.8 * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    action = torch.tanh(before)
    gaussian = -0.5 * ((before - 0.4) / 0.8) ** 2 - math.log(0.8) - 0.5 * math.log(2 * math.pi)
    density = gaussian - torch.log(1 - action**2)
    found = excess((2 * action)[None, :, None], density[:, None], torch.zeros(1, 1)).item()
    assert found == pytest.approx(
        math.log((math.exp(2) - math.exp(-2)) / 4), abs=0.02
    )  # of exp(2a), a uniform


def test_a_critic_that_is_the_same_for_all_actions_pays_no_penalty() -> None:
    agent = linear("cql", ((2.0, 0.0, 0.5), (-1.0, 0.0, 3.0)), mean=0.3)
    *_, metrics = gradients(agent, column(1, -4), column(0.9, -0.9))
    assert metrics["critic/penalty"].item() == approx(0)
    uneven = linear("cql", ((2.0, 1.0, 0.5), (-1.0, 0.0, 3.0)), mean=0.3)
    *_, metrics = gradients(uneven, column(1, -4), column(-0.9, -0.9))
    assert metrics["critic/penalty"].item() > 0.1


def gradients(agent: Any, state: torch.Tensor, action: torch.Tensor) -> Any:
    size, zero = len(state), torch.zeros(len(state))
    return agent.gradients(state, action, zero, zero, state, *agent.draw(size))


# the loss


def test_the_loss_is_the_squared_error_and_the_weighted_penalty_of_every_critic() -> None:
    agent = linear("cql", ((0, 1.0, 0), (0, 0, 2.0)), conservative_weight=3.0)
    samples, density = torch.tensor([[[0.5]], [[-0.5]]]), torch.full((2, 1), CHANCE)
    target = torch.tensor([1.0])
    loss, (penalty, metrics) = agent.conservative_loss(
        agent.critic, column(7), column(0.25), target, samples, density
    )
    first = math.log((math.exp(0.5) + math.exp(-0.5)) / 2) - 0.25
    assert penalty.flatten().tolist() == approx([first, 0])
    assert loss.item() == approx(0.75**2 + 1 + 3 * first)
    assert metrics["critic/loss"].item() == approx(0.75**2 + 1)
    assert metrics["critic/penalty"].item() == approx(first / 2)


def test_actions_are_of_the_policy_here_and_next_and_of_chance() -> None:
    agent = linear("cql", mean=0.3, std=0.5)
    weight = agent._policy.actor.net[-1].weight.data
    weight[0] = 1.0  # mean = s + 0.3
    one = torch.ones(1, 1, 1)
    samples, density = agent.proposals(column(0), column(2), 0 * one, one, -0.25 * one)
    assert samples.flatten().tolist() == approx([math.tanh(0.3), math.tanh(2.3 + 0.5), -0.25])
    assert density.flatten().tolist() == approx(
        [log_density(0.3, 0.3, 0.5), log_density(2.8, 2.3, 0.5), CHANCE]
    )


def test_weight_zero_leaves_the_soft_actor_critic() -> None:
    agent = linear("cql", ((1, 2.0, 0), (0, 1, 2.0)), conservative_weight=0.0)
    state, action, target = column(1, 2), column(0.5, -0.5), torch.tensor([1.0, -1.0])
    samples, density = torch.rand(4, 2, 1), torch.zeros(4, 2)
    loss, _ = agent.conservative_loss(agent.critic, state, action, target, samples, density)
    expected, _ = agent.critic_loss(agent.critic, state, action, target)
    assert loss.item() == expected.item()


def test_the_best_of_several_next_actions_is_backed_up() -> None:
    agent = linear("cql", ((0, 1.0, 0), (0, 2.0, 0)), mean=0.3, std=0.5, backup_actions=3)
    noise = torch.tensor([0.0, 1.0, -2.0])[:, None, None]  # before the tanh 0.3, 0.8 and -0.7
    found = agent.target(torch.tensor([-1.0]), torch.tensor([0.5]), column(0), noise, torch.arange(2))
    assert found.item() == approx(-1 + 0.5 * math.tanh(0.8))
    assert agent.draw(7)[0].shape == (3, 7, 1)


# the Lagrange variant


@pytest.mark.parametrize(("gap", "rises"), [(-1.0, True), (1.0, False)])
def test_the_weight_rises_while_the_penalty_is_above_the_gap(gap: float, rises: bool) -> None:
    agent = linear("cql", ((0, 0, 0), (0, 0, 0)), action_gap=gap)  # penalty 0
    agent.update(bandit(np.random.default_rng(0), narrow, 0.3))
    assert (agent.multiplier().item() > 1) == rises


def test_without_a_gap_the_weight_stays() -> None:
    agent = linear("cql", ((0, 5.0, 0), (0, 0, 0)))
    agent.update(bandit(np.random.default_rng(0), narrow, 0.3))
    assert agent.multiplier().item() == 1


# what it is for


@pytest.mark.e2e  # trains
def test_untried_actions_are_valued_at_or_below_what_plain_q_learning_makes_of_them() -> None:
    untried = torch.tensor([[-0.95], [-0.8], [0.8], [0.95]])
    values = []
    for weight in (0.0, 5.0):
        agent = small("cql", conservative_weight=weight, action_samples=4)
        learned(agent, narrow, best=0.9, updates=150)
        values.append(agent.q_values(torch.zeros(4, 1), untried).amin(dim=0))
    assert (values[1] <= values[0]).all()
    assert (values[1] < values[0] - 0.1).any()


@pytest.mark.e2e  # trains
def test_it_finds_the_best_action_that_the_data_hold() -> None:
    agent = small("cql", conservative_weight=0.1, action_samples=4, temperature=0.01, target_entropy=-3.0)
    assert learned(agent, narrow, best=0.3, updates=250) == pytest.approx(0.3, abs=0.06)


def test_entropy_and_the_best_of_several_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="entropy_backup and backup_actions > 1 exclude each other"):
        CQLConfig(entropy_backup=True, backup_actions=2)
