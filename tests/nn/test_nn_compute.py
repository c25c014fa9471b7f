"""Gradients are the same numbers however they are computed; lower precision moves them a little."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from learning_toys import identity, point_spec

from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import tensors
from robot_orl.nn.compute import Compute, gradient
from robot_orl.nn.mlp import mlp
from robot_orl.types import Batch

SPEC = point_spec(actions=3)


def agent(seed: int = 0, weights: str = "exp_std") -> AWAC:
    cfg = AWACConfig(
        hidden=[32, 32],
        critics=3,
        layer_norm=True,
        policy_gradient_weight=1.0,
        weights=weights,
        multi_step_share=0.5,
    )
    return AWAC(cfg, SPEC, identity(SPEC), seed)


def batch(size: int = 64) -> Batch:
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    action = np.tanh(numbers(size, 3))
    return Batch(numbers(size, 1), action, numbers(size), np.full(size, 0.9, np.float32), numbers(size, 1))


def gradients(learner: AWAC, compute: Compute) -> list[torch.Tensor]:
    """Of critics and actor, for the same batch and noise."""
    critic, actor, _ = compute(learner.gradients, *tensors(batch()), *agent().draw(64))
    return critic + actor


def test_the_gradient_is_autograds() -> None:
    net, x = mlp(3, (8,), 1), torch.randn(5, 3)
    found, value = gradient(net, lambda network: (network(x).square().sum(), 7))
    net(x).square().sum().backward()
    assert value == 7
    assert all(torch.equal(g, p.grad) for g, p in zip(found, net.parameters(), strict=True))


def test_bfloat16_moves_gradients_a_little_and_loses_none() -> None:
    exact, low = gradients(agent(), Compute()), gradients(agent(), Compute(precision="bfloat16"))
    for left, right in zip(exact, low, strict=True):
        assert right.dtype == torch.float32
        assert left.abs().max() > 0
        assert (left - right).norm() < 0.1 * left.norm()
    assert any(not torch.equal(left, right) for left, right in zip(exact, low, strict=True))


def test_no_gradient_is_left_on_what_was_not_asked_for() -> None:
    learner = agent()
    gradients(learner, Compute())
    assert all(parameter.grad is None for parameter in learner.critic.parameters())


@pytest.mark.e2e  # compiles
@pytest.mark.parametrize("weights", ["exp_std", "kl"])
def test_compiled_updates_are_those_of_eager_execution(weights: str) -> None:
    eager, compiled = agent(weights=weights), agent(weights=weights)
    compiled.use(Compute(compiled=True))
    expected, found = eager.update(batch()), compiled.update(batch())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    state, other = eager.state_dict(), compiled.state_dict()
    for part in ("actor_optimizer", "critic_optimizer"):
        for number, moments in state[part]["state"].items():
            for name, value in moments.items():
                torch.testing.assert_close(other[part]["state"][number][name], value, rtol=1e-3, atol=1e-6)
    for part in ("policy", "average", "critic", "target_critic"):
        apart = torch.cat([(other[part][name] - weight).flatten() for name, weight in state[part].items()])
        # The first step of Adam is 3e-4 however small the gradient: where that is all rounding, it may
        # go the other way.
        assert (apart.abs() < 1e-5).float().mean() > 0.8


@pytest.mark.e2e  # compiles
def test_a_compiled_agent_goes_on_from_its_state_bitwise() -> None:
    whole, first = agent(), agent()
    for learner in (whole, first):
        learner.use(Compute(precision="bfloat16", compiled=True))
    for _ in range(4):
        whole.update(batch())
    for _ in range(2):
        first.update(batch())
    second = agent(seed=1)
    second.load_state_dict(deepcopy(first.state_dict()))
    second.use(Compute(precision="bfloat16", compiled=True))
    for _ in range(2):
        second.update(batch())
    for ours, theirs in zip(second.critic.parameters(), whole.critic.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_agents_that_share_a_compute_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    compute, agents = Compute(compiled=True), (agent(seed=0), agent(seed=1))
    for learner in agents:
        before = deepcopy(learner.state_dict()["policy"])
        learner.use(compute)
        learner.update(batch())
        after = learner.state_dict()["policy"]
        assert any(not torch.equal(before[name], after[name]) for name in before)
