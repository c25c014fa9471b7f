"""What a run of an earlier version was trained with stays as it was."""

from dataclasses import asdict
from typing import Any

import pytest

from robot_orl.agents.awac_config import AWACConfig, AWACFamily, AWACOnline
from robot_orl.compose import build

NEW = ("with_goals", "without_goals", "better_share", "multi_step_share", "weight_kl", "hindsight_past")


def saved(**settings: Any) -> dict[str, Any]:
    """The settings of an agent as a version wrote them that did not have the newest fields."""
    config = asdict(AWACConfig(**settings))
    return {name: value for name, value in config.items() if name not in NEW}


@pytest.mark.parametrize("settings", [{}, {"discount": 0.97, "online": AWACOnline(n_step=1)}])
def test_finetuning_an_old_run_switches_nothing_on(settings: dict[str, Any]) -> None:
    found = build("finetune", ["run=x", "agent=awac"], saved(**settings)).agent
    assert found == AWACConfig(**settings)
    assert found.with_goals == found.without_goals == AWACFamily()


def test_a_field_of_it_may_be_set() -> None:
    found = build("finetune", ["run=x", "agent=awac", "agent.better_share=0.5"], saved()).agent
    assert found == AWACConfig(better_share=0.5)
