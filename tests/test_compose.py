"""What a run of an earlier version was trained with stays as it was."""

from dataclasses import asdict
from typing import Any

import pytest

from robot_orl.agents.awac_config import AWACConfig, AWACFamily, AWACOnline
from robot_orl.compose import build
from robot_orl.errors import UsageError

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


def test_a_setting_of_the_operator_needs_no_prefix_where_the_command_has_none_of_its_name() -> None:
    words = ["task=fetch_reach", "operator=browser", "out=d"]
    cfg = build("collect", [*words, "port=9000", "speed_m_s=0.1", "seed=3"])
    assert (cfg.operator.port, cfg.operator.speed_m_s, cfg.seed) == (9000, 0.1, 3)
    asked = build("collect", ["task=fetch_reach", "operator=policy", "out=d", "path=run"])
    assert asked.operator.path == "run"  # one that has no default
    with pytest.raises(UsageError, match=r"operator\.port= is given more than once"):
        build("collect", [*words, "port=9000", "operator.port=9001"])
    with pytest.raises(UsageError, match="no field of collect 'port'"):
        build("collect", ["task=fetch_reach", "out=d", "port=9000"])


@pytest.mark.parametrize("words", [["finetune", "run=r"], ["deploy", "bundle=b", "robot=sim"]])
def test_who_cannot_take_over_is_told_so_before_being_asked_for_a_path(words: list[str]) -> None:
    command, *more = words
    for name in ("policy", "mixed", "keyboard"):
        with pytest.raises(UsageError, match=rf"^operator={name} cannot take over .*: browser, expert"):
            build(command, [*more, f"operator={name}"])
    assert build(command, [*more, "operator=expert"]).operator.name == "expert"
