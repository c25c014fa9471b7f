"""AWR: its losses by hand, its laws, and the optimum of a bandit."""

import math
from typing import Any

import pytest
import torch
from learning_toys import goal_spec, identity
from linear_agents import bandit, batch, column, linear, set_linear, train

from robot_orl.agents.awr import AWR, AWRConfig
from robot_orl.agents.bc import BC, BCConfig

HALF = math.log(0.5)
SPEC = goal_spec()


def approx(value: Any) -> Any:
    return pytest.approx(value, abs=1e-5)


def awr(**settings: Any) -> AWR:
    return AWR(AWRConfig(hidden=[8], **settings), SPEC, identity(SPEC, extra=2), seed=0)


def test_the_target_is_the_return_and_the_target_value_where_it_was_cut() -> None:
    agent = linear("awr", critics=2, critic_subset=2)
    set_linear(agent.value, (9, 9), (9, 9))
    set_linear(agent.target_value, (2, 1), (-1, 4))  # V(s): 2 s + 1 and 4 - s
    members = torch.tensor([0, 1])
    found = agent.target(torch.tensor([-3.0, -1.0]), torch.tensor([0.5, 0.0]), column(2, 7), members)
    assert found.tolist() == approx([-3 + 0.5 * 2, -1])  # the smaller of 5 and 2; terminated
    bounded = linear("awr", bound_targets=True, discount=0.5)
    set_linear(bounded.target_value, (1, 0))
    found = bounded.target(torch.tensor([-1.0, 0.0]), torch.ones(2), column(-5, 3), torch.tensor([0]))
    assert found.tolist() == [-2, 0]  # -1 / (1 - 0.5) and 0


def test_a_batch_with_returns_is_learned_from_by_them_and_one_without_by_n_steps() -> None:
    agent = awr()
    full = batch(returns=True)
    for found, expected in (
        (agent.inputs(full), (full.obs, full.action, full.returns, full.tail, full.last_obs)),
        (agent.inputs(batch()), (full.obs, full.action, full.reward, full.discount, full.next_obs)),
    ):
        shapes = [tuple(tensor.shape) for tensor in found]
        assert shapes == [(16, 5), (16, 1), (16,), (16,), (16, 5)]
        assert len(expected) == len(found)
    assert torch.equal(agent.inputs(full)[2], torch.from_numpy(full.returns))
    assert torch.equal(agent.inputs(batch())[2], torch.from_numpy(batch().reward))
    assert agent.sampling.trace == 0.95
    assert awr(trace=None, n_step=3).sampling.trace is None


def test_the_value_loss_is_the_mean_squared_error_from_the_return() -> None:
    agent = linear("awr", critics=2)
    set_linear(agent.value, (1, 0), (0, 2))
    loss, (value, _) = agent.value_loss(agent.value, column(1, 3), torch.tensor([0.0, 5.0]))
    # members say 1, 3 and 2, 2: errors 1, -2 and 2, -3
    assert loss.item() == approx((1 + 4) / 2 + (4 + 9) / 2)
    assert value.tolist() == [1, 2]
    assert not value.requires_grad


def test_the_actor_loss_weighs_by_normalised_advantages_and_clips() -> None:
    agent = linear("awr", log_std_low=HALF, log_std_high=HALF, temperature=0.5, weight_clip=5.0)
    state, action = column(4, -4), column(0.5, 0)
    # mean 2 and deviation 1: normalised to 1 and -1; exp(2) = 7.39 is clipped, exp(-2) = 0.1353
    loss, metrics = agent.actor_loss(agent._policy.actor, state, action, torch.tensor([3.0, 1.0]))
    log_probs = [-0.5 + math.log(2) - 0.918939, math.log(2) - 0.918939]
    assert loss.item() == approx(-(5 * log_probs[0] + math.exp(-2) * log_probs[1]) / 2)
    assert metrics["actor/weight_max"].item() == 5
    assert metrics["actor/advantage"].item() == 2


def test_the_scale_and_the_mean_of_advantages_do_not_matter() -> None:
    agent, data = awr(), batch()
    state = agent._policy.preprocess(torch.from_numpy(data.obs))
    action, advantage = torch.from_numpy(data.action), torch.from_numpy(data.reward)
    losses = [
        agent.actor_loss(agent._policy.actor, state, action, a * advantage + b)[0].item()
        for a, b in ((1, 0), (100, 0), (0.01, 7))
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)


def test_an_infinite_temperature_reduces_awr_to_bc() -> None:
    agents = awr(temperature=1e6), awr(temperature=0.1)
    cfg = BCConfig(hidden=[8], learning_rate=3e-4, weight_decay=0.0)
    clone = BC(cfg, SPEC, identity(SPEC, extra=2), seed=9)
    for agent in agents:
        clone.load_state_dict(clone.state_dict() | {"policy": agent.state_dict()["policy"]})
        agent.update(batch(returns=True))
        clone.update(batch())
        pairs = zip(agent._policy.parameters(), clone._policy.parameters(), strict=True)
        same = all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)
        assert same == (agent.cfg.temperature > 1)


def test_a_restored_agent_goes_on_bitwise() -> None:
    first, second = awr(critics=3, critic_subset=2), awr(critics=3, critic_subset=2, temperature=1.0)
    first.update(batch(returns=True))
    second.load_state_dict(first.state_dict())
    for agent in (first, second):
        agent.update(batch(seed=1, returns=True))
    for name in ("_policy", "value", "target_value"):
        pairs = zip(getattr(first, name).parameters(), getattr(second, name).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_it_finds_the_optimum_of_a_bandit() -> None:
    """Advantages of uniform actions are a, sqrt(3) a when normalised: weights exp(k a), k = sqrt(3) / beta,
    whose weighted mean is coth(k) - 1 / k; V is their mean, 0."""
    quick = {"actor_learning_rate": 0.03, "critic_learning_rate": 0.03, "batch_size": 512}
    agent = linear("awr", temperature=0.5, weight_clip=1e6, actor_average=0.05, **quick)
    k = math.sqrt(3) / 0.5
    assert train(agent, bandit(), 250) == pytest.approx(1 / math.tanh(k) - 1 / k, abs=0.03)
    assert agent.value(torch.zeros(1, 1)).item() == pytest.approx(0, abs=0.06)
