"""The commit log `episodes.jsonl`: one line per episode, later lines override earlier ones.

A line ends in the checksum of all bytes before it:   {"id": ..., "line_crc32c": "89abcdef"}\\n
An episode is committed once its line with the newline is in the file; a torn last line never counts.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from robot_orl.data.layout import crc32c, to_json
from robot_orl.errors import DataError
from robot_orl.types import EpisodeMeta

_SEAL = b',"line_crc32c":"%08x"}'
_SEAL_SIZE = len(_SEAL % 0)
META_FIELDS = tuple(field.name for field in fields(EpisodeMeta))


@dataclass(frozen=True)
class EpisodeRecord:
    """One committed episode as its log tells it; `Dataset.load` fetches the arrays.

    segment: name of its folder.  index: position e in the segment.  start: its first row in steps/.
    length: steps T.  episode_return: sum of rewards, NaN where unknown.  crc32c: per array.
    """

    segment: str
    index: int
    start: int
    length: int
    episode_return: float
    meta: EpisodeMeta
    crc32c: Mapping[str, int]
    deleted: bool = False

    @property
    def id(self) -> str:
        """Unique in its dataset: '<segment>:<index>'."""
        return f"{self.segment}:{self.index}"

    def to_dict(self) -> dict[str, Any]:
        """What the commit line says."""
        known = None if math.isnan(self.episode_return) else self.episode_return
        place = {"id": self.id, "start": self.start, "length": self.length, "return": known}
        return {**place, **asdict(self.meta), "crc32c": dict(self.crc32c)}


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


def read_log(path: Path) -> tuple[list[EpisodeRecord], int]:
    """The committed episodes of a segment's log, and how many bytes follow its last complete line.

    Raises: DataError: a complete line is damaged or missing.
    """
    try:
        *lines, torn = path.read_bytes().split(b"\n")
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
            _apply(content, records, path.parent.name)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{path}: line {number} is damaged ({error!r})") from error
    return records, len(torn)


def _apply(content: dict[str, Any], records: list[EpisodeRecord], segment: str) -> None:
    index = int(content["id"].rpartition(":")[2])
    if "start" not in content:  # overrides an earlier line
        changes = {key: content[key] for key in META_FIELDS if key in content}
        old = records[index]
        meta, deleted = replace(old.meta, **changes), bool(content.get("deleted", old.deleted))
        records[index] = replace(old, meta=meta, deleted=deleted)
        return
    start = records[-1].start + records[-1].length if records else 0
    if (index, content["start"]) != (len(records), start):
        raise ValueError("an earlier line is missing")
    known = content["return"]
    records.append(
        EpisodeRecord(
            segment=segment,
            index=index,
            start=start,
            length=int(content["length"]),
            episode_return=math.nan if known is None else float(known),
            meta=EpisodeMeta(**{key: content[key] for key in META_FIELDS if key in content}),
            crc32c=content["crc32c"],
        )
    )
