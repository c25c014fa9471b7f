"""`--help` of a command that is composed of groups: its own fields and those of the chosen members."""

import textwrap
from typing import Any

from omegaconf import OmegaConf

from robot_orl.compose import BESIDE_A_POLICY, GROUPS_OF, choices, parse, resolve
from robot_orl.config import COMMANDS
from robot_orl.help import field_lines, width
from robot_orl.intervention import who_can_take_over
from robot_orl.registry import PACKAGES, schema_of
from robot_orl.tasks import TaskConfig


def help_text(command: str, words: list[str]) -> str:
    """Fields of the command and of its groups; `words` may choose other members of the groups."""
    schema = COMMANDS[command]
    lines = [f"usage: robot-orl {command} key=value ...", "", (schema.__doc__ or "").strip(), ""]
    groups = GROUPS_OF.get(command, ())
    lines += field_lines(schema, schema(), "", skip=groups)
    for group in groups:
        chosen = _chosen(command, group, words)
        beside = group == "operator" and command in BESIDE_A_POLICY
        names = who_can_take_over() if beside else choices(group)
        members = f"{group}=NAME, one of: {', '.join(names)}"
        lines += ["", *textwrap.wrap(members, width(), subsequent_indent="  ")]
        if chosen is not None:
            lines += [f"fields of {group}={chosen['name']}:", *_group_fields(group, chosen)]
    return "\n".join(lines)


def _chosen(command: str, group: str, words: list[str]) -> dict[str, Any] | None:
    """The chosen member's values, defaults of its YAML included; None if there is no default member."""
    picks = [
        word for word, override in zip(words, parse(words), strict=True) if override.key_or_group == group
    ]
    if command == "collect" and group == "task" and not picks:
        return None
    needed = ["task=fetch_reach"] if command == "collect" and group != "task" else []
    member = resolve(command, [*needed, *picks])[group]
    if member is None:
        return None
    values = OmegaConf.to_container(member)
    assert isinstance(values, dict)
    return values  # type: ignore[return-value]


def _group_fields(group: str, values: dict[str, Any]) -> list[str]:
    schema = schema_of(group, values["name"]) if group in PACKAGES else TaskConfig
    return field_lines(schema, values, f"{group}.", skip=("name",))
