"""One segment as readers see it: its attributes, its committed episodes, and rows of its arrays."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
import zarr

from robot_orl.data.store import layout
from robot_orl.data.store.layout import LOG_FILE, Field
from robot_orl.data.store.place import Location, Place
from robot_orl.data.store.records import EpisodeRecord, read_log, to_line
from robot_orl.errors import DataError, RunError
from robot_orl.types import Array, Spec

BAD_CHUNK = (ValueError, RuntimeError, OSError)  # what Zarr's checksum, Blosc and the disk raise
_ATTRIBUTES: dict[str, Any] = {  # what readers take for granted
    "format_version": int,
    "spec": dict,
    "task": str,
    "sealed": bool,
    "nodes": dict,
    "config": dict,
    "env_kwargs": dict,
    "packages": dict,
    "git_revision": (str, NoneType),
    "sim_state_size": (int, NoneType),
    "steps": (int, NoneType),
    "episodes": (int, NoneType),
}


@dataclass(frozen=True)
class Segment:
    """One recording session: its attributes and committed episodes."""

    place: Place
    attributes: Mapping[str, Any]
    records: list[EpisodeRecord]
    writer: str | None
    _checked: set[str] = field(default_factory=set)

    @property
    def path(self) -> Location:
        return self.place.path

    @property
    def is_sealed(self) -> bool:
        return bool(self.attributes["sealed"])

    def read(self, item: Field, rows: slice) -> Array:
        """Rows of an array. Raises: DataError: its metadata is damaged.  BAD_CHUNK: a chunk is."""
        if item.name not in self._checked:
            for name in layout.nodes_of(item):
                self._check_node(name)
            self._checked.add(item.name)
        for _, file in self.chunks(item, rows):  # Zarr would take a missing chunk for one of fill values
            if not self.place.has(file):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / file))
        with self.place.errors():
            return np.asarray(self._array(item, rows.stop)[rows])

    def _array(self, item: Field, rows: int) -> zarr.Array[Any]:
        """Raises: DataError: it is not as the spec says, or has fewer rows."""
        file = self.path / item.name / "zarr.json"
        try:
            store = self.place.zarr(read_only=True)
            array = zarr.open_array(store=store, path=item.name, mode="r", zarr_format=3)
        except (TypeError, ValueError, KeyError, ArithmeticError) as error:  # what Zarr raises for its own
            raise DataError(f"{file} is damaged: {error}") from error
        found = (array.shape[1:], array.dtype, array.chunks[0])
        if found != (item.row, np.dtype(item.dtype), item.chunk_rows) or array.shape[0] < rows:
            raise DataError(f"{file} is damaged: it says {array.shape} {array.dtype}, chunks {array.chunks}")
        return array

    def chunks(self, item: Field, rows: slice) -> Iterator[tuple[slice, str]]:
        """The chunks that hold these rows: which of the rows, and in which file of the segment.

        Rows of no width, as of a robot without actions, have none.
        """
        if 0 in item.row:
            return iter(())
        size = item.chunk_rows
        return (
            (slice(max(i * size, rows.start), min((i + 1) * size, rows.stop)), item.chunk_file(i))
            for i in range(rows.start // size, (rows.stop - 1) // size + 1)
        )

    def _check_node(self, name: str) -> None:
        file = self.path / name / "zarr.json"
        document = layout.read_json(self.place, f"{name}/zarr.json")
        shape = document.get("shape")
        rows = shape[0] if isinstance(shape, list) and shape else None
        extra = 0 if name.startswith("steps") else self.attributes.get("episodes") or 0
        if self.is_sealed and rows not in (None, (self.attributes.get("steps") or 0) + extra):
            raise DataError(f"{file} is damaged: it says {rows} rows")
        if layout.node_checksum(document) != self.attributes["nodes"].get(name):
            raise DataError(f"{file} is damaged: its content does not match its checksum")


def read_segment(place: Place, spec: Spec) -> Segment | None:
    """A segment with what is committed in it; None: its writer did not come that far."""
    path = place.path
    log, metadata = path / LOG_FILE, path / "zarr.json"
    if not place.has("zarr.json") and not place.has(LOG_FILE):
        return None
    document = layout.read_json(place, "zarr.json")  # before the log, which is complete once this is sealed
    has_log = place.has(LOG_FILE)
    attributes: Any = document.get("attributes")
    if attributes == {} and not has_log:
        return None
    _check_attributes(metadata, attributes)
    if (document.get("zarr_format"), document.get("node_type")) != (3, "group"):
        raise DataError(f"{metadata} is damaged: it is not a Zarr v3 group")
    if lacking := Spec.from_dict(attributes["spec"]).lacks(spec):
        raise DataError(
            f"{path} holds {attributes['task']} of another spec than its dataset, {spec.task}: "
            f"{', '.join(lacking)} differ"
        )
    if not has_log and not attributes["sealed"]:
        return None
    records, _ = read_log(place)
    if attributes["sealed"] and len(records) != attributes.get("episodes"):
        raise DataError(f"{log} is cut off: {len(records)} of {attributes.get('episodes')} episodes are left")
    return Segment(place, attributes, records, place.holder())


def _check_attributes(metadata: Location, attributes: Any) -> None:
    """Raises: DataError: damaged, or of a newer version."""
    if isinstance(attributes, dict) and "format_version" in attributes:
        layout.check_version(metadata, attributes["format_version"])
    if not isinstance(attributes, dict) or not layout.is_intact(attributes):
        raise DataError(f"{metadata} is damaged: its content does not match its checksum")
    for name, kinds in _ATTRIBUTES.items():
        if not isinstance(attributes.get(name), kinds):
            raise DataError(f"{metadata} is damaged: {name} is {attributes.get(name)!r}")


def fields(segment: Segment, spec: Spec, sim_state: bool, images: bool) -> list[Field]:
    """The arrays of a segment; without the simulator's states unless they are wanted and there."""
    size = segment.attributes["sim_state_size"] if sim_state else None
    found = layout.fields_of(spec, size, bool(segment.attributes.get("safety_bits")))
    return [item for item in found.values() if images or not item.is_image]


def verified(rows: Array, segment: Segment, item: Field, record: EpisodeRecord) -> Array:
    """The rows of one episode, if they are those that were committed."""
    if layout.crc32c(rows) != record.crc32c.get(item.name):
        raise damage(segment, item, record)
    return rows


def check_extent(segment: Segment, record: EpisodeRecord) -> None:
    """Raises: DataError: the chunk in which it ends is not there."""
    reward = layout.fields_of(Spec.from_dict(segment.attributes["spec"]), None)["steps/reward"]
    if not segment.place.has(reward.chunk_file((record.start + record.length - 1) // reward.chunk_rows)):
        raise damage(segment, reward, record)


def damage(segment: Segment, item: Field, record: EpisodeRecord) -> DataError:
    """What is wrong with the rows of one episode in one array, down to the file."""
    rows = item.rows(record.start, record.index, record.length)
    where = f"episode {record.index} cannot be read"
    for part, name in segment.chunks(item, rows):
        file = segment.path / name
        if not segment.place.has(name):
            return DataError(f"{file} is missing: {where}")
        try:
            segment.read(item, part)
        except OSError as error:
            return DataError(f"cannot read {file}: {error.strerror}: {where}")
        except BAD_CHUNK:
            return DataError(f"{file} is damaged: {where}")
    return DataError(f"{segment.path / item.name} does not match its checksum: {where}")


def override(segment: Segment, lines: list[dict[str, Any]]) -> None:
    """Append lines to the log of a segment that nobody writes."""
    file = segment.path / LOG_FILE
    try:
        held = segment.place.hold()
    except BlockingIOError as error:
        raise DataError(
            f"{segment.path} is being written by {segment.place.holder()}: wait for it"
        ) from error
    except OSError as error:
        raise RunError(f"cannot write {segment.path}: {error.strerror}") from error
    try:
        _, torn = read_log(segment.place)
        with closing(segment.place.open_log(LOG_FILE, cut=torn)) as log:
            log.append(b"".join(map(to_line, lines)))
        segment.records[:] = read_log(segment.place)[0]
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
    finally:
        held.close()
