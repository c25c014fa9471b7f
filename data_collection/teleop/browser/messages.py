"""What a page may say: one JSON object per message. Whatever is not exactly so is refused.

    {"say": "jog", "at": 5, "linear": [0, 0, 1], "angular": [0, 0, 0], "gripper": 0, "joints": null}
    {"say": "off", "at": 5}                        nobody pushes; also the sign of life of a page
    {"say": "order", "verb": "quality", "value": 4}
    {"say": "ask"}  {"say": "grant"}  {"say": "refuse"}        control of another page, see `Seats`

at: the page's own clock [ms], sent back to it so that it can tell how long the way takes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_collection.teleop.hands import Jog, Order, Verb

MAX_BYTES = 4_096
MAX_TEXT = 500  # characters of a note or an instruction
FIELDS = {
    "jog": {"at", "linear", "angular", "gripper", "joints"},
    "off": {"at"},
    "order": {"verb", "value"},
    "ask": set(),
    "grant": set(),
    "refuse": set(),
}


class Malformed(ValueError):
    """Not a message of a page."""


@dataclass(frozen=True, eq=False)
class Message:
    """say: one of FIELDS.  jog, order: what was said, of a message of that kind.  at [ms]."""

    say: str
    at: float = 0.0
    jog: Jog | None = None
    order: Order | None = None


def read(raw: str | bytes, action_size: int) -> Message:
    """action_size: A, of joint targets. Raises: Malformed."""
    if not isinstance(raw, str) or len(raw) > MAX_BYTES:
        raise Malformed("not a short text")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    say = said.get("say") if isinstance(said, dict) else None
    if not isinstance(say, str) or said.keys() - {"say"} != FIELDS.get(say):
        raise Malformed("not the fields of a message")
    if say == "order":
        return Message(say, order=_order(said["verb"], said["value"]))
    if "at" not in said:
        return Message(say)
    at = _number(said["at"], 0.0, 1e15)
    return Message(say, at, _jog(said, action_size) if say == "jog" else None)


def _jog(said: Mapping[str, Any], action_size: int) -> Jog:
    joints = said["joints"]
    return Jog(
        _shares(said["linear"], 3),
        _shares(said["angular"], 3),
        _number(said["gripper"], -1.0, 1.0),
        None if joints is None else _shares(joints, action_size),
    )


def _order(verb: Any, value: Any) -> Order:
    if verb not in list(Verb):
        raise Malformed("no such verb")
    if verb == Verb.QUALITY:
        fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5
    elif verb in (Verb.NOTE, Verb.INSTRUCTION):
        fits = isinstance(value, str) and len(value) <= MAX_TEXT and (value.isprintable() or not value)
    else:
        fits = value is None
    if not fits:
        raise Malformed("not a value of this verb")
    return Order(Verb(verb), value)


def _shares(values: Any, size: int) -> np.ndarray:
    if not isinstance(values, list) or len(values) != size:
        raise Malformed(f"not {size} numbers")
    return np.array([_number(value, -1.0, 1.0) for value in values])


def _number(value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # NaN too
        raise Malformed(f"not a number in [{low:g}, {high:g}]")
    return float(value)
