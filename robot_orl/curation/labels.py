"""Labels of recorded episodes: which episodes, what changes, and what was changed before.

No array is rewritten. A change is one more line in the log of the segment, with who, when and why, and the
last one holds.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from robot_orl.data.query import parse
from robot_orl.data.store.layout import LOG_FILE
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord, from_line
from robot_orl.data.store.segment import Segment
from robot_orl.errors import DataError, UsageError

LABELS = ("success", "success_any", "quality", "operator", "notes", "instruction")
_TRUTH = {"true": True, "false": False}
_COMMIT = re.compile(rb'\{"id":"[^"]*","start":')  # how a line begins that changes nothing


@dataclass(frozen=True)
class Change:
    """A line of a log that changed an episode. time: UTC as ISO 8601; '' in lines that do not tell."""

    time: str
    by: str
    reason: str
    values: dict[str, Any]


def matching(dataset: Dataset, where: str | None, deleted: bool = False) -> list[EpisodeRecord]:
    """The episodes in use, or else the deleted ones, of which the query is true; None: all of them.

    Raises: UsageError: it is no query, or there is no such episode.
    """
    pool = [record for record in dataset.records if record.deleted] if deleted else dataset.episodes
    query = None if where is None else parse(where)
    found = [record for record in pool if query is None or query.matches(record)]
    if not pool:
        raise UsageError(f"{dataset.path} has no {'deleted episode' if deleted else 'episode in use'}")
    if not found:
        kind = "deleted episodes" if deleted else "episodes"
        raise UsageError(f"0 of {len(pool):,} {kind} match where={where}")
    return found


def selected(dataset: Dataset, where: str | None) -> Dataset:
    """With only those of `matching` in use; nothing is copied. Raises: as `matching`."""
    return dataset.choose(matching(dataset, where))


def parse_labels(given: dict[str, str | None]) -> dict[str, Any]:
    """Labels as typed, by name, to their values; those that were not given (None) are left out.

    'unknown' makes any of them unknown. Raises: UsageError: not a value of that label.
    """
    return {name: _READERS[name](name, text) for name, text in given.items() if text is not None}


def _truth(name: str, text: str) -> bool | None:
    if text not in (*_TRUTH, "unknown"):
        raise UsageError(f"{name}={text} is not one of: true, false, unknown")
    return _TRUTH.get(text)


def _share(name: str, text: str) -> float | None:
    if text == "unknown":
        return None
    if not re.fullmatch(r"\d*\.?\d+(e-?\d+)?|\d+\.", text) or not 0 <= float(text) <= 1:
        raise UsageError(f"{name}={text} is neither a number in 0 .. 1 nor unknown")
    return float(text)


def _text(name: str, text: str) -> str | None:
    if text != "unknown":
        return text
    return {"operator": "unknown", "notes": ""}.get(name)


_READERS: dict[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(("success", "success_any"), _truth),
    "quality": _share,
    **dict.fromkeys(("operator", "notes", "instruction"), _text),
}


def changed(records: Sequence[EpisodeRecord], labels: dict[str, Any]) -> list[EpisodeRecord]:
    """Those of which a label is not yet as it shall be."""
    return [r for r in records if any(getattr(r.meta, name) != value for name, value in labels.items())]


def require_unwritten(dataset: Dataset, records: Sequence[EpisodeRecord]) -> None:
    """Raises: DataError: somebody adds to a segment of theirs; said before anything is changed."""
    wanted = {record.segment for record in records}
    for segment in dataset.segments:
        if segment.writer and segment.path.name in wanted:
            raise DataError(f"{segment.path} is being written by {segment.writer}: wait for it")


def stamp(now: datetime, by: str) -> dict[str, str]:
    """What a line says of a change beside its reason. now: aware of its zone.  by: who makes it."""
    return {"time": now.isoformat(timespec="seconds").replace("+00:00", "Z"), "by": by}


def log_lines(segment: Segment) -> list[dict[str, Any]]:
    """The complete lines of a segment's log, which has been read without an error before."""
    lines = segment.place.read_log(LOG_FILE).split(b"\n")[:-1]
    return [content for line in lines if (content := from_line(line)) is not None]


def is_change(line: dict[str, Any]) -> bool:
    """Whether a line changes an episode that an earlier one committed."""
    return "start" not in line


def history(dataset: Dataset, records: Sequence[EpisodeRecord]) -> dict[str, list[Change]]:
    """What was changed in each of the episodes, by id, oldest first; [] where nothing was."""
    found: dict[str, list[Change]] = {record.id: [] for record in records}
    wanted = {record.segment for record in records}
    for segment in dataset.segments:
        name = segment.path.name
        if name not in wanted:
            continue
        for line in _changes(segment):
            changes = found.get(f"{name}:{line['id'].rpartition(':')[2]}")
            if changes is not None:
                changes.append(_change(line))
    return found


def _changes(segment: Segment) -> list[dict[str, Any]]:
    """The lines that change an episode. Of the others, which are many, only the beginning is read."""
    lines = segment.place.read_log(LOG_FILE).split(b"\n")[:-1]
    found = [from_line(line) for line in lines if not _COMMIT.match(line)]
    return [content for content in found if content is not None and is_change(content)]


def _change(line: dict[str, Any]) -> Change:
    told = {name: str(line.get(name, "")) for name in ("time", "by", "reason")}
    values = {name: value for name, value in line.items() if name not in ("id", "line_crc32c", *told)}
    if "reward" in values:
        values["reward"] = "recomputed"
    return Change(**told, values=values)
