"""A multiplier rises while its constraint is violated, falls while there is room, and keeps its bounds."""

import math

import pytest
import torch

from robot_orl.nn.adam import Adam
from robot_orl.nn.compute import gradient
from robot_orl.nn.multiplier import Multiplier, dual_loss


def after(multiplier: Multiplier, violation: float, steps: int = 1, rate: float = 0.5) -> float:
    optimizer = Adam(multiplier.parameters(), rate)
    for _ in range(steps):
        gradients, _ = gradient(
            multiplier, lambda module: (dual_loss(module(), torch.tensor([violation, violation])), None)
        )
        optimizer.descend(gradients)
        multiplier.keep_within()
    return multiplier().item()


def test_it_starts_where_it_is_told() -> None:
    assert Multiplier(0.25)().item() == pytest.approx(0.25)


def test_the_loss_is_minus_the_multiplier_times_the_mean_violation() -> None:
    assert dual_loss(torch.tensor(3.0), torch.tensor([1.0, -0.5])).item() == pytest.approx(-3 * 0.25)


def test_a_violation_raises_it_and_room_lowers_it() -> None:
    # the first step of Adam is the rate, in the logarithm
    assert after(Multiplier(2.0), 0.1) == pytest.approx(2 * math.exp(0.5), rel=1e-5)
    assert after(Multiplier(2.0), -0.1) == pytest.approx(2 * math.exp(-0.5), rel=1e-5)
    assert after(Multiplier(2.0), 0.0) == pytest.approx(2.0)


def test_it_comes_back_from_its_bounds_at_once() -> None:
    multiplier = Multiplier(1.0, low=-1.0, high=1.0)
    assert after(multiplier, 1.0, steps=9) == pytest.approx(math.e)
    assert after(multiplier, -1.0) == pytest.approx(math.exp(0.5), rel=1e-5)
    assert after(multiplier, -1.0, steps=9) == pytest.approx(math.exp(-1))


def test_no_gradient_reaches_what_violates() -> None:
    violation = torch.tensor([1.0], requires_grad=True)
    multiplier = Multiplier(1.0)
    dual_loss(multiplier(), violation).backward()
    assert violation.grad is None
    assert multiplier.log_value.grad is not None
