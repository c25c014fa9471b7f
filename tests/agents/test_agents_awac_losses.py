"""Each loss of AWAC against numbers worked out by hand, on linear networks with given weights."""

import math
from typing import Any

import pytest
import torch
from linear_awac import column, linear_awac

PRECISE = -20.0  # log standard deviation: samples equal the mean but for 2e-9
TWO = ((2.0, 1.0, 0.5), (1.0, -1.0, 1.0))


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-5)


# critic: targets


def target(agent: Any, reward: list[float], discount: list[float], next_state: list[float]) -> list[float]:
    return next_target(
        agent, torch.tensor(reward).float(), torch.tensor(discount).float(), column(*next_state)
    ).tolist()


def next_target(
    agent: Any, reward: torch.Tensor, discount: torch.Tensor, next_state: torch.Tensor
) -> torch.Tensor:
    noise, members, _ = agent.draw(len(reward))
    return agent.target(reward, discount, next_state, noise, members)


def critic_loss(agent: Any, state: Any, action: Any, reward: Any, discount: Any, next_state: Any) -> Any:
    """Loss and metrics, with gradients."""
    target = next_target(agent, reward, discount, next_state)
    loss, (_, metrics) = agent.critic_loss(agent.critic, state, action, target)
    return loss, metrics


def actor_loss(agent: Any, state: torch.Tensor, action: torch.Tensor) -> Any:
    q = agent.q(agent.critic, state, action).detach().amin(dim=0)
    return agent.actor_loss(agent._policy.actor, state, action, q)


def test_the_target_is_reward_plus_discounted_minimum_of_the_target_critics() -> None:
    agent = linear_awac(critic=((9, 9, 9), (9, 9, 9)), target=TWO, mean=0.5, log_std=PRECISE)
    # q at a' = 0.5: s' = 1: 3 and 1.5; s' = 2: 5 and 2.5; s' = -3: -5 and -2.5
    found = target(agent, [-1, -1, 0], [0.9, 0.9, 0.81], [1, 2, -3])
    assert found == approx([-1 + 0.9 * 1.5, -1 + 0.9 * 2.5, 0.81 * -5])


def test_the_target_of_a_terminated_step_is_its_reward_alone() -> None:
    agent = linear_awac(target=((1, 1, 1000),), log_std=PRECISE)
    assert target(agent, [-1, 0], [0, 0], [5, 6]) == [-1, 0]


def test_targets_are_bounded_by_what_rewards_can_give() -> None:
    agent = linear_awac(target=((1, 0, 0),), log_std=PRECISE, bound_targets=True, discount=0.75)
    # bounds [-1 / 0.25, 0]; a three-step discount does not move them
    assert target(agent, [-1, -1, 0, -1], [0.75, 0.421875, 0.75, 0], [-8, -2, 3, 7]) == approx(
        [-4, -1.84375, 0, -1]
    )
    free = linear_awac(target=((1, 0, 0),), log_std=PRECISE, discount=0.75)
    assert target(free, [-1, 0], [0.75, 0.75], [-8, 3]) == approx([-7, 2.25])


def test_the_next_action_is_a_clipped_sample_of_the_policy() -> None:
    state, zero, one = torch.zeros(20_000, 1), torch.zeros(20_000), torch.ones(20_000)
    narrow = linear_awac(target=((0, 1, 0),), mean=0.5, log_std=math.log(0.1))
    actions = next_target(narrow, zero, one, state)
    assert actions.mean().item() == pytest.approx(0.5, abs=0.003)  # 4 standard errors
    assert actions.std().item() == pytest.approx(0.1, abs=0.002)
    broad = linear_awac(target=((0, 1, 0),), mean=0.5, log_std=0.0)
    wide = next_target(broad, zero, one, state)
    assert (wide.min().item(), wide.max().item()) == (-1, 1)
    share = 1 - 0.5 * (1 + math.erf(0.5 / math.sqrt(2)))  # of a normal beyond half a deviation: 31%
    assert (wide == 1).float().mean().item() == pytest.approx(share, abs=0.014)


@pytest.mark.parametrize(("subset", "values"), [(1, {1, 2, 3}), (2, {1, 2}), (3, {1})])
def test_the_minimum_is_over_a_random_subset_of_the_ensemble(subset: int, values: set[float]) -> None:
    lines = ((0, 0, 1), (0, 0, 2), (0, 0, 3))
    agent = linear_awac(critic=lines, critic_subset=subset)
    drawn = [target(agent, [0, 0], [1, 1], [0, 0]) for _ in range(300)]
    assert all(first == second for first, second in drawn)  # one subset per update
    assert {first for first, _ in drawn} == values
    lowest = sum(first == 1 for first, _ in drawn) / 300
    assert lowest == pytest.approx(subset / 3, abs=0.11)  # 4 standard deviations


# critic: loss


def test_the_critic_loss_is_the_sum_of_the_members_mean_squared_errors() -> None:
    agent = linear_awac(critic=((1, 1, 0), (0, 0, 0)), target=TWO, mean=0.5, log_std=PRECISE)
    reward, discount = torch.tensor([-1.0, 0, -1]), torch.tensor([0.9, 0, 0.81])
    loss, metrics = critic_loss(agent, column(0, 1, 2), column(1, 0, -1), reward, discount, column(1, 2, -3))
    # targets 0.35, 0, -5.05; members say 1, 1, 1 and 0, 0, 0
    first = (0.65**2 + 1 + 6.05**2) / 3
    second = (0.35**2 + 0 + 5.05**2) / 3
    assert loss.item() == approx(first + second)
    assert metrics["critic/loss"].item() == loss.item()
    assert metrics["critic/q"].item() == 0.5


def test_the_critic_loss_moves_each_member_by_its_own_error_and_no_target() -> None:
    agent = linear_awac(critic=((1, 1, 0), (0, 0, 0)), target=TWO, mean=0.5, log_std=PRECISE)
    loss, _ = critic_loss(
        agent, column(2), column(-1), torch.tensor([-1.0]), torch.tensor([0.81]), column(-3)
    )
    loss.backward()
    layer: Any = agent.critic.layers[0]
    # d/dbias of (q - target)^2 with errors 1 + 5.05 and 0 + 5.05
    assert layer.bias.grad.flatten().tolist() == approx([12.1, 10.1])
    assert all(parameter.grad is None for parameter in agent.target_critic.parameters())
    assert all(parameter.grad is None for parameter in agent._policy.parameters())


# advantage


def test_the_advantage_is_over_the_policys_mean_by_the_minimum_of_the_critics() -> None:
    agent = linear_awac(critic=TWO, target=((7, 7, 7), (7, 7, 7)), mean=0.5)
    _, metrics = actor_loss(agent, column(0, 1, -3), column(1, -1, 0))
    # Q: min(1.5, 0), min(1.5, 3), min(-5.5, -2); V: min(1, 0.5), min(3, 1.5), min(-5, -2.5)
    assert metrics["actor/advantage"].item() == approx((-0.5 + 0 - 0.5) / 3)


def test_a_share_of_the_advantage_is_what_really_followed() -> None:
    agent = linear_awac(
        critic=((0, 1, 0),), target=((0, 0, 2),), mean=0.5, log_std=PRECISE, multi_step_share=0.25
    )
    noise, members, blur = agent.draw(2)
    inputs = column(3, 4), column(1, -1), torch.tensor([-1.0, 0]), torch.tensor([0.5, 0.0]), column(5, 6)
    _, _, metrics = agent.gradients(*inputs, noise, members, blur)
    # Q 1 and -1, targets -1 + 0.5 * 2 = 0 and 0, V 0.5: 0.75 - 0.5 and -0.75 - 0.5
    assert metrics["actor/advantage"].item() == approx((0.25 - 1.25) / 2)


def test_the_advantage_has_no_gradient() -> None:
    agent = linear_awac(critic=TWO, mean=0.5, awac_weight=0.0)
    loss, metrics = actor_loss(agent, column(0, 1), column(1, -1))
    assert not metrics["actor/advantage"].requires_grad
    gradients = torch.autograd.grad(loss, list(agent.critic.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_q_values_are_each_critics_own() -> None:
    agent = linear_awac(critic=TWO)
    assert agent.q_values(column(0, 1), column(1, -1)).tolist() == [[1.5, 1.5], [0, 3]]


# actor: loss


def test_the_actor_loss_is_the_weighted_likelihood_of_the_datas_actions() -> None:
    agent = linear_awac(critic=((0, 1, 0),), temperature=0.5 / math.log(3))
    state, action = column(4, -4), column(0.5, 0)
    loss, metrics = actor_loss(agent, state, action)
    # advantages 0.5 and 0: softmax 3/4 and 1/4, weights 1.5 and 0.5; z = 1 and 0
    log_probs = [-0.5 + math.log(2) - 0.918939, math.log(2) - 0.918939]
    assert loss.item() == approx(-(1.5 * log_probs[0] + 0.5 * log_probs[1]) / 2)
    assert loss.item() == approx(0.600791)
    assert metrics["actor/advantage"].item() == approx(0.25)
    assert metrics["actor/weight_max"].item() == approx(1.5)
    assert metrics["actor/effective_samples"].item() == approx((2**2 / 2.5) / 2)
    assert metrics["actor/std"].item() == approx(0.5)
    twice = linear_awac(critic=((0, 1, 0),), temperature=0.5 / math.log(3), awac_weight=2.0)
    assert actor_loss(twice, state, action)[0].item() == approx(2 * 0.600791)


def test_the_gradient_of_the_mean_is_the_weighted_error_over_the_variance() -> None:
    agent = linear_awac(critic=((0, 1, 0),), temperature=0.5 / math.log(3))
    actor_loss(agent, column(1, 2), column(0.5, -0.25))[0].backward()
    output: Any = agent._policy.actor.net[0]
    # advantages 0.5 and -0.25; the softmax of (ln 3, -ln 3 / 2) is 3^1.5 : 1
    first = 2 * 3**1.5 / (3**1.5 + 1)
    weights = (first, 2 - first)
    # d loss / d mean = -w (a - mean) / 0.25 / 2, and tanh' is 1 at mean 0
    expected = [-weights[0] * 0.5 * 2, weights[1] * 0.25 * 2]
    assert output.bias.grad.item() == approx(sum(expected))
    assert output.weight.grad.item() == approx(expected[0] * 1 + expected[1] * 2)


def test_the_policy_gradient_term_is_minus_q_over_its_mean_size() -> None:
    critic = ((1.0, 1.0, 0.0), (1.0, -3.0, 0.5))
    agent = linear_awac(critic=critic, awac_weight=0.0, policy_gradient_weight=0.1)
    loss, _ = actor_loss(agent, column(2, -5, 9), column(0.7, 0.7, 0.7))
    # at mean 0 the first member is the minimum: q = 2, -5 and 9, of mean 2; mean |q| = 16 / 3
    assert loss.item() == approx(-0.1 * 2 / (16 / 3))
    loss.backward()
    output: Any = agent._policy.actor.net[0]
    assert output.bias.grad.item() == approx(-0.1 / (16 / 3))  # dq/da = 1; |q| has no gradient
    both = linear_awac(critic=critic, policy_gradient_weight=0.1)
    alone = linear_awac(critic=critic)
    batch = column(1, -3), column(0.7, 0.1)  # mean q is -1, mean |q| 2
    assert actor_loss(both, *batch)[0].item() == approx(actor_loss(alone, *batch)[0].item() + 0.1 / 2)
