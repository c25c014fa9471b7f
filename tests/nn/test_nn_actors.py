"""The Gaussian policy: PyTorch's own density, bounded deviations, means inside the action's range."""

import math

import pytest
import torch
from torch.distributions import Normal

from robot_orl.nn.actors import GaussianActor, log_prob


@pytest.fixture
def actor() -> GaussianActor:
    torch.manual_seed(0)
    return GaussianActor(4, (8,), 3, -6.0, 0.0)


def test_log_prob_equals_torchs_normal(actor: GaussianActor) -> None:
    actor.log_std_logit.data = torch.tensor([-2.0, 0.0, 3.0])
    mean, action = torch.rand(50, 3) * 2 - 1, torch.rand(50, 3) * 2 - 1
    expected = Normal(mean, actor.log_std.exp()).log_prob(action).sum(dim=-1)
    torch.testing.assert_close(log_prob(mean, actor.log_std, action), expected)


def test_log_prob_by_hand() -> None:
    actor = GaussianActor(1, (), 2, math.log(0.5), math.log(0.5))
    found = log_prob(torch.zeros(1, 2), actor.log_std, torch.tensor([[0.5, -1.0]]))
    # -(1 + 4) / 2 - 2 ln 0.5 - 2 * 0.918939
    assert found.item() == pytest.approx(-2.5 + 1.386294 - 1.837877, abs=1e-5)


def test_the_deviation_stays_in_its_bounds_whatever_training_does(actor: GaussianActor) -> None:
    for logit, expected in ((1e9, 0.0), (-1e9, -6.0), (0.0, -3.0)):
        actor.log_std_logit.data.fill_(logit)
        assert actor.log_std.tolist() == [expected] * 3


def test_the_deviation_starts_at_a_third_and_can_be_fixed(actor: GaussianActor) -> None:
    torch.testing.assert_close(actor.log_std.detach(), torch.full((3,), -1.0))
    fixed = GaussianActor(4, (8,), 1, -2.0, -2.0)
    for logit in (-5.0, 0.0, 5.0):
        fixed.log_std_logit.data.fill_(logit)
        assert fixed.log_std.item() == -2.0


def test_the_deviation_does_not_depend_on_the_state(actor: GaussianActor) -> None:
    parts = {name for name, _ in actor.named_parameters() if not name.startswith("net.")}
    assert parts == {"log_std_logit"}
    assert actor.log_std.shape == (3,)


def test_means_are_inside_the_actions_range(actor: GaussianActor) -> None:
    means, _ = actor(1e4 * torch.randn(100, 4))
    assert means.shape == (100, 3)
    assert means.abs().max() <= 1
    assert actor(torch.zeros(1, 4))[0].abs().max() < 1
