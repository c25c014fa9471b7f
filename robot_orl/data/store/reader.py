"""Reads datasets: on a read-only medium too, and while other processes add episodes.

What is opened is a snapshot: the episodes that were committed at that moment. Nothing here takes a
writer's lock but `delete` and `relabel`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from robot_orl.data.store import layout
from robot_orl.data.store.blocks import read_episode, read_episodes
from robot_orl.data.store.info import DatasetInfo, summarise
from robot_orl.data.store.layout import SEGMENTS
from robot_orl.data.store.place import Location, Place, Url
from robot_orl.data.store.places import place_at
from robot_orl.data.store.records import META_FIELDS, EpisodeRecord, checked_meta, encode_rewards
from robot_orl.data.store.root import check_readable, read_dataset_file
from robot_orl.data.store.segment import Segment, check_extent, fields, override, read_segment
from robot_orl.errors import DataError, unknown
from robot_orl.types import Array, Episode, Spec


class Dataset:
    """A dataset as it was when opened. Make one with `Dataset.open`."""

    def __init__(
        self, place: Place, spec: Spec, segments: list[Segment], chosen: frozenset[str] | None = None
    ) -> None:
        """chosen: ids of the episodes that are in use; None: all that are not deleted."""
        self.place = place
        self.spec = spec
        self.segments = segments
        self._chosen = chosen

    @property
    def path(self) -> Location:
        return self.place.path

    @classmethod
    def open(cls, path: Path | Url | str, allow_empty: bool = False) -> "Dataset":
        """Open a dataset for reading: a folder, or a URL such as s3://bucket/data/pick.

        Raises: DataError: there is none, it is damaged or of a newer format, or it has no committed
        episode (unless `allow_empty`).
        """
        root = place_at(path)
        path = root.path
        try:
            check_readable(root)
            spec = read_dataset_file(root)
            held = root.child(SEGMENTS)
            folders = held.folders() if held.exists() else []
            found = {name: read_segment(held.child(name), spec) for name in folders}
            if any(segment is None and not held.child(name).exists() for name, segment in found.items()):
                return cls.open(path, allow_empty)  # compacted meanwhile: its successor was not listed yet
            segments = _in_force([segment for segment in found.values() if segment is not None])
        except OSError as error:
            raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
        dataset = cls(root, spec, segments)
        if not dataset.records and not allow_empty:
            raise DataError(f"{path} holds no committed episode yet")
        return dataset

    @property
    def records(self) -> list[EpisodeRecord]:
        """Every committed episode, in commit order per segment, those that were deleted included."""
        return [record for segment in self.segments for record in segment.records]

    @property
    def episodes(self) -> list[EpisodeRecord]:
        """The episodes in use: those that are not deleted and, of a selection, chosen."""
        return [record for segment in self.segments for record in self._in_use(segment)]

    def choose(self, records: Iterable[EpisodeRecord]) -> "Dataset":
        """The same dataset with only these episodes in use; nothing is copied."""
        return Dataset(self.place, self.spec, self.segments, frozenset(record.id for record in records))

    def _in_use(self, segment: Segment) -> list[EpisodeRecord]:
        chosen = self._chosen
        return [r for r in segment.records if not r.deleted and (chosen is None or r.id in chosen)]

    def load(
        self, record: EpisodeRecord, verify: bool = True, sim_state: bool = True, images: bool = True
    ) -> Episode:
        """Read one episode. Raises: DataError: names the file that is damaged."""
        segment = self._segment(record.segment)
        return read_episode(segment, record, fields(segment, self.spec, sim_state, images), verify)

    def load_all(
        self, verify: bool = True, sim_state: bool = True, images: bool = False
    ) -> Iterator[Episode]:
        """Every episode in use, in order, read many at a time.

        sim_state: False leaves the simulator's states out, which are most of the bytes.
        Raises: DataError: names the file that is damaged and the episode.
        """
        return self.load_many(self.episodes, verify, sim_state, images)

    def load_many(
        self,
        records: Iterable[EpisodeRecord],
        verify: bool = True,
        sim_state: bool = True,
        images: bool = False,
    ) -> Iterator[Episode]:
        """These episodes, which are of this dataset and in its order; as `load_all`."""
        for name, found in groupby(records, key=lambda record: record.segment):
            segment = self._segment(name)
            items = fields(segment, self.spec, sim_state, images)
            yield from read_episodes(segment, list(found), items, verify)

    def delete(self, records: Iterable[EpisodeRecord], reason: str) -> None:
        """Take episodes out of use; a line in the log, undone by `relabel(..., deleted=False)`."""
        self.relabel(records, reason, deleted=True)

    def relabel(
        self,
        records: Iterable[EpisodeRecord],
        reason: str,
        stamp: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        """Override fields of EpisodeMeta (or `deleted`) by a line per episode; arrays are not touched.

        Seen by this object, too. stamp: what the lines say besides, such as who changed it and when.
        Raises: DataError: a segment is being written.  RunError: disk.
        """
        self.relabel_each([(record, changes) for record in records], reason, stamp)

    def relabel_each(
        self,
        changes: Sequence[tuple[EpisodeRecord, Mapping[str, Any]]],
        reason: str,
        stamp: Mapping[str, str] | None = None,
    ) -> None:
        """As `relabel`, each episode with changes of its own."""
        for name in {name for _, change in changes for name in change}:
            if name not in (*META_FIELDS, "deleted"):
                raise unknown("episode field", name, [*META_FIELDS, "deleted"])
        self._override(changes, {"reason": reason, **(stamp or {})})

    def set_rewards(
        self,
        rewards: Iterable[tuple[EpisodeRecord, Array]],
        reason: str,
        stamp: Mapping[str, str] | None = None,
    ) -> None:
        """Put other rewards, (T,) float32 each, in the place of those stored; otherwise as `relabel`."""
        changes = []
        for record, values in rewards:
            if values.shape != (record.length,):
                raise DataError(f"{record.id} has {record.length} steps, not rewards of shape {values.shape}")
            changes.append((record, {"reward": encode_rewards(values)}))
        self._override(changes, {"reason": reason, **(stamp or {})})

    def _override(self, changes: Iterable[tuple[EpisodeRecord, Mapping[str, Any]]], why: Any) -> None:
        by_segment: dict[str, list[dict[str, Any]]] = {}
        for record, change in changes:
            line = json.loads(layout.to_json({"id": record.id, **change, **why}))
            try:
                checked_meta(line)
            except ValueError as error:  # written, it would spoil the log
                raise DataError(f"{record.id} cannot be changed: {error}") from error
            by_segment.setdefault(record.segment, []).append(line)
        for name, lines in by_segment.items():
            override(self._segment(name), lines)

    def check_extent(self) -> None:
        """Before memory is reserved for what the logs declare.

        Raises: DataError: a segment's last episode in use lies in a file that is not there.
        """
        for segment in self.segments:
            if records := self._in_use(segment):
                check_extent(segment, records[-1])

    def fingerprint(self) -> str:
        """SHA-256 over what a learner would see: checksums and labels of the episodes in use."""
        digest = sha256(layout.to_json(self.spec.to_dict()))
        for record in self.episodes:
            digest.update(layout.to_json(record.learned(), sort_keys=True))
        return digest.hexdigest()

    def info(self) -> DatasetInfo:
        """Figures of the dataset from its logs alone; no array is read."""
        return summarise(self)

    def _segment(self, name: str) -> Segment:
        for segment in self.segments:
            if segment.path.name == name:
                return segment
        raise DataError(f"no segment {name} in {self.path}")


def _in_force(segments: list[Segment]) -> list[Segment]:
    """Without those that `compact` rewrote and was killed before it could remove them."""
    replaced = {n for s in segments for n in (s.attributes.get("config") or {}).get("replaces", ())}
    return [segment for segment in segments if segment.path.name not in replaced]
