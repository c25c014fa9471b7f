"""YAML files that people read and mend: written whole or not at all, checked when they are read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from robot_orl.errors import DataError, RunError, printable

HIGHEST = 1e15  # an integer may be longer than any float


class _Dumper(yaml.SafeDumper):
    """A mapping over several lines, a list of numbers in one."""


def _list(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    is_plain = not any(isinstance(element, (dict, list)) for element in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=is_plain)


_Dumper.add_representer(list, _list)


def write_yaml(path: str | Path, kind: str, content: Mapping[str, Any]) -> None:
    """kind: what the file is, such as 'camera intrinsics'. Raises: RunError: it cannot be written."""
    path = Path(path)
    text = yaml.dump({"kind": kind} | dict(content), Dumper=_Dumper, sort_keys=False, width=100)
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def read_yaml(path: str | Path, kind: str, made_by: str) -> dict[str, Any]:
    """The content of a file of that kind. made_by: the command that makes one.

    Raises: DataError: it is not there, not YAML, or another kind of file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text"
        raise DataError(f"cannot read {path}: {why}; `{made_by}` makes it") from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {printable(str(error).splitlines()[0])}") from error
    if not isinstance(found, dict) or found.get("kind") != kind:
        told = printable(found["kind"]) if isinstance(found, dict) and "kind" in found else "something else"
        raise DataError(f"{path} is {told}, not '{kind}'; `{made_by}` makes that")
    return found


def numbers(found: Mapping[str, Any], key: str, count: int, path: str | Path) -> list[float]:
    """`count` finite numbers. Raises: DataError: names the file and the key."""
    value = found.get(key)
    values = value if isinstance(value, list) else [value]
    is_number = [isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < HIGHEST for x in values]
    if not all(is_number) or len(values) != count:
        wanted = "a finite number" if count == 1 else f"{count} finite numbers"
        raise DataError(f"{path}: '{key}' is not {wanted}")
    return [float(x) for x in values]  # type: ignore[arg-type]
