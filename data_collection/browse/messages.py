"""What a page may ask: one JSON object per message. Whatever is not exactly so is refused.

    {"say": "list", "number": 1}                             the dataset as it is now
    {"say": "match", "number": 2, "where": "success"}        which of the listed episodes
    {"say": "shares", "number": 3}                           who acted in how much of an episode
    {"say": "about", "number": 4, "episode": ID}             and scene, moment, take: of one episode
    {"say": "picture", "number": 5, "episode": ID, "camera": "front"}
    {"say": "frames", "number": 6, "episode": ID, "camera": "front", "from": 0, "to": 32}
    {"say": "relabel", "number": 7, "episodes": {SEGMENT: [0, 2]}, "values": {"success": "true"},
     "reason": "watched"}
    {"say": "undo", "number": 8}                             what this page relabelled last

number: of the answer, the page's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import category

from data_collection.teleop.settings import LONGEST_TEXT

MAX_BYTES = 2**20
MAX_NUMBER = 2**32 - 1
MAX_NAME, MAX_QUERY = 300, 4_000  # characters
MAX_FRAMES = 64  # of one answer
LABELS = ("success", "quality", "notes", "deleted")
FIELDS = {
    **dict.fromkeys(("list", "shares", "undo"), frozenset[str]()),
    "match": {"where"},
    **dict.fromkeys(("about", "scene", "moment", "take"), frozenset({"episode"})),
    "picture": {"episode", "camera"},
    "frames": {"episode", "camera", "from", "to"},
    "relabel": {"episodes", "values", "reason"},
}


class Malformed(ValueError):
    """Not a message of a page.  number: of the question that cannot be answered; None: it is none."""

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(why)
        self.number = number


@dataclass(frozen=True)
class Question:
    """say: one of FIELDS; what it asks for.  episodes: ids.  frames: moments [from, to) of the episode.
    values: labels as typed, see `Library.relabel`.
    """

    say: str
    number: int
    where: str = ""
    episodes: tuple[str, ...] = ()
    camera: str = ""
    frames: tuple[int, int] = (0, 0)
    values: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def episode(self) -> str:
        return self.episodes[0]


def read(raw: str | bytes) -> Question:
    """Raises: Malformed."""
    if not isinstance(raw, str) or len(raw) > MAX_BYTES:
        raise Malformed("not a text of up to a megabyte")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    if not isinstance(said, dict):
        raise Malformed("no object")
    number = _number(said.get("number"), MAX_NUMBER)
    say = said.get("say")
    try:
        if not isinstance(say, str) or said.keys() - {"say", "number"} != FIELDS.get(say):
            raise Malformed("not the fields of a question")
        return _question(say, number, said)
    except Malformed as error:
        raise Malformed(str(error), number) from error


def _question(say: str, number: int, said: Mapping[str, Any]) -> Question:
    if say == "match":
        return Question(say, number, where=_text("a query", said["where"], MAX_QUERY))
    if say == "relabel":
        values = said["values"]
        if not isinstance(values, dict) or not values or not values.keys() <= set(LABELS):
            raise Malformed(f"labels are: {', '.join(LABELS)}")
        return Question(
            say,
            number,
            episodes=_episodes(said["episodes"]),
            values={name: _text(f"a label ({name})", value, LONGEST_TEXT) for name, value in values.items()},
            reason=_text("a reason", said["reason"], LONGEST_TEXT),
        )
    if "episode" not in said:
        return Question(say, number)
    one = (_text("an episode", said["episode"], MAX_NAME),)
    if "camera" not in said:
        return Question(say, number, episodes=one)
    camera = _text("a camera", said["camera"], MAX_NAME)
    if say == "picture":
        return Question(say, number, episodes=one, camera=camera)
    begin, end = _number(said["from"], MAX_NUMBER), _number(said["to"], MAX_NUMBER)
    if not begin < end <= begin + MAX_FRAMES:
        raise Malformed(f"not 1 to {MAX_FRAMES} frames")
    return Question(say, number, episodes=one, camera=camera, frames=(begin, end))


def _episodes(groups: Any) -> tuple[str, ...]:
    """{segment: [numbers in it]} -> ids."""
    if not isinstance(groups, dict) or not groups:
        raise Malformed("no episodes")
    ids = []
    for segment, numbers in groups.items():
        if not isinstance(numbers, list) or not numbers:
            raise Malformed("no episodes of a segment")
        name = _text("a segment", segment, MAX_NAME)
        ids += [f"{name}:{_number(number, MAX_NUMBER)}" for number in numbers]
    return tuple(dict.fromkeys(ids))


def _text(what: str, value: Any, longest: int) -> str:
    """In one line, without spaces around it."""
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed(f"{what} is a text of up to {longest:,} letters")
    if any(category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value):
        raise Malformed(f"{what} has a character that is no text, such as a line's end")
    return value.strip()


def _number(value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Malformed(f"not a whole number in 0 .. {most:,}")
    return value
