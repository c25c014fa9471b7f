"""Appends episodes to a dataset, each writer to a segment of its own: arrays first, then one commit line.

A kill, a full disk or a lost permission at any instant leaves every committed episode readable: chunks
and metadata are replaced by renaming a complete new file (Zarr's LocalStore), rows past the last commit
line are nobody's, and the line itself counts only once it is complete and synced. Syncing each of some
25 files too would cost 40-90 ms an episode; what a power cut leaves is the file system's promise (ext4
as shipped writes a file that was renamed over another before the log's sync returns) and is checksummed.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from robot_orl.data.store import layout
from robot_orl.data.store.layout import LOG_FILE, SEGMENTS, Field
from robot_orl.data.store.place import Location, Log, Place, Url
from robot_orl.data.store.places import place_at
from robot_orl.data.store.provenance import git_revision, package_versions
from robot_orl.data.store.records import EpisodeRecord, realised_rate, to_line, who_acted
from robot_orl.data.store.root import check_writable, write_dataset_file
from robot_orl.errors import RunError
from robot_orl.types import Array, Episode, Spec

_LZ4 = BloscCodec(cname="lz4", shuffle="shuffle")
_ZSTD = ZstdCodec(level=1)


class SegmentWriter:
    """One recording session. Nothing is made on disk before the first `append`.

    root: the dataset's folder, new or of the same spec.  source: who writes, a word for the folder's
    name.  config, env_kwargs: kept in the segment's attributes.
    Raises: DataError: root holds something else, or episodes of another task.
    """

    def __init__(
        self,
        root: Path | Url | str,
        spec: Spec,
        source: str,
        config: Mapping[str, Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.place = place_at(root)
        self.spec = spec
        self._source = re.sub(r"[^A-Za-z0-9-]+", "-", source).strip("-") or "unnamed"
        self._attributes = {"config": dict(config or {}), "env_kwargs": dict(env_kwargs or {})}
        self._segment: _Segment | None = None
        self._is_closed = False
        check_writable(self.place, spec)

    @property
    def root(self) -> Location:
        return self.place.path

    @property
    def segment(self) -> str | None:
        """Name of the segment's folder; None before the first append."""
        return self._segment.place.path.name if self._segment else None

    def append(self, episode: Episode, uid: str | None = None) -> EpisodeRecord:
        """Commit an episode; once this returns, it survives whatever happens to this process.

        uid: that of the episode which this is a copy of; None: it is a new one.
        Raises: DataError: it does not fit the spec.  RunError: the disk is full or refuses.
        """
        if self._is_closed:
            raise RunError(f"writer of {self.root} is closed")
        sim_state_size = None if episode.sim_state is None else episode.sim_state.shape[-1]
        fields = self._segment.fields if self._segment else layout.fields_of(self.spec, sim_state_size)
        columns = layout.to_columns(episode, fields)
        try:
            if self._segment is None:
                self._segment = self._open(fields)
            return self._segment.append(columns, episode, uid or uuid4().hex)
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise self._failure(error) from error
            raise

    def close(self) -> None:
        """Seal the segment: complete, and nobody will write it again."""
        self._is_closed = True
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            segment.seal()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            segment.release()

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(RunError):  # the first failure is the one to tell
                self.close()

    def _failure(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.root}: {error.strerror or error}; committed episodes are safe")

    def _abandon(self) -> None:
        """Leave the segment as a kill would; another append begins a new one.

        After a failure or Ctrl-C one of Zarr's own threads may still be writing a chunk, which must not
        land upon later rows.
        """
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.release()

    def _open(self, fields: Mapping[str, Field]) -> "_Segment":
        write_dataset_file(self.place, self.spec)
        check_writable(self.place, self.spec)  # somebody else may have begun it meanwhile
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        place = self.place.child(SEGMENTS).child(f"{moment}_{self._source}_{uuid4().hex[:8]}")
        place.make()
        attributes = {
            "format_version": layout.FORMAT_VERSION,
            "task": self.spec.task,
            "spec": self.spec.to_dict(),
            "control_hz": self.spec.control_hz,
            "source": self._source,
            "packages": package_versions(),
            "git_revision": git_revision(),
            "created": moment,
            "sealed": False,
            "sim_state_size": fields["sim/state"].row[0] if "sim/state" in fields else None,
            **self._attributes,
        }
        try:
            return _Segment(place, fields, attributes)
        except BaseException:
            place.remove()  # nothing was committed in it
            raise


class _Segment:
    """The open files of one segment."""

    def __init__(self, place: Place, fields: Mapping[str, Field], attributes: Mapping[str, Any]) -> None:
        self.place = place
        self.fields = fields
        self._episodes = 0
        self._steps = 0
        self._hold = place.hold()
        self._log: Log | None = None
        try:
            self._group = zarr.create_group(place.zarr(read_only=False), zarr_format=3)
            self._columns = {name: _Column(self._group, field) for name, field in fields.items()}
            nodes = sorted({name for field in fields.values() for name in layout.nodes_of(field)})
            checksums = {n: layout.node_checksum(layout.read_json(place, f"{n}/zarr.json")) for n in nodes}
            self._attributes = {**attributes, "nodes": checksums}
            self._group.update_attributes(layout.guarded(self._attributes))
            self._log = place.open_log(LOG_FILE)
            place.settle()
        except BaseException:
            self.release()
            raise

    def append(self, columns: Mapping[str, Array], episode: Episode, uid: str) -> EpisodeRecord:
        for name, rows in columns.items():
            self._columns[name].write(rows)
        record = EpisodeRecord(
            segment=self.place.path.name,
            index=self._episodes,
            start=self._steps,
            length=len(episode),
            episode_return=float(np.sum(episode.reward, dtype=np.float64)),
            meta=episode.meta,
            crc32c={name: layout.crc32c(rows) for name, rows in columns.items()},
            uid=uid,
            actors=who_acted(episode.actor),
            rate_hz=realised_rate(episode.t_ns),
        )
        assert self._log is not None
        self._log.append(to_line(record.to_dict()))
        self._hold.renew()
        for column in self._columns.values():
            column.commit()
        self._episodes += 1
        self._steps += len(episode)
        return record

    def seal(self) -> None:
        """Say that the segment is complete."""
        sealed = {"sealed": True, "episodes": self._episodes, "steps": self._steps}
        self._group.update_attributes(layout.guarded({**self._attributes, **sealed}))

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

    def write(self, rows: Array) -> None:
        """Put rows behind the committed ones; nobody reads them before `commit`."""
        self._block = np.concatenate([self._tail, rows])
        self._array.resize((self._committed + len(rows), *self._field.row))
        self._array[self._committed - len(self._tail) :] = self._block

    def commit(self) -> None:
        """The episode's line is in the log: the rows written last are there to stay."""
        self._committed += len(self._block) - len(self._tail)
        full = len(self._block) // self._field.chunk_rows * self._field.chunk_rows
        self._tail = self._block[full:]
