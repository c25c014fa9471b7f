"""The squashed Gaussian: the density of PyTorch, exact where tanh rounds to 1; an actor of one action."""

import math

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from robot_orl.nn.actors import (
    DeterministicActor,
    SquashedGaussianActor,
    log_slope,
    squashed_log_prob,
    squashed_sample,
)


@pytest.fixture
def actor() -> SquashedGaussianActor:
    torch.manual_seed(0)
    return SquashedGaussianActor(4, (8,), 3, -5.0, 2.0)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_density_of_a_sample_equals_torchs_transformed_normal() -> None:
    mean, log_std = numbers(50, 3), 0.3 * numbers(50, 3, seed=1) - 1
    action, found = squashed_sample(mean, log_std, numbers(50, 3, seed=2))
    peer = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=1)])
    torch.testing.assert_close(found, peer.log_prob(action).sum(dim=-1), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(squashed_log_prob(mean, log_std, action), found, rtol=1e-3, atol=1e-3)


def test_the_density_by_hand() -> None:
    # u = 0.5, mean 0, deviation 1: log N = -0.125 - 0.918939, tanh' = 1 - tanh(0.5)^2 = 0.786448
    action, found = squashed_sample(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[0.5]]))
    assert action.item() == pytest.approx(math.tanh(0.5), abs=1e-6)
    assert found.item() == pytest.approx(-0.125 - 0.918939 - math.log(0.786448), abs=1e-5)


def test_the_density_sums_to_one() -> None:
    edge = torch.linspace(-1, 1, 20_001)
    middle = ((edge[1:] + edge[:-1]) / 2)[:, None]
    mean, log_std = torch.full((len(middle), 1), 0.4), torch.full((len(middle), 1), math.log(0.7))
    assert (squashed_log_prob(mean, log_std, middle).exp() * 1e-4).sum().item() == pytest.approx(1, abs=1e-3)


def test_it_is_exact_where_tanh_rounds_to_one_and_has_a_gradient_there() -> None:
    before = torch.tensor([[20.0], [-20.0], [0.0], [100.0]], requires_grad=True)
    found = log_slope(before)
    # log(1 - tanh(u)^2) -> log 4 - 2 |u|
    assert found.tolist() == pytest.approx([math.log(4) - 40, math.log(4) - 40, 0, math.log(4) - 200])
    found.sum().backward()
    assert before.grad is not None
    assert before.grad.flatten().tolist() == pytest.approx([-2, 2, 0, -2])  # -2 tanh(u)
    for end in (-1.0, 1.0):
        assert squashed_log_prob(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[end]])).isfinite()


def test_more_samples_of_a_policy_come_in_front() -> None:
    mean, log_std, noise = numbers(5, 2), torch.zeros(5, 2), numbers(7, 5, 2, seed=1)
    action, density = squashed_sample(mean, log_std, noise)
    assert (action.shape, density.shape) == ((7, 5, 2), (7, 5))
    one, its = squashed_sample(mean, log_std, noise[3])
    torch.testing.assert_close(action[3], one)
    torch.testing.assert_close(density[3], its)


def test_what_is_deployed_is_the_squashed_mean_and_the_deviation_is_clipped(
    actor: SquashedGaussianActor,
) -> None:
    features = 100 * numbers(50, 4)
    mean, log_std = actor(features)
    assert (mean.shape, log_std.shape) == ((50, 3), (50, 3))
    torch.testing.assert_close(actor.act(features), torch.tanh(mean))
    assert (log_std.min().item(), log_std.max().item()) == (-5.0, 2.0)
    assert log_std[0].tolist() != log_std[1].tolist(), "it depends on the state"


def test_a_deterministic_actor_gives_one_action() -> None:
    actor = DeterministicActor(4, (8,), 3, -6.0, 0.0)
    features = numbers(5, 4)
    assert torch.equal(actor.act(features), actor(features))
    assert actor(1e3 * features).abs().max() <= 1
    assert {name.split(".")[0] for name, _ in actor.named_parameters()} == {"net"}
