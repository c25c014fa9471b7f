"""A run goes on only with the settings that it began with: every other one is named, and no new one."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from learning_toys import goal_spec, point_spec
from training_toys import awac_config

from robot_orl.agents.awac_config import AWACConfig, AWACFamily
from robot_orl.commands.pretrain import FREE, _require_same, changed_settings
from robot_orl.config import PretrainConfig
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, defaults_of, differing, setting
from robot_orl.training.runs.run import Run

NO_MIRROR = AWACFamily(mirror_share=0.0)
CONFIG = PretrainConfig(agent=awac_config(), data="demos", out="run")


@dataclass
class Inner(Schema):
    depth: int = setting(2, "A number.")


@dataclass
class Outer(Schema):
    inner: Any = setting(None, "A config.")
    size: int = setting(3, "A number.")


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths to everything in nested dictionaries that is no dictionary."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def at(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The innermost dictionary of a path."""
    for name in path[:-1]:
        values = values[name]
    return values


def test_every_setting_that_differs_is_named_nested_ones_too() -> None:
    before = asdict(CONFIG)
    refused = set()
    for path in leaves(before):
        now = asdict(CONFIG)
        at(now, path)[path[-1]] = "changed"
        expected = [] if path[0] in FREE else [".".join(path)]
        assert changed_settings(before, now, defaults_of(CONFIG)) == expected
        refused.update(expected)
    assert {"agent.discount", "agent.online.temperature", "data", "where", "seed"} <= refused


def test_a_setting_that_an_old_run_did_not_have_yet_is_its_default() -> None:
    plain = PretrainConfig(agent=AWACConfig(), data="demos", out="run")
    now = asdict(plain)
    for path in leaves(now):
        if path[0] in FREE or path in (("data",), ("agent", "name")):
            continue  # these may differ, or have no default
        old, changed = deepcopy(now), deepcopy(now)
        del at(old, path)[path[-1]]
        assert changed_settings(old, now, defaults_of(plain)) == []
        at(changed, path)[path[-1]] = "changed"
        assert changed_settings(old, changed, defaults_of(plain)) == [".".join(path)]


def test_an_old_run_goes_on_with_a_newer_version_but_not_with_another_seed(tmp_path: Path) -> None:
    plain = PretrainConfig(agent=AWACConfig(), data="demos", out="run")
    run, now = Run(tmp_path), asdict(plain)
    del (old := deepcopy(now))["agent"]["critics"]
    run.save_config(old)
    with pytest.raises(UsageError) as caught:
        _require_same(run, now | {"seed": 7}, defaults_of(plain), point_spec())
    assert str(caught.value) == f"run {tmp_path} exists with other values of: seed; choose another out="
    _require_same(run, now, defaults_of(plain), point_spec())


def test_what_an_agent_would_do_in_other_tasks_does_not_matter(tmp_path: Path) -> None:
    """A run of a task without goals goes on although the family with goals has a setting that is new."""
    open_one = AWACConfig(mirror_share=None, with_goals=AWACFamily(mirror_share=0.5), without_goals=NO_MIRROR)
    ours = PretrainConfig(agent=open_one, data="demos", out="run")
    run, now = Run(tmp_path), asdict(ours)
    old = deepcopy(now)
    del old["agent"]["mirror_share"], old["agent"]["with_goals"]["mirror_share"]
    run.save_config(old)
    _require_same(run, now, defaults_of(ours), point_spec())
    with pytest.raises(UsageError, match=r"with other values of: agent\.mirror_share; choose another out="):
        _require_same(run, now, defaults_of(ours), goal_spec())
    told = asdict(replace(ours, agent=replace(open_one, mirror_share=0.0)))
    _require_same(run, told, defaults_of(ours), goal_spec())


def test_defaults_are_those_of_the_types_that_a_config_is_made_of() -> None:
    assert defaults_of(Outer(inner=Inner(depth=7), size=9)) == {"inner": {"depth": 2}, "size": 3}
    assert defaults_of(Outer(size=9)) == {"inner": None, "size": 3}


def test_a_missing_field_is_compared_with_its_default() -> None:
    defaults = {"inner": {"depth": 2}, "size": 3}
    for before, now, names in (
        ({}, {"inner": {"depth": 2}, "size": 3}, []),
        ({"inner": {}}, {"inner": {"depth": 7}, "size": 3}, ["inner.depth"]),
        ({}, {"inner": {"depth": 2}, "size": 4}, ["size"]),
        ({"size": None}, {"size": 3}, ["size"]),  # null was said, which is not the default
        ({"gone": 1}, {"inner": {"depth": 2}, "size": 3}, ["gone"]),
    ):
        assert differing(before, now, defaults=defaults) == names
    assert differing({}, {"size": 3}) == ["size"]
