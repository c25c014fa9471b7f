"""IQL: its losses by hand, its laws (nothing out of the data is asked about), the optimum of a bandit."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import goal_spec, identity
from linear_agents import bandit, batch, column, linear, set_linear, train

from robot_orl.agents.bc import BC, BCConfig
from robot_orl.agents.iql import IQL, IQLConfig, IQLOnline

HALF = math.log(0.5)
SPEC = goal_spec()


def approx(value: Any) -> Any:
    return pytest.approx(value, abs=1e-5)


def iql(**settings: Any) -> IQL:
    return IQL(IQLConfig(hidden=[8], **settings), SPEC, identity(SPEC, extra=2), seed=0)


def value_loss(agent: IQL, q: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return agent.value_loss(agent.value, state, q)[0]


def test_the_value_loss_is_an_asymmetric_squared_error() -> None:
    agent = linear("iql", expectile=0.8)
    set_linear(agent.value, (1, 0))  # V(s) = s
    # Q - V: 2, -1, 0 -> (0.8 * 4 + 0.2 * 1 + 0) / 3
    assert value_loss(agent, torch.tensor([3.0, 1.0, 5.0]), column(1, 2, 5)).item() == approx(3.4 / 3)


def test_the_gradient_of_the_value_is_the_weighted_error() -> None:
    agent = linear("iql", expectile=0.8)
    set_linear(agent.value, (1, 0))
    value_loss(agent, torch.tensor([3.0, 1.0]), column(1, 2)).backward()
    layer: Any = agent.value.layers[0]
    # d/dV = -2 w (Q - V) / 2: -1.6 and 0.2
    assert layer.bias.grad.item() == approx(-1.6 + 0.2)
    assert layer.weight.grad.item() == approx(-1.6 * 1 + 0.2 * 2)


def test_an_expectile_of_a_half_reduces_the_value_to_a_mean() -> None:
    """Half of the squared error, whose minimum is the mean of Q; a higher expectile's lies above it."""
    q = torch.tensor([-4.0, 1.0, 2.0, 9.0])
    state = column(0, 0, 0, 0)
    # 0.9 of what lies above v as 0.1 of what lies below: 0.9 (9 - v) = 0.1 (3 v + 1)
    for expectile, best in ((0.5, 2.0), (0.9, 20 / 3)):
        agent = linear("iql", expectile=expectile)
        losses = []
        for v in np.linspace(-4, 9, 131):
            set_linear(agent.value, (0, float(v)))
            losses.append(value_loss(agent, q, state).item())
        assert np.linspace(-4, 9, 131)[int(np.argmin(losses))] == pytest.approx(best, abs=0.051)
        if expectile == 0.5:
            mean = (q - np.linspace(-4, 9, 131)[7]).square().mean().item() / 2
            assert losses[7] == approx(mean)


def test_the_target_is_the_value_of_the_next_state() -> None:
    agent = linear("iql")
    set_linear(agent.value, (2, 1))
    found = agent.target(torch.tensor([-1.0, -1.0]), torch.tensor([0.9, 0.0]), column(3, 8))
    assert found.tolist() == approx([-1 + 0.9 * 7, -1])
    bounded = linear("iql", bound_targets=True, discount=0.75)
    set_linear(bounded.value, (1, 0))
    assert bounded.target(torch.zeros(2), torch.ones(2), column(-9, 2)).tolist() == [-4, 0]


def test_the_actor_loss_weighs_the_datas_actions_by_their_advantage() -> None:
    agent = linear("iql", log_std_low=HALF, log_std_high=HALF, temperature=0.5, weight_clip=5.0)
    advantage = torch.tensor([0.5, 1.0])
    loss, metrics = agent.actor_loss(agent._policy.actor, column(4, -4), column(0.5, 0), advantage)
    log_probs = [-0.5 + math.log(2) - 0.918939, math.log(2) - 0.918939]
    assert loss.item() == approx(-(math.e * log_probs[0] + 5 * log_probs[1]) / 2)  # exp(2) is clipped
    assert metrics["actor/weight_max"].item() == 5


def test_no_critic_is_ever_asked_about_an_action_that_is_not_in_the_data() -> None:
    agent, data, asked = iql(critics=3, critic_subset=2), batch(), []

    def hear(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        asked.append(inputs[0][:, -1:].clone())  # the action

    for network in (agent.critic, agent.target_critic):
        network.register_forward_pre_hook(hear)
    agent.update(data)
    agent.start_online()
    agent.update(data)
    assert len(asked) == 4  # the target critics for V and the advantage, the critics for their loss
    for action in asked:
        assert torch.equal(action, torch.from_numpy(data.action))


def test_q_and_v_do_not_depend_on_the_policy() -> None:
    agents = iql(temperature=1e-3), iql(temperature=1e3, actor_learning_rate=0.1)
    for number in range(4):
        for agent in agents:
            agent.update(batch(seed=number))
    for name in ("critic", "value", "target_critic"):
        pairs = zip(*(getattr(agent, name).parameters() for agent in agents), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    policies = zip(*(agent._policy.parameters() for agent in agents), strict=True)
    assert not all(torch.equal(a, b) for a, b in policies)


def test_an_infinite_temperature_reduces_the_policy_to_bc() -> None:
    agent = iql(temperature=1e6, log_std_low=-1.0, log_std_high=-1.0)
    cfg = BCConfig(hidden=[8], learning_rate=3e-4, weight_decay=0.0)
    clone = BC(cfg, SPEC, identity(SPEC, extra=2), seed=9)
    clone.load_state_dict(clone.state_dict() | {"policy": agent.state_dict()["policy"]})
    agent.update(batch())
    clone.update(batch())
    for ours, its in zip(agent._policy.parameters(), clone._policy.parameters(), strict=True):
        torch.testing.assert_close(ours, its, rtol=1e-4, atol=1e-6)


def test_a_restored_agent_goes_on_bitwise_and_online_changes_what_it_says() -> None:
    first, second = iql(), iql(online=IQLOnline(expectile=0.9))
    first.update(batch())
    second.load_state_dict(first.state_dict())
    for agent in (first, second):
        agent.update(batch(seed=1))
    assert all(
        torch.equal(a, b) for a, b in zip(first.value.parameters(), second.value.parameters(), strict=True)
    )
    second.start_online()
    assert (second.cfg.expectile, second.cfg.temperature) == (0.9, first.cfg.temperature)


@pytest.mark.parametrize(("expectile", "best"), [(0.5, 0.0), (0.9, 0.5)])
def test_it_finds_the_optimum_of_a_bandit(expectile: float, best: float) -> None:
    """Of uniform actions that pay a: V is (1 - r) / (1 + r), r = sqrt((1 - tau) / tau), and the mean action
    under the weights exp(a / T) is coth(1 / T) - T, which V does not move."""
    quick = {"actor_learning_rate": 0.03, "critic_learning_rate": 0.03, "batch_size": 512}
    agent = linear("iql", expectile=expectile, temperature=0.5, target_rate=0.1, actor_average=0.05, **quick)
    assert train(agent, bandit(), 300) == pytest.approx(1 / math.tanh(2) - 0.5, abs=0.03)
    assert agent.value(torch.zeros(1, 1)).item() == pytest.approx(best, abs=0.06)
