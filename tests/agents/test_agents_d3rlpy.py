"""IQL and TD3+BC against d3rlpy (Seno & Imai 2022) in its own environment: same losses of the same numbers.

d3rlpy has no AWR any more, and its cloning of a stochastic policy has another loss.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import identity, point_spec

from robot_orl.agents.base import tensors
from robot_orl.agents.iql import IQL, IQLConfig
from robot_orl.agents.td3_bc import TD3BC, TD3BCConfig
from robot_orl.types import Batch

VARIABLE = "ROBOT_ORL_D3RLPY_PYTHON"
PYTHON = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        PYTHON is None,
        reason=f"{VARIABLE} is not set to the Python of an environment with d3rlpy, see benchmarks/peers",
    ),
]
SCRIPT = Path(__file__).with_name("d3rlpy_implicit.py")
SPEC = point_spec(actions=2)
SIZE = 64


def batch() -> Batch:
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, SIZE, 1)).astype(np.float32)
    action = rng.uniform(-1, 1, (SIZE, 2)).astype(np.float32)
    discount = np.where(rng.random(SIZE) < 0.3, 0, 0.9).astype(np.float32)
    return Batch(obs, action, rng.normal(size=SIZE).astype(np.float32), discount, next_obs)


def scattered(module: torch.nn.Module, seed: int) -> None:
    """Other weights than a network starts with, so that targets differ from what they follow."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)


def given(name: str, module: Any) -> dict[str, np.ndarray]:
    """Weights and biases of a network's layers, by number."""
    layers = [layer for layer in module if hasattr(layer, "weight")]
    pairs = [(f"weight{i}", layer.weight) for i, layer in enumerate(layers)]
    pairs += [(f"bias{i}", layer.bias) for i, layer in enumerate(layers)]
    return {f"{name}_{part}": value.detach().numpy() for part, value in pairs}


@pytest.fixture(scope="module")
def agents() -> dict[str, Any]:
    implicit = IQL(
        IQLConfig(hidden=[16, 16], expectile=0.8, weight_clip=1.2, log_std_low=-5.0, log_std_high=2.0),
        SPEC, identity(SPEC), seed=0,
    )  # fmt: skip
    minimal = TD3BC(TD3BCConfig(hidden=[16, 16]), SPEC, identity(SPEC), seed=1)
    for seed, module in enumerate((implicit.value, implicit.target_critic, minimal.target_critic,
                                   minimal.target_policy.actor, minimal._policy.actor)):  # fmt: skip
        scattered(module, seed)
    return {"iql": implicit, "td3_bc": minimal}


@pytest.fixture(scope="module")
def found(agents: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What d3rlpy makes of them."""
    folder, data = tmp_path_factory.mktemp("d3rlpy"), batch()
    numbers = data.arrays() | {"terminal": (data.discount == 0).astype(np.float32), "noise": noise().numpy()}
    for name, agent in agents.items():
        for part in ("critic", "target_critic"):
            numbers |= given(f"{name}_{part}", getattr(agent, part).layers)
        numbers |= given(f"{name}_policy", agent._policy.actor.net)
    numbers |= given("iql_value", agents["iql"].value.layers)
    numbers |= given("td3_bc_target_policy", agents["td3_bc"].target_policy.actor.net)
    numbers["iql_log_std_logit"] = agents["iql"]._policy.actor.log_std_logit.detach().numpy()
    np.savez(folder / "given.npz", **numbers)
    command = [str(PYTHON), str(SCRIPT), str(folder / "given.npz"), str(folder / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


def noise() -> torch.Tensor:
    return torch.randn(SIZE, 2, generator=torch.Generator().manual_seed(7))


def same(left: torch.Tensor, right: float) -> Any:
    return left.item() == pytest.approx(right, rel=1e-5, abs=1e-5)


def test_iql_has_the_losses_of_d3rlpy(agents: dict[str, Any], found: dict[str, Any]) -> None:
    agent, (state, action, reward, discount, next_state) = agents["iql"], tensors(batch())
    q = agent.lowest(agent.target_critic, state, action, torch.arange(2)).detach()
    value_loss, (value, _) = agent.value_loss(agent.value, state, q)
    target = agent.target(reward, discount, next_state)
    critic_loss, _ = agent.critic_loss(agent.critic, state, action, target)
    actor_loss, metrics = agent.actor_loss(agent._policy.actor, state, action, q - value)
    assert metrics["actor/weight_max"] == pytest.approx(1.2), "some weights are clipped"
    assert metrics["actor/effective_samples"] < 1, "and some are not"
    assert same(value_loss, found["iql"]["value"])
    assert same(critic_loss, found["iql"]["critic"])
    assert same(actor_loss, found["iql"]["actor"])


def test_td3_bc_has_the_losses_of_d3rlpy(agents: dict[str, Any], found: dict[str, Any]) -> None:
    agent, (state, action, reward, discount, next_state) = agents["td3_bc"], tensors(batch())
    target = agent.target(reward, discount, next_state, noise(), torch.arange(2))
    critic_loss, _ = agent.critic_loss(agent.critic, state, action, target)
    actor_loss, _ = agent.actor_loss(agent._policy.actor, state, action)
    assert same(critic_loss, found["td3_bc"]["critic"])
    assert same(actor_loss, found["td3_bc"]["actor"])
