"""Advantage weights by hand, and the law that a KL bound is kept."""

import math

import pytest
import torch

from robot_orl.agents.advantage_weights import advantage_weights, within_kl
from robot_orl.agents.awac_config import AWACConfig

approx = pytest.approx


def test_softmax_weights_have_mean_one() -> None:
    cfg = AWACConfig(temperature=2.0)
    found = advantage_weights(2 * torch.tensor([math.log(1), math.log(2), math.log(5)]), cfg)
    assert found.tolist() == approx([3 / 8, 6 / 8, 15 / 8])
    assert found.mean().item() == approx(1)
    huge = advantage_weights(torch.tensor([1e4, 0, -1e4]), cfg)  # no overflow
    assert huge.tolist() == [3, 0, 0]


def test_exp_weights_are_clipped() -> None:
    cfg = AWACConfig(weights="exp", temperature=2.0, weight_clip=20.0)
    advantage = 2 * torch.tensor([0, math.log(3), -math.log(4), math.log(19.5), math.log(20.5), 1e4])
    assert advantage_weights(advantage, cfg).tolist() == approx([1, 3, 0.25, 19.5, 20, 20])


def test_exp_std_weights_count_advantages_in_standard_deviations_of_the_batch() -> None:
    cfg = AWACConfig(weights="exp_std", temperature=0.5, weight_clip=5.0)
    for scale in (1e-3, 1, 1e3):
        found = advantage_weights(scale * torch.tensor([-1.0, 1, -1, 1]), cfg)  # deviation 1 * scale
        assert found.tolist() == approx([math.exp(-2), 5, math.exp(-2), 5])  # exp(2) is 7.4
    assert advantage_weights(torch.tensor([3.0]), cfg).tolist() == [5], "a batch of one has weights too"
    assert advantage_weights(torch.zeros(4), cfg).tolist() == [1] * 4


def divergence(weight: torch.Tensor) -> float:
    share = weight.double() / weight.double().sum()
    return float((share * (share * len(share)).clamp(min=1e-300).log()).sum())


@pytest.mark.parametrize("bound", [0.05, 0.25, 1.0, 1.5])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_kl_weights_are_as_sharp_as_the_bound_allows(bound: float, scale: float) -> None:
    advantage = scale * torch.randn(256, generator=torch.Generator().manual_seed(0))
    cfg = AWACConfig(weights="kl", weight_kl=bound)
    weight = advantage_weights(advantage, cfg)
    assert weight.mean().item() == approx(1, rel=1e-5)
    assert torch.equal(weight.argsort(), advantage.argsort())
    assert 0.7 * bound < divergence(weight) <= bound * (1 + 1e-4)  # a step of the grid is a sixth sharper


def test_a_bound_of_log_n_over_k_is_what_choosing_k_of_n_costs() -> None:
    good = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])
    weight = within_kl(good, math.log(4))
    # temperatures down to a hundredth of the deviation: nothing is left of the six others
    assert weight.tolist() == approx([4, 4, 0, 0, 0, 0, 0, 0])
    assert divergence(within_kl(good, 0.5)) <= 0.5


def test_equal_advantages_weigh_the_same_under_any_bound() -> None:
    assert within_kl(torch.zeros(5), 1.0).tolist() == approx([1] * 5)
    assert within_kl(torch.tensor([3.0]), 1.0).tolist() == approx([1])
