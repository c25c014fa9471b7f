"""What the sticks and buttons of a game controller do.

    leftx, lefty, rightx, righty    [-1, 1]; to the right and towards the person are positive
    lefttrigger, righttrigger       [0, 1]
    a, b, x, y, dpup, ...           0 or 1; a is the lowest of the four, whatever is printed on it

These are SDL's names. A file of `operator.mapping=` is YAML with any of the sections of DEFAULT; each
replaces the one there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_collection.teleop.devices.device import BUTTON_VERBS
from data_collection.teleop.hands import Verb
from data_collection.teleop.settings import AXES as DIRECTIONS
from robot_orl.errors import DataError, UsageError, unknown
from robot_orl.types import Array

STICKS = (("leftx", "lefty"), ("rightx", "righty"))
AXES = (*STICKS[0], *STICKS[1], "lefttrigger", "righttrigger")  # in SDL's order
BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick", "leftshoulder", "rightshoulder",
    "dpup", "dpdown", "dpleft", "dpright", "misc1", "paddle1", "paddle2", "paddle3", "paddle4", "touchpad",
)  # fmt: skip
FINGERS = {"open": 1.0, "close": -1.0}
WAYS = {
    "forward": "forward, back", "left": "left, right", "up": "up, down",
    "roll": "roll right, left", "pitch": "tilt down, up", "yaw": "turn left, right",
}  # fmt: skip
DOWN = 0.5  # share of its way at which a trigger or a stick counts as a button that is pressed
# The sticks do what they do on the page (browser/hands.js).
DEFAULT = """
move:                       # what pushes the tool where; a minus turns it round; two: this way, and back
  forward: -lefty
  left: -leftx
  up: -righty
  roll: rightx
  pitch: [dpup, dpdown]
fingers: {open: leftshoulder, close: rightshoulder}
fine: lefttrigger           # slowly while it is held
orders: {start: start, x: stop, a: success, b: failure, y: save, back: discard}
"""
Values = Mapping[str, float]  # by SDL's name; 0 for those that are not there


@dataclass(frozen=True)
class PadMapping:
    """move: by direction, the inputs that push there, each with its sign.  fingers, orders: by input.

    fine: the input that slows down, or "".
    """

    move: Mapping[str, tuple[tuple[str, float], ...]]
    fingers: Mapping[str, float]
    fine: str
    orders: Mapping[str, Verb]

    def only(self, ways: Collection[str]) -> "PadMapping":
        """Without what would push where nothing can go."""
        move = {way: inputs for way, inputs in self.move.items() if way in ways}
        return replace(self, move=move)

    def shares(self, values: Values) -> Array:
        """(6,) in [-1, 1]: forward, left, up, roll, pitch, yaw."""
        pushes = [
            sum(sign * values.get(name, 0.0) for name, sign in self.move.get(way, ())) for way in DIRECTIONS
        ]
        return np.clip(pushes, -1.0, 1.0)

    def legend(self) -> list[list[tuple[str, str]]]:
        """Inputs and what they do: moving, turning, fingers, orders."""
        ways = {way: (" ".join(name for name, _ in at), WAYS[way]) for way, at in self.move.items()}
        moves = [ways[way] for way in DIRECTIONS[:3] if way in ways]
        turns = [ways[way] for way in DIRECTIONS[3:] if way in ways]
        fingers = [(name, "open" if sign > 0 else "close") for name, sign in self.fingers.items()]
        fingers += [(self.fine, "fine")] if self.fine else []
        return [moves, turns, fingers, [(name, str(verb)) for name, verb in self.orders.items()]]


def load_mapping(path: str | None) -> PadMapping:
    """None: the default. Raises: DataError: one line that names the file and what is wrong in it."""
    sections = yaml.safe_load(DEFAULT)
    if path is None:
        return _mapping(sections)
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise UsageError(f"has none of: {', '.join(sections)}")
        for name in found:
            if name not in sections:
                raise unknown("section", name, sections)
        return _mapping(sections | found)
    except FileNotFoundError:
        raise DataError(f"operator.mapping: no file {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None


def _mapping(sections: Mapping[str, Any]) -> PadMapping:
    move, fingers, orders = (_table(sections, name) for name in ("move", "fingers", "orders"))
    fine = sections["fine"]
    return PadMapping(
        {_one("direction", way, DIRECTIONS): _inputs(inputs) for way, inputs in move.items()},
        {_input(name): FINGERS[_one("way of fingers", way, FINGERS)] for way, name in fingers.items()},
        "" if fine is None else _input(fine),
        {_input(name): Verb(_one("order", verb, BUTTON_VERBS)) for name, verb in orders.items()},
    )


def _table(sections: Mapping[str, Any], name: str) -> Mapping[Any, Any]:
    table = sections[name] or {}
    if not isinstance(table, dict):
        raise UsageError(f"{name} is no table, such as: {yaml.safe_load(DEFAULT)[name]}")
    return table


def _inputs(said: Any) -> tuple[tuple[str, float], ...]:
    """`-lefty`, or `[dpup, dpdown]`."""
    names = said if isinstance(said, list) else [said]
    if not 1 <= len(names) <= 2:
        raise UsageError(f"{said} is not an input, such as -lefty, nor two, such as [dpup, dpdown]")
    signs = (1.0, -1.0)[: len(names)]
    return tuple(
        (_input(str(name).removeprefix("-")), -sign if str(name).startswith("-") else sign)
        for name, sign in zip(names, signs, strict=True)
    )


def _input(name: Any) -> str:
    return _one("input", name, (*AXES, *BUTTONS))


def _one(kind: str, name: Any, valid: Collection[str]) -> str:
    if not isinstance(name, str) or name not in valid:
        raise unknown(kind, name, valid)
    return name
