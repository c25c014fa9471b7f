"""`--help` of a tool, made from its dataclass: a field's sentence, default, unit and range.

`composed_help` does it for commands that are composed of groups.
"""

import math
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from importlib import import_module
from inspect import cleandoc
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from robot_orl.plain import POSITIONAL, flag
from robot_orl.schema import Schema, own_first

WIDEST = 110


def width() -> int:
    """Of a terminal [characters], but no more than reads well."""
    return min(WIDEST, max(40, shutil.get_terminal_size((WIDEST, 24)).columns))


def tool_help(name: str, schema: type[Schema]) -> str:
    """Fields of a tool that takes plain values; its flags are its boolean fields."""
    takes = {"path": "PATH", "paths": "PATH ..."}
    names = [item.name for item in fields(schema)]
    usage = ["robot-orl", name, *(takes[key] for key in POSITIONAL if key in names), "key=value ..."]
    flags = [item for item in fields(schema) if item.type is bool]
    others = field_lines(schema, schema(), "", skip=[item.name for item in flags])
    lines = [f"usage: {' '.join(usage)}", "", *_described(schema), "", *others]
    return "\n".join([*lines, *(line for item in flags for line in _entry("  " + flag(item.name), item))])


def tools_help(group: str, modules: Mapping[str, str]) -> str:
    """The tools of `robot-orl GROUP`, one line each. modules: by the name of the tool."""
    takes = " PATH ..." if group == "dataset" else ""
    lines = [f"usage: robot-orl {group} TOOL{takes} key=value ...", ""]
    for name, module in sorted(modules.items()):
        schema = import_module(f"robot_orl.commands.{group}.{module}").Config
        said = textwrap.wrap(cleandoc(schema.__doc__ or "").splitlines()[0], width() - 13)
        lines += [f"  {name:<10} {said[0]}", *(" " * 13 + line for line in said[1:])]
    lines += ["", f"`robot-orl {group} TOOL --help` shows the fields of a tool"]
    if group == "dataset":
        lines[-1] += "; `filter --help` tells"
        lines += ["the query language of where=, too."]
    else:
        lines[-1] += "."
    return "\n".join(lines)


def _described(schema: type[Schema]) -> list[str]:
    """The lines of its docstring."""
    lines = cleandoc(schema.__doc__ or "").splitlines()
    return [part for line in lines for part in textwrap.wrap(line, width()) or [""]]


def field_lines(schema: type, values: Any, prefix: str, skip: Sequence[str] = ()) -> list[str]:
    """`  name = default  sentence [unit, range]`, wrapped; nested dataclasses follow their parent."""
    lines = []
    for item in own_first(schema):
        if item.name in skip:
            continue
        value = values[item.name] if isinstance(values, dict) else getattr(values, item.name)
        if (each := _row_of(schema, item.name)) is not None:  # a table: its rows have fields of their own
            lines += _entry(f"  {prefix}{item.name}: {', '.join(value) or 'empty'}", item)
            lines += field_lines(each, each(), f"{prefix}{item.name}.NAME.")
            continue
        nested = item.default_factory if is_dataclass(item.default_factory) else None
        head = f"  {prefix}{item.name}"
        if nested is None:
            head += " (required)" if value == MISSING else f" = {_shown(value)}"
        lines += _entry(head, item)
        if isinstance(nested, type):
            lines += field_lines(nested, value, f"{prefix}{item.name}.")
    return lines


def _row_of(schema: type, name: str) -> type | None:
    """The dataclass to which a field maps names; None: it is another field."""
    kind = get_type_hints(schema)[name]
    row = get_args(kind)[1] if get_origin(kind) is dict else None
    return row if isinstance(row, type) and is_dataclass(row) else None


def _entry(head: str, item: Field[Any]) -> list[str]:
    rule = item.metadata
    limits = [rule["unit"]] if rule.get("unit") else []
    low, high = rule.get("low", -math.inf), rule.get("high", math.inf)
    if math.isfinite(low) and math.isfinite(high):
        limits.append(f"{low:g} .. {high:g}")
    elif math.isfinite(low) or math.isfinite(high):
        limits.append(f"at least {low:g}" if math.isfinite(low) else f"at most {high:g}")
    if rule.get("choices"):
        limits.append(" | ".join(rule["choices"]))
    text = rule.get("help", "") + (f" [{', '.join(limits)}]" if limits else "")
    indent = 2 * width() // 5
    wrapped = textwrap.wrap(text, width() - indent, break_on_hyphens=False) or [""]
    short = len(head) <= indent - 2
    first = f"{head:<{indent}}{wrapped[0]}" if short else f"{head}\n{' ' * indent}{wrapped[0]}"
    return [first, *(" " * indent + line for line in wrapped[1:])]


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
