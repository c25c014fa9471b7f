"""Reads datasets: on a read-only medium too, and while other processes add episodes.

What is opened is a snapshot: the episodes that were committed at that moment. Nothing here takes a
writer's lock but `delete` and `relabel`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from robot_orl.data import layout, lock
from robot_orl.data.layout import DATASET_FILE, LOG_FILE, SEGMENTS, Field
from robot_orl.data.records import META_FIELDS, EpisodeRecord, read_log
from robot_orl.data.writer import append_lines
from robot_orl.errors import DataError, RunError, unknown
from robot_orl.types import Array, Episode, Spec

if TYPE_CHECKING:
    from robot_orl.data.info import DatasetInfo


_BAD_CHUNK = (ValueError, RuntimeError, OSError)  # what Zarr's checksum, Blosc and the disk raise


@dataclass(frozen=True)
class Segment:
    """One recording session: its attributes and committed episodes."""

    path: Path
    attributes: Mapping[str, Any]
    records: list[EpisodeRecord]
    writer: str | None
    _checked: set[str] = field(default_factory=set)

    @property
    def is_sealed(self) -> bool:
        return bool(self.attributes["sealed"])

    def read(self, item: Field, rows: slice) -> Array:
        """Rows of an array. Raises: DataError: its metadata is damaged.  _BAD_CHUNK: a chunk is."""
        if item.name not in self._checked:
            self._check_node(item.name.partition("/")[0])
            self._check_node(item.name)
            self._checked.add(item.name)
        for _, file in self.chunks(item, rows):
            os.stat(file)  # Zarr would take a missing chunk for one of fill values
        store = LocalStore(self.path, read_only=True)
        array = zarr.open_array(store=store, path=item.name, mode="r", zarr_format=3)
        if array.shape[0] < rows.stop:
            raise DataError(f"{self.path / item.name}/zarr.json is damaged: it has {array.shape[0]} rows")
        return np.asarray(array[rows])

    def chunks(self, item: Field, rows: slice) -> list[tuple[slice, Path]]:
        """The chunks that hold these rows: which of the rows, and in which file."""
        size, folder = item.chunk_rows, self.path / item.name / "c"
        return [
            (slice(max(i * size, rows.start), min((i + 1) * size, rows.stop)), folder / _chunk_key(item, i))
            for i in range(rows.start // size, (rows.stop - 1) // size + 1)
        ]

    def _check_node(self, name: str) -> None:
        file = self.path / name / "zarr.json"
        document = layout.read_json(file)
        shape = document.get("shape", [None])[0]
        extra = self.attributes.get("episodes", 0) if not name.startswith("steps") else 0
        if self.is_sealed and shape not in (None, self.attributes["steps"] + extra):
            raise DataError(f"{file} is damaged: it says {shape} rows")
        if layout.node_checksum(document) != self.attributes["nodes"].get(name):
            raise DataError(f"{file} is damaged: its content does not match its checksum")


class Dataset:
    """A dataset as it was when opened. Make one with `Dataset.open`."""

    def __init__(self, path: Path, spec: Spec, segments: list[Segment]) -> None:
        self.path = path
        self.spec = spec
        self.segments = segments

    @classmethod
    def open(cls, path: Path | str, allow_empty: bool = False) -> "Dataset":
        """Open a dataset for reading.

        Raises: DataError: there is none, it is damaged or of a newer format, or it has no committed
        episode (unless `allow_empty`).
        """
        path = Path(path)
        _check_path(path)
        spec = layout.read_dataset_file(path)
        try:
            folders = sorted(entry for entry in (path / SEGMENTS).iterdir() if entry.is_dir())
        except FileNotFoundError:
            folders = []
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        segments = [segment for folder in folders if (segment := _read_segment(folder, spec)) is not None]
        dataset = cls(path, spec, segments)
        if not dataset.records and not allow_empty:
            raise DataError(f"{path} holds no committed episode yet")
        return dataset

    @property
    def records(self) -> list[EpisodeRecord]:
        """Every committed episode, in commit order per segment, those that were deleted included."""
        return [record for segment in self.segments for record in segment.records]

    @property
    def episodes(self) -> list[EpisodeRecord]:
        """The episodes that are not deleted."""
        return [record for record in self.records if not record.deleted]

    def load(self, record: EpisodeRecord, verify: bool = True, sim_state: bool = True) -> Episode:
        """Read one episode. Raises: DataError: names the file that is damaged."""
        segment = self._segment_of(record)
        columns = {}
        for item in _fields(segment, self.spec, sim_state):
            try:
                rows = segment.read(item, item.rows(record.start, record.index, record.length))
            except _BAD_CHUNK as error:
                raise _damage(segment, item, record) from error
            columns[item.name] = _verified(rows, segment, item, record) if verify else rows
        return layout.from_columns(columns, record.meta)

    def load_all(self, verify: bool = True, sim_state: bool = True) -> Iterator[Episode]:
        """Every episode that is not deleted, in order; each segment is read at once.

        sim_state: False leaves the simulator's states out, which are most of the bytes.
        Raises: DataError: names the file that is damaged and the episode.
        """
        for segment in self.segments:
            records = [record for record in segment.records if not record.deleted]
            if not records:
                continue
            items, last = _fields(segment, self.spec, sim_state), records[-1]
            try:
                columns = [
                    segment.read(item, slice(0, item.rows(last.start, last.index, last.length).stop))
                    for item in items
                ]
            except _BAD_CHUNK:  # singly: names the first episode it spoils, or spoils only deleted ones
                yield from (self.load(record, verify, sim_state) for record in records)
                continue
            for record in records:
                parts = {}
                for item, column in zip(items, columns, strict=True):
                    rows = column[item.rows(record.start, record.index, record.length)]
                    parts[item.name] = _verified(rows, segment, item, record) if verify else rows
                yield layout.from_columns(parts, record.meta)

    def delete(self, records: Iterable[EpisodeRecord], reason: str) -> None:
        """Take episodes out of use; a line in the log, undone by `relabel(..., deleted=False)`."""
        self.relabel(records, reason, deleted=True)

    def relabel(self, records: Iterable[EpisodeRecord], reason: str, **changes: Any) -> None:
        """Override fields of EpisodeMeta (or `deleted`) by a line per episode; arrays are not touched.

        Seen by this object, too. Raises: DataError: a segment is being written.  RunError: disk.
        """
        for name in changes:
            if name not in (*META_FIELDS, "deleted"):
                raise unknown("episode field", name, [*META_FIELDS, "deleted"])
        by_segment: dict[str, list[EpisodeRecord]] = {}
        for record in records:
            by_segment.setdefault(record.segment, []).append(record)
        for found in by_segment.values():
            segment = self._segment_of(found[0])
            _override(segment, [{"id": record.id, **changes, "reason": reason} for record in found])

    def fingerprint(self) -> str:
        """SHA-256 over what a learner would see: checksums and labels of the episodes in use."""
        digest = sha256(layout.to_json(self.spec.to_dict()))
        for record in self.episodes:
            content = record.to_dict()
            del content["id"], content["start"]  # where it lies does not matter
            digest.update(layout.to_json(content, sort_keys=True))
        return digest.hexdigest()

    def info(self) -> "DatasetInfo":
        """Figures of the dataset from its logs alone; no array is read."""
        from robot_orl.data.info import summarise

        return summarise(self)

    def _segment_of(self, record: EpisodeRecord) -> Segment:
        for segment in self.segments:
            if segment.path.name == record.segment:
                return segment
        raise DataError(f"no episode {record.id} in {self.path}")


def _check_path(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no dataset at {path}: it does not exist")
    if not path.is_dir():
        raise DataError(f"{path} is a file, not a dataset's folder")
    if not (path / DATASET_FILE).exists():
        content = "is empty" if not any(path.iterdir()) else f"has no {DATASET_FILE}"
        raise DataError(f"no dataset at {path}: the folder {content}")


def _read_segment(path: Path, spec: Spec) -> Segment | None:
    """A segment with what is committed in it; None: its writer did not come that far."""
    log, metadata = path / LOG_FILE, path / "zarr.json"
    if not metadata.exists() and not log.exists():
        return None
    document = layout.read_json(metadata)  # before the log: once this says sealed, the log is complete
    attributes = document.get("attributes")
    if attributes == {} and not log.exists():
        return None
    if not isinstance(attributes, dict) or not layout.is_intact(attributes):
        raise DataError(f"{metadata} is damaged: its content does not match its checksum")
    layout.check_version(metadata, attributes["format_version"])
    if (document.get("zarr_format"), document.get("node_type")) != (3, "group"):
        raise DataError(f"{metadata} is damaged: it is not a Zarr v3 group")
    if layout.to_json(attributes["spec"]) != layout.to_json(spec.to_dict()):
        raise DataError(f"{path} holds {attributes['task']}, which is not its dataset's {spec.task}")
    if not log.exists() and not attributes["sealed"]:
        return None
    records, _ = read_log(log)
    if attributes["sealed"] and len(records) != attributes["episodes"]:
        raise DataError(f"{log} is cut off: {len(records)} of {attributes['episodes']} episodes are left")
    return Segment(path, attributes, records, lock.holder(path))


def _fields(segment: Segment, spec: Spec, sim_state: bool) -> list[Field]:
    size = segment.attributes["sim_state_size"] if sim_state else None
    return list(layout.fields_of(spec, size).values())


def _verified(rows: Array, segment: Segment, item: Field, record: EpisodeRecord) -> Array:
    """The rows of one episode, if they are those that were committed."""
    if layout.crc32c(rows) != record.crc32c[item.name]:
        raise _damage(segment, item, record)
    return rows


def _chunk_key(item: Field, number: int) -> str:
    return "/".join([str(number), *["0"] * len(item.row)])  # only rows are divided


def _damage(segment: Segment, item: Field, record: EpisodeRecord) -> DataError:
    """What is wrong with the rows of one episode in one array, down to the file."""
    rows = item.rows(record.start, record.index, record.length)
    where = f"episode {record.index} cannot be read"
    for part, file in segment.chunks(item, rows):
        if not file.exists():
            return DataError(f"{file} is missing: {where}")
        try:
            segment.read(item, part)
        except OSError as error:
            return DataError(f"cannot read {file}: {error.strerror}: {where}")
        except _BAD_CHUNK:
            return DataError(f"{file} is damaged: {where}")
    return DataError(f"{segment.path / item.name} does not match its checksum: {where}")


def _override(segment: Segment, lines: list[dict[str, Any]]) -> None:
    """Append lines to the log of a segment that nobody writes."""
    file = segment.path / LOG_FILE
    try:
        held = lock.hold(segment.path)
    except BlockingIOError as error:
        raise DataError(
            f"{segment.path} is being written by {lock.holder(segment.path)}: wait for it"
        ) from error
    except OSError as error:
        raise RunError(f"cannot write {segment.path}: {error.strerror}") from error
    try:
        _, torn = read_log(file)
        with file.open("ab", buffering=0) as log:
            os.ftruncate(log.fileno(), file.stat().st_size - torn)
            append_lines(log.fileno(), lines)
        segment.records[:] = read_log(file)[0]
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
    finally:
        os.close(held)
