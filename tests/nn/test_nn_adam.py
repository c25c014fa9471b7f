"""Adam by hand, and as PyTorch has it."""

import pytest
import torch

from robot_orl.nn.adam import Adam


def pair(weight_decay: float = 0.0) -> tuple[torch.nn.Parameter, Adam]:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    return weight, Adam([weight], 0.1, weight_decay)


def test_the_first_step_is_the_learning_rate_against_the_gradients_sign() -> None:
    weight, optimizer = pair()
    optimizer.descend([torch.tensor([4.0, -0.5, 0.0])])
    # the corrected mean is g and the corrected square g^2
    assert weight.tolist() == pytest.approx([0.9, 2.1, 3.0])


def test_weight_decay_is_added_to_the_gradient() -> None:
    weight, optimizer = pair(weight_decay=1.0)
    optimizer.descend([torch.tensor([0.0, -2.0, -4.0])])
    assert weight.tolist() == pytest.approx([0.9, 2.0, 3.1])  # g + w = 1, 0, -1


def test_its_state_goes_on_bitwise_with_the_settings_of_now() -> None:
    gradients = [torch.randn(3, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    weight, optimizer = pair()
    for gradient in gradients[:2]:
        optimizer.descend([gradient])
    other = torch.nn.Parameter(weight.detach().clone())
    second = Adam([other], 0.1)
    second.load_state_dict(optimizer.state_dict())
    slower = torch.nn.Parameter(weight.detach().clone())
    third = Adam([slower], 0.05)
    third.load_state_dict(optimizer.state_dict())
    before = weight.detach().clone()
    for each in (optimizer, second, third):
        each.descend([gradients[2]])
    assert torch.equal(weight, other)
    torch.testing.assert_close(slower - before, (weight - before) / 2)
