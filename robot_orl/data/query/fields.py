"""What can be asked of an episode, and three-valued logic: an answer is True, False or, unknown, None."""

import math
from collections.abc import Callable, Iterable

from robot_orl.data.store.records import EpisodeRecord
from robot_orl.types import Actor

Value = bool | float | str
Test = Callable[[EpisodeRecord], bool | None]
Actors = tuple[str, ...]

BOOLEANS = ("success", "success_any")
NUMBERS = ("quality", "length", "return", "seed", "rate_hz")
TEXTS = ("operator", "end_reason", "policy_hash", "notes", "instruction", "origin", "segment", "uid", "id")
FIELDS = (*BOOLEANS, *NUMBERS, *TEXTS, "actor")
ACTORS = tuple(who.name.lower() for who in Actor if who is not Actor.UNKNOWN)


def value_of(record: EpisodeRecord, name: str) -> Value | Actors | None:
    """What an episode says of a field; None: unknown."""
    if name == "actor":
        return record.actors
    if name in ("length", "segment", "uid", "id", "rate_hz"):
        found = getattr(record, name)
    else:
        found = record.episode_return if name == "return" else getattr(record.meta, name)
    if name in ("operator", "end_reason") and found == "unknown":
        return None
    if isinstance(found, float) and math.isnan(found):
        return None
    return found


def kind_of(name: str) -> type:
    return bool if name in BOOLEANS else float if name in NUMBERS else str if name in TEXTS else tuple


def is_known(record: EpisodeRecord, name: str) -> bool:
    found = value_of(record, name)
    return found is not None and not (isinstance(found, tuple) and "unknown" in found)


def all_of(tests: Iterable[Test]) -> Test:
    """False where one is false, else unknown where one is unknown."""
    parts = tuple(tests)

    def test(record: EpisodeRecord) -> bool | None:
        result: bool | None = True
        for part in parts:
            found = part(record)
            if found is False:
                return False
            result = None if found is None else result
        return result

    return test


def any_of(tests: Iterable[Test]) -> Test:
    return negated(all_of(negated(test) for test in tests))


def negated(test: Test) -> Test:
    def opposite(record: EpisodeRecord) -> bool | None:
        found = test(record)
        return None if found is None else not found

    return opposite
