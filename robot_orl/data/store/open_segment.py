"""A segment while it is being written: its arrays, its commit log, and being its only writer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from robot_orl.data.store import layout
from robot_orl.data.store.layout import LOG_FILE, Field
from robot_orl.data.store.place import Log, Place
from robot_orl.data.store.records import EpisodeRecord, realised_rate, to_line, who_acted
from robot_orl.types import Array, Episode

_LZ4 = BloscCodec(cname="lz4", shuffle="shuffle")
_ZSTD = ZstdCodec(level=1)


@dataclass(frozen=True)
class Prepared:
    """An episode that fits the segment, with its arrays by their names there."""

    episode: Episode
    columns: Mapping[str, Array]
    uid: str


class OpenSegment:
    """The open files of one segment."""

    def __init__(self, place: Place, fields: Mapping[str, Field], attributes: Mapping[str, Any]) -> None:
        self.place = place
        self.fields = fields
        self._episodes = 0
        self._steps = 0
        self._hold = place.hold()
        self._log: Log | None = None
        try:
            with place.errors():
                self._group = zarr.create_group(place.zarr(read_only=False), zarr_format=3)
                self._columns = {name: _Column(self._group, field) for name, field in fields.items()}
            nodes = sorted({name for field in fields.values() for name in layout.nodes_of(field)})
            checksums = {n: layout.node_checksum(layout.read_json(place, f"{n}/zarr.json")) for n in nodes}
            self._attributes = {**attributes, "nodes": checksums}
            self._update_attributes(self._attributes)
            self._log = place.open_log(LOG_FILE)
            place.settle()
        except BaseException:
            self.release()
            raise

    def is_ours(self) -> bool:
        """Whether this writer still is the only one; says that it lives."""
        return self._hold.renew()

    def append(self, group: Sequence[Prepared]) -> list[EpisodeRecord]:
        """Commit episodes together: their arrays, then all their lines at once."""
        with self.place.errors():
            for name, column in self._columns.items():
                column.write([one.columns[name] for one in group])
        records = []
        episodes, steps = self._episodes, self._steps
        for one in group:
            records.append(self._record(one, episodes, steps))
            episodes, steps = episodes + 1, steps + len(one.episode)
        assert self._log is not None
        self._log.append(b"".join(to_line(record.to_dict()) for record in records))
        for column in self._columns.values():
            column.commit()
        self._episodes, self._steps = episodes, steps
        return records

    def _record(self, one: Prepared, index: int, start: int) -> EpisodeRecord:
        return EpisodeRecord(
            segment=self.place.path.name,
            index=index,
            start=start,
            length=len(one.episode),
            episode_return=float(np.sum(one.episode.reward, dtype=np.float64)),
            meta=one.episode.meta,
            crc32c={name: layout.crc32c(rows) for name, rows in one.columns.items()},
            uid=one.uid,
            actors=who_acted(one.episode.actor),
            rate_hz=realised_rate(one.episode.t_ns),
        )

    def seal(self) -> None:
        """Say that the segment is complete."""
        sealed = {"sealed": True, "episodes": self._episodes, "steps": self._steps}
        self._update_attributes({**self._attributes, **sealed})

    def _update_attributes(self, attributes: Mapping[str, Any]) -> None:
        with self.place.errors():
            self._group.update_attributes(layout.guarded(attributes))

    def release(self) -> None:
        if self._log is not None:
            self._log.close()
        self._hold.close()


class _Column:
    """Appends rows to one array; keeps its last, unfilled chunk in RAM so as not to read it back."""

    def __init__(self, group: zarr.Group, field: Field) -> None:
        self._array = group.create_array(
            field.name,
            shape=(0, *field.row),
            chunks=(field.chunk_rows, *field.row),
            dtype=field.dtype,
            fill_value=field.fill_value,
            compressors=[_ZSTD if field.is_image else _LZ4, Crc32cCodec()],
            config={"write_empty_chunks": True},  # so a chunk that is not there is always damage
        )
        self._field = field
        self._committed = 0
        self._tail = np.empty((0, *field.row), field.dtype)  # committed rows of the last chunk
        self._block = self._tail

    def write(self, parts: Sequence[Array]) -> None:
        """Put rows behind the committed ones; nobody reads them before `commit`."""
        self._block = np.concatenate([self._tail, *parts])
        start = self._committed - len(self._tail)
        self._array.resize((start + len(self._block), *self._field.row))
        self._array[start:] = self._block

    def commit(self) -> None:
        """The episode's line is in the log: the rows written last are there to stay."""
        self._committed += len(self._block) - len(self._tail)
        full = len(self._block) // self._field.chunk_rows * self._field.chunk_rows
        self._tail = self._block[full:]
