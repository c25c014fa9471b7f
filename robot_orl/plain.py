"""From words to the config of a tool: PATH ... key=value ... --flag, checked against its dataclass.

For `dataset TOOL` and `import`, whose fields are plain values: text is taken as it was typed, so that a
query or a path needs no quoting beyond the shell's. Commands that are composed go through `compose`.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robot_orl.errors import UsageError, unknown
from robot_orl.schema import Schema

S = TypeVar("S", bound=Schema)
POSITIONAL = ("path", "paths")


def build(name: str, schema: type[S], words: Sequence[str]) -> S:
    """The config of the tool `name`, every field checked.

    Words without `key=` are the field `path`, or elements of the field `paths`; a boolean field `dry_run`
    is also set by `--dry-run`. Raises: UsageError: one line that names the valid choices.
    """
    types = get_type_hints(schema)
    names = [item.name for item in fields(schema)]
    values: dict[str, Any] = {}
    for word in words:
        key, value = _split(name, types, word)
        if key not in types:
            raise unknown(f"field of {name}", key, names)
        if key == "paths":
            values.setdefault(key, []).append(value)
        elif key in values:
            raise UsageError(f"{key}= is given more than once" if key != "path" else f"{name} takes one PATH")
        else:
            values[key] = value
    try:
        config = OmegaConf.merge(OmegaConf.structured(schema), values)
        missing = sorted(str(key) for key in OmegaConf.missing_keys(config))
        if missing:
            wanted = ["PATH" if key in POSITIONAL else f"{key}=..." for key in missing]
            raise UsageError(f"{name} needs {', '.join(wanted)}")
        built = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UsageError(f"{name}: {str(error).splitlines()[0]}") from error
    assert isinstance(built, schema)
    for key in names:
        if getattr(built, key) == "":  # as a folder it would be the current one
            raise UsageError(f"{key}= is empty; leave it out or give it a value")
    return built


def _split(name: str, types: dict[str, Any], word: str) -> tuple[str, Any]:
    """A word as the name of a field and its value."""
    if word.startswith("--"):
        key = word[2:].replace("-", "_")
        if types.get(key) is not bool:
            flags = ["--" + field.replace("_", "-") for field, kind in types.items() if kind is bool]
            raise unknown("option", word, flags)
        return key, True
    if word.startswith("-"):
        raise unknown(
            "option", word, ["--" + f.replace("_", "-") for f, kind in types.items() if kind is bool]
        )
    if match := re.match(r"([a-z_]\w*)=", word):
        key = match.group(1)
        return key, _value(types.get(key), word[match.end() :], word)
    for key in POSITIONAL:
        if key in types:
            return key, word
    raise UsageError(f"'{word}' is not of the form key=value; {name} takes: {', '.join(types)}")


def _value(kind: Any, text: str, word: str) -> Any:
    """Text stays as typed; everything else is read as YAML."""
    if kind is str:
        return text
    if kind == str | None:
        return None if text == "null" else text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"'{word}' is not of the form key=value") from error
    if get_origin(kind) is list and not isinstance(value, list):
        raise UsageError(f"'{word}' is not a list; write {word.partition('=')[0]}=[A,B]")
    return value
