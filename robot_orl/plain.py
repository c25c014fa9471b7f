"""From words to the config of a tool: PATH ... key=value ... --flag, checked against its dataclass.

For `dataset TOOL` and `import`, whose fields are plain values: text is taken as it was typed, so that a
query or a path needs no quoting beyond the shell's. Commands that are composed go through `compose`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from omegaconf import MISSING

from robot_orl.errors import UsageError, unknown
from robot_orl.schema import Schema

S = TypeVar("S", bound=Schema)
POSITIONAL = ("path", "paths")
_READERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    str: ("a text", str),
    bool: ("true or false", lambda text: {"true": True, "false": False}[text.lower()]),
    int: ("a whole number", int),
    float: ("a number", float),
}


def flag(field: str) -> str:
    """dry_run -> --dry-run"""
    return "--" + field.replace("_", "-")


def build(name: str, schema: type[S], words: Sequence[str]) -> S:
    """The config of the tool `name`, every field checked.

    Words without `key=` are the field `path`, or elements of the field `paths`; a boolean field `dry_run`
    is also set by `--dry-run`. Raises: UsageError: one line that names the valid choices.
    """
    types = get_type_hints(schema)
    values: dict[str, Any] = {}
    for word in words:
        key, value = _split(name, types, word)
        if key == "paths":
            values.setdefault(key, []).extend(value)
        elif key in values:
            raise UsageError(f"{key}= is given more than once" if key != "path" else f"{name} takes one PATH")
        else:
            values[key] = value
    missing = [f.name for f in fields(schema) if f.default == MISSING and f.name not in values]
    if missing:
        wanted = ["PATH" if key in POSITIONAL else f"{key}=..." for key in missing]
        raise UsageError(f"{name} needs {', '.join(wanted)}")
    for key, value in values.items():
        if value == "" or (isinstance(value, list) and "" in value):  # as a folder the current one
            raise UsageError(f"{key}= is empty; leave it out or give it a value")
    return schema(**values)


def _split(name: str, types: dict[str, Any], word: str) -> tuple[str, Any]:
    """A word as the name of a field and its value."""
    if word.startswith("-"):
        flags = {flag(key): key for key, kind in types.items() if kind is bool}
        if word not in flags:
            raise unknown("option", word, flags)
        return flags[word], True
    if match := re.match(r"([a-z_]\w*)=", word):
        key = match.group(1)
        if key not in types:
            raise unknown(f"field of {name}", key, types)
        return key, _value(types[key], key, word[match.end() :])
    for key in POSITIONAL:
        if key in types:
            return key, [word] if key == "paths" else word
    raise UsageError(f"'{word}' is not of the form key=value; {name} takes: {', '.join(types)}")


def _value(kind: Any, key: str, text: str) -> Any:
    """Of a field of type `kind`: a plain one, optional (null: None) or a list of plain ones, [A,B]."""
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return [_value(inner, key, element) for element in _elements(key, text)]
    if type(None) in get_args(kind):
        if text == "null":
            return None
        kind = next(other for other in get_args(kind) if other is not type(None))
    said, read = _READERS[kind]
    try:
        return read(text)
    except (KeyError, ValueError):
        raise UsageError(f"{key}={text} is not {said}") from None


def _elements(key: str, text: str) -> list[str]:
    try:
        found = yaml.load(text, yaml.BaseLoader)  # makes texts of all scalars
    except yaml.YAMLError:
        found = None
    if not isinstance(found, list) or not all(isinstance(element, str) for element in found):
        raise UsageError(f"{key}={text} is not a list; write {key}=[A,B]")
    return found
