"""What is null is taken from the task's family; what somebody sets holds for both."""

from dataclasses import asdict

import pytest
from learning_toys import goal_spec, identity, point_spec

from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig, AWACFamily, AWACOnline
from robot_orl.compose import build
from robot_orl.errors import UsageError

GOALS = AWACFamily(discount=0.9, n_step=5, better_share=0.0, mirror_share=0.5, goal_tolerance=0.8,
                   weights="exp_std", weight_kl=1.0, multi_step_share=0.0, policy_gradient_weight=0.0,
                   online=AWACOnline(n_step=1, awac_weight=2.0))  # fmt: skip
NONE = AWACFamily(discount=0.99, n_step=50, better_share=0.9, mirror_share=0.0, goal_tolerance=1.0,
                  weights="kl", weight_kl=0.25, multi_step_share=0.5, policy_gradient_weight=1.5,
                  online=AWACOnline(n_step=7, hindsight_share=0.0))  # fmt: skip


def config(**settings: object) -> AWACConfig:
    """Everything that a family says is null, but for `settings`."""
    names = ["discount", "n_step", "better_share", "weights", "weight_kl"]
    names += ["multi_step_share", "policy_gradient_weight"]
    values = {name: None for name in names} | settings
    return AWACConfig(with_goals=GOALS, without_goals=NONE, **values)  # type: ignore[arg-type]


def test_a_task_with_goals_and_one_without_have_their_own_values() -> None:
    found = [config().for_task(spec) for spec in (goal_spec(), point_spec())]
    assert [cfg.discount for cfg in found] == [0.9, 0.99]
    assert [cfg.n_step for cfg in found] == [5, 50]
    assert [cfg.better_share for cfg in found] == [0.0, 0.9]
    assert [cfg.weights for cfg in found] == ["exp_std", "kl"]
    assert [cfg.weight_kl for cfg in found] == [1.0, 0.25]
    assert [cfg.multi_step_share for cfg in found] == [0.0, 0.5]
    assert [cfg.policy_gradient_weight for cfg in found] == [0.0, 1.5]
    assert [cfg.online.n_step for cfg in found] == [1, 7]
    assert [cfg.online.hindsight_share for cfg in found] == [None, 0.0]


def test_what_is_set_wins_over_the_family_in_both() -> None:
    cfg = config(discount=0.5, online=AWACOnline(n_step=3))
    for spec in (goal_spec(), point_spec()):
        found = cfg.for_task(spec)
        assert (found.discount, found.online.n_step) == (0.5, 3)
    assert cfg.for_task(goal_spec()).online.awac_weight == 2.0, "the rest of `online` is the family's"


def test_an_agent_learns_with_the_values_of_its_task() -> None:
    agent = AWAC(config(hidden=[4]), point_spec(), identity(point_spec()), seed=0)
    assert (agent.sampling.n_step, agent.sampling.discount, agent.sampling.better_share) == (50, 0.99, 0.9)
    agent.start_online()
    assert (agent.sampling.n_step, agent.cfg.hindsight_share) == (7, 0.0)


def test_a_value_that_neither_says_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"^n_step is null and without_goals\.n_step as well: set one of them$"
    ):
        AWACConfig(n_step=None, with_goals=GOALS)
    with pytest.raises(UsageError, match="bound_targets needs discount < 1"):
        AWACConfig(discount=None, bound_targets=True, with_goals=GOALS, without_goals=AWACFamily(1.0))


def test_the_shipped_default_says_all_for_both_families_and_the_papers_needs_none() -> None:
    ours = build("pretrain", ["data=x", "out=y"]).agent
    for spec in (goal_spec(), point_spec()):
        found = asdict(ours.for_task(spec))
        assert not [name for name, value in found.items() if value is None]
        assert ours.for_task(spec).for_task(spec) == ours.for_task(spec)
    papers = build("pretrain", ["data=x", "out=y", "agent=awac_paper"]).agent
    assert papers.for_task(goal_spec()) == papers.for_task(point_spec()) == papers == AWACConfig()
