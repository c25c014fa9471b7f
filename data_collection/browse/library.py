"""A dataset as a page looks at it: its episodes as rows, what a query selects, and other labels for them.

It is a snapshot until `refresh`, so that a process that records meanwhile changes nothing under a reader.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from robot_orl.curation.labels import Change, history, parse_labels
from robot_orl.data.query import parse, value_of
from robot_orl.data.store.layout import Field, fields_of
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import BAD_CHUNK, Segment, damage
from robot_orl.errors import DataError, RobotOrlError, RunError, UsageError
from robot_orl.types import Actor, Array, Episode, Observation

COLUMNS = (
    *("id", "operator", "seed", "length", "return", "success", "quality", "end_reason"),
    *("notes", "actor", "deleted"),
)
DELETED = {"true": True, "false": False}
Labels = Mapping[str, Mapping[str, Any]]  # by the episode's id, values by their names


class HalfLabelled(RunError):
    """It went wrong half way.  before: what was so before, of those that were changed.  rows: they now."""

    def __init__(self, why: str, before: Labels, rows: list[list[Any]]) -> None:
        super().__init__(why)
        self.before, self.rows = before, rows


class Library:
    """All of it from one thread at a time. Make one with a path, as `Dataset.open` takes it."""

    def __init__(self, path: str, sign: Callable[[], Mapping[str, str]]) -> None:
        """sign: who changes something, and when: now.

        Raises: DataError: there is no dataset, or it is damaged.
        """
        self.path, self._sign = path, sign
        self.refresh()

    def refresh(self) -> None:
        """See what others have added and changed. Raises: DataError."""
        self.dataset = Dataset.open(self.path, allow_empty=True)
        self._segments = {segment.path.name: segment for segment in self.dataset.segments}
        self._index()

    def _index(self) -> None:
        self._records = {record.id: record for record in self.dataset.records}

    def record(self, episode: str) -> EpisodeRecord:
        """episode: its id. Raises: UsageError: there is none."""
        if episode not in self._records:
            raise UsageError(f"no episode '{episode[:80]}' in {self.path}; refresh the page")
        return self._records[episode]

    def segment(self, record: EpisodeRecord) -> Segment:
        return self._segments[record.segment]

    @property
    def segments(self) -> Sequence[Segment]:
        return self.dataset.segments

    # Rows

    def ids(self) -> list[str]:
        """Of every committed episode, the deleted ones included."""
        return [record.id for record in self.dataset.records]

    def row(self, episode: str) -> list[Any]:
        """The values of COLUMNS; None: unknown."""
        record = self.record(episode)
        return [record.deleted if name == "deleted" else _plain(value_of(record, name)) for name in COLUMNS]

    def matching(self, where: str, episodes: Sequence[str]) -> list[int]:
        """Which of these the query selects. Raises: UsageError: it is no query."""
        query, known = parse(where), self._records
        return [i for i, name in enumerate(episodes) if name in known and query.matches(known[name])]

    def shares(self) -> dict[str, dict[str, float]]:
        """Who acted in how much of an episode, by its id, of those in which more than one did, or that do
        not tell. Raises: DataError: names the file that is damaged."""
        found: dict[str, dict[str, float]] = {}
        for segment in self.segments:
            mixed = [record for record in segment.records if len(record.actors or ()) != 1]
            if not mixed:
                continue
            first, last = mixed[0], mixed[-1]
            actor = self._read(first, "steps/actor", slice(first.start, last.start + last.length), last)
            for record in mixed:
                begin = record.start - first.start
                found[record.id] = _shares(actor[begin : begin + record.length])
        return found

    # One episode

    def about(self, episode: str) -> dict[str, Any]:
        """All that its log tells: labels, where it comes from, and what was changed, oldest first."""
        record = self.record(episode)
        with self._reading(self.segment(record)):
            changes: list[Change] = history(self.dataset, [record])[record.id]
        told = {name: _plain(value_of(record, name)) for name in ("policy_hash", "instruction", "origin")}
        return {
            **dict(zip(COLUMNS, self.row(episode), strict=True)),
            **told,
            "rate_hz": record.rate_hz,
            "writer": self.segment(record).writer,
            "history": [asdict(change) for change in changes],
        }

    def load(self, episode: str) -> Episode:
        """Without its frames. Raises: DataError: names the file that is damaged."""
        record = self.record(episode)
        with self._reading(self.segment(record)):
            return self.dataset.load(record, images=False)

    def last_state(self, episode: str) -> Array | None:
        """(S,) float64 of the simulator, after the last step; None: none was kept."""
        record = self.record(episode)
        if self.segment(record).attributes["sim_state_size"] is None:
            return None
        end = record.start + record.index + record.length
        state = np.asarray(self._read(record, "sim/state", slice(end, end + 1))[0])
        return state if np.isfinite(state).all() else None

    def last_observation(self, episode: str) -> Observation:
        """After the last step."""
        record = self.record(episode)
        end = record.start + record.index + record.length
        names = self.dataset.spec.observation
        return {name: self._read(record, f"obs/{name}", slice(end, end + 1))[0] for name in names}

    def frames(self, episode: str, camera: str, moments: slice) -> Array:
        """(n, H, W, 3) uint8: what a camera saw at these of the T + 1 moments, as far as there are.

        Raises: UsageError: no such camera.  DataError: names the file that is damaged.
        """
        record = self.record(episode)
        if camera not in self.dataset.spec.cameras:
            raise UsageError(f"no camera '{camera[:80]}'; valid: {', '.join(self.dataset.spec.cameras)}")
        begin, end, _ = moments.indices(record.length + 1)
        at = record.start + record.index
        if begin >= end:
            size = self.dataset.spec.cameras[camera]
            return np.zeros((0, size.height, size.width, 3), np.uint8)
        return self._read(record, f"obs/images/{camera}", slice(at + begin, at + end))

    def _read(
        self, record: EpisodeRecord, name: str, rows: slice, last: EpisodeRecord | None = None
    ) -> Array:
        """Rows of an array, which lie in that episode, or from it to `last`."""
        segment = self.segment(record)
        item: Field = fields_of(self.dataset.spec, segment.attributes["sim_state_size"])[name]
        with self._reading(segment):
            try:
                return segment.read(item, rows)
            except BAD_CHUNK as error:
                raise damage(segment, item, last or record) from error

    @contextmanager
    def _reading(self, segment: Segment) -> Iterator[None]:
        """What fails because the segment is gone says so."""
        try:
            yield
        except (RobotOrlError, OSError) as error:
            self._require_there(segment, error)
            raise

    def _require_there(self, segment: Segment, cause: Exception | None = None) -> None:
        if not segment.place.exists():
            raise UsageError(f"{segment.path} was compacted or moved; refresh the page") from cause

    # Labels

    def relabel(self, episodes: Iterable[str], values: Mapping[str, str], reason: str) -> Labels:
        """Other labels, as typed for `dataset relabel`, but notes, which are taken literally; 'deleted' is
        'true' or 'false'.

        Returns what was so before, of those that were changed: what is so already is not written again.
        Raises: UsageError: not a value of that label.  DataError: somebody writes there.  RunError: disk;
        HalfLabelled where some were changed before.
        """
        labels = parse_labels({name: text for name, text in values.items() if name != "deleted"})
        if "notes" in values:
            labels["notes"] = values["notes"]
        if "deleted" in values:
            if values["deleted"] not in DELETED:
                raise UsageError(f"deleted={values['deleted'][:80]} is not one of: {', '.join(DELETED)}")
            labels["deleted"] = DELETED[values["deleted"]]
        return self.label({episode: labels for episode in episodes}, reason)

    def label(self, labels: Labels, reason: str) -> Labels:
        """As `relabel`, with values as they are stored, of each episode its own."""
        before = self._labels(labels)
        new = {episode: values for episode, values in labels.items() if before[episode] != values}
        self._require_writable({self.record(episode).segment for episode in new})
        changes = [(self.record(episode), values) for episode, values in new.items()]
        try:
            self.dataset.relabel_each(changes, reason, self._sign())
        except RobotOrlError as error:
            self._index()
            now = self._labels(new)
            done = {episode: before[episode] for episode in new if now[episode] == new[episode]}
            if not done:
                raise
            why = f"{error}; {len(done):,} of {len(new):,} episodes were changed before"
            raise HalfLabelled(why, done, [self.row(episode) for episode in done]) from error
        self._index()
        return {episode: before[episode] for episode in new}

    def _labels(self, named: Labels) -> Labels:
        """As they are, of these episodes, those that are named."""
        records = {episode: self.record(episode) for episode in named}
        return {e: {name: _label(records[e], name) for name in names} for e, names in named.items()}

    def _require_writable(self, names: set[str]) -> None:
        """As it is now, not as it was when the snapshot was made."""
        for name in names:
            self._require_there(self._segments[name])
            if (holder := self._segments[name].place.holder()) is not None:
                raise DataError(f"{name} is being written by {holder}: its labels can change when it is done")


def _label(record: EpisodeRecord, name: str) -> Any:
    return record.deleted if name == "deleted" else getattr(record.meta, name)


def _shares(actor: Array) -> dict[str, float]:
    """actor: (T,) uint8."""
    names = {int(who): who.name.lower() for who in Actor}
    who, counts = np.unique(actor, return_counts=True)
    return {names.get(int(one), "unknown"): int(n) / len(actor) for one, n in zip(who, counts, strict=True)}


def _plain(value: Any) -> Any:
    """As JSON has it: it knows no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
