"""What is known about an episode, as text that travels in files of formats which have no place for it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from robot_orl.data.store.layout import to_json
from robot_orl.errors import DataError
from robot_orl.interop.base import Request
from robot_orl.types import EpisodeMeta, Spec

_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "reset_options": (dict,),
    "success": (bool,),
    "success_any": (bool,),
    "quality": _NUMBER,
}
_OPTIONAL = ("seed", "success", "success_any", "quality", "policy_hash", "instruction", "origin")


def meta_text(meta: EpisodeMeta) -> str:
    """Plain JSON."""
    return to_json(asdict(meta)).decode()


def meta_from(text: str, what: str) -> EpisodeMeta:
    """Inverse of `meta_text`; fields of a newer robot_orl are left out.

    what: names the place in messages. Raises: DataError: not such a text.
    """
    found = _object(text, what)
    known = {field.name: found[field.name] for field in fields(EpisodeMeta) if field.name in found}
    for name, value in known.items():
        kinds = _KINDS.get(name, (str,))
        is_number_as_bool = isinstance(value, bool) and bool not in kinds
        if not (value is None and name in _OPTIONAL) and (is_number_as_bool or not isinstance(value, kinds)):
            raise DataError(f"{what}: {name} is {value!r:.40}")
    return EpisodeMeta(**known)


def spec_text(spec: Spec) -> str:
    """Plain JSON."""
    return to_json(spec.to_dict()).decode()


def spec_from(text: str, what: str) -> Spec:
    """Inverse of `spec_text`. Raises: DataError: not such a text."""
    found = _object(text, what)
    try:
        return Spec.from_dict(found)
    except DataError as error:
        raise DataError(f"{what}: {error}") from error


def env_kwargs_from(text: str | None, what: str) -> Mapping[str, Any]:
    """What the task was made with; nothing where the file does not say. Raises: DataError: not JSON."""
    return {} if text is None else _object(text, what)


def renamed(spec: Spec, request: Request) -> Spec:
    """With the name and rate that the user gives, if any."""
    return replace(spec, task=request.task or spec.task, control_hz=request.control_hz or spec.control_hz)


def _object(text: str, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} is not JSON") from error
    if not isinstance(found, dict):
        raise DataError(f"{what} is not a JSON object")
    return found
