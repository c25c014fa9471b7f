"""The same losses as d3rlpy's, on the same weights, batch and noise: in its own environment.

ROBOT_ORL_D3RLPY_PYTHON names a Python with d3rlpy 2.8, such as benchmarks/peers/README.md makes.

Where formulas differ: the weights in our penalty of CQL sum to 1, which takes a number from it that no critic
can change. d3rlpy's target for BEAR has an entropy, which is switched off there. Its samples of BEAR's
autoencoder are squashed and its reconstruction is not, so that the discrepancy is compared on given samples.
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
from torch import nn

from robot_orl.agents.bear import discrepancy
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.nn.actors import squashed_sample
from robot_orl.registry import factory, schema_of
from robot_orl.types import Signal, Spec

VARIABLE = "ROBOT_ORL_D3RLPY_PYTHON"
PYTHON = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PYTHON is None, reason=f"{VARIABLE} names no Python that has d3rlpy"),
]
B, D, A, N, GAMMA = 5, 3, 2, 4, 0.9
WEIGHT, TEMPERATURE = 2.0, 0.3
Given = dict[str, np.ndarray]


def spec() -> Spec:
    numbers = tuple(Signal(f"x{i}", "m") for i in range(D))
    return Spec("numbers", {"position": numbers}, point_spec(A).action, 10.0, 5)


def agent(name: str, **settings: Any) -> Any:
    cfg = schema_of("agent", name)(
        hidden=[6, 7], discount=GAMMA, log_std_low=-20.0, log_std_high=2.0, **settings
    )
    normal: Normalizer = identity(spec())
    made = factory("agent", name)(cfg, spec(), normal, 3)
    actor = made._policy.actor.net[-1]
    actor.weight.data[A:] = 0  # one deviation in all states
    actor.bias.data[A:] = torch.tensor([-0.5, -1.0])
    for parameter in made.target_critic.parameters():
        parameter.data += 0.05
    return made


def soft(name: str, **settings: Any) -> Any:
    return agent(name, temperature=TEMPERATURE, conservative_weight=WEIGHT, action_samples=N, **settings)


def layers(module: nn.Module, name: str) -> Given:
    """Weights and biases of an ensemble or of one network, by the names that d3rlpy_soft.py reads."""
    found = [layer for layer in module.modules() if hasattr(layer, "bias")]
    return {
        f"{name}_{kind}{number}": getattr(layer, kind).detach().numpy().copy()
        for number, layer in enumerate(found)
        for kind in ("weight", "bias")
    }


@pytest.fixture(scope="module")
def given() -> Given:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    made = soft("cql")
    actor = layers(made._policy.actor.net, "mean")
    deviation = actor["mean_bias2"][A:]
    actor |= {"mean_weight2": actor["mean_weight2"][:A], "mean_bias2": actor["mean_bias2"][:A]}
    numbers = {"gamma": GAMMA, "temperature": TEMPERATURE, "conservative_weight": WEIGHT}
    return {
        **{name: np.float32(value) for name, value in numbers.items()},
        **layers(made.critic, "critic"),
        **layers(made.target_critic, "target"),
        **actor,
        "log_std": deviation,
        "obs": normal(B, D),
        "next_obs": normal(B, D),
        "action": rng.uniform(-1, 1, (B, A)).astype(np.float32),
        "reward": -np.abs(normal(B)),
        "terminal": np.array([0, 1, 0, 0, 0], np.float32),
        "returns": 0.3 * normal(B),
        "next_noise": normal(B, A),
        "actor_noise": normal(B, A),
        "current_noise": normal(N, B, A),
        "later_noise": normal(N, B, A),
        "many_next": normal(N, B, A),
        "uniform": rng.uniform(-1, 1, (B, N, A)).astype(np.float32),
        "behaviour": normal(B, N, A),
    }


@pytest.fixture(scope="module")
def theirs(given: Given, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("d3rlpy")
    np.savez(folder / "given.npz", **given)
    script = Path(__file__).with_name("d3rlpy_soft.py")
    command = [str(PYTHON), str(script), str(folder / "given.npz"), str(folder / "found.json")]
    subprocess.run(command, check=True, timeout=600)
    return json.loads((folder / "found.json").read_text())


@pytest.fixture(scope="module")
def it(given: Given) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(np.asarray(values)) for name, values in given.items()}
    tensors["discount"] = GAMMA * (1 - tensors["terminal"])
    return tensors


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5, rel=1e-5)


def test_the_policys_density_and_the_actors_loss(theirs: dict[str, Any], it: dict[str, torch.Tensor]) -> None:
    made = soft("cql")
    mean, log_std = made._policy.actor(it["obs"])
    _, log_prob = squashed_sample(mean, log_std, it["actor_noise"])
    assert log_prob.tolist() == approx(theirs["log_prob"])
    loss, _ = made.actor_loss(made._policy.actor, it["obs"], it["actor_noise"])
    assert loss.item() == approx(theirs["actor_loss"])
    loss, _ = made.temperature_loss(made.temperature, log_prob)
    assert loss.item() == approx(theirs["temperature_loss"])


@pytest.mark.parametrize("name", ["cql", "cql_max_backup", "cal_ql"])
def test_the_critics_loss(name: str, theirs: dict[str, Any], it: dict[str, torch.Tensor]) -> None:
    best = name == "cql_max_backup"
    kind = "cal_ql" if name == "cal_ql" else "cql"
    made = soft(kind, entropy_backup=not best, backup_actions=N if best else 1)
    noise = it["many_next"] if best else it["next_noise"][None]
    target = made.target(it["reward"], it["discount"], it["next_obs"], noise, torch.arange(2))
    if not best:
        soft_value = torch.tensor(theirs["soft_target"])
        assert target.tolist() == approx((it["reward"] + it["discount"] * soft_value).tolist())
    samples, log_density = made.proposals(
        it["obs"], it["next_obs"], it["current_noise"], it["later_noise"], it["uniform"].transpose(0, 1)
    )
    floor = it["returns"] if kind == "cal_ql" else None
    loss, _ = made.conservative_loss(
        made.critic, it["obs"], it["action"], target, samples, log_density, floor
    )
    no_critic_changes = torch.logsumexp(-log_density, dim=0).mean() * 2  # critics
    assert loss.item() + WEIGHT * no_critic_changes.item() == approx(theirs[name])


@pytest.mark.parametrize(("kernel", "width"), [("gaussian", 2.0), ("laplacian", 0.7)])
def test_the_discrepancy(
    kernel: str, width: float, theirs: dict[str, Any], it: dict[str, torch.Tensor]
) -> None:
    mean, log_std = agent("bear")._policy.actor(it["obs"])
    before = mean + it["current_noise"] * log_std.exp()
    found = discrepancy(before, it["behaviour"].transpose(0, 1), kernel, width)
    assert found.tolist() == approx(theirs["mmd"][kernel])


def test_bears_target(theirs: dict[str, Any], it: dict[str, torch.Tensor]) -> None:
    made = agent("bear", backup_actions=N)
    made.critic.load_state_dict(soft("cql").critic.state_dict())
    made.target_critic.load_state_dict(soft("cql").target_critic.state_dict())
    made._policy.load_state_dict(soft("cql")._policy.state_dict())
    found = made.target(torch.zeros(B), torch.ones(B), it["next_obs"], it["many_next"])
    assert found.tolist() == approx(theirs["bear_target"])
