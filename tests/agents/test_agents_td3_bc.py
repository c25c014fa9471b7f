"""TD3+BC: its losses by hand, its laws, and the optimum of a bandit."""

from typing import Any

import pytest
import torch
from learning_toys import goal_spec, identity
from linear_agents import bandit, batch, column, linear, set_linear, set_mean, train

from robot_orl.agents.td3_bc import TD3BC, TD3BCConfig, TD3BCOnline

SPEC = goal_spec()


def approx(value: Any) -> Any:
    return pytest.approx(value, abs=1e-5)


def td3_bc(**settings: Any) -> TD3BC:
    return TD3BC(TD3BCConfig(hidden=[8], **settings), SPEC, identity(SPEC, extra=2), seed=0)


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_targets_action_is_the_target_policys_with_clipped_noise() -> None:
    agent = linear("td3_bc", critics=2, critic_subset=2, smoothing=0.2, smoothing_clip=0.5)
    set_mean(agent.target_policy, 0.7)
    set_linear(agent.target_critic, (0, 1, 0), (0, 2, -1))  # a and 2 a - 1
    noise, members = column(0, 1, -10, 10), torch.tensor([0, 1])
    reward, discount = torch.zeros(4), torch.tensor([1.0, 1, 0.5, 1])
    found = agent.target(reward, discount, column(5, 6, 7, 8), noise, members).tolist()
    # actions 0.7, 0.9, 0.2 (noise -0.5) and 1 (noise 0.5); the smaller of a and 2 a - 1
    assert found == approx([0.4, 0.8, 0.5 * -0.6, 1.0])


def test_the_actor_loss_is_the_distance_from_the_data_less_q_in_units_of_its_size() -> None:
    agent = linear("td3_bc", mean=0.5, alpha=2.0, critics=2)
    set_linear(agent.critic, (1, 2, 0), (7, 7, 7))  # the first alone counts: s + 2 a
    loss, metrics = agent.actor_loss(agent._policy.actor, column(1, -3), column(0.25, 1))
    # q 2 and -2: mean 0, mean size 2; distances 0.0625 and 0.25
    assert loss.item() == approx(0.15625 - 2 * 0 / 2)
    assert metrics["actor/distance"].item() == approx(0.15625)
    loss, _ = agent.actor_loss(agent._policy.actor, column(1, 3), column(0.5, 0.5))
    assert loss.item() == approx(-2 * 3 / 3)  # q 2 and 4


def test_the_gradient_weighs_q_by_alpha_over_its_mean_size() -> None:
    agent = linear("td3_bc", mean=0.0, alpha=2.0)
    set_linear(agent.critic, (0, 3, 4))
    agent.actor_loss(agent._policy.actor, column(1), column(0.25))[0].backward()
    # d/da: 2 (0 - 0.25) - 2 * 3 / 4; tanh' is 1 at 0
    assert agent._policy.actor.net[0].bias.grad.item() == approx(-0.5 - 1.5)


def test_without_alpha_it_clones_by_squared_error() -> None:
    agent = linear("td3_bc", mean=0.0, alpha=0.0)
    set_linear(agent.critic, (0, 100, 4))
    loss, _ = agent.actor_loss(agent._policy.actor, column(1, 2), column(0.25, 0.75))
    loss.backward()
    assert loss.item() == approx((0.0625 + 0.5625) / 2)
    assert agent._policy.actor.net[0].bias.grad.item() == approx(-1.0)


def test_actor_and_targets_move_at_every_second_update_only() -> None:
    agent = td3_bc(target_rate=0.5, policy_delay=2)
    names = ("_policy", "average", "target_policy", "target_critic")
    before = {name: weights(getattr(agent, name)) for name in (*names, "critic")}
    metrics = agent.update(batch())
    assert set(metrics) == {"critic/loss", "critic/q"}
    assert all(same(before[name], weights(getattr(agent, name))) for name in names)
    assert not same(before["critic"], weights(agent.critic))
    assert "actor/loss" in agent.update(batch(seed=1))
    assert not any(same(before[name], weights(getattr(agent, name))) for name in names)
    for old, new, target in zip(
        before["_policy"], weights(agent._policy), weights(agent.target_policy), strict=True
    ):
        torch.testing.assert_close(target, 0.5 * old + 0.5 * new)


def test_a_restored_agent_goes_on_bitwise_in_the_middle_of_a_delay() -> None:
    first, second = td3_bc(), td3_bc(online=TD3BCOnline(alpha=10.0))
    first.update(batch())
    second.load_state_dict(first.state_dict())
    for number in range(3):
        for agent in (first, second):
            agent.update(batch(seed=number))
    for name in ("_policy", "average", "target_policy", "critic", "target_critic"):
        assert same(weights(getattr(first, name)), weights(getattr(second, name)))
    second.start_online()
    assert (first.cfg.alpha, second.cfg.alpha) == (2.5, 10.0)


def test_it_finds_the_optimum_of_a_bandit() -> None:
    """Q is a, and data of mean 0: the gradient 2 pi - alpha / |pi| vanishes at pi = sqrt(alpha / 2)."""
    quick = {"actor_learning_rate": 0.05, "critic_learning_rate": 0.05, "batch_size": 512}
    agent = linear("td3_bc", mean=0.7, alpha=0.5, target_rate=0.1, actor_average=0.05, **quick)
    assert train(agent, bandit(), 300) == pytest.approx(0.5, abs=0.03)
