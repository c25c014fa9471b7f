"""BEAR: what the data's actors might have done bounds what the policy does, not how often they did it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from linear_awac import column
from linear_soft import batch, learned, linear, small

from robot_orl.agents.bear import BEAR, discrepancy
from robot_orl.nn.autoencoder import Autoencoder

TWO = ((2.0, 1.0, 0.5), (1.0, -1.0, 1.0))
KERNELS = ("laplacian", "gaussian")


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


def many(*values: float) -> torch.Tensor:
    """Samples of one number in one state: (N, 1, 1)."""
    return torch.tensor(values)[:, None, None]


def bear(critic: Any = TWO, target: Any = None, **settings: Any) -> Any:
    return linear("bear", critic, target, **({"mean": 0.3, "std": 0.5, "kernel_width": 1.0} | settings))


# the discrepancy


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_discrepancy_is_the_root_of_likeness_within_less_likeness_between(kernel: str) -> None:
    found = discrepancy(many(0.0, 2.0), many(1.0), kernel, 0.5)
    # at distance 1: exp(-1); at distance 2: exp(-2) or exp(-4)
    within = (1 + math.exp(-2 if kernel == "laplacian" else -4)) / 2
    assert found.tolist() == approx([math.sqrt(within + 1 - 2 * math.exp(-1) + 1e-6)])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_actions_have_none_and_a_gradient_that_is_a_number(kernel: str) -> None:
    left = many(0.3, -0.7).requires_grad_()
    found = discrepancy(left, many(0.3, -0.7), kernel, 2.0)
    assert found.item() == approx(1e-3)
    found.backward()
    assert left.grad is not None
    assert torch.isfinite(left.grad).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_of_each_state_alone_and_grows_with_the_distance(kernel: str) -> None:
    left, right = torch.zeros(3, 4, 2), torch.zeros(5, 4, 2)
    right[:, :, 0] = torch.tensor([0.0, 0.5, 1.0, 3.0])
    found = discrepancy(left, right, kernel, 1.0)
    assert found.shape == (4,)
    assert (found.diff() > 0.05).all()


# the model of the data


def test_the_autoencoders_loss_is_the_error_and_half_the_divergence_of_its_codes() -> None:
    model: Any = Autoencoder(1, (), 1)
    for layer in (model.encoder[-1], model.decoder[-1]):
        layer.weight.data.zero_()
    model.encoder[-1].bias.data = torch.tensor([1.0, -2.0, 0.0, math.log(2)])  # means, then log deviations
    model.decoder[-1].bias.data = torch.tensor([0.4])
    loss, metrics = BEAR.behaviour_loss(model, column(0), column(0.1), torch.zeros(1, 2))
    error = (math.tanh(0.4) - 0.1) ** 2
    divergence = (0.5 * (1 + 1 - 1) - 0 + 0.5 * (4 + 4 - 1) - math.log(2)) / 2
    assert metrics["behaviour/error"].item() == approx(error)
    assert loss.item() == approx(error + 0.5 * divergence)


def test_a_code_is_its_mean_and_noise_times_its_deviation() -> None:
    model: Any = Autoencoder(1, (), 1)
    model.encoder[-1].weight.data.zero_()
    model.encoder[-1].bias.data = torch.tensor([0.25, -0.5, math.log(2), 0.0])
    model.decoder[-1].weight.data = torch.tensor([[0.0, 1.0, 10.0]])
    model.decoder[-1].bias.data.zero_()
    again, _, _ = model(column(7), column(0), torch.tensor([[0.5, -1.0]]))
    assert again.item() == approx(math.tanh(0.25 + 0.5 * 2 + 10 * (-0.5 - 1)))


def test_what_is_imitated_comes_from_usual_codes() -> None:
    agent = bear()
    layer: Any = agent.behaviour.decoder[-1]
    layer.weight.data, layer.bias.data = torch.tensor([[1.0, 1.0, 0.0]]), torch.zeros(1)
    codes = torch.tensor([[[0.2, 9.0]], [[3.0, 9.0]], [[-3.0, 9.0]]])
    assert agent.imitated(column(4), codes).flatten().tolist() == approx([4.2, 4.5, 3.5])


# the losses


def test_the_target_is_the_best_action_by_three_quarters_minimum() -> None:
    agent = bear(((9, 9, 9), (9, 9, 9)), TWO)
    noise = many(0.0, 1.0, -4.0)  # before the tanh 0.3, 0.8 and -1.7; in state 1 critics say 2.5 + a, 2 - a
    found = agent.target(torch.tensor([-1.0]), torch.tensor([0.9]), column(1), noise)
    mixed = [
        0.75 * min(2.5 + a, 2 - a) + 0.25 * max(2.5 + a, 2 - a) for a in map(math.tanh, (0.3, 0.8, -1.7))
    ]
    assert max(mixed) == mixed[0]
    assert found.tolist() == approx([-1 + 0.9 * mixed[0]])


@pytest.mark.parametrize("climbs", [True, False])
def test_the_actor_pays_for_what_is_beyond_the_threshold_and_climbs_the_minimum(climbs: bool) -> None:
    agent = bear(threshold=0.1)
    agent.multiplier.log_value.data = torch.tensor(math.log(3.0))
    done = many(0.3)
    loss, (found, _) = agent.actor_loss(agent._policy.actor, column(1), many(0.0, 1.0), done, climbs)
    # samples 0.3 and 0.8 against 0.3, of width 1
    within, between = (1 + math.exp(-0.25)) / 2, (1 + math.exp(-0.25)) / 2
    distance = math.sqrt(within + 1 - 2 * between + 1e-6)
    assert found.tolist() == approx([distance])
    value = (2 - math.tanh(0.3) + 2 - math.tanh(0.8)) / 2
    assert loss.item() == approx(3 * (distance - 0.1) - (value if climbs else 0))


def test_before_it_is_warm_the_actor_does_not_look_at_the_critics() -> None:
    """The critics say that more is better everywhere."""
    after = []
    for slope in (0.0, 50.0):
        agent = bear(((0, slope, 0), (0, slope, 0)), warmup_updates=2, critic_learning_rate=0.0)
        agent.behaviour.load_state_dict({k: 0 * v for k, v in agent.behaviour.state_dict().items()})
        for seed in range(3):
            agent.update(batch(32, seed))
            after.append(agent._policy.actor.net[-1].bias[0].item())
    flat, steep = after[:3], after[3:]
    assert flat[:2] == steep[:2]
    assert steep[2] > flat[2]


def test_the_multiplier_holds_the_threshold_within_its_bounds() -> None:
    for threshold, rises in ((0.0, True), (2.0, False)):
        agent = bear(threshold=threshold)
        agent.update(batch(32))
        assert (agent.multiplier().item() > 1) == rises
    far = bear(threshold=0.0, multiplier_learning_rate=1.0)
    for seed in range(15):
        far.update(batch(32, seed))
    assert far.multiplier().item() == pytest.approx(math.exp(10))


def test_a_restored_agent_knows_how_warm_it_is() -> None:
    first, second = (small("bear", warmup_updates=2) for _ in range(2))
    for seed in range(3):
        first.update(batch(64, seed))
    second.load_state_dict(first.state_dict())
    assert second.updates == 3
    left, right = first.update(batch(64, 9)), second.update(batch(64, 9))
    assert all(torch.equal(right[name], value) for name, value in left.items())


# what it is for


@pytest.mark.e2e  # trains
def test_a_loose_threshold_finds_the_best_action_and_a_tight_one_stays_with_the_data() -> None:
    """Of actions from -0.5 to 0.5 four in five are below 0, and 0.35 is best."""

    def mostly_low(rng: np.random.Generator, size: int) -> Any:
        return np.where(rng.random(size) < 0.8, rng.uniform(-0.5, 0, size), rng.uniform(0, 0.5, size))

    def done(threshold: float) -> float:
        agent = small("bear", warmup_updates=50, behaviour_learning_rate=5e-3, threshold=threshold,
                      multiplier_learning_rate=5e-2)  # fmt: skip
        return learned(agent, mostly_low, best=0.35, updates=250)

    assert done(0.6) == pytest.approx(0.35, abs=0.08)
    assert done(0.01) == pytest.approx(-0.15, abs=0.15)
