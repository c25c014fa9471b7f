"""BRAC: the behaviour is modelled first, and then what is done stays near it at a price."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from linear_awac import column
from linear_soft import batch, learned, linear, log_density, set_gaussian, small

from robot_orl.agents.brac import BRAC
from robot_orl.types import Batch

TWO = ((2.0, 1.0, 0.5), (1.0, -1.0, 1.0))


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


def brac(critic: Any = TWO, target: Any = None, **settings: Any) -> BRAC:
    """The policy is a Gaussian of mean 0.3 and deviation 0.5 before the tanh, the behaviour of 0 and 1."""
    agent = linear("brac", critic, target, **({"mean": 0.3, "std": 0.5, "behaviour_updates": 0} | settings))
    set_gaussian(agent.behaviour, 0.0, 1.0)
    return agent


def distance(before: float) -> float:
    """Log policy less log behaviour there, both as densities of the action."""
    return log_density(before, 0.3, 0.5) - log_density(before, 0.0, 1.0)


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(agent: BRAC, data: Batch) -> set[str]:
    """Which networks an update changes."""
    names = ("_policy", "critic", "behaviour")
    before = [weights(getattr(agent, name)) for name in names]
    agent.update(data)
    after = [weights(getattr(agent, name)) for name in names]
    pairs = zip(names, before, after, strict=True)
    return {name for name, old, new in pairs if not all(map(torch.equal, old, new))}


# the behaviour


def test_the_behaviour_is_modelled_first_and_then_left_alone() -> None:
    agent = small("brac", behaviour_updates=2)
    found = [moved(agent, batch(64, seed)) for seed in range(4)]
    assert found == [{"behaviour"}] * 2 + [{"_policy", "critic"}] * 2


def test_its_loss_is_the_negative_log_density_of_the_datas_actions() -> None:
    agent = brac()
    actions = column(math.tanh(0.4), math.tanh(-1.2))
    loss, _ = agent.behaviour_loss(agent.behaviour, column(3, 5), actions)
    assert loss.item() == approx(-(log_density(0.4, 0, 1) + log_density(-1.2, 0, 1)) / 2)


def test_a_restored_agent_knows_how_long_it_has_modelled() -> None:
    first, second = (small("brac", behaviour_updates=2) for _ in range(2))
    first.update(batch(64))
    second.load_state_dict(first.state_dict())
    assert moved(second, batch(64)) == {"behaviour"}
    assert moved(second, batch(64)) == {"_policy", "critic"}


# the divergence


def test_the_divergence_is_the_mean_log_ratio_of_the_policys_actions() -> None:
    agent = brac()
    before = torch.tensor([[[0.3]], [[0.8]], [[-0.4]]])
    mean, log_std = agent._policy.actor(column(7))
    found = agent.divergence(mean, log_std, before, column(7))
    assert found.tolist() == approx([(distance(0.3) + distance(0.8) + distance(-0.4)) / 3])


def test_over_many_samples_it_is_the_divergence_of_the_two_gaussians() -> None:
    agent = brac()
    mean, log_std = agent._policy.actor(column(7))
    noise = torch.randn(100_000, 1, 1, generator=torch.Generator().manual_seed(0))
    found = agent.divergence(mean, log_std, mean + noise * log_std.exp(), column(7)).item()
    assert found == pytest.approx(math.log(1 / 0.5) + (0.5**2 + 0.3**2) / 2 - 0.5, abs=0.01)


def test_a_policy_that_is_the_behaviour_pays_nothing() -> None:
    agent = brac()
    set_gaussian(agent.behaviour, 0.3, 0.5)
    _, metrics = agent.actor_loss(agent._policy.actor, column(1, 2), torch.randn(5, 2, 1))
    assert metrics["actor/divergence"].item() == 0


# the losses


@pytest.mark.parametrize("in_value", [True, False])
def test_targets_pay_for_the_divergence_in_one_variant_only(in_value: bool) -> None:
    agent = brac(((9, 9, 9), (9, 9, 9)), TWO, divergence_weight=2.0, value_penalty=in_value)
    noise = torch.tensor([0.0, 1.0])[:, None, None]  # 0.3 and 0.8 before the tanh
    found = agent.target(torch.tensor([-1.0]), torch.tensor([0.9]), column(1), noise, torch.arange(2))
    paid = 2 * (distance(0.3) + distance(0.8)) / 2 if in_value else 0
    assert found.tolist() == approx([-1 + 0.9 * (2 - math.tanh(0.3) - paid)])


@pytest.mark.parametrize("in_value", [True, False])
def test_the_actor_pays_for_it_in_both_and_climbs_the_minimum(in_value: bool) -> None:
    agent = brac(divergence_weight=2.0, value_penalty=in_value)
    noise = torch.tensor([0.0, 1.0])[:, None, None]
    loss, metrics = agent.actor_loss(agent._policy.actor, column(1), noise)
    value = (2 - math.tanh(0.3) + 2 - math.tanh(0.8)) / 2
    divergence = (distance(0.3) + distance(0.8)) / 2
    assert metrics["actor/divergence"].item() == approx(divergence)
    assert loss.item() == approx(2 * divergence - value)


@pytest.mark.parametrize("in_value", [True, False])
def test_weight_zero_leaves_the_unconstrained_actor_critic(in_value: bool) -> None:
    """Whatever the behaviour is: the losses and updates of a soft actor-critic without entropy."""
    agent = small("brac", divergence_weight=0.0, divergence_samples=1, behaviour_updates=0,
                  value_penalty=in_value)  # fmt: skip
    set_gaussian(agent.behaviour, 3.0, 0.01)
    free = small("cql", conservative_weight=0.0, temperature=1e-8, temperature_learning_rate=0.0)
    parts = free.state_dict()
    free.load_state_dict(parts | {k: v for k, v in agent.state_dict().items() if k in parts})
    data = batch(64)
    noise, members = torch.randn(2, 64, 1), torch.arange(2)
    inputs, blur = agent.inputs(data), torch.zeros(2, 1, 1)
    found = agent.gradients(*inputs, noise[:1], noise[1:], members, blur)
    here, later, uniform = torch.zeros(3, 10, 64, 1).unbind()
    expected = free.gradients(*inputs, noise[:1], members, blur, noise[1], here, later, uniform)
    for part in (0, 1):
        assert any(values.abs().max() > 1e-3 for values in found[part])
        for left, right in zip(found[part], expected[part], strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


# what it is for


@pytest.mark.e2e  # trains
def test_a_high_price_keeps_the_behaviour_and_a_low_one_finds_the_best_action() -> None:
    def shy(rng: np.random.Generator, size: int) -> Any:
        return np.tanh(rng.normal(-0.2, 0.3, size))

    def done(weight: float) -> float:
        agent = small("brac", divergence_weight=weight, behaviour_updates=100, behaviour_learning_rate=2e-2)
        return learned(agent, shy, best=0.3, updates=300)

    assert done(100.0) == pytest.approx(math.tanh(-0.2), abs=0.06)
    assert done(0.001) == pytest.approx(0.3, abs=0.06)


@pytest.mark.e2e  # trains
def test_between_both_it_is_where_the_slopes_of_value_and_divergence_meet() -> None:
    """Q = a and a behaviour N(0, 0.5) of u before the tanh: there 1 - tanh(u)^2 = weight * u / 0.25."""
    agent = linear("brac", ((0, 1.0, 0), (0, 1.0, 0)), behaviour_updates=0, divergence_weight=0.5,
                   divergence_samples=16, critic_learning_rate=0.0, actor_learning_rate=2e-2)  # fmt: skip
    agent._policy.actor.bounds = -4.0, -4.0  # hardly ever elsewhere than at its mean
    set_gaussian(agent.behaviour, 0.0, 0.5)
    for seed in range(120):
        agent.update(batch(16, seed))
    before = agent._policy.actor.net[-1].bias[0].item()
    state = agent._policy.actor.net[-1].weight[0].item()
    assert abs(state) < 0.05
    assert 1 - math.tanh(before) ** 2 == pytest.approx(0.5 * before / 0.25, abs=0.03)
