"""What an update changes and what it leaves alone; AWAC without advantages is behaviour cloning."""

from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import goal_spec, identity
from linear_awac import linear_awac

from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig, AWACOnline
from robot_orl.agents.base import act
from robot_orl.agents.bc import BC, BCConfig
from robot_orl.compose import build
from robot_orl.errors import UsageError
from robot_orl.types import Batch

SPEC = goal_spec()


def awac(seed: int = 0, **settings: Any) -> AWAC:
    return AWAC(AWACConfig(hidden=[8], **settings), SPEC, identity(SPEC, extra=2), seed)


def batch(size: int = 16, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    action = rng.uniform(-1, 1, (size, 1)).astype(np.float32)
    discount = np.where(rng.random(size) < 0.2, 0, 0.9).astype(np.float32)
    return Batch(numbers(size, 5), action, -np.abs(numbers(size)), discount, numbers(size, 5))


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


# AWAC and BC


def twin(agent: AWAC) -> BC:
    """A BC agent with the same policy weights."""
    cfg = BCConfig(
        hidden=agent.cfg.hidden,
        learning_rate=agent.cfg.actor_learning_rate,
        log_std_low=agent.cfg.log_std_low,
        log_std_high=agent.cfg.log_std_high,
    )
    bc = BC(cfg, SPEC, identity(SPEC, extra=2), seed=99)
    bc.load_state_dict(bc.state_dict() | {"policy": agent.state_dict()["policy"]})
    return bc


def assert_clones(agent: AWAC) -> None:
    """The same loss, the same gradients, and the same weights after an update."""
    bc, data = twin(agent), batch()
    obs, action = torch.from_numpy(data.obs), torch.from_numpy(data.action)
    state = agent._policy.preprocess(obs)
    q = agent.q_values(obs, action).amin(dim=0)
    loss, _ = agent.actor_loss(agent._policy.actor, state, action, q)
    bc_loss, _ = bc.actor_loss(bc._policy.actor, state, action)
    assert loss.item() == pytest.approx(bc_loss.item(), rel=1e-5)
    found = torch.autograd.grad(loss, list(agent._policy.parameters()))
    expected = torch.autograd.grad(bc_loss, list(bc._policy.parameters()))
    assert any(gradient.abs().max() > 1e-3 for gradient in expected)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)
    agent.update(data)
    bc.update(data)
    for left, right in zip(weights(agent._policy), weights(bc._policy), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "exp", "exp_std"])
def test_equal_advantages_reduce_awac_to_bc(kind: str) -> None:
    agent = awac(weights=kind, critic_learning_rate=0.0)
    first: Any = agent.critic.layers[0]
    first.weight.data[:, -1] = 0  # the critics do not see the action
    assert_clones(agent)


@pytest.mark.parametrize("kind", ["softmax", "exp", "exp_std"])
def test_an_infinite_temperature_reduces_awac_to_bc(kind: str) -> None:
    agent = awac(weights=kind, temperature=1e6)
    data = batch()
    obs, action = torch.from_numpy(data.obs), torch.from_numpy(data.action)
    advantage = agent.q_values(obs, action) - agent.q_values(obs, agent._policy(obs))
    assert advantage.std() > 0.01  # they do differ
    assert_clones(agent)


def test_unequal_advantages_do_not() -> None:
    agent = awac(temperature=0.01)
    with pytest.raises(AssertionError):
        assert_clones(agent)


# one update


def test_the_critics_get_no_gradient_from_the_actors_update() -> None:
    agent = awac(policy_gradient_weight=1.0)
    alone = awac(policy_gradient_weight=0.0)
    alone.load_state_dict(agent.state_dict())
    for learner in (agent, alone):
        learner.update(batch())
    for left, right in zip(agent.critic.parameters(), alone.critic.parameters(), strict=True):
        assert left.grad is not None
        assert right.grad is not None
        assert torch.equal(left.grad, right.grad)
        assert torch.equal(left, right)
        assert left.requires_grad
    assert not same(weights(agent.policy()), weights(alone.policy()))  # the actor's did differ


def test_an_update_moves_critics_and_actor_and_no_input() -> None:
    agent, data = awac(), batch()
    before = weights(agent.critic), weights(agent._policy)
    copies = deepcopy(data)
    agent.update(data)
    assert not any(torch.equal(a, b) for a, b in zip(before[0], weights(agent.critic), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before[1], weights(agent._policy), strict=True))
    for item in fields(Batch):
        np.testing.assert_array_equal(getattr(data, item.name), getattr(copies, item.name))


def test_target_critics_follow_at_their_rate() -> None:
    agent = awac(target_rate=0.25)
    before = weights(agent.target_critic)
    assert same(before, weights(agent.critic))
    agent.update(batch())
    for old, new, target in zip(before, weights(agent.critic), weights(agent.target_critic), strict=True):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * new, rtol=1e-6, atol=1e-8)
    frozen = awac(target_rate=0.0)
    frozen.update(batch())
    assert same(before, weights(frozen.target_critic))


def test_the_deployed_actor_is_the_trained_one_or_its_average() -> None:
    agent = awac()
    agent.update(batch())
    assert same(weights(agent.policy()), weights(agent._policy))
    averaged = awac(actor_average=0.25)
    before = weights(averaged.policy())
    averaged.update(batch())
    expected = [0.75 * a + 0.25 * b for a, b in zip(before, weights(averaged._policy), strict=True)]
    for found, value in zip(weights(averaged.policy()), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-8)


def test_what_is_deployed_is_a_copy_and_gives_the_mean() -> None:
    agent = awac()
    policy, obs = agent.policy(), batch().obs
    first = act(policy, obs)
    for _ in range(3):
        agent.update(batch())
    np.testing.assert_array_equal(act(policy, obs), first)
    assert (np.abs(first) <= 1).all()
    np.testing.assert_allclose(act(policy, obs[3]), first[3], rtol=1e-5, atol=1e-6)
    assert act(policy, obs[3]).shape == (1,)


def test_weight_decay_is_on_the_actor_only() -> None:
    agent = awac()
    assert agent.actor_optimizer.weight_decay == 1e-4
    assert agent.critic_optimizer.weight_decay == 0


def test_adam_steps_by_the_learning_rate() -> None:
    agent = linear_awac(critic=((0, 0, 0),), critic_learning_rate=0.125, actor_learning_rate=0.25,
                        actor_weight_decay=0.0, mean=0.5)  # fmt: skip
    agent.update(Batch(*(np.float32(a) for a in ([[2]], [[0.25]], [-1], [0], [[0]]))))
    critic: Any = agent.critic.layers[0]
    # the first step of Adam is the rate, against the sign of the gradient
    assert critic.bias.item() == pytest.approx(-0.125, abs=1e-6)
    assert critic.weight.flatten().tolist() == pytest.approx([-0.125, -0.125], abs=1e-6)
    actor: Any = agent._policy.actor.net[0]
    assert actor.bias.item() == pytest.approx(np.arctanh(0.5) - 0.25, abs=1e-5)


def test_the_same_seed_gives_the_same_agent_and_leaves_the_global_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    agents = [awac(seed=3), awac(seed=3), awac(seed=4)]
    for agent in agents:
        for number in range(3):
            agent.update(batch(seed=number))
    assert torch.equal(torch.rand(3), expected)
    assert same(weights(agents[0].critic), weights(agents[1].critic))
    assert same(weights(agents[0]._policy), weights(agents[1]._policy))
    assert not same(weights(agents[0]._policy), weights(agents[2]._policy))


def test_a_restored_agent_goes_on_bitwise() -> None:
    settings = {"actor_average": 0.3, "critics": 3, "critic_subset": 2, "layer_norm": True}
    first = awac(seed=1, **settings)
    for number in range(4):
        first.update(batch(seed=number))
    second = awac(seed=2, **settings)
    second.load_state_dict(deepcopy(first.state_dict()))
    for number in range(4, 8):
        first.update(batch(seed=number))
        second.update(batch(seed=number))
    for name in ("_policy", "average", "critic", "target_critic"):
        assert same(weights(getattr(first, name)), weights(getattr(second, name)))
    assert torch.equal(first.generator.get_state(), second.generator.get_state())


# online


@pytest.mark.parametrize("name", [item.name for item in fields(AWACOnline)])
def test_going_online_changes_what_is_named_and_nothing_else(name: str) -> None:
    value = 3 if name == "n_step" else 0.125
    agent = awac(online=AWACOnline(**{name: value}))
    before, cfg = deepcopy(agent.state_dict()), agent.cfg
    assert getattr(cfg, name) != value
    agent.start_online()
    assert agent.cfg == replace(cfg, **{name: value})
    assert getattr(agent.cfg, name) == value
    assert same(list(before["critic"].values()), list(agent.state_dict()["critic"].values()))
    assert same(list(before["policy"].values()), list(agent.state_dict()["policy"].values()))


def test_going_online_without_changes_keeps_everything() -> None:
    agent = awac()
    before = agent.cfg
    agent.start_online()
    assert agent.cfg == before


def test_sampling_follows_the_configuration() -> None:
    agent = awac(
        batch_size=32,
        n_step=2,
        discount=0.9,
        hindsight_share=0.25,
        hindsight_min_move=0.02,
        online=AWACOnline(n_step=4, hindsight_share=0.75),
    )
    found = agent.sampling
    assert (found.batch_size, found.n_step, found.discount) == (32, 2, 0.9)
    assert (found.hindsight_share, found.hindsight_min_move) == (0.25, 0.02)
    agent.start_online()
    assert (agent.sampling.n_step, agent.sampling.hindsight_share, agent.sampling.discount) == (4, 0.75, 0.9)


# observation noise


def test_noise_is_on_the_features_of_training_and_on_no_deployed_policy() -> None:
    plain, noisy = awac(), awac(observation_noise=0.5)
    _, _, none = plain.draw(1000)
    _, _, blur = noisy.draw(1000)
    assert not none.any()
    assert blur.shape == (2, 1000, 7)  # s and s'; 5 observed numbers and a goal difference of 2
    assert blur.std().item() == pytest.approx(0.5, abs=0.02)
    obs = batch().obs
    np.testing.assert_array_equal(act(plain.policy(), obs), act(noisy.policy(), obs))
    for agent in (plain, noisy):
        agent.update(batch())
    assert not same(weights(plain.critic), weights(noisy.critic))


# configuration


def test_the_default_is_the_papers() -> None:
    cfg = AWACConfig()
    assert (cfg.weights, cfg.temperature, cfg.awac_weight) == ("softmax", 0.5, 1.0)
    assert (cfg.log_std_low, cfg.log_std_high) == (-6.0, 0.0)
    assert (cfg.critics, cfg.critic_subset, cfg.layer_norm, cfg.bound_targets) == (2, 2, False, False)
    assert (cfg.n_step, cfg.hindsight_share, cfg.policy_gradient_weight) == (1, 0.0, 0.0)
    assert (cfg.actor_learning_rate, cfg.critic_learning_rate, cfg.actor_weight_decay) == (3e-4, 3e-4, 1e-4)
    assert (cfg.discount, cfg.target_rate, cfg.batch_size, cfg.hidden) == (0.99, 5e-3, 1024, [256, 256])
    assert cfg.actor_average == 1.0
    assert cfg.online == AWACOnline()
    assert not any(vars(cfg.online).values())


def test_agent_awac_paper_is_exactly_the_default() -> None:
    built = build("pretrain", ["agent=awac_paper", "data=d", "out=o"])
    assert isinstance(built.agent, AWACConfig)
    assert built.agent == AWACConfig()


def test_settings_that_contradict_each_other_are_refused() -> None:
    for settings, message in (
        ({"critics": 2, "critic_subset": 3}, "critic_subset=3 exceeds critics=2"),
        ({"bound_targets": True, "discount": 1.0}, "bound_targets needs discount < 1"),
        ({"log_std_low": 0.5, "log_std_high": 0.0}, "log_std_low=0.5 exceeds log_std_high=0.0"),
        ({"temperature": 0.0}, "temperature=0.0 is outside"),
        ({"weights": "sofmax"}, "weights=sofmax is not one of: softmax, exp, exp_std"),
    ):
        with pytest.raises(UsageError, match=message):
            AWACConfig(**settings)
