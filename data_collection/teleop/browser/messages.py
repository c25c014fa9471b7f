"""What a page may say: one JSON object per message. Whatever is not exactly so is refused.

    {"say": "jog", "at": 5, "linear": [0, 0, 1], "angular": [0, 0, 0], "gripper": 0, "joints": null}
    {"say": "off", "at": 5}                        nobody pushes; also the sign of life of a page
    {"say": "order", "verb": "quality", "value": 4}         see `hands.Verb`; a trim's is a list of two
    {"say": "got", "number": 12}        a picture, see `Pictures`
    {"say": "ask"}  {"say": "grant"}  {"say": "refuse"}        control of another page, see `Seats`

at: the page's own clock [ms], sent back to it so that it can tell how long the way takes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import numpy as np

from data_collection.teleop.hands import Jog, Order, Verb
from data_collection.teleop.session import BEST, MOST_SEED, WORST
from data_collection.teleop.settings import LONGEST_TEXT

MAX_BYTES = 4_096
MOST_STEPS = 10**9
FIELDS = {
    "jog": {"at", "linear", "angular", "gripper", "joints"},
    "off": {"at"},
    "order": {"verb", "value"},
    "got": {"number"},
    "ask": set(),
    "grant": set(),
    "refuse": set(),
}


class Malformed(ValueError):
    """Not a message of a page.  verb: of the order whose value does not fit; None: it is none."""

    def __init__(self, why: str, verb: Verb | None = None) -> None:
        super().__init__(why)
        self.verb = verb


@dataclass(frozen=True, eq=False)
class Message:
    """say: one of FIELDS.  jog, order, number: what was said, of a message of that kind.  at [ms]."""

    say: str
    at: float = 0.0
    jog: Jog | None = None
    order: Order | None = None
    number: int = 0


def read(raw: str | bytes, joints: int) -> Message:
    """joints: how many targets a jog may have; 0: none, where a tool is moved, at a limited speed.

    Raises: Malformed.
    """
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
    if say == "got":
        return Message(say, number=int(_number(said["number"], 0, 2**32 - 1)))
    if "at" not in said:
        return Message(say)
    at = _number(said["at"], 0.0, 1e15)
    return Message(say, at, _jog(said, joints) if say == "jog" else None)


def _jog(said: Mapping[str, Any], joints: int) -> Jog:
    targets = said["joints"]
    if targets is not None and not joints:
        raise Malformed("joints of a task with a tool")
    return Jog(
        _shares(said["linear"], 3),
        _shares(said["angular"], 3),
        _number(said["gripper"], -1.0, 1.0),
        None if targets is None else _shares(targets, joints),
    )


def _order(verb: Any, value: Any) -> Order:
    if verb not in list(Verb):
        raise Malformed("no such verb")
    verb = Verb(verb)
    if verb in (Verb.NOTE, Verb.INSTRUCTION):
        return Order(verb, _text(verb, value))
    if verb == Verb.TRIM:
        return Order(verb, _steps(value))
    if verb == Verb.SEED and value is not None and not _is_whole(value, 0, MOST_SEED):
        raise Malformed(f"it is 0 to {MOST_SEED}; policies are judged by those above", verb)
    fits = _is_whole(value, WORST, BEST) if verb == Verb.QUALITY else value is None or verb == Verb.SEED
    if not fits:
        raise Malformed("that is no value of it", verb)
    return Order(verb, value)


def _steps(value: Any) -> tuple[int, int]:
    """Whether an episode has them, the session knows."""
    if not isinstance(value, list) or len(value) != 2 or not all(_is_whole(x, 0, MOST_STEPS) for x in value):
        raise Malformed("it takes the first step and the one behind the last", Verb.TRIM)
    return value[0], value[1]


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _text(verb: Verb, value: Any) -> str:
    """With plain spaces for all kinds of them, and without any around it."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise Malformed(f"it takes a text of up to {LONGEST_TEXT} letters", verb)
    spaced = "".join(" " if letter == "\t" or category(letter) == "Zs" else letter for letter in value)
    if any(category(letter) in ("Cc", "Cs") for letter in spaced):
        raise Malformed("it has a character that is no text, such as a line's end", verb)
    return spaced.strip()


def _shares(values: Any, size: int) -> np.ndarray:
    if not isinstance(values, list) or len(values) != size:
        raise Malformed(f"not {size} numbers")
    return np.array([_number(value, -1.0, 1.0) for value in values])


def _number(value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # NaN too
        raise Malformed(f"not a number in [{low:g}, {high:g}]")
    return float(value)
