"""`--help` of a command, made from the dataclasses: a field's sentence, default, unit and range."""

import math
import textwrap
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

from omegaconf import MISSING, OmegaConf

from robot_orl.compose import GROUPS_OF, choices, parse, resolve
from robot_orl.config import COMMANDS
from robot_orl.plain import POSITIONAL
from robot_orl.registry import PACKAGES, schema_of
from robot_orl.schema import Schema
from robot_orl.tasks import TaskConfig

WIDTH = 110


def help_text(command: str, words: list[str]) -> str:
    """Fields of the command and of its groups; `words` may choose other members of the groups."""
    schema = COMMANDS[command]
    lines = [f"usage: robot-orl {command} key=value ...", "", (schema.__doc__ or "").strip(), ""]
    groups = GROUPS_OF.get(command, ())
    lines += _fields(schema, schema(), "", skip=groups)
    for group in groups:
        chosen = _chosen(command, group, words)
        members = f"{group}=NAME, one of: {', '.join(choices(group))}"
        lines += ["", *textwrap.wrap(members, WIDTH, subsequent_indent="  ")]
        if chosen is not None:
            lines += [f"fields of {group}={chosen['name']}:", *_group_fields(group, chosen)]
    return "\n".join(lines)


def tool_help(name: str, schema: type[Schema]) -> str:
    """Fields of a tool that takes plain values; its flags are its boolean fields."""
    takes = [
        f"{key.upper()}{' ...' if key == 'paths' else ''}" for key in POSITIONAL if hasattr(schema(), key)
    ]
    lines = [f"usage: robot-orl {name} {' '.join([*takes, 'key=value ...'])}".replace("PATHS", "PATH"), ""]
    lines += [(schema.__doc__ or "").strip(), "", *_fields(schema, schema(), "")]
    if any(item.type is bool for item in fields(schema)):
        lines += [
            "",
            "  A field that is true or false can also be set as a flag: --dry-run for dry_run=true.",
        ]
    return "\n".join(lines)


def tools_help(tools: list[str]) -> str:
    """The tools of `robot-orl dataset`, one line each."""
    lines = ["usage: robot-orl dataset TOOL PATH ... key=value ...", ""]
    for name in tools:
        schema = import_module(f"robot_orl.commands.dataset.{name}").Config
        lines.append(f"  {name:<10} {(schema.__doc__ or '').strip().splitlines()[0]}")
    return "\n".join([*lines, "", "`robot-orl dataset TOOL --help` shows the fields of a tool."])


def _chosen(command: str, group: str, words: list[str]) -> dict[str, Any] | None:
    """The chosen member's values, defaults of its YAML included; None if there is no default member."""
    picks = [
        word for word, override in zip(words, parse(words), strict=True) if override.key_or_group == group
    ]
    if command == "collect" and group == "task" and not picks:
        return None
    needed = ["task=fetch_reach"] if command == "collect" and group != "task" else []
    values = OmegaConf.to_container(resolve(command, [*needed, *picks])[group])
    assert isinstance(values, dict)
    return values  # type: ignore[return-value]


def _group_fields(group: str, values: dict[str, Any]) -> list[str]:
    schema = schema_of(group, values["name"]) if group in PACKAGES else TaskConfig
    return _fields(schema, values, f"{group}.", skip=("name",))


def _fields(schema: type, values: Any, prefix: str, skip: tuple[str, ...] = ()) -> list[str]:
    """`  name = default  sentence [unit, range]`, wrapped; nested dataclasses follow their parent."""
    lines = []
    for item in fields(schema):
        if item.name in skip:
            continue
        value = values[item.name] if isinstance(values, dict) else getattr(values, item.name)
        nested = item.default_factory if is_dataclass(item.default_factory) else None
        head = f"  {prefix}{item.name}"
        if nested is None:
            head += " (required)" if value == MISSING else f" = {_shown(value)}"
        lines += _entry(head, item.metadata)
        if isinstance(nested, type):
            lines += _fields(nested, value, f"{prefix}{item.name}.")
    return lines


def _entry(head: str, rule: Any) -> list[str]:
    limits = [rule["unit"]] if rule.get("unit") else []
    low, high = rule.get("low", -math.inf), rule.get("high", math.inf)
    if math.isfinite(low) or math.isfinite(high):
        limits.append(f"{low:g} .. {high:g}")
    if rule.get("choices"):
        limits.append(" | ".join(rule["choices"]))
    text = rule.get("help", "") + (f" [{', '.join(limits)}]" if limits else "")
    indent = " " * 44
    wrapped = textwrap.wrap(text, WIDTH - len(indent)) or [""]
    first = f"{head:<42}  {wrapped[0]}" if len(head) <= 42 else f"{head}\n{indent}{wrapped[0]}"
    return [first, *(indent + line for line in wrapped[1:])]


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
