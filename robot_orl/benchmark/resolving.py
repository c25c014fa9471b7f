"""What decides the result of a command: its whole configuration, and the content of its files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from robot_orl.compose import COMMANDS, build


def hash_of(configuration: Any) -> str:
    return sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:12]


@cache
def content_hash(path: str) -> str:
    file = Path(path)
    return sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else file.name


def resolved(words: list[str], agent: dict[str, Any] | None = None) -> dict[str, Any]:
    """A command's whole configuration. agent: of the run that finetuning goes on with."""
    known = None if agent is None else json.dumps(agent)
    found = json.loads(_resolved_text(tuple(words), known))
    assert isinstance(found, dict)
    return found


@cache  # composing takes a quarter of a second, and cells have much in common
def _resolved_text(words: tuple[str, ...], agent: str | None) -> str:
    command, rest = words[0], list(words[1:])
    if command not in COMMANDS:  # import and dataset tools, which have no defaults in YAML
        return json.dumps({"command": command, "words": rest})
    base = None if agent is None else json.loads(agent)
    if base is not None:
        rest = [f"agent={base['name']}", *rest]
    return json.dumps({"command": command, **asdict(build(command, rest, base))})


def words_of(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key}={text_of(value)}" for key, value in settings.items()]


def text_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(text_of, value))}]"
    return str(value)
