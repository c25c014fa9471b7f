"""The commit log of a segment, read past its damaged lines: every line tells where its episode lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robot_orl.data.store.records import EpisodeRecord, from_line, index_of, new_record, overridden

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


@dataclass
class ScannedLog:
    """records: the episodes of the intact lines by their start, labels of later lines applied.

    stored: the same before any later line.  history: the later lines per episode index, in order.
    problems: one line per damaged or impossible line.  torn: the bytes behind the last complete line.
    """

    records: list[EpisodeRecord] = field(default_factory=list)
    stored: dict[int, EpisodeRecord] = field(default_factory=dict)
    history: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    torn: bytes = b""

    @property
    def steps(self) -> int:
        """Behind the last intact line's episode."""
        return self.records[-1].start + self.records[-1].length if self.records else 0

    @property
    def episodes(self) -> int:
        """Behind the last intact line's episode, lost ones before it included."""
        return self.records[-1].index + 1 if self.records else 0


def scan_log(content: bytes, segment: str) -> ScannedLog:
    """What the bytes of `episodes.jsonl` say. An undamaged log reads as `records.read_log` reads it."""
    log = ScannedLog()
    *lines, log.torn = content.split(b"\n")
    if from_line(log.torn[:-1]) is not None:  # complete but for a newline that became another byte
        lines.append(log.torn[:-1])
        log.torn = b""
        log.problems.append(f"line {len(lines)} is damaged: it lost its newline")
    latest: dict[int, EpisodeRecord] = {}
    gap = False  # between this line and the last episode before it, lines are damaged
    for number, line in enumerate(lines, start=1):
        try:
            content_ = _content(line)
            if "start" in content_:
                record = _checked(new_record(content_, segment), latest, gap)
                log.stored[record.index] = latest[record.index] = record
                gap = False
            else:
                _override(log, latest, content_)
        except MALFORMED as error:
            log.problems.append(f"line {number} is damaged: {_said(error)}")
            gap = True
    log.records = [latest[index] for index in sorted(latest)]
    return log


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = from_line(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError("not valid JSON") from error
    if content is None:
        raise ValueError("it does not match its checksum")
    return content


def _checked(record: EpisodeRecord, before: Mapping[int, EpisodeRecord], gap: bool) -> EpisodeRecord:
    """The record, if it can follow those before. Raises: ValueError: it cannot."""
    numbers = (record.index, record.start, record.length)
    if not all(isinstance(number, int) for number in numbers) or min(numbers) < 0 or record.length < 1:
        raise ValueError(f"an episode of {record.length!r} steps from {record.start!r}")
    if not isinstance(record.crc32c, Mapping):
        raise ValueError("no checksums of arrays")
    last = before[max(before)] if before else None
    index, start = (last.index + 1, last.start + last.length) if last else (0, 0)
    if (record.index, record.start) == (index, start):
        return record
    if record.index < index or record.start < start:
        raise ValueError("it overlaps an earlier episode")
    if not gap:
        raise ValueError("an earlier line is missing")
    return record


def _override(log: ScannedLog, latest: dict[int, EpisodeRecord], content: Mapping[str, Any]) -> None:
    index = index_of(content)
    if index not in latest:
        raise ValueError(f"it labels episode {index}, which no intact line commits")
    latest[index] = overridden(latest[index], content)
    log.history.setdefault(index, []).append(content)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"malformed: {error!r}"
