"""The commit log `episodes.jsonl`: one line per episode, later lines override earlier ones.

A line ends in the checksum of all bytes before it:   {"id": ..., "line_crc32c": "89abcdef"}\\n
An episode is committed once its line with the newline is in the file; a torn last line never counts.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any

import numpy as np

from robot_orl.data.store.layout import LOG_FILE, crc32c, to_json
from robot_orl.data.store.place import Place
from robot_orl.errors import DataError
from robot_orl.types import Actor, Array, EpisodeMeta

_SEAL = b',"line_crc32c":"%08x"}'
_SEAL_SIZE = len(_SEAL % 0)
META_FIELDS = tuple(field.name for field in fields(EpisodeMeta))
_NUMBERS = ("seed", "success", "success_any", "quality")  # yes and no are numbers in JSON's eyes, too


@dataclass(frozen=True)
class EpisodeRecord:
    """One committed episode as its log tells it; `Dataset.load` fetches the arrays.

    segment: name of its folder.  index: position e in the segment.  start: its first row in steps/.
    length: steps T.  episode_return: sum of rewards, NaN where unknown.  crc32c: per array, as written.
    reward: (T,) float32 that a relabelling put in the place of the stored rewards, or None.
    Unknown in episodes of format version 1: uid, an identity that a copy of the episode keeps; actors,
    the names of those who acted; rate_hz, the median rate at which it really ran [Hz].
    """

    segment: str
    index: int
    start: int
    length: int
    episode_return: float
    meta: EpisodeMeta
    crc32c: Mapping[str, int]
    deleted: bool = False
    reward: Array | None = None
    uid: str | None = None
    actors: tuple[str, ...] | None = None
    rate_hz: float | None = None

    @property
    def id(self) -> str:
        """Unique in its dataset: '<segment>:<index>'."""
        return f"{self.segment}:{self.index}"

    def to_dict(self) -> dict[str, Any]:
        """What the commit line says."""
        known = None if math.isnan(self.episode_return) else self.episode_return
        place = {"id": self.id, "start": self.start, "length": self.length, "return": known}
        added = {"uid": self.uid, "actors": self.actors, "rate_hz": self.rate_hz}
        return {
            **place,
            **asdict(self.meta),
            "crc32c": dict(self.crc32c),
            **{name: value for name, value in added.items() if value is not None},
            **({} if self.reward is None else {"reward": encode_rewards(self.reward)}),
        }

    def learned(self) -> dict[str, Any]:
        """What of it a learner sees, wherever it lies and whatever it is called: for fingerprints."""
        content = self.to_dict()
        for name in ("id", "start", "uid", "actors", "rate_hz", "notes", "origin"):
            content.pop(name, None)
        return content if content["instruction"] is not None else _without(content, "instruction")


def _without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def encode_rewards(rewards: Array) -> str:
    """(T,) float32 as text for a log line; sparse rewards take next to no room."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(rewards, "<f4").tobytes())).decode()


def decode_rewards(text: str, length: int) -> Array:
    """Inverse of `encode_rewards`. Raises: ValueError: not `length` rewards."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(
        base64.b64decode(text, validate=True), 4 * length + 1
    )  # never more than asked
    if len(content) != 4 * length:
        raise ValueError(f"not {length} rewards")
    return np.frombuffer(content, "<f4").astype(np.float32)


def to_line(content: Mapping[str, Any]) -> bytes:
    """A log line with its checksum and its newline."""
    body = to_json(content)[:-1]
    return body + _SEAL % crc32c(body) + b"\n"


def from_line(line: bytes) -> dict[str, Any] | None:
    """Inverse of `to_line`, without the newline; None: damaged."""
    body = line[:-_SEAL_SIZE]
    if len(line) <= _SEAL_SIZE or line != body + _SEAL % crc32c(body):
        return None
    content: dict[str, Any] = json.loads(body + b"}")
    return content


def read_log(place: Place) -> tuple[list[EpisodeRecord], int]:
    """The committed episodes of a segment's log, and how many bytes follow its last complete line.

    Raises: DataError: a complete line is damaged or missing.
    """
    path = place.path / LOG_FILE
    try:
        *lines, torn = place.read_log(LOG_FILE).split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if from_line(torn[:-1]) is not None:  # complete but for a newline that became another byte
        raise DataError(f"{path}: line {len(lines) + 1} is damaged")
    records: list[EpisodeRecord] = []
    for number, line in enumerate(lines, start=1):
        content = from_line(line)
        try:
            if content is None:
                raise ValueError("checksum")
            _apply(content, records, place.path.name)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{path}: line {number} is damaged ({error!r})") from error
    return records, len(torn)


def _apply(content: dict[str, Any], records: list[EpisodeRecord], segment: str) -> None:
    index = index_of(content)
    if "start" not in content:  # overrides an earlier line
        records[index] = overridden(records[index], content)
        return
    start = records[-1].start + records[-1].length if records else 0
    if (index, content["start"]) != (len(records), start):
        raise ValueError("an earlier line is missing")
    records.append(new_record(content, segment))


def index_of(content: Mapping[str, Any]) -> int:
    """Which episode of the segment a line is about. Raises: as `new_record`."""
    number = str(content["id"]).rpartition(":")[2]
    if not number.isdecimal():
        raise ValueError(f"id is {content['id']!r}")
    return int(number)


def new_record(content: Mapping[str, Any], segment: str) -> EpisodeRecord:
    """The episode that a line commits. Raises: KeyError, TypeError, ValueError: malformed."""
    known, actors, rate_hz, uid = (content.get(name) for name in ("return", "actors", "rate_hz", "uid"))
    start, length, checksums = content["start"], content["length"], content["crc32c"]
    if type(start) is not int or type(length) is not int or start < 0 or length < 1:
        raise ValueError(f"an episode of {length!r} steps from {start!r}")
    if not isinstance(checksums, dict) or not all(type(value) is int for value in checksums.values()):
        raise ValueError("no checksums of arrays")
    if not isinstance(uid, (str, NoneType)) or not isinstance(rate_hz, (int, float, NoneType)):
        raise ValueError(f"uid is {uid!r}, rate_hz {rate_hz!r}")
    record = EpisodeRecord(
        segment=segment,
        index=index_of(content),
        start=start,
        length=length,
        episode_return=math.nan if known is None else float(known),
        meta=EpisodeMeta(**checked_meta(content)),
        crc32c=checksums,
        uid=uid,
        actors=None if actors is None else tuple(map(str, actors)),
        rate_hz=rate_hz,
    )
    return _with_reward(record, content["reward"]) if "reward" in content else record


def checked_meta(content: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a line's values that are of EpisodeMeta; null is unknown. Raises: ValueError."""
    found = {name: content[name] for name in META_FIELDS if name in content}
    for name, value in found.items():
        wanted = (int, float) if name in _NUMBERS else dict if name == "reset_options" else str
        if value is not None and not isinstance(value, wanted):
            raise ValueError(f"{name} is {value!r}")
    return found


def overridden(record: EpisodeRecord, content: Mapping[str, Any]) -> EpisodeRecord:
    """The episode after a line that changes its labels. Raises: as `new_record`."""
    changes = checked_meta(content)
    deleted = bool(content.get("deleted", record.deleted))
    new = replace(record, meta=replace(record.meta, **changes), deleted=deleted)
    return _with_reward(new, content["reward"]) if "reward" in content else new


def _with_reward(record: EpisodeRecord, text: str) -> EpisodeRecord:
    rewards = decode_rewards(text, record.length)
    return replace(record, reward=rewards, episode_return=float(np.sum(rewards, dtype=np.float64)))


def who_acted(actor: Array) -> tuple[str, ...]:
    """(T,) uint8 -> the names of those who acted, in the order of `Actor`."""
    known = {int(who): who.name.lower() for who in Actor}
    return tuple(dict.fromkeys(known.get(int(who), "unknown") for who in np.unique(actor)))


def realised_rate(t_ns: Array) -> float | None:
    """(T,) int64 [ns] -> the median rate [Hz]; None where the times are unknown or too few."""
    if len(t_ns) < 2 or t_ns.min() < 0:
        return None
    period_ns = float(np.median(np.diff(t_ns)))
    return 1e9 / period_ns if period_ns > 0 else None
