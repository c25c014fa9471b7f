"""Agents, operators and robots by name."""

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import pytest

from robot_orl.compose import choices, config_folder
from robot_orl.errors import UsageError
from robot_orl.registry import PACKAGES, factory, register, schema_of
from robot_orl.schema import Schema, setting


def test_names_lead_to_what_was_registered() -> None:
    from robot_orl.agents.awac import AWAC
    from robot_orl.agents.awac_config import AWACConfig
    from robot_orl.agents.bc import BC, BCConfig

    assert factory("agent", "awac") is AWAC
    assert factory("agent", "bc") is BC
    assert schema_of("agent", "awac") is AWACConfig
    assert schema_of("agent", "bc") is BCConfig


def test_registering_leaves_the_factory_as_it_is() -> None:
    @dataclass
    class ToyConfig(Schema):
        name: str = setting("toy", "Toy.")

    class Toy: ...

    assert register("toys", "toy", ToyConfig)(Toy) is Toy
    from robot_orl import registry

    assert registry._factories.pop(("toys", "toy")) is Toy
    assert registry._schemas.pop(("toys", "toy")) is ToyConfig


@pytest.mark.parametrize("group", sorted(PACKAGES))
def test_a_typo_names_the_valid_ones(group: str) -> None:
    for find in (factory, schema_of):
        with pytest.raises(UsageError, match=rf"^no {group} 'nothing'; valid: \w+") as caught:
            find(group, "nothing")
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"^no agent 'awak'; did you mean 'awac'\? valid: awac, awr, bc"):
        factory("agent", "awak")


def yaml_files() -> list[Path]:
    return [file for group in PACKAGES for file in sorted((config_folder() / group).glob("*.yaml"))]


@pytest.mark.parametrize("file", yaml_files(), ids=lambda file: f"{file.parent.name}={file.stem}")
def test_every_yaml_names_a_schema_that_is_registered(file: Path) -> None:
    group = file.parent.name
    names = {name for name in choices(group) if f"/schema/{group}/{name}@_here_" in file.read_text()}
    assert len(names) == 1
    assert schema_of(group, names.pop())


@pytest.mark.parametrize("group", sorted(PACKAGES))
def test_every_registered_name_has_a_yaml_and_explains_each_field(group: str) -> None:
    from robot_orl import registry

    registry.discover(group)
    names = [name for kind, name in registry._factories if kind == group]
    assert names
    for name in names:
        assert name in choices(group)
        schema = schema_of(group, name)
        assert is_dataclass(schema)
        unexplained = [f.name for f in fields(schema) if f.name != "name" and not f.metadata.get("help")]
        assert unexplained == []
